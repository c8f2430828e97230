"""`tern` and its surroundings: Ctrl-C, closed and full streams, terminals."""

import os
import pty
import re
import signal
import subprocess

from tern import TERN, TIMEOUT, CliTest, PacketPipe, environment, interrupt, main, start, tern

LONG = ("run", "Once upon a time", "-n", "200", "--ignore-eos", "--seed", "1")


def terminal_output(*arguments: str) -> tuple[int, bytes]:
    """Exit status and what a terminal would show."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(TERN, [TERN, *arguments], environment())  # noqa: S606
    shown = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # EIO: the other side is closed
            break
        if not part:
            break
        shown += part
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


class StreamsTest(CliTest):
    def started(self) -> tuple[PacketPipe, subprocess.Popen[bytes], bytes]:
        """A run that has written its first piece, and cannot end before it is read from."""
        pipe = PacketPipe()
        process = pipe.start(*LONG)
        return pipe, process, pipe.read()

    def test_text_streams_in_pieces(self) -> None:
        pipe, process, first = self.started()
        pieces = [first, *pipe.read_all()]
        pipe.close()
        _, statistics = process.communicate(timeout=TIMEOUT)
        self.assertEqual(process.returncode, 0, statistics)
        self.assertGreater(len(pieces), 50)  # of 200 tokens
        self.assertEqual(b"".join(pieces), self.succeed(*LONG).stdout)

    def test_interrupt_ends_with_statistics_and_130(self) -> None:
        pipe, process, first = self.started()
        interrupt(process)
        text = b"".join([first, *pipe.read_all()])
        pipe.close()
        _, statistics = process.communicate(timeout=TIMEOUT)
        self.assertEqual(process.returncode, 130)
        text.decode()
        self.assertEqual(statistics.count(b"\n"), 1)
        self.assertIn(b"cancelled, seed 1", statistics)

    def test_second_interrupt_kills(self) -> None:
        pipe, process, _ = self.started()
        pipe.wait_until_full()
        interrupt(process)
        self.assertIsNone(process.poll())
        interrupt(process)
        process.communicate(timeout=TIMEOUT)
        pipe.close()
        self.assertEqual(process.returncode, -signal.SIGINT)

    def test_interrupt_leaves_json_whole(self) -> None:
        # The file of events is opened after SIGINT is taken care of.
        events = self.folder / "events"
        os.mkfifo(events)
        process = start(*LONG, "--json", "--events", str(events))
        with events.open("rb"):
            process.send_signal(signal.SIGINT)
            text, _ = process.communicate(timeout=TIMEOUT)
        self.assertEqual(process.returncode, 130)
        self.assertRegex(text.decode(), r'\A\{.*"end":"cancelled".*\}\n\Z')

    def test_ignored_interrupt_stays_ignored(self) -> None:
        process = subprocess.Popen(
            [TERN, "run", "Once", "-n", "40", "--seed", "1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # noqa: PLW1509
        )
        assert process.stdout is not None
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT)
        self.assertEqual(process.returncode, 0)

    def test_reader_that_leaves_ends_it_quietly(self) -> None:
        pipe, process, _ = self.started()
        pipe.close()
        _, statistics = process.communicate(timeout=TIMEOUT)
        self.assertEqual(process.returncode, 141)
        self.assertEqual(statistics.count(b"\n"), 1)
        self.assertIn(b"cancelled", statistics)

    def test_full_disk_is_an_error(self) -> None:
        for command in (
            ("run", "Once", "-n", "4"),
            ("run", "Once", "-n", "4", "--json"),
            ("inspect",),
            ("tokenize", "a"),
            ("verify",),
            ("version",),
            ("--help",),
        ):
            with open("/dev/full", "wb") as full:  # noqa: PTH123
                outcome = tern(*command, stdout=full)
            self.assertEqual(outcome.returncode, 3, command)
            self.assertIn(b"tern: standard output: cannot write: ", outcome.stderr)

    def test_closed_stdout_is_an_error(self) -> None:
        for command in ("run Once -n 4", "version", f"run Once -n 4 --events {self.folder}/events"):
            shell = f'"$0" {command} >&-'
            outcome = subprocess.run(
                ["sh", "-c", shell, TERN], capture_output=True, timeout=TIMEOUT, env=environment()
            )
            self.assertEqual(outcome.returncode, 3, outcome)
            self.assertIn(b"standard output: cannot write", outcome.stderr)

    def test_closed_stdin_is_an_error_where_it_is_read(self) -> None:
        outcome = subprocess.run(
            ["sh", "-c", '"$0" run -f - <&-', TERN],
            capture_output=True,
            timeout=TIMEOUT,
            env=environment(),
        )
        self.assert_fails(outcome, 3, "standard input: cannot read")

    def test_full_disk_of_events_is_an_error(self) -> None:
        outcome = tern("run", "Once", "-n", "4", "--events", "/dev/full")
        self.assertEqual(outcome.returncode, 3)
        self.assertIn(b"/dev/full: cannot write the events", outcome.stderr)

    def test_terminal_gets_a_newline_behind_the_text(self) -> None:
        status, shown = terminal_output("run", "Once", "-n", "8", "--seed", "3")
        self.assertEqual(status, 0)
        self.assertRegex(shown.decode(), re.compile(r"[^\n]\r?\n[0-9.]+ tok/s[^\n]*\r\n\Z", re.S))
        piped = self.succeed("run", "Once", "-n", "8", "--seed", "3").stdout
        self.assertFalse(piped.endswith(b"\n"))

    def test_progress_leaves_nothing_behind(self) -> None:
        words = self.folder / "prompt"
        words.write_text("and then " * 65, encoding="utf-8")
        status, shown = terminal_output(
            "run", "-f", str(words), "-n", "1", "--tier", "scalar", "-t", "1", "--seed", "3"
        )
        self.assertEqual(status, 0, shown)
        for line in re.findall(rb"\r\x1b\[K([^\r]*)", shown):
            self.assertRegex(line, rb"\A(?:(?:load|prefill) \[#*\.*\] +[0-9]+%|[^\[]*)")
        self.assertEqual(shown.count(b"prefill") > 0, shown.count(b"\x1b[K") > 1)


if __name__ == "__main__":
    main()
