"""TLS: who gets through, with which protocols and certificates, and what hostile clients get."""

import base64
import calendar
import concurrent.futures
import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
import unittest
import warnings
from pathlib import Path

from server import SECONDS, TERN, Server, new_folder

CERTIFICATES = Path(__file__).resolve().parent / "tls"
ONCE = {"prompt": "Once upon a time", "max_tokens": 12, "seed": 3}


def trusting(name: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(CERTIFICATES / f"{name}.crt"))


class Pair:
    """A certificate and its key, where a server looks for them."""

    def __init__(self, name: str = "first") -> None:
        self.folder = new_folder()
        self.certificate, self.key = self.folder / "server.crt", self.folder / "server.key"
        self.put(name)

    def put(self, name: str, key: str = "") -> None:
        shutil.copy(CERTIFICATES / f"{name}.crt", self.certificate)
        shutil.copy(CERTIFICATES / f"{key or name}.key", self.key)
        self.key.chmod(0o600)

    def options(self) -> tuple[str, ...]:
        return ("--tls-cert", str(self.certificate), "--tls-key", str(self.key))


class TlsTest(unittest.TestCase):
    def server(self, *arguments: str, pair: Pair | None = None) -> Server:
        options = (pair or Pair()).options()
        server = Server("--listen", "https://127.0.0.1:0", *options, *arguments)
        server.tls = trusting("first")
        self.addCleanup(server.close)
        return server

    def plain(self, server: Server) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS)
        self.addCleanup(connection.close)
        return connection

    def handshake(self, server: Server, context: ssl.SSLContext) -> ssl.SSLSocket:
        connection = context.wrap_socket(self.plain(server), server_hostname="127.0.0.1")
        self.addCleanup(connection.close)
        return connection

    def rest(self, connection: socket.socket) -> bytes:
        found = b""
        try:
            while part := connection.recv(4096):
                found += part
        except (ConnectionResetError, ssl.SSLError):
            pass
        return found

    def test_answers_and_streams_come_through(self) -> None:
        server = self.server()
        whole = server.ask("POST", "/v1/completions", ONCE).json()["choices"][0]["text"]
        chunks = server.ask("POST", "/v1/completions", ONCE | {"stream": True}).chunks()
        self.assertEqual("".join(c["choices"][0]["text"] for c in chunks), whole)
        text = {"content": "word " * 50, "add_special": False}
        large = b" " * 500_000 + json.dumps(text).encode()  # many records
        tokens = server.ask("POST", "/tokenize", large).json()["tokens"]
        again = server.ask("POST", "/detokenize", {"tokens": tokens}).json()["content"]
        self.assertEqual(again, text["content"])
        self.assertGreater(len(server.ask("GET", "/openapi.json").body), 1 << 15)  # some, back
        connection = server.connect()  # several requests on one connection
        for _ in range(3):
            connection.request("GET", "/health")
            self.assertEqual(connection.getresponse().read(), b'{"status":"ok"}\n')
        connection.close()

    def test_many_at_once_get_what_they_would_alone(self) -> None:
        server = self.server("--parallel", "8")
        bodies = [ONCE | {"seed": seed, "max_tokens": 20} for seed in range(12)]
        alone = [server.ask("POST", "/v1/completions", b).json()["choices"] for b in bodies]
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            together = pool.map(lambda b: server.ask("POST", "/v1/completions", b).json(), bodies)
            self.assertEqual([answer["choices"] for answer in together], alone)

    def test_a_client_that_goes_frees_its_place(self) -> None:
        server = self.server()
        endless = ONCE | {"max_tokens": 500, "n": 8, "ignore_eos": True, "stream": True}
        lines = server.stream("/v1/completions", endless)
        next(lines)
        lines.close()
        until = time.monotonic() + SECONDS
        while server.metric("tern_engine_running") > 0:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)

    def test_versions_and_protocols(self) -> None:
        server = self.server()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = trusting("first")
            context.minimum_version = context.maximum_version = version
            context.set_alpn_protocols(["h2", "http/1.1"])
            connection = self.handshake(server, context)
            self.assertEqual(connection.version(), version.name.replace("v1_", "v1."))
            self.assertEqual(connection.selected_alpn_protocol(), "http/1.1")
        nothing_asked = self.handshake(server, trusting("first"))
        self.assertIsNone(nothing_asked.selected_alpn_protocol())
        context = trusting("first")
        context.set_alpn_protocols(["h2"])
        with self.assertRaises(ssl.SSLError):
            self.handshake(server, context)
        context = trusting("first")
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore"):  # that it is old is the point
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with self.assertRaises((ssl.SSLError, ConnectionResetError)):
            self.handshake(server, context)
        self.assertEqual(server.ask("GET", "/health").status, 200)

    def test_the_end_of_a_connection_is_said(self) -> None:
        server = self.server()
        connection = self.handshake(server, trusting("first"))
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        found = b""
        while part := connection.recv(4096):  # a cut would be an SSLEOFError
            found += part
        self.assertTrue(found.endswith(b'{"status":"ok"}\n'), found)

    def test_plain_http_is_told_to_use_tls(self) -> None:
        server = self.server()
        connection = self.plain(server)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        found = self.rest(connection)
        self.assertTrue(found.startswith(b"HTTP/1.1 400 "), found)
        self.assertIn(b"https://", found)
        self.assertEqual(server.ask("GET", "/health").status, 200)

    def test_hostile_handshakes_are_ended(self) -> None:
        server = self.server("--head-time", "1")
        hello = self.client_hello()
        for name, sent in (
            ("nothing", b""),
            ("noise", bytes(range(256)) * 20),
            ("zeros", bytes(4096)),
            ("half a record's head", hello[:3]),
            ("half a hello", hello[: len(hello) // 2]),
            ("a hello and noise", hello + b"\x17\x03\x03\xff\xff" + bytes(300)),
            ("a hello and no more", hello),
            ("a record that is too long", b"\x16\x03\x01\xff\xff" + bytes(70_000)),
            ("an alert", b"\x15\x03\x03\x00\x02\x02\x28"),
            ("SSL 2", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(60)),
        ):
            for half_closed in (False, True):
                with self.subTest(name, half_closed=half_closed):
                    connection = self.plain(server)
                    try:
                        connection.sendall(sent)
                        if half_closed:
                            connection.shutdown(socket.SHUT_WR)
                    except (BrokenPipeError, ConnectionResetError, OSError):
                        pass  # ended early is well ended
                    self.assertNotIn(b"HTTP/1.1 2", self.rest(connection))
        self.assertEqual(server.ask("GET", "/health").status, 200)

    def client_hello(self) -> bytes:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = trusting("first").wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        with self.assertRaises(ssl.SSLWantReadError):
            client.do_handshake()
        return outgoing.read()

    def test_a_handshake_that_stalls_stops_nobody(self) -> None:
        server = self.server()
        stalled = [self.plain(server) for _ in range(50)]
        for connection in stalled:
            connection.sendall(self.client_hello()[:10])
        done = threading.Event()
        threading.Thread(target=lambda: (server.ask("GET", "/health"), done.set())).start()
        self.assertTrue(done.wait(SECONDS))

    def test_plain_addresses_stand_beside_those_of_tls(self) -> None:
        pair = Pair()
        server = Server(
            *("--listen", "https://127.0.0.1:0", "--listen", "127.0.0.1:0"), *pair.options()
        )
        self.addCleanup(server.close)
        server.tls = trusting("first")
        self.assertEqual(server.ask("GET", "/health").status, 200)
        server.tls, server.port = None, server.ports[1]
        self.assertEqual(server.ask("GET", "/health").status, 200)

    def test_new_certificates_come_at_sighup(self) -> None:
        pair = Pair()
        server = self.server(pair=pair)
        kept = server.connect()
        kept.request("GET", "/health")
        kept.getresponse().read()
        pair.put("second")
        server.hang_up()
        with self.assertRaises(ssl.SSLError):
            server.ask("GET", "/health")
        kept.request("GET", "/health")  # goes on with what it began with
        self.assertEqual(kept.getresponse().status, 200)
        kept.close()
        server.tls = trusting("second")
        self.assertEqual(server.ask("GET", "/health").status, 200)
        pair.put("first", key="second")
        self.assertIn("not that of", server.hang_up())
        self.assertEqual(server.ask("GET", "/health").status, 200)

    def test_what_takes_a_new_start_still_needs_its_certificate(self) -> None:
        pair = Pair()
        config = pair.folder / "tern.toml"
        with_tls = f'tls-cert = "{pair.certificate}"\ntls-key = "{pair.key}"\n'
        config.write_text(f'listen = ["https://127.0.0.1:0"]\n{with_tls}')
        server = Server("--config", str(config), without=("--listen",))
        self.addCleanup(server.close)
        config.write_text('listen = ["127.0.0.1:0"]\n')
        said = server.hang_up()
        self.assertIn("--tls-key (listen would stay as before until a new start)", said)
        self.assertIn("all stays as it was", said)

    def ending(self, pair: Pair, end: int) -> int:
        """The certificate ends then: nobody looks at the signature but clients."""
        lines = (CERTIFICATES / "first.crt").read_text().splitlines()
        content = base64.b64decode("".join(line for line in lines if not line.startswith("-")))
        at = content.rindex(b"\x18\x0f")  # GeneralizedTime: the second of its two dates
        date = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(end)).encode()
        content = content[: at + 2] + date + content[at + 2 + len(date) :]
        text = base64.encodebytes(content).decode()
        pair.certificate.write_text(
            f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n"
        )
        return end

    def end_of_metrics(self, server: Server) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", server.ports[1], timeout=SECONDS)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        found = re.search(r"^tern_tls_certificate_end_seconds (\S+)$", text, re.MULTILINE)
        assert found is not None, text
        return int(float(found[1]))

    def test_a_certificate_that_ends_is_warned_of(self) -> None:
        pair, day, now = Pair(), 86400, int(time.time())
        end = self.ending(pair, now + 13 * day + 60)
        server = Server(
            *("--listen", "https://127.0.0.1:0", "--listen", "127.0.0.1:0"), *pair.options()
        )
        self.addCleanup(server.close)
        self.assertEqual(self.end_of_metrics(server), end)
        date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(end))
        self.assertIn(f"ends at {date}, in 13 days", "".join(server.said))
        end = self.ending(pair, now - 60)
        said = server.hang_up()
        self.assertIn("WARNING", said)
        self.assertIn("a certificate ended at", said)
        self.assertIn("clients may refuse it", said)
        self.assertEqual(self.end_of_metrics(server), end)
        end = self.ending(pair, now + 14 * day + 60)
        self.assertNotIn("certificate end", server.hang_up())
        self.assertEqual(self.end_of_metrics(server), end)
        # Without an end (RFC 5280, 4.1.2.5), later than nanoseconds reach.
        end = self.ending(pair, calendar.timegm((9999, 12, 31, 23, 59, 59)))
        self.assertNotIn("certificate end", server.hang_up())
        self.assertEqual(self.end_of_metrics(server), end)

    def test_wrong_files_are_refused(self) -> None:
        for certificate, key, mode, code, word in (
            ("first.crt", "second.key", 0o600, 2, "not that of"),
            ("first.key", "first.key", 0o600, 4, "certificates in PEM"),
            ("first.crt", "first.crt", 0o600, 4, "private key in PEM"),
            ("first.crt", "encrypted.key", 0o600, 5, "passphrase"),
            ("first.crt", "first.key", 0o644, 2, "chmod o-rw"),
            ("nowhere", "first.key", 0o600, 3, "nowhere"),
            ("first.crt", "nowhere", 0o600, 3, "nowhere"),
        ):
            with self.subTest(certificate=certificate, key=key, mode=mode):
                folder = new_folder()
                for name in {certificate, key} - {"nowhere"}:
                    shutil.copy(CERTIFICATES / name, folder / name)
                    (folder / name).chmod(mode)
                outcome = subprocess.run(
                    [
                        *(TERN, "serve", "--listen", "https://127.0.0.1:0"),
                        *("--tls-cert", str(folder / certificate)),
                        *("--tls-key", str(folder / key)),
                    ],
                    capture_output=True,
                    text=True,
                    stdin=subprocess.DEVNULL,
                    timeout=SECONDS,
                    check=False,
                )
                self.assertEqual(outcome.returncode, code, outcome.stderr)
                self.assertIn(word, outcome.stderr)


if __name__ == "__main__":
    unittest.main()
