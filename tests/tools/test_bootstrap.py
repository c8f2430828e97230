import shutil
import subprocess
import unittest

from tool import TOOLS, ToolTest

PACKAGES = """# GROUP PACKAGE  # why
build cmake  # configures
build ninja-build  # builds
dev shellcheck  # checks
"""
DEBIAN = 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n'
NEEDED = ("bash", "cat", "dirname", "echo", "env", "grep", "sed", "sort", "tail", "uname", "xargs")


class BootstrapTest(ToolTest):
    """Runs scripts/bootstrap with programs of its own on the PATH, which log their calls."""

    def setUp(self) -> None:
        super().setUp()
        for name in NEEDED:
            program = shutil.which(name)
            assert program
            self.write(f"bin/{name}").unlink()
            (self.root / "bin" / name).symlink_to(program)
        script = (TOOLS.parent / "scripts/bootstrap").read_text(encoding="utf-8")
        self.assertIn("/etc/os-release", script)
        script = script.replace("/etc/os-release", str(self.root / "os-release"))
        self.write("scripts/bootstrap", script)
        self.write("scripts/packages.txt", PACKAGES)
        self.write("os-release", DEBIAN)
        self.program("apt-get")

    def program(self, name: str, body: str = "") -> None:
        log = f'echo {name} "$@" >>"{self.root}/log"\n'
        self.write(f"bin/{name}", f"#!/bin/bash\n{log}{body}\n").chmod(0o755)

    def installed(self, *packages: str) -> None:
        cases = "".join(f"{package}) echo -n installed ;;\n" for package in packages)
        self.program("dpkg-query", f'case "${{@: -1}}" in\n{cases}*) exit 1 ;;\nesac')

    def bootstrap(self, code: int, *groups: str, user: int = 0) -> str:
        self.program("id", f"echo {user}")
        words = [self.root / "bin/bash", self.root / "scripts/bootstrap", *groups]
        result = subprocess.run(
            words,
            env={"PATH": str(self.root / "bin")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        self.assertEqual(result.stdout, "")
        return result.stderr

    def apt_calls(self) -> list[str]:
        lines = (self.root / "log").read_text(encoding="utf-8").splitlines()
        return [line for line in lines if line.startswith("apt-get")]

    def test_nothing_is_missing(self) -> None:
        self.installed("cmake", "ninja-build")
        self.assertEqual(self.bootstrap(0), "")
        self.assertEqual(self.apt_calls(), [])

    def test_root_installs_what_is_missing_and_no_more(self) -> None:
        self.installed("cmake")
        self.assertIn("installing ninja-build", self.bootstrap(0))
        update, install = self.apt_calls()
        self.assertTrue(update.endswith(" update"), update)
        self.assertTrue(install.endswith(" ninja-build"), install)
        self.assertNotIn(" cmake", install)

    def test_other_groups_are_installed_when_asked_for(self) -> None:
        self.installed("cmake", "ninja-build")
        self.assertIn("installing shellcheck", self.bootstrap(0, "build", "dev"))

    def test_an_unknown_group(self) -> None:
        self.installed()
        self.assertIn("'gpu' is no group; there are: build dev", self.bootstrap(2, "gpu"))

    def test_without_root_and_sudo_it_says_what_is_needed(self) -> None:
        self.installed("cmake")
        message = self.bootstrap(3, user=1000)
        self.assertIn("needs root or sudo: ninja-build", message)
        self.assertEqual(self.apt_calls(), [])

    def test_sudo_installs(self) -> None:
        self.installed("cmake")
        self.program("sudo", 'if [[ "$1" != -n ]]; then "$@"; fi')
        self.assertIn("installing ninja-build", self.bootstrap(0, user=1000))
        self.assertEqual(len(self.apt_calls()), 2)

    def test_sudo_that_wants_a_password_in_a_pipe(self) -> None:
        self.installed("cmake")
        self.program("sudo", "exit 1")
        self.assertIn("needs root or sudo: ninja-build", self.bootstrap(3, user=1000))

    def test_another_distribution_with_dpkg(self) -> None:
        self.installed("cmake")
        self.write("os-release", 'ID=ubuntu\nVERSION_ID="24.04"\nPRETTY_NAME="Ubuntu 24.04"\n')
        message = self.bootstrap(3)
        self.assertIn("this is Ubuntu 24.04", message)
        self.assertIn("Not found here, by Debian's names: ninja-build", message)
        self.assertEqual(self.apt_calls(), [])

    def test_a_system_without_dpkg(self) -> None:
        (self.root / "bin/apt-get").unlink()
        self.write("os-release", "PRETTY_NAME=Fedora\n")
        message = self.bootstrap(3)
        self.assertIn("this is Fedora", message)
        self.assertIn("cmake ninja-build", message)

    def test_apt_fails(self) -> None:
        self.installed("cmake")
        self.program("apt-get", "echo no such package; exit 100")
        message = self.bootstrap(1)
        self.assertIn("no such package", message)
        self.assertIn("failed: ", message)


if __name__ == "__main__":
    unittest.main()
