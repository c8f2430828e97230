"""Which web pages may ask a server: those of listed origins (CORS), and none whose own name was
made to lead to this machine (DNS rebinding), which is of this server to its browser."""

import socket
import unittest

from server import SECONDS, Server, new_folder
from test_keys import ONCE, Keys

ORIGIN = "https://app.example.com"
FOREIGN = ("rebound.example", "rebound.example:8080", "localhost.example", "127.0.0.1.example")
OWN = (
    "localhost",
    "LocalHost:80",
    "a.localhost",
    "localhost.",
    "127.0.0.1:1",
    "127.9.8.7",
    "[::1]:9",
)


class HostsTest(unittest.TestCase):
    def server(self, *arguments: str) -> Server:
        server = Server(*arguments)
        self.addCleanup(server.close)
        return server

    def status(self, server: Server, host: str, path: str = "/v1/models") -> int:
        return server.ask("GET", path, None, {"Host": host}).status

    def test_a_server_without_keys_answers_to_names_of_its_machine_alone(self) -> None:
        server = self.server()
        for host in (*FOREIGN, "notlocalhost", "192.0.2.1", "[::2]", "[::ffff:127.0.0.1]", "127.1"):
            with self.subTest(host=host):
                reply = server.ask("GET", "/v1/models", None, {"Host": host})
                self.assertEqual(reply.status, 403)
                error = reply.json()["error"]
                self.assertEqual(error["code"], "host_not_allowed")
                for words in (host, "expected localhost", "allowed-hosts"):
                    self.assertIn(words, error["message"])
        for host in (*OWN, f"127.0.0.1:{server.port}"):
            with self.subTest(host=host):
                self.assertEqual(self.status(server, host), 200)
        for path in ("/health", "/metrics", "/ready"):
            self.assertEqual(self.status(server, FOREIGN[0], path), 403)
        self.assertEqual(server.logged()[0]["error"], "host_not_allowed")

    def test_a_host_in_the_target_counts_and_no_host_is_no_browsers(self) -> None:
        server = self.server()
        own = b"Host: localhost\r\n\r\n"
        for request, status in (
            (b"GET http://rebound.example/health HTTP/1.1\r\n" + own, b" 403 "),
            (b"GET http://localhost/health HTTP/1.1\r\nHost: rebound.example\r\n\r\n", b" 200 "),
            (b"GET /health HTTP/1.0\r\n\r\n", b" 200 "),
        ):
            with socket.create_connection(("127.0.0.1", server.port), SECONDS) as client:
                client.sendall(request)
                self.assertIn(status, client.recv(100))

    def test_names_that_the_operator_allows(self) -> None:
        config = new_folder() / "tern.toml"
        config.write_text('allowed-hosts = ["tern.example", "fd00::1"]\n', encoding="utf-8")
        server = self.server("--config", str(config), "--cors-origin", f"{ORIGIN}:8443")
        for host in (
            *("tern.example", "Tern.Example:443", "tern.example.:80", "app.example.com"),
            *("[fd00::1]:80", "[FD00:0::1]", "[fd00:0:0:0:0:0:0:1]"),
        ):
            self.assertEqual(self.status(server, host), 200, host)
        self.assertEqual(self.status(server, FOREIGN[0]), 403)
        config.write_text('allowed-hosts = ["rebound.example"]\n', encoding="utf-8")
        self.assertIn("reload: done; new: allowed-hosts", server.hang_up())
        self.assertEqual(self.status(server, FOREIGN[0]), 200)
        self.assertEqual(self.status(server, "tern.example"), 403)
        for arguments in (("--allowed-hosts", "*"), ("--cors-origin", "*")):
            self.assertEqual(self.status(self.server(*arguments), FOREIGN[0]), 200)

    def test_names_that_are_written_in_another_form(self) -> None:
        server = self.server("--allowed-hosts", "tern.example.", "--allowed-hosts", "fd00:0::01")
        for host in ("tern.example", "tern.example.", "[fd00::1]", "[fd00:0::1]:80"):
            self.assertEqual(self.status(server, host), 200, host)
        for host in (FOREIGN[0], "[fd00::2]"):
            self.assertEqual(self.status(server, host), 403, host)

    def test_who_needs_a_key_or_a_file_and_who_serves_others_asks_by_any_name(self) -> None:
        keys = Keys()
        key = keys.make("alice")
        server = self.server("--api-keys", str(keys.path))
        server.key = key
        self.assertEqual(self.status(server, FOREIGN[0]), 200)
        path = new_folder() / "tern.sock"
        self.server("--listen", f"unix:{path}")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /health HTTP/1.1\r\nHost: rebound.example\r\n\r\n")
            self.assertIn(b" 200 ", client.recv(100))
        self.assertEqual(self.status(self.server("--listen", "0.0.0.0:0"), FOREIGN[0]), 200)

    def test_administrators_who_are_asked_for_no_key_are_held_to_it_too(self) -> None:
        keys = Keys()
        keys.make("alice")
        for arguments in ((), ("--api-keys", str(keys.path))):
            server = self.server("--admin-listen", "127.0.0.1:0", *arguments)
            self.assertEqual(self.status(server, FOREIGN[0], "/health"), 200 if arguments else 403)
            server.port = server.ports[1]
            for path in ("/metrics", "/ready", "/health"):
                reply = server.ask("GET", path, None, {"Host": FOREIGN[0]})
                self.assertEqual(reply.status, 403)
                message = reply.json()["error"]["message"]
                self.assertTrue(message.endswith("name it in allowed-hosts"), message)
                self.assertEqual(self.status(server, "localhost", path), 200)


class CorsTest(unittest.TestCase):
    def test_pages_of_listed_origins_may_ask(self) -> None:
        keys = Keys()
        key = keys.make("alice")
        server = Server("--cors-origin", ORIGIN, "--api-keys", str(keys.path))
        self.addCleanup(server.close)
        beforehand = {
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
        }
        reply = server.ask("OPTIONS", "/v1/chat/completions", None, beforehand)
        self.assertEqual((reply.status, reply.body), (204, b""))
        self.assertEqual(reply.headers["access-control-allow-origin"], ORIGIN)
        self.assertIn("POST", reply.headers["access-control-allow-methods"])
        self.assertIn("x-stainless-os", reply.headers["access-control-allow-headers"])
        self.assertEqual(reply.headers["vary"], "Origin")
        server.key = key
        for status, headers in ((200, {}), (401, {"Authorization": "Bearer x"})):
            reply = server.ask("POST", "/v1/completions", ONCE, headers | {"Origin": ORIGIN})
            self.assertEqual(reply.status, status)
            self.assertEqual(reply.headers["access-control-allow-origin"], ORIGIN)
            self.assertIn("x-request-id", reply.headers["access-control-expose-headers"])
        stream = server.ask("POST", "/v1/completions", ONCE | {"stream": True}, {"Origin": ORIGIN})
        self.assertEqual(stream.headers["access-control-allow-origin"], ORIGIN)

    def test_pages_of_others_may_not(self) -> None:
        server = Server("--cors-origin", ORIGIN)
        self.addCleanup(server.close)
        for origin in ("https://evil.example", ORIGIN + ".evil.example", ORIGIN + ":444", "null"):
            with self.subTest(origin=origin):
                headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
                reply = server.ask("OPTIONS", "/v1/completions", None, headers)
                self.assertEqual(reply.status, 405)
                self.assertNotIn("access-control-allow-origin", reply.headers)
                reply = server.ask("POST", "/v1/completions", ONCE, {"Origin": origin})
                self.assertNotIn("access-control-allow-origin", reply.headers)
                self.assertEqual(reply.headers["vary"], "Origin")
        reply = server.ask("OPTIONS", "/v1/completions", None, {"Origin": ORIGIN})
        self.assertEqual(reply.status, 405)  # no question of a browser

    def test_no_page_asks_without_a_type_of_its_body(self) -> None:
        server = Server()
        self.addCleanup(server.close)
        for headers, status in (
            ({"Origin": ORIGIN}, 415),
            ({"Origin": "null"}, 415),
            ({"Origin": ORIGIN, "Content-Type": "application/json"}, 200),
            ({}, 200),  # of no page
        ):
            with self.subTest(headers=headers):
                connection = server.connect()
                connection.request("POST", "/tokenize", b'{"content": "a"}', headers)
                reply = connection.getresponse()
                self.assertEqual(reply.status, status, reply.read())
                connection.close()

    def test_without_a_list_nothing_is_said_of_origins(self) -> None:
        server = Server()
        self.addCleanup(server.close)
        reply = server.ask("GET", "/health", None, {"Origin": ORIGIN})
        self.assertNotIn("vary", reply.headers)
        self.assertNotIn("access-control-allow-origin", reply.headers)
        any_origin = Server("--cors-origin", "*")
        self.addCleanup(any_origin.close)
        reply = any_origin.ask("GET", "/health", None, {"Origin": ORIGIN})
        self.assertEqual(reply.headers["access-control-allow-origin"], ORIGIN)


if __name__ == "__main__":
    unittest.main()
