"""What the tests of the command line share: running `tern` as a process, and damaged models."""

import json
import os
import re
import select
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any

TERN = os.environ["TERN"]  # the executable
TIMEOUT = 300  # emulators and sanitizers are slow
ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "tern-tales.gguf"
STATISTICS = (
    r"\A[0-9.]+ tok/s, "
    r"(?:[0-9]+(?:[.][0-9])?% of this machine's limit|limit not measurable), "
    r"[\w-]+, (?:proved|not proved \(--no-verify\)), "
    r"[0-9]+ \+ [0-9]+ tokens, [a-z ]+, seed [0-9]+\n\Z"
)

# What a user tuned or packed on this machine is nothing to a test.
CACHE = tempfile.TemporaryDirectory(prefix="tern-cache-")

Outcome = subprocess.CompletedProcess[bytes]


def environment(**variables: str) -> dict[str, str]:
    """This process's own without Tern's settings, and with an own cache; tools/mutation_check says
    which mutant runs."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TERN") or k == "TERN_MUTANT"}
    return kept | {"TERN_CACHE_DIR": CACHE.name} | variables


def tern(*arguments: str | Path, **options: Any) -> Outcome:
    """Runs `tern`; standard input is empty and the streams are pipes unless said otherwise."""
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    options.setdefault("env", environment())
    if "input" not in options:
        options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([TERN, *map(str, arguments)], timeout=TIMEOUT, **options)


def start(*arguments: str | Path, **options: Any) -> subprocess.Popen[bytes]:
    """Starts `tern` with SIGINT as a shell in the foreground leaves it."""
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    options.setdefault("env", environment())
    return subprocess.Popen(
        [TERN, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        **options,
    )


class PacketPipe:
    """A pipe that keeps writes apart: each read returns what one write wrote.

    It holds 16 writes, so who streams has to wait for the reader.
    """

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)

    def start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        return start(*arguments, stdout=self.writer)

    def read(self) -> bytes:
        return os.read(self.reader, 1 << 16)

    def wait_until_full(self) -> None:
        poll = select.poll()
        poll.register(self.writer, select.POLLOUT)
        while poll.poll(0):
            time.sleep(0.01)
        time.sleep(1)  # the process goes on to its next write, where it stays

    def read_all(self) -> list[bytes]:
        self.close_writer()
        packets = []
        while packet := self.read():
            packets.append(packet)
        return packets

    def close_writer(self) -> None:
        if self.writer >= 0:
            os.close(self.writer)
        self.writer = -1

    def close(self) -> None:
        self.close_writer()
        os.close(self.reader)


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """Sends SIGINT once the process watches for it, and waits until the process has taken it."""
    while process.poll() is None and not has_sigint(process, "SigBlk"):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    while process.poll() is None and has_sigint(process, "ShdPnd"):
        time.sleep(0.01)
    time.sleep(0.1)


def has_sigint(process: subprocess.Popen[bytes], mask: str) -> bool:
    """Whether SIGINT is in this set of signals (proc(5)) of a process that was not waited for."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    found = re.search(rf"^{mask}:\t([0-9a-f]+)$", status, flags=re.MULTILINE)
    assert found is not None, status
    return bool(int(found[1], 16) >> (signal.SIGINT - 1) & 1)


class CliTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def succeed(self, *arguments: str | Path, **options: Any) -> Outcome:
        outcome = tern(*arguments, **options)
        self.assertEqual(outcome.returncode, 0, outcome)
        return outcome

    def assert_fails(self, outcome: Outcome, status: int, *words: str) -> None:
        """The exit status, nothing on stdout, and one line on stderr that has these words."""
        self.assertEqual(outcome.returncode, status, outcome)
        self.assertFalse(outcome.stdout, outcome)
        message = outcome.stderr.decode()
        self.assertRegex(message, r"\Atern: [^\n\x00-\x1f\x7f]+\n\Z")
        for word in words:
            self.assertIn(word, message)

    def report(self, outcome: Outcome, notice: str = "") -> dict[str, Any]:
        """What a run printed; on stderr the statistics, and before them at most this notice."""
        lines = outcome.stderr.decode().splitlines()
        self.assertEqual(len(lines), 2 if notice else 1, outcome)
        self.assertIn(notice, lines[0])
        found = json.loads(outcome.stdout)
        assert isinstance(found, dict)
        return found

    def inspect(self, *arguments: str | Path) -> dict[str, Any]:
        found = json.loads(self.succeed("inspect", "--json", *arguments).stdout)
        assert isinstance(found, dict)
        return found

    def tensor(self, name: str) -> dict[str, Any]:
        listed = self.inspect("-m", MODEL, "--tensors", "--quick")["tensors"]
        return next(tensor for tensor in listed if tensor["name"] == name)

    def damaged(self, name: str, *patches: tuple[int, bytes]) -> Path:
        """A copy of the model with other bytes at these offsets."""
        content = bytearray(MODEL.read_bytes())
        for offset, new in patches:
            content[offset : offset + len(new)] = new
        file = self.folder / name
        file.write_bytes(content)
        return file

    def with_uint32(self, name: str, key: str, value: int) -> Path:
        """A copy of the model in which a uint32 of the metadata has another value."""
        content = MODEL.read_bytes()
        prefix = len(key).to_bytes(8, "little") + key.encode() + (4).to_bytes(4, "little")
        at = content.index(prefix) + len(prefix)
        return self.damaged(name, (at, value.to_bytes(4, "little")))


def main() -> None:
    unittest.main()
