"""Vectors over HTTP: those of `tern embed`, bit for bit, whatever else the server computes."""

import array
import base64
import concurrent.futures
import json
import subprocess
import threading
import time
import unittest
from typing import Any

from server import SECONDS, TERN, ServeTest

PATH = "/v1/embeddings"
TEXTS = ["Once upon a time", "The king", "a" * 300, "naïve 🙂 text\n"]
STREAM = {"prompt": "Once", "max_tokens": 400, "ignore_eos": True, "stream": True}


def embedded(texts: list[str], pooling: str = "mean") -> list[list[float]]:
    """What `tern embed` gives."""
    lines = "\n".join(json.dumps(text) for text in texts)
    run = subprocess.run(
        [TERN, "embed", "--pooling", pooling, "--jsonl"],
        input=lines.encode(),
        capture_output=True,
        check=True,
    )
    return [json.loads(line)["embedding"] for line in run.stdout.splitlines()]


class EmbeddingsTest(ServeTest):
    arguments = ("--parallel", "8", "--pooling", "mean")

    def vectors(self, value: Any, **fields: Any) -> list[Any]:
        reply = self.post(PATH, {"input": value, **fields}).json()
        self.valid(reply, "EmbeddingList")
        self.assertEqual([d["index"] for d in reply["data"]], list(range(len(reply["data"]))))
        return [d["embedding"] for d in reply["data"]]

    def test_vectors_are_those_of_tern_embed(self) -> None:
        expected = embedded(TEXTS)
        self.assertEqual(self.vectors(TEXTS), expected)
        self.assertEqual(self.vectors(TEXTS[1]), [expected[1]])

    def test_tokens_are_inputs_too(self) -> None:
        expected = embedded(TEXTS[:2])
        tokens = [self.post("/tokenize", {"content": t}).json()["tokens"] for t in TEXTS[:2]]
        self.assertEqual(self.vectors(tokens), expected)
        self.assertEqual(self.vectors(tokens[0]), expected[:1])
        self.assertEqual(self.vectors([tokens[0], TEXTS[1]]), expected)
        reply = self.post(PATH, {"input": tokens, "model": "tern-tales", "user": "me"}).json()
        total = sum(map(len, tokens))
        self.assertEqual(reply["usage"], {"prompt_tokens": total, "total_tokens": total})
        self.assertEqual(reply["model"], "tern-tales")

    def test_base64_has_the_same_bits(self) -> None:
        expected = embedded(TEXTS)
        for found, vector in zip(
            self.vectors(TEXTS, encoding_format="base64"), expected, strict=True
        ):
            numbers = array.array("f", base64.b64decode(found, validate=True))
            self.assertEqual(numbers, array.array("f", vector))
        for dimensions in (1, 2, 3):  # each end of the text that base64 has
            found = self.vectors("a", encoding_format="base64", dimensions=dimensions)[0]
            self.assertEqual(len(base64.b64decode(found, validate=True)), 4 * dimensions)

    def test_special_tokens_are_left_out_where_they_are_not_wanted(self) -> None:
        ids = self.server.ask(
            "POST", "/tokenize", {"content": "The king", "add_special": False}
        ).json()["tokens"]
        bare = self.vectors("The king", add_special_tokens=False)[0]
        self.assertEqual(bare, self.vectors(ids)[0])
        self.assertNotEqual(bare, self.vectors("The king", add_special_tokens=True)[0])

    def test_dimensions_are_the_first_brought_to_length_1(self) -> None:
        whole = self.vectors("The king")[0]
        part = self.vectors("The king", dimensions=10)[0]
        length = sum(x * x for x in whole[:10]) ** 0.5
        for found, expected in zip(part, whole[:10], strict=True):
            self.assertAlmostEqual(found, expected / length, places=6)
        self.assertAlmostEqual(sum(x * x for x in part), 1.0, places=6)
        self.assertEqual(self.vectors("The king", dimensions=256)[0], whole)

    def test_a_text_may_fill_the_context(self) -> None:
        tokens = [[5 + i % 7 for i in range(512)], [5]]
        self.assertEqual(len(self.vectors(tokens)), 2)
        tokens[0].append(5)
        words = ("input[0]", "513 tokens", "512")
        self.refused(PATH, {"input": tokens}, 400, "context_length_exceeded", *words)

    def test_company_changes_nothing(self) -> None:
        """Many texts beside answers and each other, more than the queue could hold at once."""
        texts = [f"{'word ' * (i * 7 % 60)}{i}" for i in range(300)]
        expected = embedded(texts)
        whole = dict(STREAM, stream=False, max_tokens=60, seed=3)
        answer = self.post("/v1/completions", whole).json()["choices"]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = pool.submit(lambda: self.post("/v1/completions", whole).json()["choices"])
            parts = list(pool.map(self.vectors, (texts[:150], texts[150:], texts[:3])))
            self.assertEqual(answers.result(), answer)
        self.assertEqual(parts[0] + parts[1], expected)
        self.assertEqual(parts[2], expected[:3])

    def test_a_stream_goes_on_beside_many_texts(self) -> None:
        stop = threading.Event()

        def load() -> None:
            while not stop.is_set():
                self.vectors(["word " * 60] * 200)

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            job = pool.submit(load)
            while self.server.metric("tern_engine_running") == 0:
                time.sleep(0.01)
            steps = self.server.metric("tern_scheduler_steps_total")
            self.post("/v1/completions", STREAM | {"max_tokens": 50})
            steps = self.server.metric("tern_scheduler_steps_total") - steps
            stop.set()
            job.result()
        self.assertLess(steps, 150)  # 50 tokens, each in a step: it waits for no whole request

    def test_a_client_that_goes_frees_its_place(self) -> None:
        connection = self.server.connect()
        body = json.dumps({"input": ["word " * 60] * 2048}).encode()
        connection.request("POST", PATH, body, {"Content-Type": "application/json"})
        while self.server.metric("tern_engine_running") == 0:
            time.sleep(0.01)
        connection.close()
        until = time.monotonic() + SECONDS
        while self.server.metric("tern_engine_running") > 0 and time.monotonic() < until:
            time.sleep(0.05)
        self.assertEqual(self.server.metric("tern_engine_running"), 0)
        self.assertEqual(self.server.metric("tern_engine_kv_use"), 0)
        self.assertLess(self.server.log.read_text().count('"reason":"pooled"'), 2048 * 3)

    def test_what_is_not_there_in_its_time_is_refused(self) -> None:
        self.vectors(TEXTS, priority=-5, deadline_ms=60_000)
        reply = self.post(PATH, {"input": ["word " * 60] * 500, "deadline_ms": 1}, 503)
        self.assertIn("deadline_ms", reply.json()["error"]["message"])

    def test_the_model_says_that_it_can(self) -> None:
        card = self.get("/v1/models/tern-tales").json()
        self.valid(card, "Model")
        self.assertIn(PATH, card["capabilities"]["endpoints"])

    def test_wrong_requests(self) -> None:
        for change, code, words in (
            ({"input": None}, None, ("input", "found nothing")),
            ({"input": []}, None, ("input", "1 to 2048", "0 inputs")),
            ({"input": ["x"] * 2049}, None, ("1 to 2048", "2049 inputs")),
            ({"input": [[]]}, None, ("empty",)),
            ({"input": {"text": "x"}}, None, ("input", "an object")),
            ({"input": [5, -1]}, None, ("input", "a token that is none")),
            ({"input": ["x", 5]}, None, ("input", "an integer")),
            ({"input": "x" * 100000}, "context_length_exceeded", ("available context size",)),
            ({"input": ["x", "word " * 600]}, "context_length_exceeded", ("input[1]",)),
            ({"encoding_format": "hex"}, None, ("encoding_format", "float or base64", "hex")),
            ({"encoding_format": 1}, None, ("encoding_format", "a string")),
            ({"dimensions": 0}, None, ("dimensions", "1 to 256")),
            ({"dimensions": 257}, None, ("dimensions", "1 to 256", "257")),
            ({"truncate": True}, "unknown_parameter", ("truncate",)),
            ({"priority": 1}, None, ("priority", "-100 to 0")),
            ({"deadline_ms": 0}, None, ("deadline_ms",)),
        ):
            with self.subTest(change=change):
                self.refused(PATH, {"input": "x", **change}, 400, code, *words)
        self.refused(PATH, {"input": "x", "model": "gpt"}, 404, "model_not_found", "tern-tales")
        reply = self.server.ask("GET", PATH)
        self.assertEqual((reply.status, reply.headers["allow"]), (405, "POST"))


class NoEmbeddingsTest(ServeTest):
    def test_another_model_says_that_it_is_none(self) -> None:
        words = ("no embedding model", "--pooling")
        self.refused(PATH, {"input": "x"}, 400, "no_embeddings", *words)
        card = self.get("/v1/models/tern-tales").json()
        self.assertNotIn(PATH, card["capabilities"]["endpoints"])


class ShortQueueTest(ServeTest):
    arguments = ("--parallel", "1", "--queue", "1", "--pooling", "last")

    def test_many_texts_pass_a_short_queue(self) -> None:
        """They wait for each other, and are refused only where none of them was taken."""
        texts = [f"text {i}" for i in range(40)]
        self.assertEqual(
            [d["embedding"] for d in self.post(PATH, {"input": texts}).json()["data"]],
            embedded(texts, "last"),
        )


if __name__ == "__main__":
    unittest.main()
