"""What each path answers, right requests and wrong ones, held to the OpenAPI document."""

import gzip
import re
import socket
import subprocess
import time
import unittest
from typing import Any

from server import OPENAPI, ROOT, SECONDS, TERN, Server, ServeTest, load

ONCE = {"prompt": "Once upon a time", "max_tokens": 12, "temperature": 0}


class ModelsTest(ServeTest):
    def test_models(self) -> None:
        models = self.get("/v1/models").json()
        self.valid(models, "ModelList")
        model = models["data"][0]
        self.assertEqual(model["id"], "tern-tales")
        self.assertEqual(model["context_length"], 512)
        self.assertEqual(self.get("/v1/models/tern-tales").json(), model)
        error = self.get("/v1/models/gpt-4o", 404).json()
        self.valid(error, "Error")
        self.assertEqual(error["error"]["code"], "model_not_found")

    def test_health_and_readiness(self) -> None:
        self.assertEqual(self.get("/health").json(), {"status": "ok"})
        ready = self.get("/ready").json()
        self.valid(ready, "Ready")
        self.assertEqual(ready["status"], "ready")

    def test_openapi_is_the_published_document(self) -> None:
        self.assertEqual(self.get("/openapi.json").json(), load(ROOT / "schemas" / "openapi.json"))

    def test_metrics(self) -> None:
        self.post("/v1/completions", ONCE)
        text = self.get("/metrics").body.decode()
        for line in (
            "# TYPE tern_engine_generated_tokens_total counter",
            "# TYPE tern_http_first_token_seconds histogram",
            "# TYPE tern_engine_kv_use gauge",
            'tern_http_between_tokens_seconds_bucket{le="+Inf"}',
            "tern_engine_waiting 0",
            "tern_http_connections_starved_total 0",
            "tern_http_responses_429_total 0",
        ):
            self.assertIn(line, text)
        start = re.search(r"^process_start_time_seconds ([0-9.e+]+)$", text, re.M)
        assert start is not None
        self.assertLess(float(start[1]), time.time() + 2)
        self.assertGreater(float(start[1]), time.time() - 3600)
        values = dict(re.findall(r"^(process_\w+) ([0-9.e+]+)$", text, re.M))
        self.assertEqual(values.pop("process_start_time_seconds"), start[1])
        least = {
            "process_resident_memory_bytes": 1 << 20,
            "process_virtual_memory_bytes": 1 << 20,
            "process_open_fds": 3,
            "process_max_fds": 64,
            "process_cpu_seconds_total": 0.001,
        }
        self.assertEqual(values.keys(), least.keys())
        for name, value in least.items():
            self.assertGreater(float(values[name]), value)
        self.assertIn("# TYPE process_cpu_seconds_total counter\n", text)
        self.assertIn("# TYPE process_open_fds gauge\n", text)
        self.assertRegex(text, r'tern_build_info\{version="[0-9.]+\+\w+",model="tern-tales"\} 1')

    def test_answers_are_counted_by_their_ends(self) -> None:
        server = Server("--parallel", "2", "--pooling", "mean")
        self.addCleanup(server.close)
        path = "/v1/completions"
        server.ask("POST", path, ONCE | {"n": 2})
        server.ask("POST", path, ONCE | {"logit_bias": {"1": 100}})
        server.ask("POST", path, ONCE | {"max_tokens": 400, "deadline_ms": 1, "ignore_eos": True})
        server.ask("POST", path, ONCE | {"temperature": 9})
        server.ask("POST", "/v1/embeddings", {"input": "a"})
        for end, count in (("length", 2), ("stop", 1), ("deadline", 1), ("cancelled", 0)):
            self.assertEqual(server.metric(f"tern_http_answers_{end}_total"), count, end)
        self.assertEqual(server.metric("tern_http_answer_seconds_count"), 3)  # that went well
        self.assertEqual(server.metric("tern_http_embedding_seconds_count"), 1)

    def test_counters_are_there_before_they_count_and_say_what_they_are(self) -> None:
        text = self.get("/metrics").body.decode()
        self.assertIn("\ntern_http_responses_5xx_total 0\n", text)
        self.assertIn("\ntern_scheduler_set_back_total 0\n", text)
        defined = load(ROOT / "schemas" / "telemetry-v1.json")["$defs"].values()
        metrics = [d for d in defined if "samples" in d.get("properties", {})]
        described = {m["properties"]["name"]["const"]: m["description"] for m in metrics}
        helped = dict(re.findall(r"^# HELP (\w+) (.+)$", text, re.MULTILINE))
        for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE):
            self.assertIn(name, helped)
            if kind != "gauge":
                self.assertEqual(helped[name], described[name])

    def test_request_ids(self) -> None:
        made = self.get("/health").headers["x-request-id"]
        self.assertRegex(made, r"\Areq-[0-9a-f]{24}\Z")
        given = self.post("/v1/completions", ONCE, x_request_id="mine-7").headers["x-request-id"]
        self.assertEqual(given, "mine-7")
        bad = self.post("/v1/completions", ONCE, x_request_id="a b").headers["x-request-id"]
        self.assertRegex(bad, r"\Areq-")
        self.assertIn('"request_id":"mine-7"', self.server.log.read_text())
        self.assertNotIn("Once upon", self.server.log.read_text())

    def test_wrong_paths_and_methods(self) -> None:
        self.assertEqual(self.get("/v2/models", 404).json()["error"]["code"], "not_found")
        reply = self.server.ask("GET", "/v1/completions")
        self.assertEqual((reply.status, reply.headers["allow"]), (405, "POST"))
        reply = self.server.ask("DELETE", "/v1/models")
        self.assertEqual((reply.status, reply.headers["allow"]), (405, "GET, HEAD"))
        self.valid(reply.json(), "Error")
        self.assertEqual(self.server.ask("HEAD", "/health").body, b"")


class CompletionsTest(ServeTest):
    def test_a_completion_is_what_tern_run_writes(self) -> None:
        completion = self.post("/v1/completions", ONCE).json()
        self.valid(completion, "Completion")
        run = subprocess.run(
            [TERN, "run", "Once upon a time", "-n", "12", "--temp", "0"],
            capture_output=True,
            check=True,
        )
        choice = completion["choices"][0]
        self.assertEqual(choice["text"], run.stdout.decode())
        self.assertEqual(choice["finish_reason"], "length")
        self.assertEqual(
            completion["usage"], {"prompt_tokens": 6, "completion_tokens": 12, "total_tokens": 18}
        )

    def test_a_seed_repeats_an_answer(self) -> None:
        wanted = {"prompt": "The king", "max_tokens": 10, "temperature": 1}
        first = self.post("/v1/completions", wanted).json()
        again = self.post("/v1/completions", wanted | {"seed": first["seed"]}).json()
        other = self.post("/v1/completions", wanted | {"seed": first["seed"] + 1}).json()
        self.assertEqual(again["choices"], first["choices"])
        self.assertNotEqual(other["choices"][0]["text"], first["choices"][0]["text"])

    def test_prompts_of_all_forms(self) -> None:
        tokens = self.post("/tokenize", {"content": "Once upon a time"}).json()["tokens"]
        text = self.post("/v1/completions", ONCE).json()["choices"][0]["text"]
        for prompt in (tokens, [tokens], ["Once upon a time"]):
            choices = self.post("/v1/completions", ONCE | {"prompt": prompt}).json()["choices"]
            self.assertEqual([c["text"] for c in choices], [text])
        both = self.post("/v1/completions", ONCE | {"prompt": ["The king", "Once upon a time"]})
        self.assertEqual([c["index"] for c in both.json()["choices"]], [0, 1])
        self.assertEqual(both.json()["choices"][1]["text"], text)
        echo = self.post("/v1/completions", ONCE | {"echo": True}).json()
        self.assertEqual(echo["choices"][0]["text"], "Once upon a time" + text)
        echo = self.post("/v1/completions", ONCE | {"prompt": tokens, "echo": True}).json()
        self.assertEqual(echo["choices"][0]["text"], "Once upon a time" + text)

    def test_log_probabilities_of_an_echoed_prompt(self) -> None:
        """As evaluation harnesses ask for them; each is that of an answer to what stands before."""
        text = "Once upon a time there was a k\u00f6nig"
        tokens = self.post("/tokenize", {"content": text}).json()["tokens"]
        wanted = ONCE | {"max_tokens": 1, "logprobs": 3, "echo": True}
        completion = self.post(
            "/v1/completions", wanted | {"prompt": [tokens, text], "n": 2}
        ).json()
        self.valid(completion, "Completion")
        for choice in completion["choices"]:
            self.assertEqual(choice, completion["choices"][0] | {"index": choice["index"]})
        choice = completion["choices"][0]
        found = choice["logprobs"]
        self.assertEqual({len(values) for values in found.values()}, {len(tokens) + 1})
        self.assertEqual((found["token_logprobs"][0], found["top_logprobs"][0]), (None, None))
        for i in range(1, len(tokens) + 1):
            before = ONCE | {"prompt": tokens[:i], "max_tokens": 1, "logprobs": 20}
            own = self.post("/v1/completions", before).json()["choices"][0]["logprobs"]
            likely = list(own["top_logprobs"][0].items())
            top = list(found["top_logprobs"][i].items())  # fewer where texts are equal
            if top[-1] not in likely[: len(top)]:  # the token itself, which is none of the likely
                self.assertEqual(top.pop(), (found["tokens"][i], found["token_logprobs"][i]))
            self.assertEqual(top, likely[: len(top)])
            if "\ufffd" in found["tokens"][i]:  # of several tokens
                continue
            if found["tokens"][i] in dict(likely):
                self.assertEqual(found["token_logprobs"][i], dict(likely)[found["tokens"][i]])
            else:
                self.assertLess(found["token_logprobs"][i], likely[-1][1])
        for token, at, end in zip(
            found["tokens"], found["text_offset"], found["text_offset"][1:], strict=False
        ):
            if "\ufffd" not in token and at > 0:
                self.assertEqual(choice["text"][at:end], token)
        self.assertEqual(found["text_offset"][-1], len(text))
        none = self.post("/v1/completions", wanted | {"prompt": tokens, "max_tokens": 0}).json()
        self.assertEqual(none["choices"][0]["text"], text)
        self.assertEqual(
            none["choices"][0]["logprobs"], {name: values[:-1] for name, values in found.items()}
        )

    def test_an_echoed_prompt_that_a_deadline_left_has_no_log_probabilities(self) -> None:
        server = Server("--parallel", "1")
        self.addCleanup(server.close)
        busy = server.stream("/v1/completions", ONCE | {"max_tokens": 400, "n": 8, "stream": True})
        self.addCleanup(busy.close)
        next(busy)
        wanted = ONCE | {"echo": True, "logprobs": 1, "deadline_ms": 1}
        choice = server.ask("POST", "/v1/completions", wanted).json()["choices"][0]
        self.assertEqual((choice["finish_reason"], choice["end_reason"]), ("length", "deadline"))
        self.assertEqual(choice["text"], "Once upon a time")
        found = choice["logprobs"]
        self.assertEqual((found["token_logprobs"], found["top_logprobs"]), ([None] * 6, [None] * 6))
        self.assertEqual((len(found["tokens"]), found["text_offset"][0]), (6, 0))

    def test_a_token_behind_an_echoed_prompt_even_where_the_answer_is_empty(self) -> None:
        """lm-evaluation-harness takes the last one for it, and leaves it out."""
        ends = ONCE | {"logit_bias": {"1": 100}, "logprobs": 1}
        choice = self.post("/v1/completions", ends | {"echo": True}).json()["choices"][0]
        self.assertEqual((choice["text"], choice["finish_reason"]), ("Once upon a time", "stop"))
        self.assertEqual(choice["logprobs"]["tokens"][-1], "<|eos|>")
        self.assertEqual(len(choice["logprobs"]["tokens"]), 6 + 1)
        self.assertIsNotNone(choice["logprobs"]["token_logprobs"][-1])
        plain = self.post("/v1/completions", ends).json()["choices"][0]
        self.assertEqual(plain["logprobs"]["tokens"], [])

    def test_special_tokens_take_no_place_in_the_text(self) -> None:
        ends = ONCE | {"max_tokens": 3, "logit_bias": {"1": 100}, "ignore_eos": True, "logprobs": 1}
        choice = self.post("/v1/completions", ends).json()["choices"][0]
        self.assertEqual((choice["text"], choice["logprobs"]["tokens"]), ("", ["<|eos|>"] * 3))
        self.assertEqual(choice["logprobs"]["text_offset"], [0, 0, 0])
        echo = self.post("/v1/completions", ends | {"echo": True}).json()["choices"][0]
        self.assertEqual(echo["text"], "Once upon a time")
        self.assertEqual(echo["logprobs"]["text_offset"][-3:], [16, 16, 16])

    def test_choices_have_seeds_of_their_own(self) -> None:
        wanted = {"prompt": "The king", "max_tokens": 6, "temperature": 1, "seed": 40}
        three = self.post("/v1/completions", wanted | {"n": 3}).json()["choices"]
        alone = [
            self.post("/v1/completions", wanted | {"seed": 40 + i}).json()["choices"][0]["text"]
            for i in range(3)
        ]
        self.assertEqual([c["text"] for c in three], alone)

    def test_stops_bias_and_penalties(self) -> None:
        plain = self.post("/v1/completions", ONCE).json()["choices"][0]["text"]
        stop = plain[8:12]
        stopped = self.post("/v1/completions", ONCE | {"stop": [stop, "~~~"]}).json()["choices"][0]
        self.assertEqual(stopped["text"], plain[: plain.index(stop)])
        self.assertEqual(stopped["finish_reason"], "stop")
        first = self.post("/tokenize", {"content": plain, "add_special": False}).json()["tokens"][0]
        banned = ONCE | {"logit_bias": {str(first): -100}}
        text = self.post("/v1/completions", banned).json()["choices"][0]["text"]
        self.assertNotEqual(text[0], plain[0])
        for name in ("presence_penalty", "frequency_penalty"):
            other = self.post("/v1/completions", ONCE | {name: 2}).json()["choices"][0]["text"]
            self.assertNotEqual(other, plain)

    def test_logprobs(self) -> None:
        completion = self.post("/v1/completions", ONCE | {"logprobs": 2}).json()
        self.valid(completion, "Completion")
        choice = completion["choices"][0]
        self.assertEqual("".join(choice["logprobs"]["tokens"]), choice["text"])
        for i, token in enumerate(choice["logprobs"]["tokens"]):
            top = choice["logprobs"]["top_logprobs"][i]
            self.assertEqual(len(top), 2)
            self.assertEqual(max(top, key=lambda t: top[t]), token)  # temperature 0
            offset = choice["logprobs"]["text_offset"][i]
            self.assertEqual(choice["text"][offset : offset + len(token)], token)
        none = self.post("/v1/completions", ONCE | {"logprobs": 2, "max_tokens": 0}).json()
        self.valid(none, "Completion")
        plain = self.post("/v1/completions", ONCE).json()["choices"][0]
        self.assertEqual(plain["text"], choice["text"])
        self.assertIsNone(plain["logprobs"])

    def test_log_probabilities_have_the_token_itself(self) -> None:
        """One more than asked for where it is none of the likeliest, as OpenAI has it."""
        unlikely = self.post("/tokenize", {"content": "!", "add_special": False}).json()["tokens"]
        wanted = ONCE | {"max_tokens": 2, "logit_bias": {str(unlikely[0]): 100}}
        for count in (0, 2):
            completion = self.post("/v1/completions", wanted | {"logprobs": count}).json()
            self.valid(completion, "Completion")
            found = completion["choices"][0]["logprobs"]
            self.assertEqual(found["tokens"], ["!", "!"])
            for top, logprob in zip(found["top_logprobs"], found["token_logprobs"], strict=True):
                self.assertEqual(len(top), count + 1)
                self.assertEqual(list(top.items())[-1], ("!", logprob))

    def test_offsets_are_those_of_the_text_where_bytes_are_none(self) -> None:
        def tokens(text: str) -> list[int]:
            content = {"content": text, "add_special": False}
            return list(self.post("/tokenize", content).json()["tokens"])

        lead, rest = tokens("\u00f6")
        word = tokens(" the")
        wanted = ONCE | {"max_tokens": 1, "logprobs": 0, "echo": True}
        for prompt, next_token in (
            ([*word, rest, *word, rest, rest], word[0]),
            ([*word, lead, *word, lead, lead], word[0]),
            ([lead, rest, *word], lead),
            ([*word, lead], rest),  # the answer is a text of its own
        ):
            body = wanted | {"prompt": prompt, "logit_bias": {str(next_token): 100}}
            choice = self.post("/v1/completions", body).json()["choices"][0]
            found, text = choice["logprobs"], choice["text"]
            for token, at in zip(found["tokens"], found["text_offset"], strict=True):
                expected = "\u00f6" if "\u00f6" in text[at : at + 1] else token
                self.assertEqual(text[at : at + len(token)], expected, (prompt, found, text))
            self.assertEqual(found["text_offset"][-1], len(text) - len(found["tokens"][-1]))

    def test_what_other_servers_clients_send(self) -> None:
        plain = self.post("/v1/completions", ONCE).json()["choices"]
        ignored = {"cache_prompt": True, "stop": "", "stop_token_ids": [], "min_tokens": 0}
        self.assertEqual(self.post("/v1/completions", ONCE | ignored).json()["choices"], plain)
        endless = ONCE | {"max_tokens": -1, "ignore_eos": True}  # of llama.cpp: as many as fit
        self.assertEqual(self.post("/v1/completions", endless).json()["usage"]["total_tokens"], 512)
        text = plain[0]["text"]
        ids = self.post("/tokenize", {"content": text, "add_special": False}).json()["tokens"]
        for more in ({}, {"ignore_eos": True}):
            stop = ONCE | {"stop_token_ids": [ids[5]]} | more
            choice = self.post("/v1/completions", stop).json()["choices"][0]
            self.assertEqual(choice["finish_reason"], "stop")
            pieces = self.post("/detokenize", {"tokens": ids[: ids.index(ids[5])]}).json()
            self.assertEqual(choice["text"], pieces["content"])
        least = ONCE | {"stop_token_ids": [ids[1]], "min_tokens": 7, "max_tokens": 9}
        reply = self.post("/v1/completions", least).json()
        self.assertIn(reply["usage"]["completion_tokens"], (7, 8, 9))
        word = text.split()[1]
        stop = ONCE | {"stop": word, "include_stop_str_in_output": True}
        choice = self.post("/v1/completions", stop).json()["choices"][0]
        self.assertEqual(choice["text"], text[: text.index(word) + len(word)])
        self.assertEqual(choice["finish_reason"], "stop")

    def test_a_deadline_ends_an_answer(self) -> None:
        slow = {"prompt": "Once", "max_tokens": 400, "n": 8, "deadline_ms": 1, "ignore_eos": True}
        choices = self.post("/v1/completions", slow).json()["choices"]
        ends = {(c["finish_reason"], c["end_reason"]) for c in choices}
        self.assertEqual(ends, {("length", "deadline")})  # typed clients know no other
        self.assertNotIn("end_reason", self.post("/v1/completions", ONCE).json()["choices"][0])

    def test_wrong_requests(self) -> None:
        path = "/v1/completions"
        for change, code, words in (
            ({"prompt": None}, None, ("prompt", "found nothing")),
            ({"prompt": "", "add_special_tokens": False}, None, ("prompt", "empty")),
            ({"prompt": []}, None, ("prompt", "0 prompts")),
            ({"prompt": {"text": "x"}}, None, ("prompt", "an object")),
            ({"prompt": [5, "x"]}, None, ("prompt", "a token that is none")),
            ({"prompt": [5, 1 << 40]}, None, ("prompt", "a token that is none")),
            (
                {"prompt": "word " * 600},
                "context_length_exceeded",
                ("maximum context length is 512", "shorten"),
            ),
            (
                {"prompt": [[5], [5] * 513]},
                "context_length_exceeded",
                ("prompt[1]", "513 tokens", "maximum context length is 512", "shorten"),
            ),
            ({"max_tokens": 510}, "context_length_exceeded", ("512", "516")),
            ({"max_tokens": -2}, None, ("max_tokens", "-2")),
            ({"max_tokens": 1.5}, None, ("max_tokens", "integer")),
            ({"temperature": 3}, None, ("temperature", "0 to 2", "3")),
            ({"temperature": "hot"}, None, ("temperature", "a string")),
            ({"top_p": 1.01}, None, ("top_p",)),
            ({"n": 129}, None, ("n:", "1 to 128")),
            ({"logprobs": 21}, None, ("logprobs",)),
            ({"logit_bias": {"x": 1}}, None, ("logit_bias", '"x"')),
            ({"logit_bias": {"99999999": 1}}, None, ("logit_bias",)),
            ({"logit_bias": {"5": 101}}, None, ("logit_bias",)),
            ({"logit_bias": [5]}, None, ("logit_bias", "an array")),
            ({"stop": ["x"] * 17}, None, ("stop", "at most 16")),
            ({"stop_token_ids": [1 << 40]}, None, ("stop_token_ids",)),
            ({"stop": 5}, None, ("stop", "an integer")),
            ({"seed": "x"}, None, ("seed",)),
            ({"stream": 1}, None, ("stream", "true or false")),
            ({"stream_options": {"include_usage": True}}, None, ("stream_options",)),
            (
                {"stream": True, "stream_options": {"x": 1}},
                "unknown_parameter",
                ("stream_options.x",),
            ),
            ({"suffix": "x"}, "unsupported_parameter", ("suffix",)),
            ({"best_of": 2}, "unsupported_parameter", ("best_of",)),
            ({"temprature": 1}, "unknown_parameter", ("temprature", "misspelled")),
            ({"priority": 1}, None, ("priority", "-100 to 0")),
            ({"stop": "x" * 1025}, None, ("stop", "at most 1024 bytes")),
            ({"logit_bias": dict.fromkeys(map(str, range(1025)), 1)}, None, ("at most 1024",)),
            ({"prompt": ["x"] * 3, "n": 128}, None, ("at most 128 answers", "384")),
            (
                {"prompt": "x" * 100000},
                "context_length_exceeded",
                ("prompt", "exceeds the available context size"),
            ),
            (
                {"echo": True, "logprobs": 1, "stream": True},
                "unsupported_parameter",
                ("echo",),
            ),
            ({"deadline_ms": 0}, None, ("deadline_ms",)),
        ):
            with self.subTest(change=change):
                self.refused(path, ONCE | change, 400, code, *words)
        self.refused(path, ONCE | {"model": "gpt-4o"}, 404, "model_not_found", "tern-tales")

    def test_bodies_that_are_none(self) -> None:
        path = "/v1/completions"
        self.refused(path, b"", 400, "invalid_json")
        self.refused(path, b'{"prompt":', 400, "invalid_json")
        self.refused(path, b'{"prompt": "a", "prompt": "b"}', 400, "invalid_json", "prompt")
        self.refused(path, b'{"prompt": "\xff"}', 400, "invalid_json")
        self.refused(path, b"[" * 10000, 400, "invalid_json")
        self.refused(path, [1], 400, None, "an array")
        for kind, status in (
            ("text/plain", 415),
            ("application/jsonp", 415),
            ("application/json-seq; charset=utf-8", 415),
            ("Application/JSON", 200),  # names of types have no case (RFC 9110, 8.3.1)
            ("application/json ;charset=UTF-8", 200),
        ):
            self.post(path, ONCE, status, Content_Type=kind)
        self.post(path, ONCE, Content_Encoding="Identity")
        for coding in ("gzip", "deflate", "br, gzip"):
            reply = self.post(path, gzip.compress(b"{}"), 415, Content_Encoding=coding)
            self.assertIn(f"Content-Encoding, found {coding}", reply.json()["error"]["message"])
            self.assertEqual(reply.headers["accept-encoding"], "identity")
        with socket.create_connection(("127.0.0.1", self.server.port), SECONDS) as client:
            head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
            client.sendall(head + b"9000000\r\n\r\n")
            reply = client.recv(65536)
        self.assertIn(b"HTTP/1.1 413 ", reply)
        self.assertIn(b'"code":"request_too_large"', reply)


class ErrorsTest(ServeTest):
    def test_examples_of_the_document_are_what_the_server_says(self) -> None:
        examples = {
            name: example["value"]
            for response in OPENAPI.content["components"]["responses"].values()
            for name, example in response["content"]["application/json"]["examples"].items()
        }
        completion, chat = "/v1/completions", "/v1/chat/completions"
        image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
        parts = [{"role": "user", "content": [{"type": "text", "text": "Look:"}, image]}]
        asked: tuple[tuple[str, str, str, Any], ...] = (
            ("context_length_exceeded", "POST", completion, {"prompt": [5] * 500}),
            ("unsupported_parameter", "POST", chat, {"messages": parts, "tools": [{}]}),
            ("unsupported_media", "POST", chat, {"messages": parts}),
            ("unknown_parameter", "POST", completion, ONCE | {"temprature": 1}),
            ("invalid_json", "POST", completion, b'{"prompt": "Once",}'),
            ("no_embeddings", "POST", "/v1/embeddings", {"input": "x"}),
            ("out_of_range", "POST", completion, ONCE | {"temperature": 3}),
            ("model_not_found", "POST", completion, ONCE | {"model": "gpt-4"}),
            ("path", "GET", "/v1/nowhere", None),
            ("method_not_allowed", "GET", completion, None),
        )
        for name, method, path, body in asked:
            with self.subTest(name=name):
                self.assertEqual(self.server.ask(method, path, body).json(), examples[name])
        plain = {"Content-Type": "text/plain"}
        self.assertEqual(self.server.ask("POST", completion, b"x", plain).json(), examples["type"])
        error = OPENAPI.content["components"]["schemas"]["Error"]["examples"][0]
        self.assertEqual(error, examples["context_length_exceeded"])


if __name__ == "__main__":
    unittest.main()
