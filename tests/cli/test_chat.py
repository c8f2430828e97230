"""`tern chat`: turns, commands, files, and what Ctrl-C, colours and a terminal change."""

# ruff: noqa: E501 - a case a line

import json
import os
import pty
import re
import select
import signal
import subprocess
import time

from tern import MODEL, TERN, TIMEOUT, CliTest, Outcome, environment, main, tern

PLAIN = ("chat", "--chat-template", "plain", "--seed", "7", "-n", "12")
TALK = [
    {"role": "user", "content": "Once upon a time"},
    {"role": "assistant", "content": " there was a king."},
]


class Terminal:
    """`tern chat` on a terminal of its own, in the foreground of it."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        self.shown = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.execve(TERN, [TERN, *arguments], environment(TERM="xterm", **variables))  # noqa: S606

    def read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return True
        try:
            part = os.read(self.fd, 1 << 16)
        except OSError:  # the other end is closed
            return False
        self.shown += part
        return bool(part)

    def wait_for(self, text: bytes) -> bytes:
        """What is shown up to this text and with it, since the last one that was waited for."""
        end = time.monotonic() + TIMEOUT
        while text not in self.shown:
            if time.monotonic() > end or not self.read(1):
                raise AssertionError(f"{text!r} is not in {self.shown!r}")
        at = self.shown.index(text) + len(text)
        found, self.shown = self.shown[:at], self.shown[at:]
        return found

    def send(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def finish(self) -> int:
        end = time.monotonic() + TIMEOUT
        while self.read(1):
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                raise AssertionError(f"does not end; it shows {self.shown!r}")
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


class ChatTest(CliTest):
    def chat(self, script: str, *arguments: str, **options: str) -> Outcome:
        return tern(*PLAIN, *arguments, input=script.encode(), cwd=self.folder, **options)

    def talk(self, script: str, *arguments: str) -> str:
        outcome = self.chat(script, *arguments)
        self.assertEqual((outcome.returncode, outcome.stderr), (0, b""), outcome)
        return outcome.stdout.decode()

    def saved(self, name: str) -> list[dict[str, str]]:
        document = json.loads((self.folder / name).read_text(encoding="utf-8"))
        self.assertEqual(list(document), ["messages"])
        found = document["messages"]
        assert isinstance(found, list)
        return found

    def save(self, name: str, document: object) -> None:
        (self.folder / name).write_text(json.dumps(document), encoding="utf-8")

    def test_script_gets_answers_alone(self) -> None:
        shown = self.talk("Once upon a time\n/save a\nAnd then?\n/save b")
        turns = self.saved("b")
        self.assertEqual([turn["role"] for turn in turns], ["user", "assistant"] * 2)
        self.assertEqual(turns[0]["content"], "Once upon a time")
        self.assertEqual(self.saved("a"), turns[:2])
        answers = [turns[1]["content"], turns[3]["content"]]
        self.assertEqual(shown, "".join(a if a.endswith("\n") else a + "\n" for a in answers))

    def test_later_turns_are_those_of_a_fresh_run(self) -> None:
        self.talk("Once upon a time\nWho was it?\n/save a\nAnd then?\n/save b")
        fresh = self.talk("/load a\nAnd then?\n/save c")
        self.assertEqual(self.saved("b"), self.saved("c"))
        self.assertTrue(fresh.strip())
        self.talk("/load b\n/edit 3 Who was it?\n/save d")
        self.assertEqual(self.saved("d"), self.saved("a"))
        self.talk("Hello there\n/undo\nOnce upon a time\nWho was it?\n/save e")
        self.assertEqual(self.saved("e"), self.saved("a"))

    def test_first_prompt_is_that_of_run(self) -> None:
        self.talk("Once\n/save a", "--system", "A tale.")
        prompt = "<|bos|>A tale.\n\nUser: Once\nAssistant:"
        run = self.succeed("run", "--special", "-p", prompt[len("<|bos|>") :], *PLAIN[3:],
                           "--stop", "\nUser:")  # fmt: skip
        self.assertEqual(self.saved("a")[2]["content"], run.stdout.decode())
        self.assertEqual(self.saved("a")[0], {"role": "system", "content": "A tale."})

    def test_system_message_is_set_and_removed(self) -> None:
        self.talk("Once\n/system Be brief.\n/save a\n/system\n/save b")
        self.assertEqual(self.saved("a")[0], {"role": "system", "content": "Be brief."})
        self.assertEqual(self.saved("b")[0]["role"], "user")

    def test_retry_answers_with_the_next_seed(self) -> None:
        self.talk("Once\n/save a\n/retry\n/save b")
        self.assertEqual(len(self.saved("b")), 2)
        self.assertNotEqual(self.saved("a"), self.saved("b"))
        outcome = tern(*PLAIN[:4], "8", *PLAIN[5:], input=b"Once\n/save c", cwd=self.folder)
        self.assertEqual(outcome.returncode, 0)
        self.assertEqual(self.saved("b"), self.saved("c"))

    def test_clear_keeps_the_system_message(self) -> None:
        self.talk("Once\n/clear\n/save a", "--system", "Hm.")
        self.assertEqual(self.saved("a"), [{"role": "system", "content": "Hm."}])

    def test_history_is_numbered_and_help_names_all(self) -> None:
        self.save("a", {"messages": [{"role": "system", "content": "Hm."}, *TALK]})
        shown = self.talk("/load a\n/history")
        expected = "system: Hm.\n1 user: Once upon a time\n2 assistant:  there was a king.\n"
        self.assertEqual(shown, expected)
        commands = re.findall(r"^  (/\w+|\"\"\")", self.talk("/help"), re.MULTILINE)
        self.assertEqual(len(commands), 11)

    def test_message_of_many_lines(self) -> None:
        self.talk('"""\nOnce\n\n/quit\n"""\n/save a\n"""one"""\n/save b')
        self.assertEqual(self.saved("a")[0]["content"], "Once\n\n/quit")
        self.assertEqual(self.saved("b")[2]["content"], "one")
        self.assert_fails(self.chat('"""\nOnce'), 2, 'expected """')

    def test_load_answers_what_waits(self) -> None:
        self.save("a", {"messages": TALK[:1]})
        self.talk("/load a\n/save b")
        self.talk("Once upon a time\n/save c")
        self.assertEqual(self.saved("b"), self.saved("c"))

    def test_bad_files_are_refused_with_what_is_wrong(self) -> None:
        wrong = {"role": "tool", "content": "x"}
        for document, words in (
            ([], ("document: expected an object with messages, found an array",)),
            ({}, ("found no messages",)),
            ({"messages": TALK, "model": "x"}, ("found also model",)),
            ({"messages": {}}, ("messages: expected an array, found an object",)),
            ({"messages": [1]}, ("messages[0]: expected an object with role and content",)),
            ({"messages": [{"role": "user"}]}, ("messages[0]", "found no content")),
            ({"messages": [{"role": "user", "content": None}]}, ("content: expected a string, found null",)),
            ({"messages": [{"role": 1, "content": ""}]}, ("role: expected a string, found a number",)),
            ({"messages": [wrong]}, ('expected "system" or "user", found "tool"',)),
            ({"messages": [TALK[1]]}, ('messages[0].role: expected "system" or "user"',)),
            ({"messages": [*TALK, TALK[1]]}, ('messages[2].role: expected "user", found "assistant"',)),
            ({"messages": [TALK[0], TALK[0]]}, ('messages[1].role: expected "assistant", found "user"',)),
        ):  # fmt: skip
            self.save("bad", document)
            self.assert_fails(self.chat("/load bad"), 4, "bad", *words)
        (self.folder / "bad").write_text("{", encoding="utf-8")
        self.assert_fails(self.chat("/load bad"), 4, "expected JSON")
        self.assert_fails(self.chat("/load nothing"), 3, "nothing: cannot open")
        self.assert_fails(self.chat("/load"), 2, "expected the name of a file")
        self.assert_fails(self.chat("/save no/such/folder/a"), 3, "no/such/folder")

    def test_wrong_commands_end_a_script(self) -> None:
        for script, words in (
            ("/nothing\n/quit", ("/help", "/nothing")),
            ("/retry", ("found no message yet",)),
            ("/undo", ("found no message yet",)),
            ("/edit 1 x", ("found no message yet",)),
            ("/quit now", ("expected nothing behind the command",)),
            ("/clear all", ("expected nothing behind the command",)),
        ):
            self.assert_fails(self.chat(script), 2, *words)
        self.save("a", {"messages": TALK})
        for argument in ("", "2 x", "0 x", "3 x", "x", "1"):
            self.assert_fails(self.chat(f"/load a\n/edit {argument}"), 2, "1 to 1 in steps of two")

    def test_full_context_is_said(self) -> None:
        outcome = tern(*PLAIN[:-2], "-c", "20", input=b"Once upon a time\n/save a", cwd=self.folder)
        self.assertEqual(outcome.returncode, 0)
        self.assertIn(b"the context of 20 tokens is full, and the answer is cut", outcome.stderr)
        self.assertTrue(self.saved("a")[1]["content"])
        self.assert_fails(self.chat("word " * 40, "-c", "20"), 9, "/undo", "larger -c", "20 tokens")

    def test_template_is_asked_for_and_checked(self) -> None:
        self.assert_fails(
            tern("chat"), 2, "--chat-template bitnet, chatml, llama3, plain, or a file"
        )
        chatml = tern("chat", "--chat-template", "chatml")
        self.assert_fails(chatml, 2, "expected a vocabulary with the token <|im_start|>")
        self.assert_fails(
            tern("chat", "--chat-template", "nothing"), 2, "found no file of that name"
        )
        file = self.folder / "template"
        file.write_text("{{ messages[0].content ~ '|' }}", encoding="utf-8")
        own = ("chat", "--chat-template", str(file), *PLAIN[3:])
        answer = self.succeed(*own, input=b"Once\n").stdout.decode()
        run = self.succeed("run", "Once|", *PLAIN[3:]).stdout.decode()
        self.assertNotEqual(answer, "")  # without a begin-of-text token: no run repeats it
        self.assertNotEqual(run, "")
        file.write_text("{{ raise_exception('no talk') }}", encoding="utf-8")
        self.assert_fails(tern(*own, input=b"Once\n"), 2, "no talk")
        file.write_text("{% if %}", encoding="utf-8")
        self.assert_fails(tern(*own, input=b"Once\n"), 4, str(file), "line 1")

    def test_control_characters_are_harmless(self) -> None:
        evil = "a\x1b[2Jb\r\x07\u202e\u200dc\td\ne"
        self.save("a", {"messages": [TALK[0], {"role": "assistant", "content": evil}]})
        shown = self.talk("/load a\n/history")
        self.assertIn("a\\x1b[2Jb\\r\\x07\\u{202e}\u200dc\td\ne\n", shown)

    def test_colours_are_asked_for(self) -> None:
        self.save("a", {"messages": TALK})
        self.assertNotIn("\x1b", self.talk("/load a\n/history"))
        self.assertIn("\x1b[1m1 user:\x1b[0m", self.talk("/load a\n/history", "--color", "always"))
        self.assert_fails(tern(*PLAIN, "--color", "blue"), 2, "--color", "always, auto, never")

    def test_colours_on_a_terminal_unless_refused(self) -> None:
        for arguments, variables, coloured in (
            ((), {}, True),
            ((), {"NO_COLOR": "1"}, False),
            (("--color", "never"), {}, False),
            (("--color", "always"), {"NO_COLOR": "1"}, True),
        ):
            terminal = Terminal(*PLAIN, *arguments, **variables)
            shown = terminal.wait_for(b"\x1b[0m " if coloured else b"> ")
            terminal.send(b"\x04")
            self.assertEqual(terminal.finish(), 0)
            self.assertEqual(b"\x1b[1;32m" in shown, coloured, shown)
            self.assertEqual(b"\x1b[2m" in shown, coloured, shown)
            self.assertIn(b"template plain, 512 tokens of context", shown)

    def test_interrupt_stops_the_answer_and_not_the_program(self) -> None:
        terminal = Terminal(
            *PLAIN[:-2], "-n", "400", "--tier", "scalar", "-t", "1", "--color", "never"
        )
        terminal.wait_for(b"> ")
        terminal.send(b"Once upon a time\r")
        terminal.wait_for(b"Once upon a time\r\n")
        terminal.read(TIMEOUT)  # the answer has begun
        terminal.send(b"\x03")
        terminal.wait_for(b"stopped")
        terminal.wait_for(b"> ")
        terminal.send(b"/nothing\r")  # an error, which does not end it
        terminal.wait_for(b"tern: chat: expected a command")
        terminal.wait_for(b"> ")
        terminal.send(b"half a line\x03")
        terminal.wait_for(b"Ctrl-C again, or Ctrl-D, leaves")
        terminal.wait_for(b"> ")
        terminal.send(b"\x03")
        self.assertEqual(terminal.finish(), 130)

    def test_a_model_that_is_cut_meanwhile_ends_it_with_a_word(self) -> None:
        model = self.folder / "model.gguf"
        model.write_bytes(MODEL.read_bytes())
        process = subprocess.Popen(
            [TERN, *PLAIN, "-m", str(model)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"Once upon a time\n")
        process.stdin.flush()
        process.stdout.read(1)  # then it is loaded
        os.truncate(model, 0)
        _, said = process.communicate(b"And then?\n", TIMEOUT)
        self.assertEqual(process.returncode, -signal.SIGBUS, said)
        self.assertIn(b"the model file was changed or cut while it was in use", said)

    def test_lines_are_edited_and_remembered(self) -> None:
        terminal = Terminal(*PLAIN, "--color", "never")
        terminal.wait_for(b"> ")
        terminal.send("/sistem Größe 海\x1b[D\x1b[D\x7f!\x01\x1b[C\x1b[C\x04y\r".encode())
        terminal.wait_for(b"> ")
        terminal.send(b"\x1b[A\x05?\r")  # the line before, and more
        terminal.wait_for(b"> ")
        terminal.send(b"/save " + str(self.folder / "a").encode() + b"\r")
        terminal.wait_for(b"> ")
        terminal.send(b"/quit\r")
        self.assertEqual(terminal.finish(), 0)
        self.assertEqual(self.saved("a"), [{"role": "system", "content": "Größ! 海?"}])

    def test_interrupt_ends_a_script(self) -> None:
        reader, writer = os.pipe()
        with subprocess.Popen(
            [TERN, *PLAIN], stdin=reader, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment(), preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        ) as process:  # fmt: skip
            os.close(reader)
            os.write(writer, b"Once\n")
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=TIMEOUT)
            os.close(writer)
        self.assertEqual(process.returncode, 130)

    def test_reader_that_leaves_ends_it(self) -> None:
        shell = f'printf "Once\\nTwice\\n" | "$0" {" ".join(PLAIN)} 2>&1 >&3 | cat'
        outcome = subprocess.run(
            ["bash", "-c", f'set -o pipefail; {{ {shell}; }} 3>&1 | true; echo "${{PIPESTATUS[0]}}"', TERN],
            capture_output=True, timeout=TIMEOUT, env=environment(),
        )  # fmt: skip
        self.assertEqual(outcome.stderr, b"")
        self.assertIn(outcome.stdout.split()[-1], (b"141", b"0"))

    def test_names_of_special_tokens_in_a_message_are_text(self) -> None:
        file = self.folder / "template"
        file.write_text("{{ messages[0].content }}", encoding="utf-8")
        context = ("chat", "--chat-template", str(file), "-n", "0", "-c", "3")
        # One token where it is special; three and more where it is text.
        self.assert_fails(tern(*context, input=b"<|eos|>\n"), 9, "conversation")
        file.write_text("<|eos|>", encoding="utf-8")
        self.succeed(*context, input=b"Once\n")


if __name__ == "__main__":
    main()
