"""What clients may get wrong, or a server: each is refused, and one step from it is not."""

import unittest
from typing import Any

from schemas import FOLDER, Document, load

MEDIA = Document(load(FOLDER / "media-v1.json"))
OPENAPI = Document(load(FOLDER / "openapi.json"))
TELEMETRY = Document(load(FOLDER / "telemetry-v1.json"))
DATA = "iVBORw0KGgo="
USER = {"role": "user", "content": "Hello"}
START = {
    "type": "video.start",
    "schema": "media-v1",
    "stream_id": "v1",
    "width": 3840,
    "height": 2160,
    "frame_rate": {"num": 60, "den": 1},
    "pixel_format": "yuv420p",
    "codec": "av1",
    "container": "none",
    "pacing": {"mode": "realtime", "frame_deadline_ms": 40, "late_frame": "repeat"},
}
FINISHED = {
    "event": "request.finished",
    "time": 1.5,
    "reason": "max_tokens",
    "prompt_tokens": 5,
    "generated_tokens": 16,
    "seconds": 0.25,
}


def answer(**fields: Any) -> dict[str, Any]:
    return {
        "type": "capabilities.answer",
        "schema": "media-v1",
        "model": "a",
        "answers": [{"id": "x", **fields}],
    }


class RefusalsTest(unittest.TestCase):
    def refuse(self, document: Document, reference: str, good: Any, *bad: Any) -> None:
        """One value that fits, and those that are close and do not."""
        self.assertEqual(document.errors(good, reference), [])
        for value in bad:
            with self.subTest(reference, value=value):
                self.assertNotEqual(document.errors(value, reference), [])

    def changes(self, document: Document, reference: str, good: Any, *changes: Any) -> None:
        self.refuse(document, reference, good, *({**good, **change} for change in changes))

    def chat(self, *changes: dict[str, Any]) -> None:
        good = {"model": "a", "messages": [USER]}
        self.changes(OPENAPI, "#/components/schemas/ChatCompletionRequest", good, *changes)

    def image(self, good: Any, *bad: Any) -> None:
        def part(content: Any) -> Any:
            return {"type": "image_url", "image_url": content}

        self.refuse(MEDIA, "#", part(good), *map(part, bad))


class OpenApiTest(RefusalsTest):
    def test_fields_of_a_chat(self) -> None:
        self.chat(
            {"temprature": 1},
            {"tools": [{"type": "function"}]},
            {"tool_choice": "required"},
            {"min_tokens": -1},
            {"skip_special_tokens": False},
            {"use_beam_search": True},
            {"use_beam_search": 0},
            {"length_penalty": 2},
            {"mirostat": 2},
            {"id_slot": 0},
            {"bad_words": ["x"]},
            {"reasoning_effort": "low"},
            {"messages": [{"role": "user", "content": "Hello", "type": "image"}]},
            {"messages": [{"role": "user", "content": "Hello", "name": 5}]},
            {"stop": "x" * 1025},
            {"logit_bias": {str(token): 1 for token in range(1025)}},
            {"function_call": {"name": "f"}},
            {"messages": [{"role": "assistant", "content": "", "reasoning": "x"}]},
            {"response_format": {"type": "text", "json_schema": {}}},
            {"continue_final_message": "yes"},
            {"add_generation_prompt": 1},
            {"response_format": {"type": "json_object"}},
            {"modalities": ["text", "audio"]},
            {"logit_bias": {"the": 1}},
            {"prompt": "Once"},
        )

    def test_ranges_of_sampling(self) -> None:
        self.chat(
            {"temperature": 2.1},
            {"temperature": -0.1},
            {"top_p": 1.1},
            {"top_k": -2},
            {"min_p": 2},
            {"n": 0},
            {"n": 129},
            {"n": 1.5},
            {"presence_penalty": 2.5},
            {"frequency_penalty": -2.5},
            {"repetition_penalty": 0},
            {"top_logprobs": 21},
            {"logprobs": 5},
            {"stop": [None]},
            {"stop_token_ids": [-1]},
            {"include_stop_str_in_output": 1},
            {"stop": ["a"] * 17},
            {"logit_bias": {"1": 101}},
            {"seed": 0.5},
            {"seed": 2**64},
            {"max_tokens": -2},
            {"priority": 101},
            {"deadline_ms": 0},
            {"stream": "true"},
            {"stream_options": {"usage": True}},
        )

    def test_messages(self) -> None:
        self.chat(
            {"messages": []},
            {"messages": None},
            {"messages": [{"role": "robot", "content": ""}]},
            {"messages": [{"role": "user"}]},
            {"messages": [{"role": "user", "content": None}]},
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            {"messages": [{"role": "user", "content": [{"type": "smell", "smell": "x"}]}]},
            {"messages": [{"role": "assistant", "content": "", "tool_calls": [{"id": "a"}]}]},
        )

    def test_prompts(self) -> None:
        good = {"prompt": [[0, 412], "Once"]}
        prompts: tuple[Any, ...] = ([], None, [[]], [-1], [0, "Once"], ["a"] * 129, {"text": "a"})
        changes = ({"prompt": prompt} for prompt in prompts)
        self.changes(OPENAPI, "#/components/schemas/CompletionRequest", good, *changes)

    def test_errors(self) -> None:
        inner = {"message": "m", "type": "server_error", "param": None, "code": None}
        changed = ({"type": "oops"}, {"code": "oops"}, {"message": ""}, {"param": 1}, {"id": "x"})
        bad = ({"error": {**inner, **change}} for change in changed)
        reference = "#/components/schemas/Error"
        self.refuse(OPENAPI, reference, {"error": inner}, *bad, inner, {"error": inner, "id": 1})

    def test_ids_of_events(self) -> None:
        reference = "#/components/schemas/EventId"
        bad = ("", "cmpl-a.7.1", "cmpl-a.7.5.", "cmpl-a.7.5.1-", "a.7.5.1", "cmpl-a.-7.5.1")
        self.refuse(OPENAPI, reference, "cmpl-a.7.5.1-0-22", *bad, "cmpl-a.7.5.1\n")

    def test_ids_of_requests(self) -> None:
        reference = "#/components/schemas/RequestId"
        self.refuse(OPENAPI, reference, "a" * 128, "", "a" * 129, "a b", "ä", "a\r\nx: y", "a\n")


class MediaTest(RefusalsTest):
    def test_one_source_of_a_part(self) -> None:
        self.image(
            {"data": DATA, "mime_type": "image/png"},
            {},
            {"data": DATA},
            {"url": "https://example.org/a.png", "file_id": "file-1"},
            {"url": "https://example.org/a.png", "data": DATA, "mime_type": "image/png"},
        )

    def test_places_and_types_of_a_part(self) -> None:
        self.image(
            {"url": "https://example.org/a.png"},
            {"url": "file:///etc/passwd"},
            {"url": "http://example.org/a.png"},
            {"url": "data:image/png,raw"},
            {"file_id": "../etc"},
            {"data": DATA, "mime_type": "image/svg+xml"},
            {"data": "not base64!", "mime_type": "image/png"},
            {"url": "https://example.org/a.png", "width": 0},
            {"url": "https://example.org/a.png", "detail": "ultra"},
        )

    def test_audio_and_video_parts(self) -> None:
        for kind, change in (
            ("input_audio", {"channels": 9}),
            ("input_audio", {"sample_rate_hz": 4000}),
            ("input_audio", {"duration_s": 0}),
            ("input_audio", {"captions": [{"start_s": 0, "text": "a"}]}),
            ("video_url", {"frame_rate": 30}),
            ("video_url", {"frame_rate": {"num": 0, "den": 1}}),
            ("video_url", {"height": 20000}),
        ):
            good = {"type": kind, kind: {"file_id": "file-1"}}
            self.refuse(MEDIA, "#", good, {"type": kind, kind: {"file_id": "file-1", **change}})

    def test_answers_of_a_negotiation(self) -> None:
        granted = {"width": 1920, "height": 1080}
        reasons = [{"code": "over_limit", "field": "width", "message": "at most 1920"}]
        self.refuse(
            MEDIA,
            "#",
            answer(status="downgraded", granted=granted, reasons=reasons),
            answer(status="downgraded", granted=granted),
            answer(status="downgraded", granted=granted, reasons=[]),
            answer(status="refused", granted=granted, reasons=reasons),
            answer(status="refused"),
            answer(status="accepted", granted=granted, reasons=reasons),
            answer(status="accepted"),
            answer(status="maybe", granted=granted),
        )

    def test_video_is_4k_at_most(self) -> None:
        self.changes(
            MEDIA, "#", START, {"width": 7680, "height": 4320}, {"width": 3840, "height": 3840}
        )
        self.changes(MEDIA, "#", {**START, "width": 2160, "height": 3840}, {"width": 2162})

    def test_pacing(self) -> None:
        self.changes(
            MEDIA,
            "#",
            START,
            {"pacing": {}},
            {"pacing": {"mode": "fast"}},
            {"pacing": {"mode": "realtime", "late_frame": "forget"}},
            {"pacing": {"mode": "realtime", "frame_deadline_ms": -1}},
            {"pacing": {"mode": "realtime", "buffer_frames": 0}},
        )

    def test_schema_version(self) -> None:
        self.changes(MEDIA, "#", START, {"schema": "media-v2"}, {"schema": None})


class TelemetryTest(RefusalsTest):
    def test_events(self) -> None:
        self.changes(
            TELEMETRY,
            "#",
            FINISHED,
            {"event": "request.ended"},
            {"reason": "bored"},
            {"seconds": -1},
            {"seconds": None},
            {"generated_tokens": 1.5},
            {"prompt": "the text of a user"},
            {"request_id": "a b"},
        )

    def test_counters(self) -> None:
        reference = "#/$defs/Counters"
        good = {"engine.generated_tokens": 1}
        bad = ({"engine.generated_tokens": -1}, {"engine.tokens": 1}, {"scheduler.steps": 0.5})
        self.refuse(TELEMETRY, reference, good, *bad)

    def test_metrics(self) -> None:
        good = {
            "name": "tern_build_info",
            "type": "gauge",
            "unit": "info",
            "samples": [{"labels": {"model": "a", "version": "b"}, "value": 1}],
        }
        self.changes(
            TELEMETRY,
            "#/$defs/Metric",
            good,
            {"name": "tern_requests_idle"},
            {"type": "counter"},
            {"unit": "seconds"},
            {"samples": [{"labels": {}, "value": 3}]},
            {"samples": [{"labels": {"model": "a", "user": "b"}, "value": 1}]},
            {"samples": [{"labels": {"model": "a", "version": "b"}, "value": -1}]},
        )


if __name__ == "__main__":
    unittest.main()
