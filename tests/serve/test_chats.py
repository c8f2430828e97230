"""Chats, and what needs the tokenizer or the template alone; held to the OpenAPI document."""

import tempfile
import unittest
from pathlib import Path
from typing import Any

from server import OPENAPI, Server, ServeTest

HELLO = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, "seed": 3}
CHAT = "#/components/schemas/ChatCompletionRequest"
# Of other servers: the value that asks for nothing, and one that would ask for something.
NEUTRAL: dict[str, tuple[Any, Any]] = {
    **dict.fromkeys(("skip_special_tokens", "spaces_between_special_tokens"), (True, False)),
    **dict.fromkeys(("detokenize", "include_reasoning"), (True, False)),
    **dict.fromkeys(("return_tokens_as_token_ids", "return_token_ids"), (False, True)),
    **dict.fromkeys(("use_beam_search", "early_stopping", "return_progress"), (False, True)),
    **dict.fromkeys(("timings_per_token", "post_sampling_probs"), (False, True)),
    **dict.fromkeys(("length_penalty", "typical_p"), (1, 0.5)),
    **dict.fromkeys(("mirostat", "n_keep"), (0, 2)),
    **dict.fromkeys(("dry_multiplier", "xtc_probability", "dynatemp_range"), (0.0, 0.5)),
    "id_slot": (-1, 0),
    "bad_words": ([], ["x"]),
    "grammar": ("", "root ::= x"),
}


class ChatTest(ServeTest):
    path = "/v1/chat/completions"

    def test_a_chat(self) -> None:
        chat = self.post(self.path, HELLO).json()
        self.valid(chat, "ChatCompletion")
        choice = chat["choices"][0]
        self.assertEqual(choice["message"]["role"], "assistant")
        prompt = self.post("/apply-template", {"messages": HELLO["messages"]}).json()["prompt"]
        self.assertEqual(prompt, "user: Hello\nassistant:")
        wanted = {"prompt": prompt, "max_tokens": 8, "seed": 3, "add_special_tokens": False}
        text = self.post("/v1/completions", wanted).json()["choices"][0]["text"]
        self.assertEqual(choice["message"]["content"], text)

    def test_an_answer_that_has_begun_goes_on(self) -> None:
        messages = [*HELLO["messages"], {"role": "assistant", "content": "Once upon "}]
        going_on = {"messages": messages, "continue_final_message": True}
        prompt = self.post("/apply-template", going_on).json()["prompt"]
        self.assertEqual(prompt, "user: Hello\nassistant: Once upon ")
        raw = {"prompt": prompt, "max_tokens": 5, "temperature": 0, "add_special_tokens": False}
        rest = self.post("/v1/completions", raw).json()["choices"][0]["text"]
        chat = HELLO | going_on | {"max_tokens": 5, "temperature": 0}
        reply = self.post(self.path, chat).json()
        self.valid(reply, "ChatCompletion")
        self.assertEqual(reply["choices"][0]["message"]["content"], rest)
        self.post(self.path, chat | {"add_generation_prompt": False})
        both = {"add_generation_prompt": True}
        self.refused(self.path, chat | both, 400, None, "add_generation_prompt: expected false")
        empty = [*HELLO["messages"], {"role": "assistant", "content": ""}]
        self.refused(self.path, chat | {"messages": empty}, 400, None, "content to continue")
        closed = self.post("/apply-template", {"messages": messages, **both}).json()["prompt"]
        self.assertNotEqual(closed, prompt)

    def test_a_stop_of_the_template_is_never_shown(self) -> None:
        """The one that a client names is, where it asks for it."""
        server = Server("--chat-template", "plain")
        self.addCleanup(server.close)
        bias = {}
        for text in ("\nUser:", " and"):
            asked = {"content": text, "add_special": False}
            for token in server.ask("POST", "/tokenize", asked).json()["tokens"]:
                bias[str(token)] = 10
        chat = HELLO | {"logit_bias": bias, "max_tokens": 200, "include_stop_str_in_output": True}
        seen = set()
        for seed in range(40):
            for stop in (None, " and"):
                asked = chat | {"seed": seed, "stop": stop, "ignore_eos": True}
                choice = server.ask("POST", self.path, asked).json()["choices"][0]
                content = choice["message"]["content"]
                self.assertNotIn("\nUser:", content)
                if choice["finish_reason"] == "stop":
                    seen.add(content.endswith(" and"))
            if len(seen) == 2:
                break
        self.assertEqual(seen, {True, False})

    def test_contents_of_parts(self) -> None:
        parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
        changed = HELLO | {"messages": [{"role": "user", "content": parts}]}
        self.assertEqual(
            self.post(self.path, changed).json()["choices"],
            self.post(self.path, HELLO).json()["choices"],
        )

    def test_a_chat_of_an_evaluation_harness(self) -> None:
        """As lm-evaluation-harness writes it (--model local-chat-completions)."""
        body = {
            "messages": [{"role": "user", "content": "Hi", "type": "text"}],
            "max_tokens": 4,
            "temperature": 0,
            "stop": [],
            "seed": 1234,
        }
        self.assertEqual(self.post(self.path, body).json()["usage"]["completion_tokens"], 4)
        body["messages"] = [{"role": "user", "content": "Hi", "type": "message", "name": None}]
        self.post(self.path, body)
        body["messages"] = [{"role": "user", "content": "Hi", "type": "image"}]
        self.refused(self.path, body, 400, None, "messages[0].type", '"image"')

    def test_a_chat_ends_where_the_context_does(self) -> None:
        """As one does whose max_tokens are all that there is room for."""
        body = {"messages": HELLO["messages"], "ignore_eos": True, "seed": 3}
        chat = self.post(self.path, body).json()
        self.assertEqual(chat["usage"]["total_tokens"], 512)
        self.assertEqual(chat["choices"][0]["finish_reason"], "length")
        most = chat["usage"]["completion_tokens"]
        again = self.post(self.path, body | {"max_tokens": most}).json()
        self.assertEqual(again["choices"], chat["choices"])
        self.refused(self.path, body | {"max_tokens": most + 1}, 400, "context_length_exceeded")

    def test_what_a_template_is_given(self) -> None:
        server = Server("--chat-template", self.template("{{ messages[0].name }}, {{ mood }}"))
        self.addCleanup(server.close)
        named = {"messages": [{"role": "user", "content": "Hello", "name": "Ann"}]}
        asked = named | {"chat_template_kwargs": {"mood": "gay"}}
        prompt = server.ask("POST", "/apply-template", asked).json()["prompt"]
        self.assertEqual(prompt, "Ann, gay")
        wrong = {"messages": [{"role": "user", "content": "Hello", "name": 5}]}
        self.refused("/apply-template", wrong, 400, None, "messages[0].name", "a string")

    def template(self, text: str) -> str:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        file = Path(folder.name) / "template"
        file.write_text(text, encoding="utf-8")
        return str(file)

    def test_media_are_refused(self) -> None:
        for part in (
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
            {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
            {"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}},
            {"type": "file", "file": {}},
        ):
            body = HELLO | {"messages": [{"role": "user", "content": [part]}]}
            self.refused(self.path, body, 400, "unsupported_media", "this model takes text only")
        audio = HELLO | {"modalities": ["text", "audio"]}
        self.refused(self.path, audio, 400, "unsupported_media", "text only")

    def test_logprobs(self) -> None:
        chat = self.post(self.path, HELLO | {"logprobs": True, "top_logprobs": 3}).json()
        self.valid(chat, "ChatCompletion")
        choice = chat["choices"][0]
        entries = choice["logprobs"]["content"]
        joined = b"".join(bytes(entry["bytes"]) for entry in entries)
        self.assertEqual(joined.decode(), choice["message"]["content"])
        for entry in entries:
            values = [top["logprob"] for top in entry["top_logprobs"]]
            self.assertEqual(values, sorted(values, reverse=True))
            self.assertEqual(len(values), 3)
            self.assertLessEqual(entry["logprob"], values[0])

    def test_wrong_messages(self) -> None:
        for messages, words in (
            (None, ("messages", "nothing")),
            ([], ("at least one",)),
            ("Hello", ("messages", "a string")),
            (["Hello"], ("messages[0]", "a string")),
            ([{"content": "x"}], ("messages[0].role",)),
            ([{"role": "king", "content": "x"}], ("messages[0].role", "king")),
            ([{"role": "user"}], ("messages[0].content", "nothing")),
            ([{"role": "user", "content": 5}], ("messages[0].content", "an integer")),
            ([{"role": "user", "content": [5]}], ("messages[0].content[0]", "an integer")),
            ([{"role": "user", "content": [{"type": "text"}]}], ("content[0].text",)),
            ([{"role": "user", "content": [{"text": "x"}]}], ("content[0].type",)),
            ([{"role": "user", "content": [{"type": "x", "text": ""}]}], ("content[0].type",)),
            ([{"role": "user", "content": "x", "extra": 1}], ("messages[0].extra",)),
            ([{"role": "user", "content": ""}] * 513, ("513", "available context size of 512")),
        ):
            with self.subTest(messages=messages):
                error = self.post(self.path, HELLO | {"messages": messages}, 400).json()
                self.valid(error, "Error")
                for word in words:
                    self.assertIn(word, error["error"]["message"])

    def test_what_is_not_done_is_said(self) -> None:
        for change in (
            {"tools": [{"type": "function"}]},
            {"response_format": {"type": "json_object"}},
            {"functions": [{}]},
            {"audio": {"voice": "x"}},
        ):
            self.refused(self.path, HELLO | change, 400, "unsupported_parameter", "not supported")
        harmless = {"tools": [], "user": "me", "store": True, "response_format": {"type": "text"}}
        self.post(self.path, HELLO | harmless | {"tool_choice": "none", "unheard_of": None})
        history = [{"role": "user", "content": "Hello", "annotations": [], "audio": None}]
        self.post(self.path, HELLO | {"messages": history})
        silent = [*history, {"role": "assistant", "content": None}]
        self.post(self.path, HELLO | {"messages": silent, "cache_prompt": False})
        part = {"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral"}}
        self.post(self.path, HELLO | {"messages": [{"role": "user", "content": [part]}]})
        anyway = {"min_tokens": 0, "skip_special_tokens": True, "tool_choice": "auto"}
        self.post(self.path, HELLO | anyway | {"top_logprobs": 0})
        self.refused(self.path, HELLO | {"top_logprobs": 2}, 400, None, "logprobs to be true")

    def test_fields_of_other_servers_at_their_defaults(self) -> None:
        """The OpenAPI document has to have what is answered (exchange.py), and not the rest."""
        neutral = {name: value for name, (value, _) in NEUTRAL.items()} | {"cache_salt": "x"}
        self.post(self.path, HELLO | neutral | {"echo": False, "add_special_tokens": False})
        self.post("/v1/completions", {"prompt": "Once", "max_tokens": 1} | neutral)
        for name, (_, other) in NEUTRAL.items():
            body = HELLO | {name: other}
            self.refused(self.path, body, 400, "unsupported_parameter", name)
            self.assertNotEqual(OPENAPI.errors(body, CHAT), [], name)
        said = [*HELLO["messages"], {"role": "assistant", "content": "x", "reasoning_content": ""}]
        self.post(self.path, HELLO | {"messages": said})
        said[-1]["reasoning_content"] = "because"
        self.refused(self.path, HELLO | {"messages": said}, 400, "unsupported_parameter", "reason")


class TokensTest(ServeTest):
    def test_there_and_back(self) -> None:
        for text in ("Once upon a time", "naïve 🙂 text\n", ""):
            reply = self.post("/tokenize", {"content": text, "add_special": False}).json()
            self.valid(reply, "TokenizeResponse")
            back = self.post("/detokenize", {"tokens": reply["tokens"]}).json()
            self.valid(back, "DetokenizeResponse")
            self.assertEqual(back["content"], text)
        wanted = {"content": "Once", "add_special": False, "with_pieces": True}
        pieces = self.post("/tokenize", wanted).json()["tokens"]
        self.assertEqual("".join(p["piece"] for p in pieces), "Once")

    def test_wrong_requests(self) -> None:
        self.refused("/tokenize", {}, 400, None, "content")
        self.refused("/tokenize", {"content": "x", "mode": 1}, 400, "unknown_parameter", "mode")
        self.refused("/detokenize", {"tokens": [-1]}, 400, None, "tokens")
        self.refused("/detokenize", {"tokens": "x"}, 400, None, "tokens")
        self.refused("/apply-template", {}, 400, None, "messages")
        many = HELLO | {"chat_template_kwargs": {f"n{i}": 1 for i in range(65)}}
        self.refused("/apply-template", many, 400, None, "at most 64 names, found 65")

    def test_the_model_may_be_named(self) -> None:
        """As vLLM's clients do."""
        for path, body in (
            ("/tokenize", {"content": "x"}),
            ("/detokenize", {"tokens": [5]}),
            ("/apply-template", {"messages": HELLO["messages"]}),
        ):
            self.post(path, body | {"model": "tern-tales"})
            self.refused(path, body | {"model": "gpt-4o"}, 404, "model_not_found", "tern-tales")

    def test_more_than_the_context_may_hold(self) -> None:
        words = ("content", "bytes", "the context may hold", "100000")
        self.refused("/tokenize", {"content": "x" * 100_000}, 400, None, *words)
        words = ("tokens", "as many as /tokenize gives", "found 100000")
        self.refused("/detokenize", {"tokens": [5] * 100_000}, 400, None, *words)
        # What may be asked for the tokens of may be asked back, though no answer could have it.
        text = "".join(chr(33 + i * 7 % 90) for i in range(2000))
        tokens = self.post("/tokenize", {"content": text, "add_special": False}).json()["tokens"]
        self.assertGreater(len(tokens), 512)
        self.assertEqual(self.post("/detokenize", {"tokens": tokens}).json()["content"], text)


if __name__ == "__main__":
    unittest.main()
