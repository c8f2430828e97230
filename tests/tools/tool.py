"""What the tests of tools/ share: a tree in a temporary folder, and running a tool on it."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2] / "tools"


class ToolTest(unittest.TestCase):
    tool = ""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def write(self, path: str, text: str = "") -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def run_tool(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-B", TOOLS / self.tool, *map(str, arguments)]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    def run_on_tree(self) -> subprocess.CompletedProcess[str]:
        return self.run_tool("--root", self.root)

    def assert_green(self) -> None:
        result = self.run_on_tree()
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def assert_red(self, *messages: str) -> None:
        result = self.run_on_tree()
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        for message in messages:
            self.assertIn(message, result.stdout)
