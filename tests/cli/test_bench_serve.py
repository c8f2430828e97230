"""`tern bench-serve` against a server whose delays are known."""

import http.server
import json
import os
import socket
import socketserver
import ssl
import threading
import time
import xml.dom.minidom
from pathlib import Path
from typing import Any

from tern import ROOT, CliTest, environment, interrupt, main, start, tern

WAIT = 0.2  # before the first piece
GAP = 0.05  # between pieces
MODELS = {"object": "list", "data": [{"id": "fake", "object": "model"}]}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "FakeServer"

    def log_message(self, *_: Any) -> None:
        pass

    def reply(self, status: int, body: Any, kind: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.server.keys.append(self.headers.get("Authorization"))
        if self.path.endswith("/v1/models"):
            self.reply(*self.server.models)
        else:
            self.reply(404, {"error": {"message": "no such path"}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/tokenize"):
            if self.server.tokens is None:
                return self.reply(404, {"error": {"message": "no such path"}})
            return self.reply(200, {"tokens": self.server.tokens})
        with self.server.lock:
            number = len(self.server.bodies)
            self.server.bodies.append(body)
            self.server.paths.append(self.path)
        return self.server.behaviour(self, body, number)

    def event(self, data: Any) -> None:
        text = data if isinstance(data, str) else json.dumps(data)
        self.wfile.write(f"data: {text}\n\n".encode())

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def end(self, tokens: int) -> None:
        usage = {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens}
        self.event({"choices": [], "usage": usage})
        self.event("[DONE]")


def answer(handler: Handler, body: Any, _: int) -> None:
    handler.begin()
    handler.event({"choices": [{"text": "", "delta": {"role": "assistant", "content": ""}}]})
    time.sleep(WAIT)
    for i in range(body["max_tokens"]):
        if i > 0:
            time.sleep(GAP)
        chat = "messages" in body
        handler.event({"choices": [{"delta": {"content": "x"}} if chat else {"text": "x"}]})
    handler.end(body["max_tokens"])


class FakeServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, behaviour: Any = answer, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.behaviour = behaviour
        self.models: tuple[Any, ...] = (200, MODELS)
        self.tokens: list[int] | None = [11, 12, 13, 12]
        self.lock = threading.Lock()
        self.bodies: list[Any] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}).start()

    def handle_error(self, *_: Any) -> None:  # of clients that went
        pass


class BenchServeTest(CliTest):
    def server(self, behaviour: Any = answer, tls: ssl.SSLContext | None = None) -> FakeServer:
        server = FakeServer(behaviour, tls)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def bench(self, server: FakeServer, *arguments: str | Path) -> dict[str, Any]:
        outcome = self.succeed("bench-serve", server.url, "--json", *arguments)
        found = json.loads(outcome.stdout)
        assert isinstance(found, dict)
        return found

    def test_waits_are_those_of_the_server(self) -> None:
        server = self.server()
        began = time.monotonic()
        found = self.bench(server, "--requests", "12", "--clients", "4", "--output", "4")
        whole = time.monotonic() - began
        self.assertEqual(found["requests"]["answered"], 12)
        self.assertEqual(found["first_token_s"]["count"], 12)
        self.assertEqual(found["between_tokens_s"]["count"], 36)
        self.assertEqual(found["answer_s"]["count"], 12)
        self.assertEqual(found["tokens"]["output"], 48)
        self.assertEqual(found["tokens"]["prompt"], 84)
        self.assertEqual(found["tokens"]["counted_by"], "server")
        # A wait is never shorter than the server's; three of them follow each other on a client.
        self.assertGreaterEqual(found["first_token_s"]["p50"], WAIT)
        self.assertGreaterEqual(found["answer_s"]["p50"], WAIT + 3 * GAP)
        self.assertGreaterEqual(found["seconds"], 3 * (WAIT + 3 * GAP))
        self.assertLessEqual(found["seconds"], whole)
        self.assertLessEqual(3 * found["first_token_s"]["mean"], whole)
        # Gaps add up, whatever delays single pieces on their way.
        gaps, first = found["between_tokens_s"], found["first_token_s"]
        total = gaps["mean"] * 36 + first["mean"] * 12
        self.assertGreaterEqual(total, 12 * (WAIT + 3 * GAP) - 0.001)
        self.assertLessEqual(total, found["answer_s"]["mean"] * 12 + 0.001)
        self.assertAlmostEqual(found["tokens"]["output_per_s"], 48 / found["seconds"])
        for name in ("first_token_s", "between_tokens_s", "answer_s", "late_s"):
            spread = found[name]
            order = [spread[key] for key in ("p50", "p95", "p99", "most")]
            self.assertEqual(order, sorted(order))

    def test_waits_count_from_when_a_request_was_to_be_sent(self) -> None:
        """A server that answers one at a time: who comes later has waited for all before him."""
        one_at_a_time = threading.Lock()

        def slow(handler: Handler, body: Any, number: int) -> None:
            with one_at_a_time:
                answer(handler, body, number)

        found = self.bench(self.server(slow), "--rate", "200", "--requests", "8", "--output", "1")
        # This seed's eight are to be sent within 0.2 s; the k-th answer begins k waits later.
        self.assertGreaterEqual(found["seconds"], 8 * WAIT)
        self.assertGreaterEqual(found["first_token_s"]["most"], 8 * WAIT - 0.2)
        self.assertGreaterEqual(found["first_token_s"]["mean"], 4.5 * WAIT - 0.2)

    def test_the_same_seed_is_the_same_load(self) -> None:
        options = ("--requests", "6", "--prompt", "uniform:1-9", "--output", "uniform:1-3")
        options += ("--shared-prefix", "2", "--prefixes", "2", "--rate", "50")

        def load(*more: str) -> list[str]:
            server = self.server()
            self.bench(server, *options, *more)
            return sorted(json.dumps(body, sort_keys=True) for body in server.bodies)

        first = load()
        self.assertEqual(load(), first)
        self.assertNotEqual(load("--seed", "2"), first)
        body = json.loads(first[0])
        self.assertEqual(body["model"], "fake")
        self.assertTrue(body["stream"] and body["ignore_eos"])
        self.assertEqual(body["stream_options"], {"include_usage": True})
        self.assertLessEqual(set(body["prompt"]), {11, 12, 13})
        self.assertTrue(3 <= len(body["prompt"]) <= 11)
        self.assertTrue(1 <= body["max_tokens"] <= 3)
        prefixes = {tuple(json.loads(one)["prompt"][:2]) for one in first}
        self.assertEqual(len(prefixes), 2)

    def test_chats_and_servers_without_tokenize_get_words(self) -> None:
        server = self.server()
        options = ("--requests", "2", "--output", "1", "--prompt", "5")
        found = self.bench(server, "--chat", "--may-end", "--model", "mine", *options)
        self.assertEqual(found["load"]["prompt_unit"], "words")
        body = server.bodies[0]
        self.assertEqual(server.paths[0], "/v1/chat/completions")
        self.assertEqual(len(body["messages"][0]["content"].split()), 5)
        self.assertEqual(body["model"], "mine")
        self.assertNotIn("ignore_eos", body)
        server = self.server()
        server.tokens = None
        found = self.bench(server, *options)
        self.assertEqual(found["load"]["prompt_unit"], "words")
        self.assertEqual(len(server.bodies[0]["prompt"].split()), 5)

    def test_a_base_url_of_other_clients_will_do(self) -> None:
        server = self.server()
        for end in ("/v1", "/v1/", "/a/v1"):
            server.url = server.url.split("/v1")[0].removesuffix("/a") + end
            self.bench(server, "--requests", "1", "--output", "1")
        self.assertEqual(server.paths, [*["/v1/completions"] * 2, "/a/v1/completions"])

    def test_failures_are_counted_by_kind(self) -> None:
        def moody(handler: Handler, body: Any, number: int) -> None:
            kind = number % 8
            if kind == 0:
                answer(handler, body, number)
            elif kind == 1:
                handler.reply(429, {"error": {"message": "come again"}})
            elif kind == 2:
                handler.reply(500, b"<html>", "text/html")
            elif kind == 3:
                handler.reply(200, {"choices": []})
            elif kind == 4:
                handler.begin()
                handler.event({"choices": [{"text": "x"}]})  # and closes
            elif kind == 5:
                handler.begin()
                handler.event({"error": {"message": "it broke"}})
            elif kind == 6:
                handler.begin()
                handler.event("{broken")
            else:
                handler.close_connection = True

        found = self.bench(
            self.server(moody), "--requests", "16", "--clients", "16", "--output", "1"
        )
        kinds = {f["kind"]: f["count"] for f in found["failures"]}
        self.assertEqual(
            kinds,
            {"http_429": 2, "http_500": 2, "malformed": 4, "closed": 4, "stream_error": 2},
        )
        examples = {f["kind"]: f["example"] for f in found["failures"]}
        self.assertEqual(examples["http_429"], "come again")
        self.assertEqual(examples["stream_error"], "it broke")
        self.assertEqual((found["requests"]["answered"], found["requests"]["failed"]), (2, 14))
        self.assertEqual(found["first_token_s"]["count"], 2)

    def test_a_request_that_takes_too_long_has_failed(self) -> None:
        def never(handler: Handler, _: Any, __: int) -> None:
            handler.begin()
            time.sleep(5)

        outcome = tern("bench-serve", self.server(never).url, "--requests", "2", "--timeout", "1")
        self.assertEqual(outcome.returncode, 3, outcome)
        self.assertIn(b"2 timeout", outcome.stdout)
        self.assertIn(b"none of 2 requests was answered; timeout", outcome.stderr)

    def test_warm_up_and_limits(self) -> None:
        def second(handler: Handler, body: Any, number: int) -> None:
            time.sleep(0 if number % 2 else 3 * WAIT)
            answer(handler, body, number)

        found = self.bench(
            *(self.server(second), "--requests", "8", "--warmup", "2", "--output", "2"),
            *("--slo-ttft", str(1e3 * 3.5 * WAIT), "--slo-itl", "100000"),
        )
        self.assertEqual(found["requests"]["answered"], 6)
        self.assertEqual(found["load"]["warmup"], 2)
        self.assertLessEqual(found["goodput"]["share"], 0.5)  # half of them wait four times WAIT
        self.assertAlmostEqual(
            found["goodput"]["requests_per_s"], found["goodput"]["share"] * 6 / found["seconds"]
        )
        # Half a second for ten gaps: a first piece that comes late makes them no mean of 1 ms.
        found = self.bench(self.server(), "--requests", "2", "--output", "11", "--slo-itl", "1")
        self.assertEqual(found["goodput"]["share"], 0.0)
        found = self.bench(self.server(), "--requests", "2", "--output", "1", "--slo-itl", "1")
        self.assertEqual(found["goodput"]["share"], 1.0)  # there is nothing between
        self.assertIsNone(self.bench(self.server(), "--requests", "1")["goodput"])

    def test_a_load_with_nothing_to_report_is_no_success(self) -> None:
        load = ("--duration", "0.3", "--warmup", "1000", "--output", "2")
        outcome = tern("bench-serve", self.server().url, *load)
        self.assertEqual(outcome.returncode, 2, outcome)
        self.assertIn(b"found none beside", outcome.stderr)
        self.assertIn(b"longer --duration, or a smaller --warmup", outcome.stderr)

    def test_a_duration_ends_the_sending(self) -> None:
        server = self.server()
        found = self.bench(server, "--duration", "0.5", "--clients", "2", "--output", "1")
        self.assertEqual(found["requests"]["answered"], len(server.bodies))
        self.assertGreaterEqual(found["requests"]["answered"], 2)
        self.assertGreaterEqual(found["seconds"], 0.5)
        open_loop = self.bench(self.server(), "--duration", "1", "--rate", "20", "--output", "1")
        self.assertGreaterEqual(open_loop["requests"]["answered"], 5)
        self.assertEqual(open_loop["load"]["loop"], "open")

    def test_who_is_refused_at_once_pauses(self) -> None:
        def refuse(handler: Handler, _: Any, __: int) -> None:
            handler.reply(500, {"error": {"message": "no"}})

        server = self.server(refuse)
        arguments = ("--duration", "1", "--clients", "2", "--output", "1")
        outcome = tern("bench-serve", server.url, *arguments)
        self.assertEqual(outcome.returncode, 3, outcome)
        self.assertTrue(2 <= len(server.bodies) <= 8, len(server.bodies))

    def test_a_server_that_goes_is_not_asked_without_a_pause(self) -> None:
        def last(handler: Handler, body: Any, number: int) -> None:
            handler.server.socket.close()  # nobody can connect any more
            answer(handler, body, number)

        server = FakeServer(last)
        self.addCleanup(server.shutdown)
        found = self.bench(server, "--duration", "1.5", "--output", "1")
        self.assertEqual(found["requests"]["answered"], 1)
        failures = {f["kind"]: f["count"] for f in found["failures"]}
        self.assertEqual(list(failures), ["connect"])
        self.assertLessEqual(failures["connect"], 5)

    def test_an_interrupt_reports_what_there_is(self) -> None:
        server = self.server()
        process = start("bench-serve", server.url, "--json", "--output", "2", "--clients", "2")
        while len(server.bodies) < 5:
            time.sleep(0.01)
        interrupt(process)
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, err), (130, b""))
        found = json.loads(out)
        self.assertTrue(found["interrupted"])
        self.assertTrue(1 <= found["requests"]["answered"] < 100)
        self.assertEqual(found["requests"]["failed"], 0)

    def test_a_picture_is_svg(self) -> None:
        path = self.folder / "load.svg"
        self.bench(self.server(), "--requests", "4", "--output", "2", "--picture", path)
        root = xml.dom.minidom.parse(str(path)).documentElement  # noqa: S318
        self.assertEqual(root.tagName, "svg")
        self.assertGreaterEqual(len(root.getElementsByTagName("polyline")), 4)
        bad = self.folder / "missing" / "x.svg"
        server = self.server()
        self.assert_fails(tern("bench-serve", server.url, "--picture", bad), 3, str(bad))
        self.assertEqual(server.bodies, [])  # known before the load

    def test_a_url_of_any_bytes_is_json(self) -> None:
        server = self.server()
        server.url += os.fsdecode(b"/\xff")
        found = self.bench(server, "--requests", "1", "--output", "1")
        self.assertTrue(found["url"].endswith("/\\xff"), found["url"])

    def test_the_key_comes_from_the_environment(self) -> None:
        server = self.server()
        outcome = tern(
            *("bench-serve", server.url, "--requests", "1", "--output", "1"),
            env=environment(TERN_API_KEY="secret"),
        )
        self.assertEqual(outcome.returncode, 0)
        self.assertEqual(server.keys, ["Bearer secret"])
        self.assertNotIn(b"secret", outcome.stdout + outcome.stderr)
        server.models = (401, {"error": {"message": "who are you?"}})
        self.assert_fails(tern("bench-serve", server.url), 2, "401: who are you?", "TERN_API_KEY")

    def test_a_key_that_no_header_can_hold_is_refused(self) -> None:
        server = self.server()
        for key in ("secret\r", "secret\nX-Other: 1", "two words", "caf\xe9"):
            outcome = tern(
                *("bench-serve", server.url, "--requests", "1", "--output", "1"),
                env=environment(TERN_API_KEY=key),
            )
            self.assert_fails(outcome, 2, "TERN_API_KEY: expected a key of visible characters")
            self.assertNotIn(b"secret", outcome.stderr)
        self.assertEqual(server.keys, [])

    def test_tls(self) -> None:
        certificate = ROOT / "tests/serve/tls/first.crt"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        server, plain = self.server(tls=context), self.server()
        trusting = environment(SSL_CERT_FILE=str(certificate))
        few = ("--requests", "3", "--output", "4", "--json")
        found = json.loads(self.succeed("bench-serve", server.url, *few, env=trusting).stdout)
        self.assertEqual(found["requests"]["answered"], 3)
        self.assertEqual(len(server.bodies), 3)
        for url, variables in (
            (server.url, environment()),  # nobody trusts it
            (server.url.replace("127.0.0.1", "localhost"), trusting),  # of another name
            (plain.url.replace("http:", "https:"), trusting),
        ):
            outcome = tern("bench-serve", url, *few, env=variables)
            self.assert_fails(outcome, 3, url, "cannot agree on TLS")
        missing = environment(SSL_CERT_FILE=str(self.folder / "none.crt"))
        outcome = tern("bench-serve", server.url, env=missing)
        self.assert_fails(outcome, 4, "none.crt", "expected certificates in PEM")
        self.assertEqual(len(server.bodies), 3)

    def test_what_is_no_server_is_said(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}"
            self.assert_fails(tern("bench-serve", url), 3, url, "cannot connect", "running?")
        server = self.server()
        for models in ((404, b"<html>", "text/html"), (200, {"data": []}), (200, [1])):
            server.models = models
            self.assert_fails(
                tern("bench-serve", server.url), 5, "expected an OpenAI-compatible server"
            )
        self.assert_fails(tern("bench-serve", server.url + "/a/v1"), 5, "whose /a/v1/models lists")
        self.assert_fails(tern("bench-serve", "unix:/nowhere"), 3, "unix:/nowhere")

    def test_wrong_options_are_refused(self) -> None:
        for arguments, words in (
            ((), "URL"),
            (("here",), "http://HOST:PORT"),
            (("http://127.0.0.1:1", "--prompt", "many"), "--prompt: expected a length"),
            (("http://127.0.0.1:1", "--output", "uniform:9-1"), "--output: expected a length"),
            (("http://127.0.0.1:1", "--rate", "1", "--clients", "2"), "--clients"),
            (("http://127.0.0.1:1", "--requests", "1", "--duration", "2"), "--duration"),
            (("http://127.0.0.1:1", "--rate", "0"), "--rate"),
            (("http://127.0.0.1:1", "--clients", "0"), "--clients"),
            (("http://127.0.0.1:1", "--temp", "3"), "--temp"),
            (("http://127.0.0.1:1", "--temp", "nan"), "--temp: expected 0 to 2, found nan"),
            (("http://127.0.0.1:1", "--rate", "nan"), "--rate: expected 0.001 to 100000"),
            (("http://127.0.0.1:1", "--duration", "nan"), "--duration"),
            (("http://127.0.0.1:1", "--slo-ttft", "nan"), "--slo-ttft"),
            (("http://127.0.0.1:1", "--slo-itl", "nan"), "--slo-itl"),
            (("http://127.0.0.1:1", "--seed", "-1"), "--seed"),
            (("http://127.0.0.1:1", "--seed", "9" * 20), "--seed"),
            (
                ("http://127.0.0.1:1", "--requests", "3", "--warmup", "3"),
                "--warmup: expected fewer",
            ),
            (("http://127.0.0.1:1", "--warmup", "100"), "fewer than the 100 of --requests"),
        ):
            with self.subTest(arguments=arguments):
                self.assert_fails(tern("bench-serve", *arguments), 2, words)


if __name__ == "__main__":
    main()
