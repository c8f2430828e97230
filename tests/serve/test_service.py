"""A server as a service: its log, what it tells systemd, and what it bears in all."""

import fcntl
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest
from pathlib import Path
from typing import Any

from server import ROOT, SECONDS, TERN, Server, new_folder

sys.path.insert(0, str(ROOT / "tests" / "support"))
from json_schema import Document, load

TELEMETRY = Document(load(ROOT / "schemas" / "telemetry-v1.json"))
TALE = {"prompt": "Once upon a time", "max_tokens": 9, "seed": 7, "temperature": 1}
SO_TIMESTAMPNS = 35  # Linux's number, which the module socket does not name
CHAT = {"messages": [{"role": "user", "content": "Hello there"}], "max_tokens": 5, "n": 2}


class ServiceTest(unittest.TestCase):
    def server(self, *arguments: str, environment: dict[str, str] | None = None) -> Server:
        server = Server(*arguments, environment=environment)
        self.addCleanup(server.close)
        return server


class LogTest(ServiceTest):
    def test_lines_fit_their_schema_and_hold_no_content(self) -> None:
        server = self.server()
        server.ask("POST", "/v1/completions", TALE)
        server.ask("POST", "/v1/chat/completions", CHAT | {"stream": True})
        server.ask("POST", "/v1/completions", {"prompt": 3})
        server.ask("GET", "/v1/models")
        for event in server.logged(4):
            self.assertEqual(TELEMETRY.errors(event), [])
            self.assertNotIn("body", event)
            self.assertNotIn("choices", event)
        tale = server.logged(4)[0]
        self.assertEqual((tale["prompt_tokens"], tale["generated_tokens"]), (6, 9))
        self.assertNotIn("Once", server.log.read_text())
        self.assertNotIn("Hello", server.log.read_text())

    def test_a_request_is_a_line_and_nothing_else_is(self) -> None:
        server = self.server()
        server.ask("POST", "/v1/completions", TALE | {"n": 2})
        server.ask("GET", "/ready")  # for which the engine computes a token
        server.logged(2)
        server.end()  # then all of it is written
        lines = server.log.read_text(encoding="utf-8").splitlines()
        asked = [(event["event"], event["path"]) for event in map(json.loads, lines)]
        paths = ("/v1/completions", "/ready")
        self.assertEqual(asked, [("http.request", path) for path in paths])

    def test_with_prompts_it_has_all_that_is_needed_to_ask_again(self) -> None:
        server = self.server("--log-prompts", "--max-tokens", "4", "--parallel", "8")
        answers: list[Any] = []
        bodies = [
            ("/v1/completions", TALE),
            ("/v1/completions", {k: v for k, v in TALE.items() if k != "seed"} | {"n": 3}),
            ("/v1/completions", TALE | {"stream": True}),
            ("/v1/chat/completions", CHAT),
            ("/v1/chat/completions", {k: v for k, v in CHAT.items() if k != "max_tokens"}),
        ]
        for path, body in bodies:
            reply = server.ask("POST", path, body)
            answers.append(reply.chunks() if "stream" in body else reply.json())
        events = server.logged(len(bodies))
        for (path, body), answer, event in zip(bodies, answers, events, strict=True):
            with self.subTest(path=path, body=body):
                self.assertEqual(TELEMETRY.errors(event), [])
                self.assertEqual(json.loads(event["body"]), body)
                self.assertEqual(event["path"], path)
                self.assertEqual(event["context"], 512)
                self.assertEqual(event["max_tokens"], body.get("max_tokens", 4))
                self.assertEqual("chat_template" in event, "chat" in path)
                first = answer[0] if isinstance(answer, list) else answer
                for name in ("seed", "system_fingerprint", "model"):
                    self.assertEqual(event[name], first[name])
                self.assert_same(event, answer)
                again = dict(json.loads(event["body"]), seed=event["seed"], stream=False)
                self.assert_same(event, server.ask("POST", path, again).json())
        chosen = events[0]["choices"][0]
        text = server.ask("POST", "/detokenize", {"tokens": chosen["tokens"]}).json()["content"]
        self.assertEqual(text, chosen["text"])

    def assert_same(self, event: dict[str, Any], answer: Any) -> None:
        if isinstance(answer, list):
            texts = ["".join(c["choices"][0]["text"] for c in answer)]
        else:
            texts = [c.get("text", c.get("message", {}).get("content")) for c in answer["choices"]]
        self.assertEqual([choice["text"] for choice in event["choices"]], texts)
        self.assertEqual({choice["finish_reason"] for choice in event["choices"]}, {"length"})
        self.assertEqual(
            sum(len(choice["tokens"]) for choice in event["choices"]), event["generated_tokens"]
        )

    def test_what_was_refused_or_broken_off_is_in_it(self) -> None:
        server = self.server("--log-prompts")
        server.ask("POST", "/v1/completions", b'{"prompt": "\xff"}')
        server.ask("POST", "/v1/completions", b"\xff{")
        lines = server.stream("/v1/completions", TALE | {"max_tokens": 500, "stream": True})
        next(lines)
        lines.close()
        events = server.logged(3)
        for event in events:
            self.assertEqual(TELEMETRY.errors(event), [])
        self.assertEqual([event["status"] for event in events[:2]], [400, 400])
        self.assertEqual([event["error"] for event in events[:2]], ["invalid_json"] * 2)
        self.assertIn(events[2]["choices"][0]["finish_reason"], ("cancelled", "length"))
        if events[2]["choices"][0]["finish_reason"] == "cancelled":
            self.assertEqual(events[2]["status"], 499)
            self.assertEqual(events[2]["error"], "client_closed_request")
            self.assertEqual(events[2]["finish_reason"], "cancelled")
        self.assertEqual(len(events[2]["choices"][0]["tokens"]), events[2]["generated_tokens"])
        reply = server.ask("POST", "/v1/completions", TALE | {"stream": True})
        last = reply.events()[2][0]
        server.ask("POST", "/v1/completions", TALE | {"stream": True}, {"Last-Event-ID": last})
        self.assertEqual(server.logged(5)[4]["last_event_id"], last)

    def test_what_http_itself_refuses_is_in_it(self) -> None:
        server = self.server("--max-body", "1", "--max-head", "1", "--cors-origin", "*")
        page = {"Origin": "https://a.example"}
        named = page | {"x-request-id": "mine-1"}
        large = server.ask("POST", "/tokenize", {"content": "a" * (1 << 20)}, named)
        self.assertEqual(large.status, 413)
        self.assertEqual(large.headers["x-request-id"], "mine-1")
        self.assertEqual(large.headers["access-control-allow-origin"], "https://a.example")
        head = server.ask("GET", "/health", None, {"x": "y" * 1024})
        self.assertEqual(head.status, 431)
        events = server.logged(2)
        for event, reply in zip(events, (large, head), strict=True):
            self.assertEqual(TELEMETRY.errors(event), [])
            self.assertEqual(event["request_id"], reply.headers["x-request-id"])
            self.assertEqual(event["status"], reply.status)
            self.assertRegex(event["peer"], r"\A127\.0\.0\.1:\d+\Z")
            self.assertEqual(event["response_bytes"], len(reply.body))
        self.assertEqual(
            [e["error"] for e in events], ["request_too_large", "invalid_request_error"]
        )
        self.assertEqual((events[0]["method"], events[0]["path"]), ("POST", "/tokenize"))
        self.assertEqual((events[1]["method"], events[1]["path"]), ("", ""))

    def test_lines_say_how_it_went(self) -> None:
        server = self.server()
        whole = server.ask("POST", "/v1/completions", TALE)
        events = server.ask("POST", "/v1/completions", TALE | {"stream": True, "deadline_ms": 1})
        server.ask("GET", "/nowhere")
        server.ask("HEAD", "/health")
        with socket.create_connection(("127.0.0.1", server.port), SECONDS) as client:
            client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            self.assertIn(b" 505 ", client.recv(100))
        lines = server.logged(5)
        for line in lines:
            self.assertEqual(TELEMETRY.errors(line), [])
        good, late, nowhere, head, newer = lines
        self.assertEqual(
            (good["finish_reason"], good["response_bytes"]), ("length", len(whole.body))
        )
        self.assertGreater(good["first_token_seconds"], 0)
        self.assertGreater(good["seconds"], good["first_token_seconds"])
        self.assertEqual((late["finish_reason"], late["status"]), ("deadline", 200))
        self.assertEqual(late["response_bytes"], len(events.body))
        self.assertEqual((nowhere["error"], nowhere["status"]), ("not_found", 404))
        self.assertEqual(head["response_bytes"], 0)
        self.assertEqual((newer["status"], newer["error"]), (505, "invalid_request_error"))
        for line in (good, late, head):
            self.assertNotIn("error", line)
        self.assertEqual(server.metric("tern_http_responses_4xx_total"), 2)
        self.assertEqual(server.metric("tern_http_responses_5xx_total"), 0)

    def test_its_time_begins_with_the_head(self) -> None:
        server = self.server()
        head = b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), SECONDS) as client:
            client.sendall(head)
            time.sleep(1)
            client.sendall(b"{}")
            self.assertIn(b" 400 ", client.recv(100))
        # The server may come to the head when this client already sleeps: no whole second.
        self.assertGreater(server.logged()[0]["seconds"], 0.5)

    def test_a_stream_that_fails_is_no_success(self) -> None:
        server = self.server("--drain", "0", "--parallel", "8")
        slow = TALE | {"max_tokens": 500, "ignore_eos": True, "stream": True, "n": 8}
        lines = server.stream("/v1/completions", slow)
        next(lines)
        server.process.send_signal(signal.SIGTERM)
        rest = b"".join(lines)
        server.end()
        line = server.logged()[0]
        self.assertEqual(TELEMETRY.errors(line), [])
        if b'"finish_reason":"length"' not in rest:  # unless it was quicker
            self.assertEqual((line["status"], line["error"]), (503, "not_ready"))

    def test_what_a_client_makes_up_fits_the_schema_too(self) -> None:
        server = self.server("--max-head", "58")
        long = "/" + "a" * 50000
        for method, path in (("x-y", "/health"), ("M" * 100, "/health"), ("GET", long)):
            with socket.create_connection(("127.0.0.1", server.port), SECONDS) as client:
                client.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                self.assertRegex(client.recv(100), rb"\AHTTP/1.1 40[45] ")
        for event in server.logged(3):
            self.assertEqual(TELEMETRY.errors(event), [])

    def test_a_reader_that_stops_stops_nobody(self) -> None:
        reading, writing = os.pipe()
        process = subprocess.Popen(
            [
                *(TERN, "serve", "--listen", "127.0.0.1:0", "--listen", "unix:" + self.path()),
                *("--access-log", "-"),
            ],
            stderr=writing,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        os.close(writing)
        said = b""
        while b"tokens a request" not in said:
            said += os.read(reading, 4096)
        # Nobody reads from now on: 64 kB of lines fill the pipe, and more must be answered.
        for _ in range(200):
            self.assertIn(b" 404 ", self.get("/" + "x" * 1000))
        body = json.dumps(TALE | {"max_tokens": 100}).encode()
        self.assertIn(b'"finish_reason"', self.send(b"POST /v1/completions", body))
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(SECONDS), 0)
        self.assertLess(time.monotonic() - begun, 30)
        os.close(reading)

    def path(self) -> str:
        self.folder = new_folder()
        return f"{self.folder}/tern.sock"

    def get(self, path: str) -> bytes:
        return self.send(b"GET " + path.encode(), b"")

    def send(self, line: bytes, body: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(SECONDS)
            client.connect(f"{self.folder}/tern.sock")
            length = b"Content-Length: %d\r\n" % len(body) if body else b""
            client.sendall(line + b" HTTP/1.0\r\n" + length + b"\r\n" + body)
            found = b""
            while part := client.recv(65536):
                found += part
            return found

    def test_lines_that_cannot_be_written_are_counted(self) -> None:
        server = self.server("--access-log", "/dev/full")
        server.ask("GET", "/health")
        until = time.monotonic() + SECONDS
        while server.metric("tern_log_dropped_lines_total") < 1:
            self.assertLess(time.monotonic(), until)
        assert server.process.stderr is not None
        self.assertIn("lines of the access log are lost", server.process.stderr.readline())
        for _ in range(3):  # at most a line a minute
            server.ask("GET", "/health")
            time.sleep(1)
        server.end()
        self.assertNotIn("are lost", "".join(server.said))


class SystemdTest(ServiceTest):
    def manager(self) -> tuple[socket.socket, dict[str, str]]:
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.settimeout(SECONDS)
        path = str(new_folder() / "notify")
        manager.bind(path)
        return manager, {"NOTIFY_SOCKET": path}

    def test_it_says_when_it_is_ready_reloads_and_ends(self) -> None:
        manager, environment = self.manager()
        server = self.server(environment=environment)
        self.assertEqual(manager.recv(100), b"READY=1")
        server.hang_up()
        self.assertRegex(manager.recv(100), rb"\ARELOADING=1\nMONOTONIC_USEC=\d+\Z")
        self.assertEqual(manager.recv(100), b"READY=1")
        server.end()
        self.assertEqual(manager.recv(100), b"STOPPING=1")

    def test_it_says_that_it_lives_twice_as_often_as_needed(self) -> None:
        manager, environment = self.manager()
        manager.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.server(environment=environment | {"WATCHDOG_USEC": "400000"})
        begun, said = self.stamped(manager)
        self.assertEqual(said, b"READY=1")
        for _ in range(3):
            ended, said = self.stamped(manager)
            self.assertEqual(said, b"WATCHDOG=1")
        self.assertGreater(ended - begun, 0.55)

    def test_reloads_do_not_keep_it_from_saying_that_it_lives(self) -> None:
        manager, environment = self.manager()
        server = self.server(environment=environment | {"WATCHDOG_USEC": "1000000"})
        said = [manager.recv(100)]
        for _ in range(12):  # more often than it has to say so
            server.process.send_signal(signal.SIGHUP)
            said.append(manager.recv(100))
            while said[-1] != b"READY=1":
                said.append(manager.recv(100))
            time.sleep(0.1)
        self.assertIn(b"WATCHDOG=1", said)

    def test_a_reload_that_is_asked_for_while_it_loads_comes_after(self) -> None:
        server = subprocess.Popen(
            [TERN, "serve", "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True
        )
        self.addCleanup(server.kill)
        hang_up = 1 << (signal.SIGHUP - 1)
        blocked = 0
        while blocked & hang_up == 0:  # until then it would end by it
            self.assertIsNone(server.poll())
            status = Path(f"/proc/{server.pid}/status").read_text(encoding="utf-8")
            blocked = int(re.findall(r"^SigBlk:\s*(\w+)$", status, re.MULTILINE)[0], 16)
        server.send_signal(signal.SIGHUP)
        assert server.stderr is not None
        said = [server.stderr.readline()]
        while "tokens a request" not in said[-1]:
            self.assertNotEqual(said[-1], "")
            said.append(server.stderr.readline())
        server.send_signal(signal.SIGTERM)
        said += server.stderr.readlines()
        self.assertEqual(server.wait(SECONDS), 0)
        server.stderr.close()
        self.assertIn("reload: done", "".join(said))

    def stamped(self, manager: socket.socket) -> tuple[float, bytes]:
        """A message, and the second at which it was sent: who reads may come late."""
        said, notes, _, _ = manager.recvmsg(100, 100)
        level, kind, stamp = notes[0]
        self.assertEqual((level, kind), (socket.SOL_SOCKET, SO_TIMESTAMPNS))
        seconds, nanoseconds = struct.unpack("@ll", stamp[: struct.calcsize("@ll")])
        return seconds + nanoseconds / 1e9, said

    def test_a_watchdog_of_another_process_is_none_of_its_business(self) -> None:
        manager, environment = self.manager()
        self.server(environment=environment | {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"})
        self.assertEqual(manager.recv(100), b"READY=1")
        manager.settimeout(0.3)
        with self.assertRaises(TimeoutError):
            manager.recv(100)

    def test_names_of_linux_own_and_sockets_that_are_gone(self) -> None:
        name = f"tern-test-{os.getpid()}"
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.settimeout(SECONDS)
        manager.bind("\0" + name)
        self.server(environment={"NOTIFY_SOCKET": "@" + name})
        self.assertEqual(manager.recv(100), b"READY=1")
        alone = self.server(environment={"NOTIFY_SOCKET": "/nowhere/notify"})
        self.assertEqual(alone.ask("GET", "/health").status, 200)

    def test_the_unit_starts_what_there_is(self) -> None:
        unit = (ROOT / "deploy" / "tern.service").read_text(encoding="utf-8")
        self.assertIn("Type=notify", unit)
        config = ROOT / "deploy" / "tern.toml"
        text = subprocess.run(
            [TERN, "serve", "--config", str(config), "--print-config"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        self.assertIn('listen = ["127.0.0.1:8080"]', text)
        check, reload = re.findall(r"^ExecReload=(.*)$", unit, re.MULTILINE)
        start = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
        self.assertEqual([check.replace(" --check", "")], start)
        self.assertIn("-HUP", reload)
        drain = re.search(r"^drain = (\d+)$", text, re.MULTILINE)
        patience = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
        assert drain and patience
        self.assertLess(int(drain[1]) + 10, int(patience[1]))

    def test_the_log_is_rotated_where_the_settings_have_it(self) -> None:
        rotated = (ROOT / "deploy" / "tern.logrotate").read_text(encoding="utf-8")
        settings = (ROOT / "deploy" / "tern.toml").read_text(encoding="utf-8")
        pattern = re.search(r"^(/\S+) \{$", rotated, re.MULTILINE)
        log = re.search(r'^# access-log = "(\S+)"$', settings, re.MULTILINE)
        assert pattern and log
        self.assertTrue(Path(log[1]).match(pattern[1]))


class LimitsTest(ServiceTest):
    def test_limits_of_the_settings_hold(self) -> None:
        server = self.server("--max-headers", "6", "--max-body", "1", "--max-head", "1")
        self.assertEqual(server.ask("POST", "/tokenize", {"content": "a" * (1 << 20)}).status, 413)
        self.assertEqual(server.ask("GET", "/health", None, {"x": "y" * 1024}).status, 431)
        self.assertEqual(server.ask("GET", "/health", None, dict.fromkeys("abcd", "1")).status, 431)

    def test_bodies_have_a_bound_in_all(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = f"{folder.name}/tern.sock"
        server = self.server(
            *("--max-body", "2", "--max-bodies", "2", "--body-time", "600"),
            *("--listen", "127.0.0.1:0", "--listen", f"unix:{path}"),
        )
        large, small = {"content": "a" * 1_000_000}, {"content": "a"}
        held = socket.socket(socket.AF_UNIX)
        self.addCleanup(held.close)
        held.settimeout(SECONDS)
        held.connect(path)
        held.sendall(
            b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n"
        )
        held.sendall(bytes(1_500_000))
        self.wait_until_read(held)
        reply = server.ask("POST", "/tokenize", large)
        self.assertEqual(reply.status, 503)
        self.assertEqual(reply.headers["retry-after"], "1")
        self.assertEqual(server.ask("POST", "/tokenize", small).status, 200)
        held.close()
        until = time.monotonic() + SECONDS
        while (status := server.ask("POST", "/tokenize", large).status) == 503:
            self.assertLess(time.monotonic(), until)
        self.assertEqual(status, 400)  # more than the context holds

    def wait_until_read(self, client: socket.socket) -> None:
        """The server has all that was sent: of two bodies, who comes second is refused."""
        until = time.monotonic() + SECONDS
        while struct.unpack("@i", fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4))) != (0,):
            self.assertLess(time.monotonic(), until)
            time.sleep(0.01)

    def test_times_of_the_settings_hold(self) -> None:
        head = b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
        # One at a time: whichever else ends first would depend on when the client is heard.
        for option, sent, found in (
            ("--head-time", b"GET /", b"HTTP/1.1 408 "),
            ("--body-time", head + b"{", b"HTTP/1.1 408 "),
            ("--idle-time", b"", b""),
        ):
            with self.subTest(option=option):
                server = self.server(option, "1")
                address = ("127.0.0.1", server.port)
                with socket.create_connection(address, timeout=SECONDS) as client:
                    client.sendall(sent)
                    self.assertEqual(client.recv(4096)[: len(found) or None], found)


if __name__ == "__main__":
    unittest.main()
