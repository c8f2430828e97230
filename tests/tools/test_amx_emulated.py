"""tools/amx_emulated: what it takes for a pass, and the guest's file system and console."""

import importlib.machinery
import importlib.util
import subprocess
import sys
import unittest
from pathlib import Path

from tool import TOOLS, ToolTest

sys.path.insert(0, str(TOOLS))
import emulated_guest as guest

LOADER = importlib.machinery.SourceFileLoader("amx_emulated", str(TOOLS / "amx_emulated"))
SPEC = importlib.util.spec_from_loader("amx_emulated", LOADER)
assert SPEC
amx_emulated = importlib.util.module_from_spec(SPEC)
LOADER.exec_module(amx_emulated)


def outcome(text: str, status: int = 0) -> guest.Outcome:
    return guest.Outcome(status, text.splitlines(), 1.0)


def unpack(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """Mode and content of each entry, by the description of cpio's newc."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while at < len(archive):
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[i : i + 8], 16) for i in range(at + 6, at + 110, 8)]
        size, name_size = fields[6], fields[11]
        name = archive[at + 110 : at + 110 + name_size]
        assert name.endswith(b"\0")
        data = (at + 110 + name_size + 3) & ~3
        found[name[:-1].decode()] = (fields[1], archive[data : data + size])
        at = (data + size + 3) & ~3
    return found


class VerdictTest(unittest.TestCase):
    def test_tests_have_to_run_and_pass(self) -> None:
        self.assertEqual(amx_emulated.all_ran(outcome("[  PASSED  ] 3 tests.")), "")
        self.assertIn("1", amx_emulated.all_ran(outcome("[  PASSED  ] 2 tests.", status=1)))
        self.assertIn("no test", amx_emulated.all_ran(outcome("[  PASSED  ] 0 tests.")))
        self.assertIn("no test", amx_emulated.all_ran(outcome("")))
        skipped = "[  PASSED  ] 1 test.\n[  SKIPPED ] 2 tests, listed below:"
        self.assertIn("skipped", amx_emulated.all_ran(outcome(skipped)))

    def test_two_processes_have_to_take_turns(self) -> None:
        passed, switches = "[  PASSED  ] 1 test.\n", "\tInvoluntary context switches: "
        both = f"{passed}{switches}300\n{passed}{switches}20\n"
        self.assertEqual(amx_emulated.took_turns(outcome(both)), "")
        self.assertIn("turns", amx_emulated.took_turns(outcome(f"{passed}{switches}300\n")))
        rare = both.replace(" 20", " 19")
        self.assertIn("turns", amx_emulated.took_turns(outcome(rare)))
        self.assertIn("status", amx_emulated.took_turns(outcome(both, status=1)))

    def test_every_word_has_to_be_said(self) -> None:
        verdict = amx_emulated.says("tier    amx,", "sha256 abc", status=5)
        self.assertEqual(verdict(outcome("tier    amx, 1\nlogits sha256 abc", status=5)), "")
        self.assertIn("sha256 abc", verdict(outcome("tier    amx, 1", status=5)))
        self.assertIn("0", verdict(outcome("tier    amx, 1\nlogits sha256 abc")))


class GuestTest(ToolTest):
    tool = "amx_emulated"

    def test_the_archive_holds_files_and_the_folders_above_them(self) -> None:
        found = unpack(guest.archive({"/init": b"#!", "/a/b/c": self.write("c", "content")}))
        self.assertEqual(list(found), ["a", "a/b", "a/b/c", "init", "TRAILER!!!"])
        self.assertEqual(found["a/b"], (0o040755, b""))
        self.assertEqual(found["a/b/c"], (0o100755, b"content"))
        self.assertEqual(found["init"], (0o100755, b"#!"))

    def test_libraries_of_a_program(self) -> None:
        names = [path.name for path in guest.libraries(Path("/bin/sh"))]
        self.assertIn("libc.so.6", names)
        self.assertTrue(any(name.startswith("ld-linux") for name in names), names)

    def test_the_console_is_read_command_by_command(self) -> None:
        script = guest.init_script({"good": "echo yes", "bad": "echo no; exit 3"})
        start = script.index("echo '@@ begin")  # no mounts
        lines = script[start:].replace("sleep 5", "").replace("poweroff -f", "")
        run = subprocess.run(
            ["bash", "-o", "pipefail", "-c", lines], capture_output=True, text=True, check=True
        )
        found = dict(guest.outcomes(iter(["booting", *run.stdout.splitlines()])))
        self.assertEqual(found["good"][:2], (0, ["yes"]))
        self.assertEqual(found["bad"][:2], (3, ["no"]))

    def test_a_guest_that_does_not_reach_its_end_is_an_error(self) -> None:
        with self.assertRaisesRegex(guest.GuestError, "Kernel panic"):
            list(guest.outcomes(iter(["@@ begin one", "Kernel panic - not syncing"])))

    def test_says_what_is_missing(self) -> None:
        run = self.run_tool(self.root / "bochs", "--build", self.root)
        self.assertEqual(run.returncode, 2, run)
        self.assertIn("docs/testing.md", run.stderr)
        self.assertIn("core_test", run.stderr)


if __name__ == "__main__":
    unittest.main()
