"""Starts `tern serve` for a test, and speaks HTTP to it."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from json_schema import Document, load  # noqa: E402

TERN = os.environ["TERN"]
TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
SECONDS = 120.0  # for anything; a busy machine is not a failure
OPENAPI = Document(load(ROOT / "schemas" / "openapi.json"))


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
    def __init__(self, *arguments: str) -> None:
        self.directory = tempfile.TemporaryDirectory()
        template = Path(self.directory.name) / "template.jinja"
        template.write_text(TEMPLATE, encoding="utf-8")
        own = () if "--chat-template" in arguments else ("--chat-template", str(template))
        self.log = Path(self.directory.name) / "log.jsonl"
        self.process = subprocess.Popen(
            [
                *(TERN, "serve", "--listen", "127.0.0.1:0", *own),
                *("--access-log", str(self.log), *arguments),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.said = []
        for line in self.process.stderr:
            self.said.append(line)
            if "tokens a request" in line:  # the last line of the greeting
                break
        found = re.search(r"http://127\.0\.0\.1:(\d+)", "".join(self.said))
        assert found, self.said
        self.port = int(found.group(1))

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Reply:
        connection = self.connect()
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(
                method, path, data, {"Content-Type": "application/json", **(headers or {})}
            )
            reply = connection.getresponse()
            headers = {k.lower(): v for k, v in reply.getheaders()}
            return Reply(reply.status, headers, reply.read())
        finally:
            connection.close()

    def stream(self, path: str, body: Any) -> Iterator[bytes]:
        """The lines of a reply as they come; closing the generator closes the connection."""
        connection = self.connect()
        try:
            connection.request(
                "POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"}
            )
            reply = connection.getresponse()
            assert reply.status == 200, reply.read()
            while line := reply.readline():
                yield line
        finally:
            connection.close()

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
