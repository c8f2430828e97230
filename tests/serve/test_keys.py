"""Who may ask, and how much: API keys, their limits, and the address of administrators."""

import concurrent.futures
import hashlib
import http.client
import shlex
import signal
import subprocess
import time
import unittest
from pathlib import Path

from server import SECONDS, TERN, Reply, Server, new_folder

ONCE = {"prompt": "Once upon a time", "max_tokens": 4, "temperature": 0}


class Keys:
    """A file of keys, some with limits."""

    def __init__(self) -> None:
        self.path = new_folder() / "keys.toml"
        self.text = ""

    def make(self, name: str, limits: str = "") -> str:
        made = subprocess.run(
            [TERN, "serve", "--make-key", name], capture_output=True, text=True, check=True
        )
        key = made.stderr.rstrip("\n").rsplit(" ", 1)[1]
        assert hashlib.sha256(key.encode()).hexdigest() in made.stdout
        assert key not in made.stdout
        self.write(self.text + made.stdout + limits)
        return key

    def write(self, text: str) -> None:
        self.text = text
        self.path.write_text(text, encoding="utf-8")
        self.path.chmod(0o640)


class KeysTest(unittest.TestCase):
    def server(self, keys: Keys, *arguments: str) -> Server:
        server = Server("--api-keys", str(keys.path), *arguments)
        self.addCleanup(server.close)
        return server

    def test_only_who_has_a_key_may_ask(self) -> None:
        keys = Keys()
        alice = keys.make("alice")
        keys.make("bob")
        server = self.server(keys)
        for path in ("/health", "/ready", "/openapi.json"):
            self.assertEqual(server.ask("GET", path).status, 200)
        for header in (
            {},
            {"Authorization": ""},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer "},
            {"Authorization": alice},
            {"Authorization": f"Basic {alice}"},
            {"Authorization": f"Bearer {alice[:-1]}"},
            {"Authorization": f"Bearer {alice}0"},
            {"Authorization": "Bearer " + hashlib.sha256(alice.encode()).hexdigest()},
        ):
            for method, path in (
                ("GET", "/v1/models"),
                ("GET", "/metrics"),
                ("POST", "/v1/completions"),
                ("POST", "/tokenize"),
            ):
                with self.subTest(header=header, path=path):
                    reply = server.ask(method, path, ONCE if method == "POST" else None, header)
                    self.assertEqual(reply.status, 401)
                    self.assertEqual(reply.headers["www-authenticate"], "Bearer")
                    self.assertEqual(reply.json()["error"]["code"], "invalid_api_key")
        for scheme in ("Bearer", "bearer", "BEARER "):
            reply = server.ask("GET", "/v1/models", None, {"Authorization": f"{scheme} {alice}"})
            self.assertEqual(reply.status, 200)

    def test_names_of_keys_are_told_and_keys_are_not(self) -> None:
        keys = Keys()
        alice, bob = keys.make("alice"), keys.make("bob-2")
        server = self.server(keys, "--log-prompts")
        server.key = bob
        usage = server.ask("POST", "/v1/completions", ONCE).json()["usage"]
        server.ask("POST", "/v1/completions", ONCE, {"Authorization": f"Bearer {bob}x"})
        log = server.logged(2)
        self.assertEqual(log[0]["key_id"], "bob-2")
        self.assertNotIn("key_id", log[1])
        text = server.ask("GET", "/metrics").body.decode()
        for line in (
            'tern_key_requests_total{key="bob-2"} 1',
            'tern_key_requests_total{key="alice"} 0',
            f'tern_key_prompt_tokens_total{{key="bob-2"}} {usage["prompt_tokens"]}',
            'tern_key_generated_tokens_total{key="bob-2"} 4',
        ):
            self.assertIn(line, text)
        self.assertEqual(text.count("# TYPE tern_key_requests_total counter"), 1)
        for secret in (alice, bob):
            self.assertNotIn(secret, server.log.read_text() + text)

    def test_requests_beyond_the_limit_of_a_key(self) -> None:
        keys = Keys()
        alice = keys.make("alice", "requests-per-minute = 3\n")
        server = self.server(keys)
        server.key = alice
        for left in (2, 1, 0):
            reply = server.ask("POST", "/v1/completions", ONCE)
            self.assertEqual(reply.status, 200)
            self.assertEqual(reply.headers["x-ratelimit-limit-requests"], "3")
            self.assertLessEqual(int(reply.headers["x-ratelimit-remaining-requests"]), left + 1)
            self.assertNotIn("x-ratelimit-limit-tokens", reply.headers)
        replies = [server.ask("POST", "/v1/completions", ONCE) for _ in range(3)]
        refused = [reply for reply in replies if reply.status == 429]
        self.assertTrue(refused)  # even where the machine is slow
        for reply in refused:
            self.assertTrue(1 <= int(reply.headers["retry-after"]) <= 20)
            self.assertEqual(reply.headers["x-ratelimit-remaining-requests"], "0")
            self.assertEqual(reply.json()["error"]["code"], "rate_limit_exceeded")
        self.assertEqual(server.ask("GET", "/v1/models").status, 200)  # computes nothing
        self.assertGreaterEqual(server.metric("tern_key_refused_total"), 1)
        self.assertEqual(server.metric("tern_http_responses_429_total"), len(refused))

    def test_tokens_beyond_the_limit_of_a_key(self) -> None:
        keys = Keys()
        alice = keys.make("alice", "tokens-per-minute = 12\n")
        bob = keys.make("bob")
        server = self.server(keys)
        server.key = alice
        long = ONCE | {"max_tokens": 30, "ignore_eos": True}
        first = server.ask("POST", "/v1/completions", long)
        self.assertEqual(first.status, 200)  # what is left is enough to begin
        refused = server.ask("POST", "/v1/completions", ONCE)
        self.assertEqual(refused.status, 429)
        self.assertIn("12 tokens", refused.json()["error"]["message"])
        # 36 tokens of 12: it takes two minutes for the debt.
        self.assertTrue(60 < int(refused.headers["retry-after"]) <= 130)
        self.assertEqual(refused.headers["x-ratelimit-remaining-tokens"], "0")
        self.assertRegex(refused.headers["x-ratelimit-reset-tokens"], r"\A[23]m\d+s\Z")
        server.key = bob
        self.assertEqual(server.ask("POST", "/v1/completions", ONCE).status, 200)

    def test_requests_at_once_take_no_more_tokens_than_the_limit(self) -> None:
        keys = Keys()
        alice = keys.make("alice", "tokens-per-minute = 700\n")
        server = self.server(keys, "--parallel", "8")
        server.key = alice
        long = ONCE | {"max_tokens": 300, "ignore_eos": True}  # and 6 of the prompt
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            replies = list(
                pool.map(lambda _: server.ask("POST", "/v1/completions", long), range(8))
            )
        good = [reply for reply in replies if reply.status == 200]
        # Some come back while they are computed, where the machine is slow.
        self.assertTrue(2 <= len(good) <= 4, [reply.status for reply in replies])
        for reply in replies:
            if reply.status != 200:
                self.assertEqual(reply.status, 429)
                self.assertIn("may take 306", reply.json()["error"]["message"])
        self.assertLess(server.metric("tern_key_generated_tokens_total"), 300 * 5)

    def test_tokens_that_were_not_used_come_back(self) -> None:
        keys = Keys()
        alice = keys.make("alice", "tokens-per-minute = 8000\n")
        server = self.server(keys, "--parallel", "8")
        server.key = alice

        def left(reply: Reply) -> int:
            return int(reply.headers["x-ratelimit-remaining-tokens"])

        # 6 of the prompt, and 16 answers of 480, which end with their first word.
        long = ONCE | {"n": 16, "max_tokens": 480}
        short = long | {"stop": [",", " ", "."]}
        for stream in (False, True):
            reply = server.ask("POST", "/v1/completions", short | {"stream": stream})
            self.assertEqual(reply.status, 200)
            # The head of a stream comes before its end.
            self.assertEqual(left(reply) > 5000, not stream, reply.headers)
        lines = server.stream("/v1/completions", long | {"ignore_eos": True, "stream": True})
        next(lines)
        lines.close()  # the client leaves
        until = time.monotonic() + 20  # not so long that time alone gives them back
        while left(server.ask("POST", "/tokenize", {"content": "a"})) < 5000:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)

    def test_embeddings_take_tokens_too(self) -> None:
        keys = Keys()
        alice = keys.make("alice", "tokens-per-minute = 12\n")
        server = self.server(keys, "--pooling", "mean")
        server.key = alice
        for status in (200, 429):
            reply = server.ask("POST", "/v1/embeddings", {"input": [[5] * 40, [6] * 40]})
            self.assertEqual(reply.status, status)
        self.assertEqual(server.metric("tern_key_prompt_tokens_total"), 80)

    def test_prompts_that_were_not_computed_cost_nothing(self) -> None:
        keys = Keys()
        alice = keys.make("alice", "tokens-per-minute = 100000\n")
        server = self.server(keys, "--parallel", "1", "--queue", "64")
        server.key = alice
        prompts = [[5 + i] * 400 for i in range(60)]
        request = {"prompt": prompts, "max_tokens": 1, "ignore_eos": True, "deadline_ms": 1}
        reply = server.ask("POST", "/v1/completions", request)
        ends = [choice.get("end_reason") for choice in reply.json()["choices"]]
        self.assertIn("deadline", ends)
        whole = ends.count(None) * 400
        used = server.metric("tern_key_prompt_tokens_total")
        self.assertGreaterEqual(used, whole)
        self.assertLess(used, whole + 400)  # one may have been cut short
        left = int(reply.headers["x-ratelimit-remaining-tokens"])
        self.assertGreaterEqual(left, 100_000 - used - 60)

    def test_answers_at_once(self) -> None:
        keys = Keys()
        alice = keys.make("alice", "answers-at-once = 2\nrequests-per-minute = 3\n")
        bob = keys.make("bob")
        server = self.server(keys, "--pooling", "mean")
        endless = {"prompt": "Once", "max_tokens": 400, "ignore_eos": True, "stream": True, "n": 2}
        server.key = alice
        lines = server.stream("/v1/completions", endless)
        next(lines)
        few = {"prompt": "Once", "max_tokens": 1}
        texts = {"input": "Once"}
        for path, body in (("/v1/completions", few), ("/v1/embeddings", texts)):
            server.key = alice
            reply = server.ask("POST", path, body)
            self.assertEqual(reply.status, 429, reply.body)
            error = reply.json()["error"]
            self.assertEqual(error["code"], "rate_limit_exceeded")
            self.assertIn("2 answers at once and has 2", error["message"])
            self.assertEqual(reply.headers["retry-after"], "1")
            self.assertGreaterEqual(int(reply.headers["x-ratelimit-remaining-requests"]), 2)
            server.key = bob
            self.assertEqual(server.ask("POST", path, body).status, 200)
        self.assertTrue(b"".join(lines).endswith(b"data: [DONE]\n\n"))
        server.key = alice
        for path, body in (("/v1/completions", few | {"n": 3}), ("/v1/embeddings", texts)):
            self.assertEqual(server.ask("POST", path, body).status, 200)

    def test_a_chat_that_names_no_number_goes_on_with_what_is_left(self) -> None:
        keys = Keys()
        alice = keys.make("alice", "tokens-per-minute = 300\n")
        server = self.server(keys)  # with a context of more
        server.key = alice
        hello = {"messages": [{"role": "user", "content": "Hello"}]}
        short = hello | {"stop": [",", " ", "."]}
        path = "/v1/chat/completions"
        for _ in range(3):
            self.assertEqual(server.ask("POST", path, short).status, 200)
        refused = server.ask("POST", path, short | {"max_tokens": 300})
        self.assertEqual(refused.status, 429)
        begin = time.monotonic()
        self.assertEqual(server.ask("POST", path, hello | {"ignore_eos": True}).status, 200)
        refused = server.ask("POST", path, short)  # what was more than was left is waited for
        self.assertEqual(refused.status, 429)
        waits = int(refused.headers["retry-after"]) + time.monotonic() - begin
        self.assertGreater(waits, 30)  # from when tokens began to come back

    def test_without_tokens_a_request_keeps_no_place(self) -> None:
        keys = Keys()
        alice = keys.make("alice", "requests-per-minute = 4\ntokens-per-minute = 12\n")
        server = self.server(keys)
        server.key = alice
        self.assertEqual(server.ask("POST", "/tokenize", {"content": "a"}).status, 200)
        self.assertEqual(server.ask("POST", "/v1/completions", ONCE).status, 200)
        for _ in range(5):
            reply = server.ask("POST", "/v1/completions", ONCE | {"max_tokens": 400})
            self.assertEqual(reply.status, 429)
            self.assertIn("tokens", reply.json()["error"]["message"])
            self.assertGreaterEqual(int(reply.headers["x-ratelimit-remaining-requests"]), 2)
        self.assertEqual(server.metric("tern_key_requests_total"), 2)
        self.assertEqual(server.metric("tern_key_refused_total"), 5)

    def test_a_place_comes_back_with_time(self) -> None:
        keys = Keys()
        server_keys = keys.make("alice", "requests-per-minute = 60\n")
        server = self.server(keys)
        server.key = server_keys
        until = time.monotonic() + SECONDS
        while server.ask("POST", "/tokenize", {"content": "a"}).status != 429:
            self.assertLess(time.monotonic(), until)
        time.sleep(1.1)
        self.assertEqual(server.ask("POST", "/tokenize", {"content": "a"}).status, 200)

    def test_keys_come_and_go_at_sighup(self) -> None:
        keys = Keys()
        alice = keys.make("alice", "requests-per-minute = 1\n")
        server = self.server(keys)
        server.key = alice
        self.assertEqual(server.ask("POST", "/v1/completions", ONCE).status, 200)
        bob = keys.make("bob")
        server.hang_up()
        self.assertEqual(server.ask("POST", "/v1/completions", ONCE).status, 429)  # still
        server.key = bob
        self.assertEqual(server.ask("GET", "/v1/models").status, 200)
        keys.write("")
        self.assertIn("at least one key", server.hang_up())
        self.assertEqual(server.ask("GET", "/v1/models").status, 200)
        only = Keys()
        carol = only.make("carol")
        keys.write(only.text)
        server.hang_up()
        self.assertEqual(server.ask("GET", "/v1/models").status, 401)
        server.key = carol
        self.assertEqual(server.ask("GET", "/v1/models").status, 200)

    def test_no_reload_drops_the_keys(self) -> None:
        keys = Keys()
        alice = keys.make("alice")
        config = keys.path.with_name("tern.toml")
        config.write_text(f'api-keys = "{keys.path}"\n', encoding="utf-8")
        server = Server("--config", str(config), "--listen", "0.0.0.0:0")
        self.addCleanup(server.close)
        self.assertEqual(server.ask("GET", "/v1/models").status, 401)
        self.assertNotIn("anybody", server.hang_up())
        for text, words in (
            ("", f"{config}: the file is empty"),
            ("queue = 3\n", "api-keys: the setting is gone"),
        ):
            config.write_text(text, encoding="utf-8")
            said = server.hang_up()
            self.assertIn(words, said)
            self.assertIn("all stays as it was", said)
            self.assertEqual(server.ask("GET", "/v1/models").status, 401)
        server.key = alice
        self.assertEqual(server.ask("GET", "/v1/models").status, 200)

    def test_a_key_is_exchanged_while_both_hold(self) -> None:
        keys = Keys()
        old, new = keys.make("alice"), keys.make("carol")
        hashes = [f'"sha256:{hashlib.sha256(key.encode()).hexdigest()}"' for key in (old, new)]
        keys.write(f"[alice]\nhash = [{', '.join(hashes)}]\nrequests-per-minute = 2\n")
        server = self.server(keys)
        for key, status in ((old, 200), (new, 200), (old, 429), (new, 429)):
            server.key = key  # of one name, and of one account
            self.assertEqual(server.ask("POST", "/v1/completions", ONCE).status, status)
        text = server.ask("GET", "/metrics").body.decode()
        self.assertEqual(text.count('tern_key_requests_total{key="alice"} 2'), 1)
        keys.write(f"[alice]\nhash = {hashes[1]}\n")
        server.hang_up()
        for key, status in ((old, 401), (new, 200)):
            server.key = key
            self.assertEqual(server.ask("GET", "/v1/models").status, status)

    def test_wrong_files_of_keys(self) -> None:
        hash_line = f'hash = "sha256:{"0" * 64}"\n'
        for text, words in (
            ("", ("at least one key",)),
            (hash_line, (":1:1:", "before the first")),
            ("[alice]\n", (":1:1:", "a hash")),
            ('[alice]\nhash = "sha256:00"\n', (":2:1:", "64 hexadecimal digits")),
            (f'[alice]\nhash = "sha256:{"A" * 64}"\n', ("lower case",)),
            (f'[alice]\nhash = "{"0" * 64}"\n', ("sha256:",)),
            ("[alice]\nhash = 3\n", ("sha256:",)),
            ("[alice]\nhash = []\n", (":2:1:", "or a list of such")),
            (f'[alice]\nhash = ["sha256:{"0" * 64}", "x"]\n', (":2:1:", "or a list of such")),
            (f'[alice]\nhash = ["sha256:{"0" * 64}", "sha256:{"0" * 64}"]\n', ("the same hash",)),
            (f"[alice]\n{hash_line}request-per-minute = 3\n", (":3:1:", "requests-per-minute?")),
            (f"[alice]\n{hash_line}requests-per-minute = 0\n", (":3:1:", "found 0")),
            (f"[alice]\n{hash_line}tokens-per-minute = 'x'\n", (":3:1:", "found a text")),
            (f"[alice]\n{hash_line}[bob]\n{hash_line}", (":3:1:", "alice")),
            (f'["a b"]\n{hash_line}', (":1:1:", '"a b"')),
            (f"[{'a' * 65}]\n{hash_line}", ("1 to 64",)),
            (f"[alice]\n{hash_line}[alice.x]\ny = 1\n", ("table",)),
        ):
            keys = Keys()
            keys.write(text)
            with self.subTest(text=text):
                self.assert_refused(keys, *words)
        keys = Keys()
        keys.make("alice")
        keys.path.chmod(0o644)
        self.assert_refused(keys, "chmod o-rw")
        named = subprocess.run(
            [TERN, "serve", "--make-key", "a b"], capture_output=True, text=True, check=False
        )
        self.assertEqual(named.returncode, 2)

    def test_what_the_help_says_makes_a_file_that_is_taken(self) -> None:
        text = subprocess.run([TERN, "serve", "--help"], capture_output=True, check=True).stdout
        (line,) = (line for line in text.decode().splitlines() if "--make-key alice" in line)
        folder = new_folder()
        tern = f'umask 022; tern() {{ {shlex.quote(str(Path(TERN).resolve()))} "$@"; }}; '
        subprocess.run(["sh", "-c", tern + line], cwd=folder, check=True, capture_output=True)
        server = Server("--api-keys", str(folder / "keys.toml"))
        self.addCleanup(server.close)
        self.assertEqual(server.ask("GET", "/v1/models").status, 401)

    def assert_refused(self, keys: Keys, *words: str) -> None:
        outcome = subprocess.run(
            [TERN, "serve", "--api-keys", str(keys.path), "--listen", "127.0.0.1:0"],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        self.assertIn(outcome.returncode, (2, 4), outcome.stderr)
        for word in words:
            self.assertIn(word, outcome.stderr)


class AdminTest(unittest.TestCase):
    def test_administrators_have_an_address_of_their_own(self) -> None:
        keys = Keys()
        keys.make("alice")
        server = Server("--api-keys", str(keys.path), "--admin-listen", "127.0.0.1:0")
        self.addCleanup(server.close)
        public, admin = server.ports
        for path, on_public, on_admin in (
            ("/health", 200, 200),
            ("/ready", 404, 200),
            ("/metrics", 404, 200),
            ("/v1/models", 401, 404),
            ("/openapi.json", 200, 200),
        ):
            for port, status in ((public, on_public), (admin, on_admin)):
                with self.subTest(path=path, port=port):
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
                    connection.request("GET", path)
                    self.assertEqual(connection.getresponse().status, status)
                    connection.close()

    def test_they_see_that_a_server_drains(self) -> None:
        server = Server("--admin-listen", "127.0.0.1:0", "--drain", "600")
        self.addCleanup(server.close)
        long = ONCE | {"max_tokens": 400, "n": 2, "ignore_eos": True, "stream": True}
        lines = server.stream("/v1/completions", long)
        next(lines)
        server.process.send_signal(signal.SIGTERM)
        server.port = server.ports[1]
        until = time.monotonic() + SECONDS
        while (reply := server.ask("GET", "/ready")).status == 200:
            self.assertLess(time.monotonic(), until)
        self.assertEqual(reply.json()["status"], "draining")
        self.assertTrue(b"".join(lines).endswith(b"data: [DONE]\n\n"))
        self.assertEqual(server.end(), 0)


if __name__ == "__main__":
    unittest.main()
