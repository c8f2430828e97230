"""Answers that come as events: whole, in order, and again from where a client lost them."""

import concurrent.futures
import json
import tempfile
import threading
import time
import unittest
from pathlib import Path
from typing import Any

from server import SECONDS, Server, ServeTest

TALE = {"prompt": "Once upon a time", "max_tokens": 30, "seed": 11, "stream": True}
CHAT = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20, "stream": True}


class StreamsTest(ServeTest):
    def whole(self, body: dict[str, Any], path: str = "/v1/completions") -> Any:
        body = {k: v for k, v in body.items() if k not in ("stream", "stream_options")}
        return self.post(path, body).json()

    def test_events_make_the_answer(self) -> None:
        reply = self.post("/v1/completions", TALE)
        self.assertEqual(reply.headers["content-type"], "text/event-stream; charset=utf-8")
        self.assertEqual(reply.headers["x-accel-buffering"], "no")  # else nginx gathers events
        self.assertEqual(reply.events()[-1], (reply.events()[-2][0], "[DONE]"))
        chunks = reply.chunks()
        for chunk in chunks:
            self.valid(chunk, "CompletionChunk")
        self.assertEqual(chunks[0]["seed"], 11)
        self.assertEqual(chunks[0]["choices"][0]["text"], "")
        text = "".join(chunk["choices"][0]["text"] for chunk in chunks)
        self.assertEqual(text, self.whole(TALE)["choices"][0]["text"])
        reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
        self.assertEqual(reasons, [None] * (len(chunks) - 1) + ["length"])

    def test_a_chat_begins_with_its_role_and_seed(self) -> None:
        wanted = CHAT | {"stream_options": {"include_usage": True}}
        reply = self.post("/v1/chat/completions", wanted)
        chunks = reply.chunks()
        for chunk in chunks:
            self.valid(chunk, "ChatCompletionChunk")
        self.assertEqual(chunks[0]["choices"][0]["delta"], {"role": "assistant", "content": ""})
        seed = chunks[0]["seed"]
        self.assertEqual(chunks[-1]["choices"], [])
        whole = self.whole(CHAT | {"seed": seed}, "/v1/chat/completions")
        self.assertEqual(chunks[-1]["usage"], whole["usage"])
        text = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks[:-1])
        self.assertEqual(text, whole["choices"][0]["message"]["content"])

    def test_no_event_before_a_token(self) -> None:
        """Load generators take the first event for the first token."""
        server = Server("--parallel", "1")
        self.addCleanup(server.close)

        def times(body: dict[str, Any], begun: threading.Event) -> list[float]:
            found = []
            for line in server.stream("/v1/completions", body):
                begun.set()
                if line.startswith(b"data: "):
                    found.append(time.monotonic())
            return found

        begun = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            before = pool.submit(
                times, TALE | {"n": 8, "max_tokens": 60, "ignore_eos": True}, begun
            )
            self.assertTrue(begun.wait(SECONDS))
            waited = pool.submit(times, TALE | {"max_tokens": 2}, threading.Event())
            before, waited = before.result(), waited.result()
        self.assertGreater(waited[0], before[len(before) // 2])

    def test_usage_so_far(self) -> None:
        """guidellm asks for it; of each choice its own, so that an event is always the same."""
        options = {"include_usage": True, "continuous_usage_stats": True}
        wanted = {"prompt": ["The king", "Once upon a time"], "max_tokens": 4, "n": 2, "seed": 7}
        body = wanted | {"stream": True, "stream_options": options, "logprobs": 0}
        reply = self.post("/v1/completions", body)
        chunks = reply.chunks()
        prompts = [
            len(self.post("/tokenize", {"content": prompt}).json()["tokens"])
            for prompt in wanted["prompt"]
        ]
        first, last = chunks[0], chunks[-1]
        self.assertEqual(first["usage"]["prompt_tokens"], sum(prompts))
        self.assertEqual(first["usage"]["completion_tokens"], 0)
        self.assertEqual((last["choices"], last["usage"]["completion_tokens"]), ([], 16))
        for index in range(4):
            own = [c["usage"] for c in chunks[1:-1] if c["choices"][0]["index"] == index]
            self.assertEqual({usage["prompt_tokens"] for usage in own}, {prompts[index // 2]})
            self.assertEqual([usage["completion_tokens"] for usage in own], [1, 2, 3, 4, 4])
            self.assertEqual(own[-1]["total_tokens"], prompts[index // 2] + 4)
        events = reply.events()
        rest = self.post("/v1/completions", body, Last_Event_ID=events[6][0]).events()
        found = sorted(data for _, data in rest)
        self.assertEqual(found, sorted(data for _, data in events[7:]))

    def test_a_stream_goes_on_after_any_event(self) -> None:
        for body in (
            TALE | {"max_tokens": 8},
            TALE | {"max_tokens": 6, "n": 2, "logprobs": 1},
            TALE | {"max_tokens": 8, "seed": None},
        ):
            events = self.post("/v1/completions", body).events()
            for i, (last, _) in enumerate(events[:-1]):
                rest = self.post("/v1/completions", body, Last_Event_ID=last).events()
                with self.subTest(last=last):
                    expected = sorted(data for _, data in events[i + 1 :])
                    found = sorted(data for _, data in rest)
                    self.assertEqual(found, expected)

    def test_a_stream_that_went_on_goes_on_again(self) -> None:
        """Also before all choices are as far as the client has seen them."""
        body = TALE | {"max_tokens": 8, "n": 2, "logprobs": 1}
        last = self.post("/v1/completions", body).events()[0][0]
        seen = last.replace(".0-0", ".6-1")
        self.assertNotEqual(seen, last)
        events = self.post("/v1/completions", body, Last_Event_ID=seen).events()
        self.assertEqual(len(events), 3 + 8 + 1)  # an end for each choice, and [DONE]
        for i, (last, _) in enumerate(events[:-1]):
            rest = self.post("/v1/completions", body, Last_Event_ID=last).events()
            with self.subTest(last=last):
                self.assertEqual(sorted(d for _, d in rest), sorted(d for _, d in events[i + 1 :]))

    def test_plain_events(self) -> None:
        """Load generators and many scripts take each line, or each block, for data."""
        body = TALE | {"max_tokens": 3}
        server = Server("--plain-events")
        self.addCleanup(server.close)
        for accept, has_ids in (
            ("*/*", False),
            ("application/json", False),
            ("text/event-streams", False),
            ("text/event-stream", True),
            ("application/json;q=0.5, Text/Event-Stream ;q=0.9", True),
        ):
            with self.subTest(accept=accept):
                reply = server.ask("POST", "/v1/completions", body, {"Accept": accept})
                self.assertEqual([last != "" for last, _ in reply.events()], [has_ids] * 6)
                usual = self.post("/v1/completions", body, Accept=accept).events()
                self.assertNotIn("", [last for last, _ in usual])
        plain = server.ask("POST", "/v1/completions", body).body.decode()
        for block in plain.split("\n\n")[:-2]:
            self.valid(json.loads(block.removeprefix("data: ")), "CompletionChunk")
        after = {"Last-Event-ID": self.post("/v1/completions", body).events()[2][0]}
        rest = server.ask("POST", "/v1/completions", body, after).events()
        self.assertNotEqual(rest[0][0], "")  # who had one gets the next

    def test_wrong_event_ids(self) -> None:
        ids = (
            "x",
            "cmpl-1.5.1",
            "cmpl-1.x.7.0",
            "cmpl-1.5.x.0",
            "cmpl-1.5.-1.0",
            "cmpl-1.5.253402300800.0",
            "cmpl-1.5.7.",
            "cmpl-1.5.7.1-",
            "cmpl-1.5.7.1-2",
            "cmpl-1.5.7.1.",
            "cmpl-A.5.7.1",
        )
        for last in ids:
            reply = self.server.ask("POST", "/v1/completions", TALE, {"Last-Event-ID": last})
            self.assertEqual(reply.status, 400, last)
            self.assertIn("Last-Event-ID", reply.json()["error"]["message"])

    def test_nothing_goes_on_as_another_answer(self) -> None:
        last = self.post("/v1/completions", TALE).events()[2][0]
        for other in (
            {"prompt": "The king"},
            {"temperature": 0.5},
            {"seed": 12},
            {"n": 2},
            {"stop": "x"},
            {"echo": True},
            {"logprobs": 0},
            {"max_tokens": 29},
            {"ignore_eos": True},
            {"stop_token_ids": [5]},
            {"min_tokens": 1},
            {"stop": "x", "include_stop_str_in_output": True},
            {"logit_bias": {"5": 1}},
            {"max_tokens": None},
        ):
            with self.subTest(other=other):
                reply = self.post("/v1/completions", TALE | other, 400, Last_Event_ID=last)
                self.assertIn("same request", reply.json()["error"]["message"])
        whole = self.post("/v1/completions", TALE | {"stream": False}, 400, Last_Event_ID=last)
        self.assertIn('"stream": true', whole.json()["error"]["message"])
        for same in ({"user": "a"}, {"deadline_ms": 100000}, {"temperature": None}):
            self.post("/v1/completions", TALE | same, Last_Event_ID=last)

    def test_more_than_there_is_has_not_been_seen(self) -> None:
        last = self.post("/v1/completions", TALE).events()[-1][0]
        again = self.post("/v1/completions", TALE, Last_Event_ID=last).events()
        self.assertEqual([data for _, data in again], ["[DONE]"])
        seen, count = last.rsplit(".", 1)
        more = f"{seen}.{int(count) + 1}"
        again = self.post("/v1/completions", TALE, Last_Event_ID=more).events()
        self.assertEqual(len(again), 1)
        self.assertIn("Last-Event-ID", json.loads(again[0][1])["error"]["message"])

    def test_another_template_is_another_fingerprint(self) -> None:
        plain = Server("--chat-template", "plain")
        self.addCleanup(plain.close)
        for path, body, same in (
            ("/v1/completions", TALE, True),
            ("/v1/chat/completions", CHAT, False),
        ):
            found = {
                server.ask("POST", path, body).chunks()[0]["system_fingerprint"]
                for server in (self.server, plain)
            }
            self.assertEqual(len(found) == 1, same, found)

    def test_no_limits_cut_what_others_began(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            settings = Path(folder) / "tern.toml"
            settings.write_text("max-tokens = 40\n", encoding="utf-8")
            server = Server("--config", str(settings))
            self.addCleanup(server.close)
            body = CHAT | {"max_tokens": None, "ignore_eos": True, "seed": 3}
            path = "/v1/chat/completions"
            last = server.ask("POST", path, body).events()[20][0]
            settings.write_text("max-tokens = 8\n", encoding="utf-8")
            server.hang_up()
            reply = server.ask("POST", path, body, {"Last-Event-ID": last})
            self.assertEqual(reply.status, 400, reply.body)
            self.assertIn("limits", reply.json()["error"]["message"])
        small = Server("--ctx-size", "100")
        self.addCleanup(small.close)
        for own, status in ({"max_tokens": 20}, 200), ({"max_tokens": None}, 400):
            last = self.post(path, body | own).events()[9][0]
            reply = small.ask("POST", path, body | own, {"Last-Event-ID": last})
            self.assertEqual(reply.status, status, reply.body)

    def test_no_server_goes_on_with_what_another_began(self) -> None:
        last = self.post("/v1/completions", TALE).events()[2][0]
        for arguments, status in (
            (("--parallel", "2"), 200),  # changes no bit
            (("--kv", "int8"), 400),
            (("--chat-template", "plain"), 400),
        ):
            with self.subTest(arguments=arguments):
                other = Server(*arguments)
                self.addCleanup(other.close)
                reply = other.ask("POST", "/v1/completions", TALE, {"Last-Event-ID": last})
                self.assertEqual(reply.status, status, reply.body)
                if status == 400:
                    self.assertIn("type of keys", reply.json()["error"]["message"])

    def test_a_client_that_goes_frees_its_place(self) -> None:
        endless = TALE | {"max_tokens": 500, "n": 8, "ignore_eos": True}
        lines = self.server.stream("/v1/completions", endless)
        next(lines)
        lines.close()
        until = time.monotonic() + SECONDS
        while self.server.metric("tern_engine_running") > 0 and time.monotonic() < until:
            time.sleep(0.05)
        self.assertEqual(self.server.metric("tern_engine_running"), 0)
        self.assertEqual(self.server.metric("tern_engine_kv_use"), 0)

    def test_nobody_changes_anothers_answer(self) -> None:
        """Many at once, some of which go early: each gets what it would have alone."""
        bodies = [
            {
                "prompt": "The king and the " + "fair " * (i % 5 * 7) + "queen",
                "max_tokens": 5 + i * 7 % 40,
                "temperature": i % 3 / 2,
                "seed": i,
            }
            for i in range(24)
        ]
        alone = [self.whole(body)["choices"] for body in bodies]

        def ask(i: int) -> Any:
            if i % 6 == 5:
                lines = self.server.stream("/v1/completions", bodies[i] | {"stream": True})
                next(lines)
                lines.close()
                return alone[i]
            return self.whole(bodies[i])["choices"]

        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            self.assertEqual(list(pool.map(ask, range(len(bodies)))), alone)


if __name__ == "__main__":
    unittest.main()
