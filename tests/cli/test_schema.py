"""tern schema, and what tern reports against its schema of telemetry."""

import json
import sys
from typing import Any

from tern import ROOT, CliTest, main, tern

sys.path.insert(0, str(ROOT / "tests" / "support"))

from json_schema import Document, parse

NAMES = ("openapi", "media-v1", "telemetry-v1")


class SchemaTest(CliTest):
    def test_prints_the_files_byte_for_byte(self) -> None:
        for name in NAMES:
            outcome = self.succeed("schema", name)
            self.assertEqual(outcome.stdout, (ROOT / "schemas" / f"{name}.json").read_bytes())
            self.assertFalse(outcome.stderr)

    def test_refuses_other_names(self) -> None:
        for name in ("", "OpenAPI", "media-v2"):
            self.assert_fails(tern("schema", name), 2, "openapi, media-v1, telemetry-v1")
        self.assert_fails(tern("schema"), 2, "NAME")

    def test_help_names_them(self) -> None:
        text = self.succeed("schema", "--help").stdout.decode()
        for name in NAMES:
            self.assertIn(name, text)


class TelemetryTest(CliTest):
    def setUp(self) -> None:
        super().setUp()
        self.telemetry = Document(parse(self.succeed("schema", "telemetry-v1").stdout.decode()))

    def events(self, *arguments: str) -> list[dict[str, Any]]:
        file = self.folder / "events"
        self.succeed("run", "Once upon a time", *arguments, "--events", file)
        return [parse(line) for line in file.read_text(encoding="utf-8").splitlines()]

    def test_events_of_runs_fit(self) -> None:
        for arguments in (
            ("-n", "4"),
            ("-n", "0"),
            ("-n", "4", "--no-verify"),
            ("-n", "40", "--stop", "e", "--temp", "0"),
            ("-c", "16"),
            ("-n", "4", "-m", str(ROOT / "models" / "tern-tales.gguf"), "--cache", "off"),
        ):
            events = self.events(*arguments)
            self.assertEqual([e["event"] for e in events], ["model.loaded", "sequence.finished"])
            for event in events:
                with self.subTest(arguments, event=event):
                    self.assertEqual(self.telemetry.errors(event), [])

    def test_one_field_more_or_less_does_not(self) -> None:
        for event in self.events("-n", "4"):
            for damaged in ({**event, "text": "Once"}, {**event, "time": None}):
                self.assertNotEqual(self.telemetry.errors(damaged), [])
            for name in event:
                less = {key: value for key, value in event.items() if key != name}
                self.assertNotEqual(self.telemetry.errors(less), [], name)

    def test_counters_of_runs_fit(self) -> None:
        for head in ("certified", "exact"):
            outcome = self.succeed("run", "Once", "-n", "4", "--json", "--head", head)
            counters = json.loads(outcome.stdout)["counters"]
            self.assertIn("engine.generated_tokens", counters)
            self.assertEqual(self.telemetry.errors(counters, "#/$defs/Counters"), [])


if __name__ == "__main__":
    main()
