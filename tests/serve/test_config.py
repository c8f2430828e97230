"""The settings of a server: its file, what it prints of them, and what SIGHUP changes."""

import os
import re
import subprocess
import time
import tomllib
import unittest

from server import ROOT, SECONDS, TERN, Server, new_folder

FOLDER = new_folder()
NEVER_SETTINGS = {"help", "config", "print-config", "check", "make-key"}


def tern_serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TERN, "serve", *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
    )


def file(text: str, mode: int = 0o644) -> str:
    path = FOLDER / "tern.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return str(path)


def printed(*arguments: str) -> str:
    outcome = tern_serve(*arguments, "--print-config")
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


class FileTest(unittest.TestCase):
    def test_what_is_printed_reads_back_as_the_same(self) -> None:
        arguments = (
            *("-m", 'a "model"\\ of\tmine.gguf', "--listen", "127.0.0.1:0", "--listen", "unix:/x"),
            *(
                "--stretch",
                "3.25",
                "--kv",
                "int8",
                "--head",
                "exact",
                "-t",
                "3",
                "--priority",
                "7",
            ),
            *("--cors-origin", "https://a.example", "--access-log", "-", "--log-prompts"),
            *("--tune", "off", "--cache", "on", "-c", "64", "--max-tokens", "9"),
            *("--max-answer", "20", "--answer-time", "60", "--allowed-hosts", "a.example"),
        )
        text = printed(*arguments)
        self.assertEqual(printed("--config", file(text)), text)
        values = tomllib.loads(text)
        self.assertEqual(values["model"], 'a "model"\\ of\tmine.gguf')
        self.assertEqual(values["listen"], ["127.0.0.1:0", "unix:/x"])
        self.assertEqual((values["stretch"], values["kv"], values["threads"]), (3.25, "int8", 3))
        self.assertIs(values["log-prompts"], True)
        self.assertEqual((values["max-answer"], values["answer-time"]), (20, 60))
        self.assertEqual(values["allowed-hosts"], ["a.example"])
        defaults = printed()
        self.assertEqual(printed("--config", file(defaults)), defaults)
        self.assertIn("# tier: not set\n", defaults)

    def test_every_option_is_a_setting_and_documented(self) -> None:
        text = printed()
        settings = {
            line.lstrip("# ").split(":")[0].split(" =")[0] for line in text.splitlines()[1:]
        }
        options = set()
        for line in tern_serve("--help").stdout.splitlines():
            named = re.match(r"  (?:-\w,)?--([a-z-]+)", line)
            options |= {named.group(1)} if named else set()
        self.assertEqual(options - NEVER_SETTINGS, settings)
        document = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
        section = document.split("\n## tern serve\n")[1].split("\n## ")[0]
        for name in options - {"help"}:
            self.assertIn(f"--{name}", section)

    def test_the_command_line_goes_before_the_file(self) -> None:
        path = file('parallel = 4\nqueue = 5\nlisten = ["unix:/a"]\nlog-prompts = false\n')
        values = tomllib.loads(printed("--config", path, "--parallel", "9"))
        self.assertEqual((values["parallel"], values["queue"]), (9, 5))
        self.assertEqual(values["listen"], ["unix:/a"])

    def test_what_is_wrong_in_a_file_is_refused_where_it_stands(self) -> None:
        for text, words in (
            ("\nparalel = 8\n", (":2:1:", "paralel", "did you mean parallel?")),
            ("xyzzy = 8\n", (":1:1:", "no setting has the name xyzzy. See ")),
            ('queue = 1\nparallel = "8"\n', (":2:1:", "a whole number, found a text")),
            ("parallel = 8.5\n", ("a whole number, found a number",)),
            ("parallel = true\n", ("a whole number, found true or false",)),
            ("parallel = 0\n", (":1:1:", "not in range 1")),
            ("stretch = 'fast'\n", ("a number, found a text",)),
            ("model = 3\n", ("a text in quotes, found a whole number",)),
            ("log-prompts = 1\n", ("true or false, found a whole number",)),
            ('listen = "127.0.0.1:1"\n', ("a list of texts, found a text",)),
            ("listen = []\n", ("at least one, found none",)),
            ("listen = [8080]\n", (":1:10:", "found a list of others")),
            ("drain = 1979-05-27\n", (":1:9:", "a date")),
            ('kv = "f8"\n', ("expected one of f16, int8, found f8",)),
            ("[server]\nqueue = 1\n", (":1:1:", "[server]")),
            ("queue = 1\nqueue = 2\n", (":2:",)),
            ("queue = \n", (":1:9:",)),
            ("queue = 1 2\n", (":1:",)),
            ('config = "x"\n', ("no setting has the name config",)),
            ('tls-cert = "x"\n', ("--tls-key",)),
            ('api-keys = "/nowhere"\n', ("/nowhere",)),
        ):
            with self.subTest(text=text):
                outcome = tern_serve("--config", file(text))
                self.assertIn(outcome.returncode, (2, 3, 4), outcome.stderr)
                self.assertEqual(len(outcome.stderr.splitlines()), 1)
                for word in words:
                    self.assertIn(word, outcome.stderr)

    def test_what_a_command_line_hides_is_looked_at_all_the_same(self) -> None:
        outcome = tern_serve("--config", file("parallel = 0\n"), "--parallel", "3")
        self.assertEqual(outcome.returncode, 2)

    def test_files_that_cannot_be_trusted_or_read(self) -> None:
        outcome = tern_serve("--config", file("queue = 1\n", 0o666))
        self.assertEqual((outcome.returncode, "chmod o-w" in outcome.stderr), (2, True))
        self.assertEqual(tern_serve("--config", "/nowhere").returncode, 3)
        pipe = new_folder() / "pipe"
        os.mkfifo(pipe)
        for path in (str(pipe), "/dev/null", str(pipe.parent)):  # at their end for a reload
            outcome = tern_serve("--config", path)
            self.assertEqual(outcome.returncode, 2, outcome.stderr)
            self.assertIn("expected a regular file, which SIGHUP can read again", outcome.stderr)

    def test_addresses_are_looked_at_as_settings(self) -> None:
        for text in ('listen = ["here"]\n', 'admin-listen = "127.0.0.1"\n', 'listen = ["unix:"]\n'):
            with self.subTest(text=text):
                outcome = tern_serve("--config", file(text), "--print-config")
                self.assertEqual(outcome.returncode, 2, outcome.stderr)

    def test_settings_are_checked_before_they_are_taken(self) -> None:
        folder = new_folder()
        good = f'access-log = "{folder / "log"}"\nchat-template = "plain"\n'
        outcome = tern_serve("--check", "--config", file(good))
        self.assertEqual((outcome.returncode, outcome.stdout), (0, ""), outcome.stderr)
        self.assertEqual(outcome.stderr, "tern: the settings are good\n")
        self.assertEqual(list(folder.iterdir()), [])  # a log of root's would keep the server out
        server = Server()
        self.addCleanup(server.close)  # whose address is no obstacle
        listen = f'listen = ["127.0.0.1:{server.port}"]\n'
        self.assertEqual(tern_serve("--check", "--config", file(listen)).returncode, 0)
        for text, code, words in (
            ("priorty = 3\n", 2, "did you mean priority?"),
            ('listen = ["here"]\n', 2, "ADDRESS:PORT"),
            ('api-keys = "/nowhere"\n', 3, "/nowhere"),
            ('access-log = "/nowhere/log"\n', 3, "/nowhere/log"),
            ('chat-template = "/nowhere"\n', 2, "/nowhere"),
            ('model = "/nowhere"\n', 3, "/nowhere"),
            ('tier = "fast"\n', 2, "fast"),
            ("ctx-size = 600\n", 2, "expected at most 512 tokens"),
            ("", 2, "the file is empty"),
            (
                'listen = ["https://127.0.0.1:0"]\ntls-cert = "/nowhere"\ntls-key = "/nowhere"\n',
                3,
                "/nowhere",
            ),
        ):
            with self.subTest(text=text):
                outcome = tern_serve("--check", "--config", file(text))
                self.assertEqual(outcome.returncode, code, outcome.stderr)
                self.assertIn(words, outcome.stderr)

    def test_settings_that_contradict_each_other(self) -> None:
        for arguments, word in (
            (("--listen", "https://127.0.0.1:0"), "--tls-cert"),
            (("--tls-key", "x"), "--tls-cert"),
            (("--tls-key", "x", "--tls-cert", "y"), "https://"),
            (("--log-prompts",), "--access-log"),
            (("--max-body", "9", "--max-bodies", "8"), "--max-body"),
            (("--cors-origin", "https://a.example/"), "--cors-origin"),
            (("--cors-origin", "a.example"), "--cors-origin"),
            (("--cors-origin", "https://A.example"), "--cors-origin"),
            *(
                (("--allowed-hosts", host), "--allowed-hosts")
                for host in ("a:80", "A.b", "a/b", "", ".", "fd00:::1", "1::2::3", "12345::")
            ),
            (("--max-head", "59"), "58"),
        ):
            with self.subTest(arguments=arguments):
                outcome = tern_serve(*arguments, "--print-config")
                self.assertEqual(outcome.returncode, 2, outcome.stderr)
                self.assertIn(word, outcome.stderr)


class ReloadTest(unittest.TestCase):
    def server(self, *arguments: str) -> Server:
        server = Server(*arguments)
        self.addCleanup(server.close)
        return server

    def test_what_can_change_does_and_what_cannot_is_named(self) -> None:
        hello = {"messages": [{"role": "user", "content": "Hello"}], "ignore_eos": True}
        path = file("parallel = 8\nmax-tokens = 3\n")
        server = self.server("--config", path, "--queue", "7")

        def tokens() -> int:
            reply = server.ask("POST", "/v1/chat/completions", hello)
            return int(reply.json()["usage"]["completion_tokens"])

        self.assertEqual(tokens(), 3)
        file("parallel = 9\nqueue = 3\nmax-tokens = 5\npriority = 2\n")
        said = server.hang_up()
        self.assertIn("reload: parallel stays as it was", said)
        self.assertIn("reload: done; new: priority, max-tokens\n", said)
        self.assertNotIn("queue", said)  # the command line says it
        self.assertEqual(tokens(), 5)
        self.assertEqual(
            server.ask("POST", "/v1/chat/completions", hello | {"priority": 2}).status, 200
        )
        self.assertIn("parallel stays", server.hang_up())  # still

    def test_a_bad_file_changes_nothing(self) -> None:
        path = file("max-body = 1\n")
        server = self.server("--config", path)
        big = {"prompt": "a" * (1 << 20), "max_tokens": 1}
        for text, word in (
            ("max-body = 9\npriorty = 3\n", "did you mean priority?"),
            ("max-body = 9\nmax-bodies = 8\n", "--max-bodies"),
            ('max-body = 9\napi-keys = "/nowhere"\n', "/nowhere"),
            ('max-body = 9\ntls-cert = "x"\ntls-key = "y"\n', "https://"),
            ("max-body = \n", ":1:12:"),
        ):
            with self.subTest(text=text):
                file(text)
                said = server.hang_up()
                self.assertIn(word, said)
                self.assertIn("all stays as it was", said)
                self.assertEqual(server.ask("POST", "/v1/completions", big).status, 413)
        self.assertEqual(server.metric("tern_config_last_reload_success"), 0)
        before = server.metric("tern_config_last_reload_success_time_seconds")
        time.sleep(1)
        file("max-body = 9\n")
        self.assertIn("new: max-body", server.hang_up())
        self.assertEqual(server.metric("tern_config_last_reload_success"), 1)
        self.assertGreater(server.metric("tern_config_last_reload_success_time_seconds"), before)
        self.assertEqual(server.ask("POST", "/v1/completions", big).status, 400)  # of the context

    def test_the_log_is_opened_again(self) -> None:
        server = self.server()
        server.ask("GET", "/v1/models")
        server.logged(1)
        old = server.log.with_suffix(".1")
        server.log.rename(old)
        self.assertIn("opened again", server.hang_up())
        server.ask("GET", "/health")
        self.assertEqual([event["path"] for event in server.logged(1)], ["/health"])
        self.assertEqual(len(old.read_text().splitlines()), 1)

    def test_the_log_is_opened_again_whatever_the_settings_are(self) -> None:
        server = self.server("--config", file("queue = 7\n"))
        server.ask("GET", "/v1/models")
        server.logged(1)
        server.log.rename(server.log.with_suffix(".1"))
        file("queue = \n")
        self.assertIn("the log was opened again, and all stays as it was", server.hang_up())
        server.ask("GET", "/health")
        self.assertEqual([event["path"] for event in server.logged(1)], ["/health"])

    def test_a_pipe_without_a_reader_is_no_log(self) -> None:
        path = new_folder() / "pipe"
        os.mkfifo(path)
        outcome = tern_serve("--access-log", str(path), "--listen", "127.0.0.1:0")
        self.assertEqual(outcome.returncode, 3, outcome.stderr)
        self.assertIn("nobody reads this pipe", outcome.stderr)
        reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        server = self.server("--access-log", str(path))
        os.close(reading)
        self.assertIn("nobody reads this pipe", server.hang_up())
        self.assertEqual(server.ask("GET", "/health").status, 200)

    def test_a_log_that_cannot_be_opened_changes_nothing(self) -> None:
        folder = new_folder() / "logs"
        folder.mkdir()
        server = self.server("--access-log", str(folder / "log"))
        moved = folder.rename(folder.with_name("moved"))
        self.assertIn("all stays as it was", server.hang_up())
        server.log = moved / "log"
        server.ask("GET", "/health")
        self.assertEqual(server.logged(1)[0]["path"], "/health")


if __name__ == "__main__":
    unittest.main()
