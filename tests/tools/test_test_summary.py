import os
import subprocess
import unittest
import unittest.mock

from tool import ToolTest

PASSED = '<testcase name="a.ok" status="run"><system-out/></testcase>'
FAILED = '<testcase name="a.bad" status="fail"><failure message=""/></testcase>'
MISSING = (
    '<testcase name="a.gone" status="notrun"><skipped message="Unable to find executable"/>'
    "<system-out>Unable to find executable</system-out></testcase>"
)
SKIPPED = (
    '<testcase name="a.data" status="notrun">'
    '<skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/>'
    "<system-out>a_test.cpp:3: Skipped\nno vocabulary here\n[  SKIPPED ] a.data</system-out>"
    "</testcase>"
)
DISABLED = '<testcase name="a.off" status="disabled"><system-out>Disabled</system-out></testcase>'


class TestSummaryTest(ToolTest):
    tool = "test_summary"

    def setUp(self) -> None:
        super().setUp()
        self.shared_data = self.root / "none"

    def summarise(self, cases: str, skips: str = "") -> subprocess.CompletedProcess[str]:
        junit = self.write("results.xml", f"<testsuite>{cases}</testsuite>")
        with unittest.mock.patch.dict(os.environ, TERN_SHARED_DATA=str(self.shared_data)):
            return self.run_tool(junit, self.write("expected_skips", skips))

    def assert_summary(self, cases: str, skips: str, code: int, last_line: str) -> str:
        result = self.summarise(cases, skips)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        self.assertEqual(result.stdout.splitlines()[-1], last_line)
        return result.stdout

    def test_all_passed(self) -> None:
        self.assert_summary(PASSED * 2, "", 0, "2 passed, 0 failed, 0 skipped")

    def test_a_failure(self) -> None:
        out = self.assert_summary(PASSED + FAILED, "", 1, "1 passed, 1 failed, 0 skipped")
        self.assertIn("failed: a.bad", out)

    def test_a_failure_shows_the_end_of_its_output_below_the_skips(self) -> None:
        text = "".join(f"line {i}\n" for i in range(40)) + "AssertionError: 1 != 2"
        case = f'<testcase name="a.bad" status="fail"><system-out>{text}</system-out></testcase>'
        result = self.summarise(case + SKIPPED + PASSED, "no-shared-data a.*  # why\n")
        lines = result.stdout.splitlines()
        self.assertIn("skipped: a.data: no vocabulary here", lines[0])
        self.assertEqual(lines[1:3], ["failed: a.bad", "  | line 11"])
        self.assertEqual(lines[-2], "  | AssertionError: 1 != 2")

    def test_a_program_that_is_missing_is_a_failure(self) -> None:
        out = self.assert_summary(PASSED + MISSING, "", 1, "1 passed, 1 failed, 0 skipped")
        self.assertIn("not run: a.gone", out)

    def test_no_test_at_all_is_a_failure(self) -> None:
        self.assert_summary("", "", 1, "0 passed, 0 failed, 0 skipped")

    def test_skips_alone_are_a_failure(self) -> None:
        skips = "no-shared-data a.*  # nothing is fine\n"
        self.assert_summary(SKIPPED, skips, 1, "0 passed, 0 failed, 1 skipped")

    def test_a_parameters_value_is_no_part_of_the_name(self) -> None:
        case = SKIPPED.replace('name="a.data"', 'name="a.b/on_x  # GetParam() = 0x55"')
        skips = "no-shared-data a.b/on_x  # not ours\n"
        self.assert_summary(PASSED + case, skips, 0, "1 passed, 0 failed, 1 skipped")

    def test_a_skip_that_is_not_listed_fails(self) -> None:
        out = self.assert_summary(PASSED + SKIPPED, "", 1, "1 passed, 0 failed, 1 skipped")
        self.assertIn("forbids: a.data: no vocabulary here", out)

    def test_a_skip_that_is_listed(self) -> None:
        skips = "# heading\n\nno-shared-data a.da*  # the vocabularies are their owners'\n"
        out = self.assert_summary(PASSED + SKIPPED, skips, 0, "1 passed, 0 failed, 1 skipped")
        self.assertIn("skipped: a.data: no vocabulary here", out)

    def test_a_skip_of_another_class_of_machine_fails(self) -> None:
        self.shared_data = self.root
        skips = "no-shared-data a.data  # this machine has it\n"
        self.assert_summary(PASSED + SKIPPED, skips, 1, "1 passed, 0 failed, 1 skipped")

    def test_a_disabled_test_is_a_skip(self) -> None:
        self.assert_summary(PASSED + DISABLED, "", 1, "1 passed, 0 failed, 1 skipped")

    def test_a_list_that_cannot_be_read(self) -> None:
        for line in (
            "nonsense a.data  # why",
            "no-shared-data a.data",
            "no-shared-data  # why",
            "no-shared-data a b  # why",
        ):
            with self.subTest(line):
                result = self.summarise(PASSED, line + "\n")
                self.assertEqual(result.returncode, 2)
                self.assertIn("expected_skips:1:", result.stdout)

    def test_results_that_cannot_be_read(self) -> None:
        result = self.run_tool(self.root / "none.xml", self.write("expected_skips"))
        self.assertEqual(result.returncode, 2)


if __name__ == "__main__":
    unittest.main()
