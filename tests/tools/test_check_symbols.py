"""Builds small libraries, some of which do what a library must not, and shows them to the tool."""

import os
import subprocess
import unittest
from pathlib import Path

from tool import ToolTest

COMPILER = os.environ.get("CXX", "c++")
REGISTRY = "namespace tern::kernels { extern const int kScalarTable, kFastTable; }\n" + (
    "int all() { return tern::kernels::kScalarTable + tern::kernels::kFastTable; }\n"
)


def table(name: str) -> str:
    return f"namespace tern::kernels {{ extern const int {name}; const int {name} = 7; }}\n"


class CheckSymbolsTest(ToolTest):
    tool = "check_symbols"

    def compile(self, path: str, source: str) -> Path:
        text = self.write(path.removesuffix(".o"), source)
        output = self.root / path
        subprocess.run([COMPILER, "-std=c++20", "-O1", "-c", text, "-o", output], check=True)
        return output

    def library(self, room: str, source: str) -> None:
        member = self.compile(f"src/{room}/code.cpp.o", source)
        archive = self.root / f"src/{room}/libtern_{room}.a"
        subprocess.run(["ar", "rcs", archive, member], check=True)

    def kernels(self, fast: str, registry: str = REGISTRY) -> None:
        self.library("kernels", "int unused();\n")
        folder = "src/kernels/CMakeFiles/tern_kernels.dir"
        self.compile(f"{folder}/registry.cpp.o", registry)
        weak = "template <int n> int copy(int x) { return x + n; }\ntemplate int copy<1>(int);\n"
        self.compile(f"{folder}/scalar/kernels.cpp.o", table("kScalarTable") + weak)
        self.compile(f"{folder}/fast/kernels.cpp.o", fast)

    def check(self, status: int, rooms: list[str], *messages: str) -> None:
        result = self.run_tool(self.root, "--rooms", *rooms)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        for message in messages:
            self.assertIn(message, result.stdout)

    def test_a_library_that_computes_is_green(self) -> None:
        code = "#include <stdexcept>\n#include <string>\nstd::string abort_message();\n" + (
            "int exit_code(int x) { if (x < 0) throw std::range_error(abort_message());\n"
            "return std::stoi(std::to_string(x)); }\n"
        )
        self.library("core", code)
        self.check(0, ["core"], "1 libraries, 0 tiers, no violation")

    def test_each_banned_call_is_red(self) -> None:
        for header, call, meaning in (
            ("cstdlib", "std::abort()", "ends the process: abort"),
            ("cstdlib", "std::exit(1)", "ends the process: exit"),
            ("unistd.h", "_exit(1)", "ends the process: _exit"),
            ("cassert", "assert(n)", "ends the process: __assert_fail"),
            ("cstdio", 'std::printf("%d", n)', "prints: printf"),
            ("cstdio", 'std::puts("x")', "prints: puts"),
            ("cstdio", 'std::fputs("x", stderr)', "prints: stderr"),
            ("iostream", "std::cout << n", "prints: std::cout"),
            ("iostream", "std::cerr << n", "prints: std::cerr"),
            ("cstdlib", 'std::getenv("HOME")', "reads the environment: getenv"),
            ("cstdlib", 'std::system("true")', "runs a shell: system"),
        ):
            with self.subTest(call):
                self.library("core", f"#include <{header}>\nvoid f(int n) {{ (void)n; {call}; }}\n")
                self.check(1, ["core"], f"libtern_core.a: code.cpp.o: {meaning}", "violations")

    def test_the_command_line_is_exempt(self) -> None:
        self.check(0, ["cli"], "0 libraries")

    def test_a_library_that_is_missing_is_red(self) -> None:
        self.check(1, ["core"], "libtern_core.a: not built")

    def test_a_tier_with_its_table_alone_is_green(self) -> None:
        self.kernels("static int twice(int x) { return 2 * x; }\n" + table("kFastTable"))
        self.check(0, ["kernels"], "1 libraries, 1 tiers, no violation")

    def test_a_tier_that_defines_more_is_red(self) -> None:
        for more, symbol in (
            ("int twice(int x) { return 2 * x; }\n", "T twice(int)"),
            ("template <int n> int t(int x) { return x + n; }\ntemplate int t<1>(int);\n", "t<1>"),
            ("inline int count = 3;\nint* at = &count;\n", "count"),
        ):
            with self.subTest(symbol):
                self.kernels(more + table("kFastTable"))
                self.check(1, ["kernels"], "fast: defines '", symbol, "beside its table")

    def test_a_table_that_no_tier_defines_is_red(self) -> None:
        self.kernels("static int nothing;\n")
        self.check(
            1,
            ["kernels"],
            "fast: defines 0 tables, expected 1",
            "no tier defines tern::kernels::kFastTable",
        )


if __name__ == "__main__":
    unittest.main()
