"""Every fuzz target has its seeds, is replayed by each test run, and stands in the documents."""

import re
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGETS = [path.name.removesuffix("_fuzz.cpp") for path in ROOT.glob("fuzz/*_fuzz.cpp")]


class FuzzTargets(unittest.TestCase):
    def test_there_are_some(self) -> None:
        self.assertGreater(len(TARGETS), 1)

    def test_each_has_seeds(self) -> None:
        for target in TARGETS:
            seeds = list((ROOT / "tests/fuzz_smoke" / f"{target}_seeds").glob("*"))
            writer = ROOT / "fuzz" / f"{target}_seeds.cpp"
            self.assertTrue(seeds or writer.is_file(), target)

    def test_each_is_replayed(self) -> None:
        text = (ROOT / "tests/fuzz_smoke/CMakeLists.txt").read_text(encoding="utf-8")
        replayed = re.findall(r"^tern_fuzz_replay\((\w+)", text, re.MULTILINE)
        self.assertEqual(sorted(replayed), sorted(TARGETS))

    def test_no_time_at_all_is_refused(self) -> None:
        command = [sys.executable, "-B", ROOT / "scripts/fuzz", "gguf", "--seconds", "0"]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, 2, run.stdout)
        self.assertIn("--seconds: expected 1 or more", run.stderr)

    def test_each_is_described(self) -> None:
        text = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
        described = re.findall(r"^\| `(\w+)_fuzz` \|", text, re.MULTILINE)
        self.assertEqual(sorted(described), sorted(TARGETS))


if __name__ == "__main__":
    unittest.main()
