"""tools/tiktoken_to_gguf: what it refuses; tests/text/llama3_test.cpp looks at what it writes."""

import base64
import unittest

from tool import ToolTest


def line(token: bytes, rank: int) -> str:
    return f"{base64.b64encode(token).decode()} {rank}\n"


class TiktokenToGgufTest(ToolTest):
    tool = "tiktoken_to_gguf"

    def refused(self, text: str | None, *words: str, output: str = "out.gguf") -> None:
        source = self.root / "tokenizer.model"
        if text is not None:
            self.write(source.name, text)
        result = self.run_tool(source, self.root / output)
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertEqual(list(self.root.glob("*.gguf*")), [])

    def test_a_vocabulary_is_written(self) -> None:
        text = line(b"a", 0) + line(b"b", 1) + line(b"ab", 2)
        source = self.write("tokenizer.model", text)
        result = self.run_tool(source, self.root / "out.gguf")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual((self.root / "out.gguf").read_bytes()[:4], b"GGUF")

    def test_a_missing_file_is_named(self) -> None:
        self.refused(None, "tokenizer.model", "No such file")

    def test_an_empty_file_is_refused(self) -> None:
        self.refused("", "tokenizer.model: expected tokens, found none")

    def test_a_vocabulary_without_a_merge_is_refused(self) -> None:
        self.refused(line(b"a", 0), "tokenizer.model: expected tokens that others make")

    def test_a_line_of_another_form_is_named(self) -> None:
        self.refused("one\n", "tokenizer.model:1: expected base64 and a rank")

    def test_an_output_that_cannot_be_written_is_named(self) -> None:
        text = line(b"a", 0) + line(b"b", 1) + line(b"ab", 2)
        self.refused(text, "nowhere", "No such file", output="nowhere/out.gguf")


if __name__ == "__main__":
    unittest.main()
