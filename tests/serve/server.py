"""Starts `tern serve` for a test, and speaks HTTP to it."""

import atexit
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exchange import OPENAPI, ROOT, errors_of, load, request_errors

TERN = os.environ["TERN"]
TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
SECONDS = 120.0  # for anything; a busy machine is not a failure
__all__ = ["OPENAPI", "ROOT", "SECONDS", "TEMPLATE", "TERN",
           "Reply", "ServeTest", "Server", "load", "new_folder"]  # fmt: skip


def new_folder() -> Path:
    """An empty folder, which is gone when the tests have ended."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


class Reply:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> list[tuple[str, str]]:
        """(id, data) of each server-sent event."""
        events = []
        for block in self.body.decode().split("\n\n")[:-1]:
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            events.append((fields.get("id", ""), fields["data"]))
        return events

    def chunks(self) -> list[dict[str, Any]]:
        return [json.loads(data) for _, data in self.events() if data != "[DONE]"]


class Server:
    """`tern serve` on a free port; `environment` comes on top of this one's."""

    def __init__(
        self,
        *arguments: str,
        environment: dict[str, str] | None = None,
        without: tuple[str, ...] = (),  # of its own options
    ) -> None:
        self.tls: ssl.SSLContext | None = None  # to speak TLS with
        self.key = ""  # what it is asked with
        self.directory = tempfile.TemporaryDirectory()
        template = Path(self.directory.name) / "template.jinja"
        template.write_text(TEMPLATE, encoding="utf-8")
        self.log = Path(self.directory.name) / "log.jsonl"
        options = {
            "--listen": "127.0.0.1:0",
            "--chat-template": str(template),
            "--access-log": str(self.log),
        }
        # What a test gives itself stands in for these, but for sockets of UNIX.
        for name, given in itertools.pairwise(arguments):
            if not given.startswith("unix:"):
                options.pop(name, None)
        for name in without:
            options.pop(name)
        own = [word for pair in options.items() for word in pair]
        self.process = subprocess.Popen(
            [TERN, "serve", *own, *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        assert self.process.stderr is not None
        self.said = []
        for line in self.process.stderr:
            self.said.append(line)
            if "tokens a request" in line:  # the last line of the greeting
                break
        found = re.findall(r"https?://(?:127\.0\.0\.1|0\.0\.0\.0):(\d+)", "".join(self.said))
        assert found, self.said
        self.ports = [int(port) for port in found]
        self.port = self.ports[0]

    def connect(self) -> http.client.HTTPConnection:
        if self.tls is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=SECONDS, context=self.tls
        )

    def headers(self, more: dict[str, str] | None = None) -> dict[str, str]:
        key = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return {"Content-Type": "application/json", **key, **(more or {})}

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Reply:
        """The reply to one request, which fits the OpenAPI document."""
        connection = self.connect()
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, self.headers(headers))
            found = connection.getresponse()
            names = {k.lower(): v for k, v in found.getheaders()}
            reply = Reply(found.status, names, found.read())
            errors = errors_of(method, path, reply.status, reply.headers, reply.body)
            errors += request_errors(method, path, reply.status, data)
            assert errors == [], (errors, reply.status, reply.headers, reply.body[:500])
            return reply
        finally:
            connection.close()

    def stream(self, path: str, body: Any) -> Iterator[bytes]:
        """The lines of a reply as they come; closing the generator closes the connection."""
        connection = self.connect()
        try:
            connection.request("POST", path, json.dumps(body).encode(), self.headers())
            reply = connection.getresponse()
            assert reply.status == 200, reply.read()
            while line := reply.readline():
                yield line
        finally:
            connection.close()

    def logged(self, count: int = 1) -> list[dict[str, Any]]:
        """The requests in the log, once there are so many."""
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            text = self.log.read_text(encoding="utf-8") if self.log.exists() else ""
            lines = text.split("\n")[:-1]  # what has no end yet is being written
            found = [e for e in map(json.loads, lines) if e["event"] == "http.request"]
            if len(found) >= count:
                return found
            time.sleep(0.02)
        raise AssertionError(f"expected {count} requests in the log")

    def hang_up(self) -> str:
        """Sends SIGHUP; what the server says of it."""
        self.process.send_signal(signal.SIGHUP)
        said = ""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            said += line
            if "reload: done" in line or ("stays as it was\n" in line and "all" in line):
                break
        return said

    def metric(self, name: str) -> float:
        text = self.ask("GET", "/metrics").body.decode()
        found = re.search(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        assert self.process.stderr is not None
        self.said += self.process.stderr.readlines()
        self.process.stderr.close()
        return self.process.wait(SECONDS)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()
        self.directory.cleanup()


class ServeTest(unittest.TestCase):
    """One server for all tests of a class."""

    arguments: tuple[str, ...] = ("--parallel", "8")
    server: Server

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Server(*cls.arguments)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.close()

    def valid(self, value: Any, schema: str) -> None:
        self.assertEqual(OPENAPI.errors(value, f"#/components/schemas/{schema}"), [])

    def get(self, path: str, status: int = 200) -> Reply:
        reply = self.server.ask("GET", path)
        self.assertEqual(reply.status, status, reply.body)
        return reply

    def post(self, path: str, body: Any, status: int = 200, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = self.server.ask("POST", path, body, named)
        self.assertEqual(reply.status, status, reply.body)
        return reply

    def refused(self, path: str, body: Any, status: int, code: str | None, *words: str) -> None:
        error = self.post(path, body, status).json()
        self.valid(error, "Error")
        self.assertEqual(error["error"]["code"], code, error)
        for word in words:
            self.assertIn(word, error["error"]["message"])
