"""What tools/mutation_check makes of a source: which mutants, and the text that holds them all."""

import importlib.util
import subprocess
import sys
import tempfile
import unittest
from importlib.machinery import SourceFileLoader
from pathlib import Path

TOOL = Path(__file__).resolve().parents[2] / "tools" / "mutation_check"
LOADER = SourceFileLoader("mutation_check", str(TOOL))
SPEC = importlib.util.spec_from_loader("mutation_check", LOADER)
mutation_check = importlib.util.module_from_spec(SPEC)
sys.modules["mutation_check"] = mutation_check
LOADER.exec_module(mutation_check)


def mutants(source: str) -> set[tuple[str, str]]:
    found = mutation_check.mutants_of("a.cpp", source)
    return {(m.rule, " ".join(m.after.split())) for m in found}


class CommandLine(unittest.TestCase):
    def refused(self, *arguments: str) -> str:
        command = [sys.executable, "-B", TOOL, "core", "--list", *arguments]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual((run.returncode, run.stdout), (2, ""), run.stderr)
        return run.stderr

    def test_what_would_try_nothing_is_refused(self) -> None:
        self.assertIn("gone.cpp is no file of core", self.refused("--file", "gone.cpp"))
        for option in ("--sample", "--jobs"):
            self.assertIn("expected 1 or more", self.refused(option, "0"))


class Mutants(unittest.TestCase):
    def test_a_check_is_deleted_loses_each_clause_and_moves_its_bounds(self) -> None:
        self.assertEqual(
            mutants("void f() { if (a < 1 || g(b, c) > 2) return; }"),
            {
                ("never", "false"),
                ("clause", "a < 1"),
                ("clause", "g(b, c) > 2"),
                ("bound", "a <= 1"),
                ("bound", "g(b, c) >= 2"),
            },
        )

    def test_or_binds_weaker_than_and(self) -> None:
        self.assertIn(("clause", "c"), mutants("void f() { if (a && b || c) return; }"))
        self.assertIn(("clause", "a && b"), mutants("void f() { if (a && b || c) return; }"))

    def test_a_declared_condition_is_left_alone(self) -> None:
        self.assertEqual(mutants("void f() { if (const auto x = g()) return; }"), set())
        self.assertEqual(
            mutants("void f() { if (auto x = g(); !x) return; }"), {("never", "false")}
        )

    def test_signs_and_shifts_change_within_the_smallest_expression(self) -> None:
        self.assertEqual(
            mutants("int f() { x = h(a + 1, b) * c; return y >> 2; }"),
            {("sign", "a - 1"), ("shift", "y << 2")},
        )
        self.assertEqual(mutants("int f() { return p ? a - 1 : b; }"), {("sign", "a + 1")})
        self.assertEqual(mutants("int f() { total += n::a + b; }"), {("sign", "n::a - b")})

    def test_a_name_may_begin_with_a_keyword(self) -> None:
        self.assertEqual(
            mutants("void f() { g(done + 1, returned - 2); }"),
            {("sign", "done - 1"), ("sign", "returned + 2")},
        )
        self.assertEqual(mutants("void f() { x = double(a) + 1; }"), {("sign", "double(a) - 1")})

    def test_comments_literals_and_constants_are_left_alone(self) -> None:
        self.assertEqual(mutants("// if (a < b) return c + d;\n"), set())
        self.assertEqual(mutants("void f() { print(\"a + b\", ' '); }"), set())
        self.assertEqual(mutants('auto s = "a" + text + "b";'), set())
        self.assertEqual(mutants("constexpr int kA = 1 + 2;\nconstexpr int kB = kA - 1;\n"), set())
        self.assertEqual(mutants("constexpr int kA = int{2} << 20;\n"), set())

    def test_what_compilers_decide_is_left_alone(self) -> None:
        self.assertEqual(mutants("void f() { if constexpr (kA > 1) g(); }"), set())
        self.assertEqual(mutants("void f() { g<kA, kB - 1>(a, b); }"), set())
        self.assertEqual(mutants("void f() { g<kA>(a - 1); }"), {("sign", "a + 1")})
        self.assertEqual(mutants("void f() { x = g<kA>(a) + b; }"), {("sign", "g<kA>(a) - b")})

    def test_the_line_is_that_of_the_expression(self) -> None:
        (mutant,) = mutation_check.mutants_of("a.cpp", "int f() {\n  return\n      a + b;\n}\n")
        self.assertEqual(mutant.line, 3)


class Switched(unittest.TestCase):
    def test_holds_every_mutant_and_keeps_line_numbers(self) -> None:
        source = "int f() {\n  if (a < 1 ||\n      b) return 1;  // why\n  return c + d;\n}\n"
        found = mutation_check.mutants_of("a.cpp", source)
        for number, mutant in enumerate(found, 1):
            mutant.number = number
        text = mutation_check.switched(source, found)
        self.assertEqual(text.count("\n"), source.count("\n"))
        for mutant in found:
            self.assertEqual(text.count(f"tern_mutant({mutant.number})"), 1, mutant)
        lines = text.split("\n")
        self.assertIn("(tern_mutant(1) ? static_cast<bool>(false) : ", lines[1])
        self.assertIn("return", lines[3])
        self.assertIn("? (c - d) : (c + d)", lines[3].replace("( c", "(c"))

    def test_a_clause_that_is_no_bool_leaves_the_condition_one(self) -> None:
        # Without casts: optional's type for all, so that an unbroken, false condition is true.
        source = "void f() { if (limit && n >= *limit) return; }"
        found = mutation_check.mutants_of("a.cpp", source)
        text = mutation_check.switched(source, found)
        self.assertEqual(text.count("? static_cast<bool>("), len(found))
        self.assertIn(": static_cast<bool>(limit && n >= *limit)))", text)


class Refused(unittest.TestCase):
    def test_is_the_mutant_that_begins_last_before_the_error(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            text = "\nx = (tern_mutant(7) ? (a <= b) : tern_mutant(8) ? (s - t) : (s + t));\n"
            file = Path(folder) / "a.cpp"
            file.write_text(text, encoding="utf-8")
            column = text.index("- t")
            errors = f"{file}:2:{column}: error: no match for operator-\n{file}:1:1: error: else\n"
            self.assertEqual(mutation_check.refused_numbers(errors), {8})


class Sample(unittest.TestCase):
    def test_takes_one_of_each_run_the_same_ones_each_time(self) -> None:
        found = mutation_check.mutants_of("a.cpp", "void f() { g(a + b); }" * 100)
        self.assertEqual(len(found), 100)
        some = mutation_check.sample(found, 10)
        self.assertEqual([found.index(m) // 10 for m in some], list(range(10)))
        self.assertEqual(mutation_check.sample(found, 10), some)
        self.assertGreater(len({found.index(m) % 10 for m in some}), 3)

    def test_takes_all_where_there_are_no_more(self) -> None:
        found = mutation_check.mutants_of("a.cpp", "void f() { g(a + b); h(c < d); }")
        self.assertEqual(mutation_check.sample(found, 2), found)


class Targets(unittest.TestCase):
    def test_every_file_exists(self) -> None:
        for name, target in mutation_check.TARGETS.items():
            for file in target.files:
                self.assertTrue((mutation_check.ROOT / file).is_file(), f"{name}: {file}")

    def test_first_tests_are_those_of_a_file_of_the_target(self) -> None:
        for name, target in mutation_check.TARGETS.items():
            self.assertEqual(set(target.first) - {"*", *target.files}, set(), name)

    def test_scripts_see_the_mutant_in_the_command_that_they_are_given(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "script.py"
            script.write_text(
                "import os, sys\n"
                "found = [os.environ[name] for name in ('TERN_MUTANT', 'TERN')]\n"
                "sys.exit(found == ['7', 'the/command'])\n"
            )
            target = mutation_check.Target((), "tern", "src/cli/tern", scripts=(str(script),))
            self.assertEqual(target.filters_of("a.cpp"), [str(script)])
            for number, passes in ((7, False), (8, True)):
                passed, _ = mutation_check.run_tests(
                    target, Path("the/command"), number, 60, str(script)
                )
                self.assertEqual(passed, passes)

    def test_every_script_exists(self) -> None:
        for name, target in mutation_check.TARGETS.items():
            for script in target.scripts:
                self.assertTrue((mutation_check.ROOT / script).is_file(), f"{name}: {script}")

    def test_every_equivalent_mutant_is_one_of_today(self) -> None:
        for name, target in mutation_check.TARGETS.items():
            found = set()
            for file in target.files:
                source = (mutation_check.ROOT / file).read_text(encoding="utf-8")
                found |= {m.key() for m in mutation_check.mutants_of(file, source)}
            self.assertEqual(set(target.equivalent) - found, set(), name)


if __name__ == "__main__":
    unittest.main()
