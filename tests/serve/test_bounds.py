"""What an operator allows: tokens and time of a request, connections, and descriptors."""

import re
import resource
import socket
import time
import unittest
from typing import Any

from server import Server, ServeTest

HELLO = {"messages": [{"role": "user", "content": "Hello"}], "ignore_eos": True}


class TokensTest(ServeTest):
    arguments = ("--max-answer", "8", "--max-tokens", "20")

    def tokens(self, path: str, body: Any) -> int:
        return int(self.post(path, body).json()["usage"]["completion_tokens"])

    def test_more_than_an_answer_may_have_is_refused(self) -> None:
        once = {"prompt": "Once"}
        for path, body, name in (
            ("/v1/completions", once, "max_tokens"),
            ("/v1/chat/completions", HELLO, "max_tokens"),
            ("/v1/chat/completions", HELLO, "max_completion_tokens"),
        ):
            with self.subTest(path=path, name=name):
                words = (f"{name}: expected at most 8", "max-answer", "found 9")
                self.refused(path, body | {name: 9}, 400, None, *words)
                self.assertEqual(self.tokens(path, body | {name: 8, "ignore_eos": True}), 8)

    def test_who_asks_for_no_number_gets_no_more(self) -> None:
        self.assertEqual(self.tokens("/v1/chat/completions", HELLO), 8)
        self.assertEqual(self.tokens("/v1/completions", {"prompt": "Once", "ignore_eos": True}), 8)


class TimeTest(ServeTest):
    arguments = ("--answer-time", "1", "--parallel", "1", "--pooling", "mean")

    def test_an_answer_ends_with_its_time(self) -> None:
        many = {"prompt": ["Once"] * 8, "n": 8, "max_tokens": 500, "ignore_eos": True}
        for more in ({}, {"deadline_ms": 86_400_000}):
            choices = self.post("/v1/completions", many | more).json()["choices"]
            self.assertIn("deadline", [choice.get("end_reason") for choice in choices])
        few = {"prompt": "Once", "max_tokens": 2, "ignore_eos": True}
        choices = self.post("/v1/completions", few).json()["choices"]
        self.assertEqual([choice["finish_reason"] for choice in choices], ["length"])

    def test_vectors_that_are_not_there_in_time_are_none(self) -> None:
        reply = self.post("/v1/embeddings", {"input": [[5] * 500] * 1500}, 503)
        self.assertEqual(reply.json()["error"]["code"], "overloaded")
        self.assertIn("answer-time", reply.json()["error"]["message"])
        self.assertEqual(reply.headers["retry-after"], "1")
        self.post("/v1/embeddings", {"input": [5] * 5})


class ConnectionsTest(unittest.TestCase):
    def server(self, *arguments: str) -> Server:
        server = Server("--admin-listen", "127.0.0.1:0", *arguments)
        self.addCleanup(server.close)
        server.port = server.ports[1]
        return server

    def connect(self, server: Server) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", server.ports[0]))
        self.addCleanup(connection.close)
        return connection

    def test_they_are_counted_and_those_too_many_as_well(self) -> None:
        server = self.server("--max-connections", "2")
        for name in ("tern_http_connections", "tern_http_connections_refused_total"):
            self.assertEqual(server.metric(name), 0)
        for _ in range(2):
            self.connect(server)
        for _ in range(3):
            self.assertIn(b" 503 ", self.connect(server).recv(100))
        self.assertEqual(server.metric("tern_http_connections"), 2)
        self.assertEqual(server.metric("tern_http_connections_refused_total"), 3)

    def test_without_descriptors_administrators_are_answered_all_the_same(self) -> None:
        server = self.server()
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (60, 60))
        held = [self.connect(server) for _ in range(100)]
        time.sleep(2.5)
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", server.port), 10) as admin:
                admin.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                text = b"".join(iter(lambda c=admin: c.recv(65536), b"")).decode()
                values = dict(re.findall(r"^(process_\w+) ([0-9.e+]+)$", text, re.M))
                self.assertEqual(float(values["process_max_fds"]), 60)
                self.assertGreater(float(values["process_open_fds"]), 40)
                starved = re.search(r"^tern_http_connections_starved_total (\d+)$", text, re.M)
                assert starved is not None
                self.assertGreater(int(starved[1]), 0)
        for connection in held:
            connection.close()
        again = self.connect(server)
        again.settimeout(10)
        again.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertIn(b" 200 ", again.recv(100))
        again.close()
        self.assertEqual(server.end(), 0)
        said = [line for line in server.said if "files that the process may open" in line]
        self.assertEqual(len(said), 1, server.said)


if __name__ == "__main__":
    unittest.main()
