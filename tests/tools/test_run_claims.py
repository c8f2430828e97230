import re
import subprocess
import unittest
from pathlib import Path

from tool import ToolTest

MET = "a.speed: value 12.5 tok/s target at least 10 tok/s MET"
NOT_MET = "a.size: value 9 MB target at most 8 MB NOT MET"
CPUINFO = Path("/proc/cpuinfo")


class RunClaimsTest(ToolTest):
    tool = "run_claims"

    def setUp(self) -> None:
        super().setUp()
        self.write("docs/README.md")
        self.write("claims/README.md")

    def claim(self, name: str, *lines: str, code: int = 0) -> None:
        text = "#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines) + f"exit {code}\n"
        self.write(f"claims/{name}", text).chmod(0o755)

    def run_claims(self, code: int, *names: str) -> subprocess.CompletedProcess[str]:
        result = self.run_tool("--root", self.root, *names)
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result

    def rows(self) -> list[str]:
        text = (self.root / "docs/claims.md").read_text(encoding="utf-8")
        return [line for line in text.splitlines() if line.startswith("|")][2:]

    def test_a_claim_that_is_met(self) -> None:
        self.claim("a", MET)
        result = self.run_claims(0)
        self.assertIn(MET, result.stdout)
        (row,) = self.rows()
        self.assertIn("| a | a.speed | 12.5 tok/s | at least 10 tok/s | MET | none |", row)

    def test_the_cpu_has_its_generation(self) -> None:
        found = re.search(
            r"^cpu family\s*: (\d+)$", CPUINFO.read_text(encoding="utf-8"), re.MULTILINE
        )
        self.claim("a", MET)
        self.run_claims(0)
        self.assertRegex(self.rows()[0], r"\| \S[^|]*, \d+ threads \|")
        self.assertEqual("(family" in self.rows()[0], found is not None)
        if found:
            self.assertIn(f"(family {found[1]}, model ", self.rows()[0])

    def test_a_claim_that_is_not_met_is_written_and_fails(self) -> None:
        self.claim("a", MET, NOT_MET)
        self.run_claims(1)
        self.assertEqual(len(self.rows()), 2)
        self.assertIn("| 9 MB | at most 8 MB | NOT MET |", self.rows()[0])

    def test_a_subset_keeps_the_other_rows(self) -> None:
        self.claim("a", MET)
        self.claim("b", MET.replace("a.", "b."))
        self.run_claims(0)
        self.claim("a", MET.replace("12.5", "11"))
        self.claim("b", "must not run")
        self.run_claims(0, "a")
        self.assertEqual(len(self.rows()), 2)
        self.assertIn("| 11 tok/s |", self.rows()[0])
        self.assertIn("| b.speed | 12.5 tok/s |", self.rows()[1])

    def test_rows_that_another_cpu_alone_can_measure_stay(self) -> None:
        other = MET.replace("a.speed", "a.speed.amx")
        self.claim("a", MET, other)
        self.run_claims(0)
        document = self.root / "docs/claims.md"
        text = document.read_text(encoding="utf-8")
        document.write_text(re.sub(r", \d+ threads", ", 96 threads", text), encoding="utf-8")
        self.claim("a", MET.replace("12.5", "11"))
        self.run_claims(0)
        self.assertEqual(len(self.rows()), 2)
        self.assertIn("| a.speed | 11 tok/s |", self.rows()[0])
        self.assertNotIn("96 threads", self.rows()[0])
        self.assertIn("| a.speed.amx | 12.5 tok/s |", self.rows()[1])
        self.assertIn("96 threads", self.rows()[1])

    def test_rows_of_a_claim_that_is_gone_go(self) -> None:
        self.claim("a", MET)
        self.claim("b", MET.replace("a.", "b."))
        self.run_claims(0)
        (self.root / "claims/b").unlink()
        self.run_claims(0)
        self.assertEqual(len(self.rows()), 1)

    def test_a_claim_that_could_not_measure_keeps_its_old_row_and_fails(self) -> None:
        self.claim("a", MET)
        self.run_claims(0)
        self.claim("a", code=2)
        result = self.run_claims(1)
        self.assertIn("claims/a could not measure (exit status 2)", result.stderr)
        self.assertEqual(len(self.rows()), 1)

    def test_what_a_claim_printed_before_it_failed_is_no_measurement(self) -> None:
        self.claim("a", MET)
        self.run_claims(0)
        self.claim("a", MET.replace("12.5", "11"), code=1)
        result = self.run_claims(1)
        self.assertIn("claims/a could not measure (exit status 1)", result.stderr)
        self.assertIn("| 12.5 tok/s |", self.rows()[0])

    def test_a_line_of_another_form_fails(self) -> None:
        self.claim("a", "fast enough")
        result = self.run_claims(1)
        self.assertIn("claims/a printed 'fast enough'", result.stderr)

    def test_an_unknown_name(self) -> None:
        self.claim("a", MET)
        result = self.run_claims(2, "c")
        self.assertIn("no such claim: c; there are a", result.stderr)


if __name__ == "__main__":
    unittest.main()
