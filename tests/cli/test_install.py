"""What `cmake --install` puts in place."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from tern import ROOT, TERN

BUILD = Path(os.environ["TERN_BUILD"])


class InstallTest(unittest.TestCase):
    def test_the_program_and_what_to_read(self) -> None:
        with tempfile.TemporaryDirectory() as prefix:
            subprocess.run(
                ["cmake", "--install", str(BUILD), "--prefix", prefix],
                check=True,
                capture_output=True,
            )
            program = Path(prefix) / "bin" / "tern"
            says = [  # but for how much memory there is at the moment
                subprocess.run([path, "version"], check=True, capture_output=True).stdout
                for path in (str(program), TERN)
            ]
            self.assertEqual(*(text.partition(b"may use")[0] for text in says))
            found = Path(prefix) / "share" / "doc" / "tern"
            files = {str(f.relative_to(found)) for f in found.rglob("*") if f.is_file()}
            deployed = {f"deploy/{file.name}" for file in (ROOT / "deploy").iterdir()}
            self.assertLessEqual(deployed, files)
            for name in ("LICENSE", "README.md", "docs/cli.md", "schemas/openapi.json"):
                self.assertIn(name, files)
            self.assertFalse([name for name in files if name.endswith((".cpp", ".S", ".txt"))])


if __name__ == "__main__":
    unittest.main()
