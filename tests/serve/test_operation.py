"""A server's life: beginning, full queues, signals, endings."""

import concurrent.futures
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from typing import Any

from exchange import errors_of
from server import ROOT, SECONDS, TERN, Reply, Server

MODEL = ROOT / "models" / "tern-tales.gguf"
SHORT = {"prompt": "Once", "max_tokens": 4}
SLOW = {"prompt": "Once", "max_tokens": 500, "ignore_eos": True, "stream": True}


def long_reply(server: Server, path: str, body: Any) -> Reply:
    """Not held to the OpenAPI document where it went well: that takes seconds for a megabyte."""
    connection = server.connect()
    try:
        connection.request("POST", path, json.dumps(body).encode(), server.headers())
        found = connection.getresponse()
        reply = Reply(found.status, {k.lower(): v for k, v in found.getheaders()}, found.read())
    finally:
        connection.close()
    if reply.status != 200:
        errors = errors_of("POST", path, reply.status, reply.headers, reply.body)
        assert errors == [], (errors, reply.status, reply.body)
    return reply


def refusal(*arguments: str) -> tuple[int, str]:
    outcome = subprocess.run(
        [TERN, "serve", *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return outcome.returncode, outcome.stderr


class OperationTest(unittest.TestCase):
    def server(self, *arguments: str) -> Server:
        server = Server(*arguments)
        self.addCleanup(server.close)
        return server

    def test_a_full_queue_says_when_to_come_again(self) -> None:
        server = self.server("--parallel", "1", "--queue", "1")
        bodies = [dict(SLOW, stream=False, max_tokens=200)] * 12
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            replies = list(pool.map(lambda b: server.ask("POST", "/v1/completions", b), bodies))
        statuses = {reply.status for reply in replies}
        self.assertEqual(statuses, {200, 429})
        for reply in replies:
            if reply.status == 429:
                self.assertTrue(1 <= int(reply.headers["retry-after"]) <= 60)
                self.assertEqual(reply.json()["error"]["code"], "overloaded")

    def test_long_replies_that_are_made_share_a_bound(self) -> None:
        """What there is never room for is refused, as it grows or before; all is given back."""
        server = self.server(
            *("--max-unread", "1", "--max-replies", "2", "--parallel", "8", "--pooling", "mean")
        )
        asked = {"messages": [{"role": "user", "content": "Once"}], "logprobs": True}
        long = asked | {"max_tokens": 400, "ignore_eos": True, "n": 8, "top_logprobs": 20}
        texts = {"input": ["Once"] * 1024}
        for _ in range(2):
            refused = long_reply(server, "/v1/chat/completions", long)
            self.assertEqual(refused.status, 400, refused.body[:500])
            self.assertEqual(refused.json()["error"]["code"], "reply_too_large")
            steps = server.metric("tern_scheduler_steps_total")
            refused = server.ask("POST", "/v1/embeddings", texts)
            self.assertEqual(refused.json()["error"]["code"], "reply_too_large")
            self.assertEqual(server.metric("tern_scheduler_steps_total"), steps)
        whole = long_reply(server, "/v1/chat/completions", long | {"top_logprobs": 5})
        self.assertEqual(whole.status, 200, whole.body[:500])
        self.assertGreater(len(whole.body), 1 << 20)
        streamed = long_reply(server, "/v1/chat/completions", long | {"stream": True})
        self.assertEqual(streamed.status, 200)
        texts["input"] = texts["input"][:256]
        self.assertEqual(server.ask("POST", "/v1/embeddings", texts).status, 200)
        # Tokens count as well: these are 2.4 MB, and their vectors 0.1.
        tokens = {"input": [[300] * 400] * 1500, "dimensions": 1}
        refused = server.ask("POST", "/v1/embeddings", tokens)
        self.assertEqual(refused.json()["error"]["code"], "reply_too_large")
        tokens["input"] = tokens["input"][:20]
        self.assertEqual(server.ask("POST", "/v1/embeddings", tokens).status, 200)

    def test_long_replies_at_once_get_503(self) -> None:
        server = self.server("--max-unread", "1", "--max-replies", "2", "--parallel", "16")
        body = {"prompt": "Once", "max_tokens": 400, "ignore_eos": True, "logprobs": 15, "n": 8}
        path = "/v1/completions"
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            replies = list(pool.map(lambda path: long_reply(server, path, body), [path] * 2))
        sizes = [len(reply.body) for reply in replies]
        self.assertEqual(sorted(reply.status for reply in replies), [200, 503], sizes)
        for reply in replies:
            if reply.status == 503:
                self.assertEqual(reply.json()["error"]["code"], "overloaded")
                self.assertEqual(reply.headers["retry-after"], "1")
        self.assertEqual(long_reply(server, path, body).status, 200)

    def test_sigterm_lets_answers_end(self) -> None:
        server = self.server()
        lines = server.stream("/v1/completions", SLOW | {"max_tokens": 300})
        next(lines)
        server.process.send_signal(signal.SIGTERM)
        rest = b"".join(lines)
        self.assertIn(b'"finish_reason":"length"', rest)
        self.assertTrue(rest.endswith(b"data: [DONE]\n\n"))
        self.assertEqual(server.end(), 0)
        self.assertIn("ending", "".join(server.said))

    def test_what_has_begun_to_come_is_answered_while_it_ends(self) -> None:
        server = self.server("--drain", "60")
        body = json.dumps({"prompt": "Once"}).encode()
        head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        lines = server.stream("/v1/completions", SLOW | {"max_tokens": 300})
        next(lines)
        with (
            socket.create_connection(("127.0.0.1", server.port), SECONDS) as begun,
            socket.create_connection(("127.0.0.1", server.port), SECONDS) as idle,
        ):
            begun.sendall(head.encode() + body[:9])
            idle.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertIn(b"200 OK", idle.recv(4096))
            time.sleep(0.2)  # until the first half is read
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(idle.recv(4096), b"")
            begun.sendall(body[9:])
            reply = b""
            while more := begun.recv(4096):
                reply += more
        self.assertTrue(reply.startswith(b"HTTP/1.1 503 "), reply)
        self.assertIn(b'"code":"not_ready"', reply)
        self.assertTrue(b"".join(lines).endswith(b"data: [DONE]\n\n"))
        self.assertEqual(server.end(), 0)
        self.assertNotIn(400, [line["status"] for line in server.logged(3)])

    def test_after_the_time_to_drain_answers_end_early(self) -> None:
        server = self.server("--drain", "0", "--parallel", "8")
        body = SLOW | {"n": 8}
        lines = server.stream("/v1/completions", body)
        next(lines)
        server.process.send_signal(signal.SIGTERM)
        rest = b"".join(lines)
        if b'"finish_reason":"length"' not in rest:  # unless it was quicker
            self.assertIn(b'"code":"not_ready"', rest)
            self.assertNotIn(b"[DONE]", rest)
        self.assertEqual(server.end(), 0)

    def test_a_second_signal_does_not_wait(self) -> None:
        server = self.server("--drain", "3600")
        lines = server.stream("/v1/completions", SLOW)
        next(lines)
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        server.process.send_signal(signal.SIGINT)
        self.assertEqual(server.end(), 0)
        lines.close()

    def test_what_is_still_read_does_not_keep_it(self) -> None:
        """The template compares each name with each other: seconds, and on a crowded core many."""
        with tempfile.NamedTemporaryFile("w", suffix=".jinja") as template:
            template.write("x{% if a == b %}{% endif %}")
            template.flush()
            server = self.server("--drain", "0", "--chat-template", template.name)
        names = {f"n{i:05d}": 1 for i in range(21_000)}
        body = {
            "messages": [{"role": "user", "content": "Hello"}],
            "chat_template_kwargs": {"a": names, "b": names},
        }
        idle = server.metric("process_cpu_seconds_total")
        connection = server.connect()
        self.addCleanup(connection.close)
        connection.request("POST", "/apply-template", json.dumps(body), server.headers())
        until = time.monotonic() + SECONDS
        while server.metric("process_cpu_seconds_total") < idle + 0.2:  # it is being rendered
            self.assertLess(time.monotonic(), until)
        self.crowd(server.process.pid)
        begin = time.monotonic()
        self.assertEqual(server.end(), 0)
        self.assertLess(time.monotonic() - begin, 20)
        self.assertTrue(any("was being read" in line for line in server.said), server.said)
        with self.assertRaises(http.client.RemoteDisconnected):
            connection.getresponse()

    def crowd(self, process: int) -> None:
        """Leaves it a twentieth of one core."""
        core = {min(os.sched_getaffinity(0))}
        for thread in Path(f"/proc/{process}/task").iterdir():
            os.sched_setaffinity(int(thread.name), core)
        for _ in range(20):
            busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            self.addCleanup(busy.wait)
            self.addCleanup(busy.kill)
            os.sched_setaffinity(busy.pid, core)

    def test_sighup_ends_nothing(self) -> None:
        server = self.server()
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        self.assertEqual(server.ask("GET", "/health").status, 200)

    def test_killed_it_can_be_started_again_at_once(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "tern.sock")
            first = self.server("--listen", f"unix:{path}")
            self.assertEqual(Path(path).stat().st_mode & 0o777, 0o600)
            lines = first.stream("/v1/completions", SLOW)
            next(lines)
            first.process.kill()
            first.process.wait()
            lines.close()
            second = self.server("--listen", f"unix:{path}")
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                self.assertIn(b"200 OK", client.recv(4096))
            self.assertEqual(second.end(), 0)
            self.assertFalse(Path(path).exists())

    def test_a_socket_is_for_whom_it_is_said_to_be(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tern.sock"
            server = self.server("--listen", f"unix:{path}", "--socket-mode", "660")
            self.assertEqual(path.stat().st_mode & 0o777, 0o660)
            self.assertEqual(server.end(), 0)

    def test_health_answers_while_the_engine_works(self) -> None:
        server = self.server("--parallel", "4")
        stop = threading.Event()

        def load() -> None:
            while not stop.is_set():
                server.ask("POST", "/v1/completions", SLOW | {"stream": False, "n": 4})

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            pool.submit(load)
            for _ in range(20):
                self.assertEqual(server.ask("GET", "/health").status, 200)
                self.assertEqual(server.ask("GET", "/ready").status, 200)
            stop.set()

    def test_an_idle_engine_shows_that_it_computes(self) -> None:
        server = self.server()
        self.assertEqual(server.metric("tern_scheduler_steps_total"), 0)
        for _ in range(3):  # one token stands for all three
            reply = server.ask("GET", "/ready")
            self.assertEqual((reply.status, reply.json()["status"]), (200, "ready"))
        until = time.monotonic() + SECONDS
        while server.metric("tern_scheduler_steps_total") < 1:
            self.assertLess(time.monotonic(), until)
        self.assertEqual(server.metric("tern_scheduler_steps_total"), 1)
        for name in (
            "tern_scheduler_finished_total",
            "tern_engine_prompt_tokens_total",
            "tern_engine_generated_tokens_total",
            "tern_scheduler_queue_seconds_count",
        ):
            self.assertEqual(server.metric(name), 0, name)  # it is nobody's request

    def test_connections_are_as_many_as_it_says(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        try:
            server = self.server("--idle-time", "600")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        connections = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(100)]
        for connection in connections:
            self.addCleanup(connection.close)
        connections[-1].settimeout(SECONDS)
        connections[-1].sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertIn(b" 200 ", connections[-1].recv(100))

    def test_fewer_descriptors_than_connections_are_warned_of(self) -> None:
        for most, warned in ((1100, False), (1000, True)):
            limited = f'ulimit -n {most} && exec "$0" "$@"'
            process = subprocess.Popen(
                ["bash", "-c", limited, TERN, "serve", "--listen", "127.0.0.1:0"],
                stderr=subprocess.PIPE,
                text=True,
            )
            assert process.stderr is not None
            said = [next(process.stderr)]
            while "tokens a request" not in said[-1]:
                said.append(next(process.stderr))
            process.kill()
            process.communicate()
            with self.subTest(most=most):
                self.assertEqual("ulimit -n" in "".join(said), warned, said)

    def test_templates_by_name(self) -> None:
        server = self.server("--chat-template", "plain")
        messages = [{"role": "user", "content": "Hello"}]
        prompt = server.ask("POST", "/apply-template", {"messages": messages}).json()["prompt"]
        self.assertTrue(prompt.endswith("User: Hello\nAssistant:"), prompt)

    def test_others_are_warned_of(self) -> None:
        server = self.server("--listen", "0.0.0.0:0")
        self.assertIn("WARNING: anybody", "".join(server.said))

    def test_what_cannot_be_served_is_refused(self) -> None:
        for arguments, code, words in (
            (("--listen", "here"), 2, "ADDRESS:PORT"),
            (("--listen", "127.0.0.1:99999"), 2, "ADDRESS:PORT"),
            (("--listen", "192.0.2.1:0"), 3, "192.0.2.1:0"),
            (("-c", "100000"), 2, "trained for"),
            (("--priority", "-1"), 2, "--priority"),
            (("--priority", "101"), 2, "--priority"),
            (("--chat-template", "/nowhere"), 2, "/nowhere"),
            (("-m", "/nowhere"), 3, "/nowhere"),
        ):
            with self.subTest(arguments=arguments):
                found, said = refusal("--listen", "127.0.0.1:0", *arguments)
                self.assertEqual(found, code, said)
                self.assertIn(words, said)

    def test_addresses_come_before_the_model(self) -> None:
        """No model is loaded, and this one could not be, for a start that must fail."""
        busy = self.server()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        model = Path(folder.name) / "model.gguf"
        model.write_bytes(b"no model")
        taken = f"127.0.0.1:{busy.port}"
        for address in (taken, "unix:/nowhere/tern.sock", f"unix:{model}", "192.0.2.1:0"):
            for option in ("--listen", "--admin-listen"):
                with self.subTest(address=address, option=option):
                    more = () if option == "--listen" else ("--listen", "127.0.0.1:0")
                    found, said = refusal("-m", str(model), option, address, *more)
                    self.assertEqual(found, 3, said)
                    self.assertIn(address, said)
        self.assertEqual(busy.ask("GET", "/health").status, 200)


class ModelFileTest(unittest.TestCase):
    """A model is replaced by another name for another file; what is in use stays as it is."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "model.gguf"
        shutil.copy(MODEL, self.path)
        self.server = Server("-m", str(self.path))
        self.addCleanup(self.server.close)

    def assert_ends(self) -> None:
        self.assertEqual(self.server.process.wait(SECONDS), 3)
        self.server.end()
        said = "".join(self.server.said)
        self.assertIn(f"{self.path}: the model file was changed while it was in use", said)
        self.assertIn("renaming", said)

    def test_one_that_is_written_into_ends_the_server(self) -> None:
        lines = self.server.stream("/v1/completions", SLOW | {"n": 8})
        next(lines)
        with self.path.open("r+b") as file:
            file.seek(self.path.stat().st_size // 2)
            file.write(b"\x7f" * 4096)
        self.assert_ends()
        lines.close()

    def test_one_that_grows_ends_the_server(self) -> None:
        with self.path.open("ab") as file:
            file.write(b"more")
        self.assert_ends()

    def test_one_that_is_replaced_does_not(self) -> None:
        shutil.copy(self.path, self.path.with_suffix(".new"))
        self.path.chmod(0o600)
        self.path.with_suffix(".new").rename(self.path)
        time.sleep(2.5)
        self.assertEqual(self.server.ask("POST", "/v1/completions", SHORT).status, 200)
        self.path.unlink()
        time.sleep(1.5)
        self.assertEqual(self.server.ask("GET", "/ready").status, 200)
        self.assertEqual(self.server.end(), 0)


if __name__ == "__main__":
    unittest.main()
