"""bench/compare, on programs that only claim figures."""

import json
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

COMPARE = Path(__file__).resolve().parents[2] / "bench" / "compare"

# Takes the options of `tern bench`, notes them, and prints the next of its rates.
FAKE = """#!/bin/bash
echo "$0 $*" >> {log}
n=$(grep -c "^$0 " {log})
rates=({rates})
echo '{{"prefill": {{"tokens_per_s": '${{rates[$((n - 1))]}}'}}, "decode": {{"tokens_per_s": 5}}}}'
"""


class CompareTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.log = self.folder / "log"
        self.log.touch()

    def script(self, name: str, text: str) -> Path:
        file = self.folder / name
        file.write_text(text, encoding="utf-8")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
        return file

    def fake(self, name: str, *rates: float) -> Path:
        return self.script(name, FAKE.format(log=self.log, rates=" ".join(map(str, rates))))

    def compare(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-B", COMPARE, "-m", "a model.gguf", "-t", "2", *words]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)

    def results(self, *words: str | Path) -> list[dict[str, Any]]:
        run = self.compare("--json", *words)
        self.assertEqual(run.returncode, 0, run)
        found = json.loads(run.stdout)["programs"]
        assert isinstance(found, list)
        return found

    def test_medians_quartiles_and_ratios(self) -> None:
        one, two = self.fake("one", 10, 20, 30, 40, 50), self.fake("two", 20, 20, 90, 80, 100)
        first, second = self.results("-r", "5", f"a={one}", f"b={two}")
        self.assertEqual((first["name"], second["name"]), ("a", "b"))
        self.assertEqual(
            first["prefill"]["tokens_per_s"],
            {"median": 30, "lower_quartile": 20, "upper_quartile": 40},
        )
        self.assertEqual(second["prefill"]["tokens_per_s"]["median"], 80)
        # Round by round 2, 1, 3, 2, 2: not the ratio of the medians.
        self.assertEqual(
            second["prefill"]["ratio"], {"median": 2, "lower_quartile": 2, "upper_quartile": 2}
        )
        self.assertEqual(second["decode"]["ratio"]["median"], 1)

    def test_programs_take_turns_and_every_other_round_is_reversed(self) -> None:
        one, two = self.fake("one", 1, 1, 1), self.fake("two", 1, 1, 1)
        self.results("-r", "3", "-p", "7", "-n", "3", one, two)
        lines = self.log.read_text(encoding="utf-8").splitlines()
        names = [Path(line.split()[0]).name for line in lines]
        self.assertEqual(names, ["one", "two", "two", "one", "one", "two"])
        self.assertTrue(lines[0].endswith(" bench -m a model.gguf -p 7 -n 3 -t 2 -r 1 --json"))

    def test_a_rival_is_a_command_with_places(self) -> None:
        tern = self.fake("tern", 10)
        rival = """rival=echo '{"decode": {"tokens_per_s": 4, "what": "{prefill} {decode}"}}'"""
        first, second = self.results("-r", "1", "-n", "6", f"tern={tern}", rival + "; : {model}")
        self.assertEqual(second["name"], "rival")
        self.assertIn("512 6", second["command"])
        self.assertIn("; : 'a model.gguf'", second["command"])
        self.assertNotIn("prefill", second)
        self.assertEqual(second["decode"]["ratio"]["median"], 0.8)
        self.assertEqual(first["decode"]["ratio"]["median"], 1)

    def test_a_batch_is_the_first_of_those_of_tern_or_a_rivals_own(self) -> None:
        line = """echo "$*" > {log}; echo '{{"batches": [{{"tokens_per_s": 8}}, {{}}]}}'"""
        tern = self.script("tern", "#!/bin/bash\n" + line.format(log=self.log))
        rival = """rival=echo '{"batch": {"tokens_per_s": 2, "what": "{batch}"}}'"""
        first, second = self.results("-r", "1", "-b", "16", rival, f"tern={tern}")
        self.assertIn('"what": "16"', first["command"])
        self.assertTrue(self.log.read_text(encoding="utf-8").endswith(" --json -b 16\n"))
        self.assertEqual(second["batch"]["tokens_per_s"]["median"], 8)
        self.assertEqual(second["batch"]["ratio"]["median"], 4)
        self.assertNotIn("decode", second)

    def test_table(self) -> None:
        run = self.compare(
            "-r", "2", f"a={self.fake('one', 10, 20)}", f"b={self.fake('two', 5, 5)}"
        )
        self.assertEqual(run.returncode, 0, run)
        self.assertIn("prefill  a  15 [12.5, 17.5] tok/s  x 1.000 [1.000, 1.000]\n", run.stdout)
        self.assertIn("prefill  b  5 [5, 5] tok/s  x 0.375 [0.312, 0.438]\n", run.stdout)

    def test_a_program_that_fails_ends_it(self) -> None:
        good = self.fake("good", 1, 1)
        bad = self.script("bad", "#!/bin/sh\necho no such model >&2\nexit 3\n")
        run = self.compare("-r", "2", good, f"broken={bad}")
        self.assertEqual(run.returncode, 1)
        self.assertFalse(run.stdout)
        self.assertIn("broken: exit status 3", run.stderr)
        self.assertIn("no such model", run.stderr)

    def test_a_disturbed_program_is_tried_twice_again(self) -> None:
        good = self.fake("good", 1)
        tries = self.folder / "tries"
        disturbed = f"x=echo >> {tries}; test $(wc -l < {tries}) -eq {{count}} || exit 8; "
        disturbed += """echo '{{"decode": {{"tokens_per_s": 5}}}}' # {{model}}"""
        found = self.results("-r", "1", good, disturbed.format(count=3))
        self.assertEqual(found[1]["decode"]["tokens_per_s"]["median"], 5)
        self.log.write_text("", encoding="utf-8")
        tries.unlink()
        run = self.compare("-r", "1", good, disturbed.format(count=4))
        self.assertEqual(run.returncode, 1)
        self.assertIn("x: exit status 8", run.stderr)
        self.assertEqual(tries.read_text(encoding="utf-8").count("\n"), 3)

    def test_a_failure_within_a_pipe_is_seen(self) -> None:
        run = self.compare("-r", "1", self.fake("good", 1), "x=false {model} | echo '{}'")
        self.assertEqual(run.returncode, 1)
        self.assertIn("x: exit status 1", run.stderr)

    def test_what_prints_no_figures_is_refused(self) -> None:
        good = self.fake("good", 1, 1, 1)
        for output in ("", "fast", "[]", "{}", '{"decode": 5}', '{"decode": {"tokens_per_s": 0}}'):
            run = self.compare("-r", "1", good, f"x=echo '{output}' # {{model}}")
            self.assertEqual(run.returncode, 1, output)
            self.assertIn("x: expected a JSON object", run.stderr)
            self.log.write_text("", encoding="utf-8")

    def test_bad_arguments(self) -> None:
        good = self.fake("good", 1, 1)
        self.assertEqual(self.compare(good).returncode, 2)
        self.assertEqual(self.compare("-r", "0", good, good).returncode, 2)
        twice = self.compare(good, good)
        self.assertEqual(twice.returncode, 1)
        self.assertIn("same name", twice.stderr)
        missing = self.compare(good, self.folder / "missing")
        self.assertEqual(missing.returncode, 1)
        self.assertIn("missing: expected a program", missing.stderr)


if __name__ == "__main__":
    unittest.main()
