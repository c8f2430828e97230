import unittest

from tool import ToolTest


class CheckFileLengthTest(ToolTest):
    tool = "check_file_length"

    def test_500_lines_are_green_and_501_are_red(self) -> None:
        self.write("src/core/a.cpp", "\n" * 500)
        self.assert_green()
        self.write("src/core/a.cpp", "\n" * 501)
        self.assert_red("src/core/a.cpp: 501 lines, at most 500")

    def test_a_last_line_without_a_newline_counts(self) -> None:
        self.write("tests/core/a_test.cpp", "\n" * 500 + "x")
        self.assert_red("tests/core/a_test.cpp: 501 lines")

    def test_generated_files_are_exempt(self) -> None:
        self.write("src/text/unicode.gen.cpp", "\n" * 9000)
        self.assert_green()

    def test_scripts_without_a_suffix_count_and_data_does_not(self) -> None:
        self.write("tests/text/vectors", "\n" * 9000)
        self.write("tests/text/vectors.txt", "\n" * 9000)
        self.assert_green()
        self.write("tools/long_tool", "#!/bin/sh\n" + "\n" * 500)
        self.assert_red("tools/long_tool: 501 lines")


if __name__ == "__main__":
    unittest.main()
