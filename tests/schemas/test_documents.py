"""The documents of schemas/: well-formed, closed, without a loose end; each example fits, and what
differs from it does not."""

import json
import re
import unittest
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from schemas import FOLDER, ROOT, Document, load, parse

NAMES = ("media-v1", "openapi", "telemetry-v1")
DOCUMENTS = {name: Document(load(FOLDER / f"{name}.json")) for name in NAMES}
STRANGE = {"no such": "field"}


def where_schemas_are(name: str) -> str:
    return "#/components/schemas/" if name == "openapi" else "#/$defs/"


def schemas(name: str) -> dict[str, Any]:
    """The named schemas of a document."""
    found = DOCUMENTS[name].resolve(where_schemas_are(name).removesuffix("/"))
    assert isinstance(found, dict)
    return found


def walk(value: Any, path: str = "#") -> Iterator[tuple[str, Any]]:
    """All values inside of a value, but for those of examples: they are no schemas."""
    yield path, value
    items = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        if key != "examples":
            yield from walk(inner, f"{path}/{key}")


def inline_schemas() -> Iterator[tuple[str, Any]]:
    """What the OpenAPI document has under "schema", in parameters, headers and bodies."""
    for path, value in walk(DOCUMENTS["openapi"].content):
        if path.endswith("/schema") and "/properties/" not in path:
            yield path, value


def media_types() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, value in walk(DOCUMENTS["openapi"].content):
        if path.endswith("/content") and "/properties/" not in path:
            for name, media_type in value.items():
                yield path, name, media_type


def examples() -> Iterator[tuple[str, str, Any]]:
    """(document, schema, example)"""
    for name in NAMES:
        for key, schema in schemas(name).items():
            for example in schema.get("examples", ()):
                yield name, where_schemas_are(name) + key, example


def events(stream: str) -> list[dict[str, Any]]:
    """The events of a stream as the schemas of events see them."""
    found = []
    for block in stream.removesuffix("\n\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        data = fields["data"]
        found.append(fields | {"data": data if data == "[DONE]" else parse(data)})
    return found


def damaged(value: Any) -> Iterator[tuple[str, Any]]:
    """The value with one field of an object gone, one too many, or one of another type."""
    for path, inner in list(walk(value)):
        keys = path.split("/")[1:]
        if isinstance(inner, dict):
            yield f"{path}: one field too many", put(value, keys, {**inner, **STRANGE})
            for name in inner:
                less = {key: item for key, item in inner.items() if key != name}
                yield f"{path}: without {name}", put(value, keys, less)
        elif keys:
            yield f"{path}: of another type", put(value, keys, [STRANGE])


def put(value: Any, keys: list[str], new: Any) -> Any:
    if not keys:
        return new
    copy = deepcopy(value)
    at = copy
    for key in keys[:-1]:
        at = at[int(key)] if isinstance(at, list) else at[key]
    last = int(keys[-1]) if isinstance(at, list) else keys[-1]
    at[last] = new
    return copy


class FormTest(unittest.TestCase):
    def test_schemas_say_only_what_is_checked(self) -> None:
        for name, document in DOCUMENTS.items():
            if name != "openapi":
                document.check_schema(document.content)
            for key, schema in schemas(name).items():
                document.check_schema(schema, where_schemas_are(name) + key)
        for path, schema in inline_schemas():
            DOCUMENTS["openapi"].check_schema(schema, path)

    def test_references_lead_somewhere(self) -> None:
        for name, document in DOCUMENTS.items():
            for path, value in walk(document.content):
                if isinstance(value, dict) and "$ref" in value:
                    with self.subTest(name, path=path):
                        self.assertIsInstance(document.resolve(value["$ref"]), dict)

    def test_nothing_stands_there_unused(self) -> None:
        # The schemas of events and documents are for those who read them by name.
        entrances = {"CompletionEvent", "ChatCompletionEvent", "ContentPart", "Counters"}
        for name, document in DOCUMENTS.items():
            used = {v.get("$ref") for _, v in walk(document.content) if isinstance(v, dict)}
            groups = {where_schemas_are(name): schemas(name)}
            if name == "openapi":
                for kind, group in document.content["components"].items():
                    groups[f"#/components/{kind}/"] = group
            for prefix, group in groups.items():
                for key in group.keys() - entrances - {"ApiKey"}:
                    with self.subTest(name, key=key):
                        self.assertTrue(f"{prefix}{key}" in used)

    def test_all_is_described(self) -> None:
        for name in NAMES:
            for key, schema in schemas(name).items():
                with self.subTest(name, key=key):
                    self.assertTrue(schema.get("description") or "const" in schema)

    def test_one_name_has_one_meaning(self) -> None:
        for name in NAMES:
            for key, schema in schemas(name).items():
                for other in NAMES:
                    if key in schemas(other):
                        with self.subTest(key, documents=(name, other)):
                            text = json.dumps(schemas(other)[key])
                            text = text.replace(where_schemas_are(other), where_schemas_are(name))
                            self.assertEqual(schema, parse(text))

    def test_objects_are_closed(self) -> None:
        # Open are what a client names itself, and the narrower forms of what is closed elsewhere.
        for name in NAMES:
            for key, schema in schemas(name).items():
                for path, value in walk(schema, key):
                    if isinstance(value, dict) and value.get("type") == "object":
                        with self.subTest(name, path=path):
                            closed = value.get("additionalProperties", True) is not True
                            allowed = key == "ChatTemplateArguments" or "maxProperties" in value
                            self.assertTrue(closed or allowed)

    def test_versions_and_dialects(self) -> None:
        dialect = "https://json-schema.org/draft/2020-12/schema"
        for name in ("media-v1", "telemetry-v1"):
            content = DOCUMENTS[name].content
            self.assertEqual((content["$schema"], content["title"]), (dialect, name))
            self.assertEqual(content["$id"], f"urn:tern:schema:{name}")
        openapi = DOCUMENTS["openapi"].content
        self.assertEqual((openapi["openapi"], openapi["jsonSchemaDialect"]), ("3.1.0", dialect))
        cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
        self.assertIn(f"project(tern VERSION {openapi['info']['version']} ", cmake)


class ExamplesTest(unittest.TestCase):
    def test_fit(self) -> None:
        seen = 0
        for name, reference, example in examples():
            with self.subTest(name, schema=reference, example=example):
                self.assertEqual(DOCUMENTS[name].errors(example, reference), [])
            seen += 1
        self.assertGreater(seen, 80)

    def test_of_documents_fit_the_document(self) -> None:
        for name, tags in (("media-v1", {"type"}), ("telemetry-v1", {"event", "metrics"})):
            for other, reference, example in examples():
                if name == other and isinstance(example, dict) and tags & example.keys():
                    with self.subTest(reference):
                        self.assertEqual(DOCUMENTS[name].errors(example), [])

    def test_of_bodies_fit(self) -> None:
        for path, kind, media_type in media_types():
            for name, example in media_type.get("examples", {}).items():
                with self.subTest(path, kind=kind, example=name):
                    value = example["value"]
                    errors = DOCUMENTS["openapi"].errors(value, media_type["schema"])
                    self.assertEqual(errors, [])

    def test_of_streams_are_events(self) -> None:
        streams = [m["examples"]["stream"]["value"] for _, k, m in media_types() if "event" in k]
        self.assertEqual(len(streams), 2)
        for stream in streams:
            kind = "ChatCompletionEvent" if "chatcmpl-" in stream else "CompletionEvent"
            found = events(stream)
            for event in found:
                self.assertEqual(
                    DOCUMENTS["openapi"].errors(event, f"#/components/schemas/{kind}"), []
                )
            self.assertIn("seed", found[0]["data"])
            self.assertEqual(found[-1]["data"], "[DONE]")

    def test_what_is_too_much_or_of_another_type_is_refused(self) -> None:
        tried = 0
        for name, reference, example in examples():
            for damage, value in damaged(example):
                if "without" in damage or "chat_template_kwargs" in damage:
                    continue
                if "ChatTemplateArguments" in reference:
                    continue
                with self.subTest(name, schema=reference, damage=damage):
                    self.assertNotEqual(DOCUMENTS[name].errors(value, reference), [])
                tried += 1
        self.assertGreater(tried, 700)

    def test_what_lacks_a_needed_field_is_refused(self) -> None:
        for name, reference, example in examples():
            required = DOCUMENTS[name].resolve(reference).get("required", ())
            for field in required if isinstance(example, dict) else ():
                less = {key: item for key, item in example.items() if key != field}
                with self.subTest(name, schema=reference, without=field):
                    self.assertNotEqual(DOCUMENTS[name].errors(less, reference), [])

    def test_each_schema_refuses_something(self) -> None:
        probes = (None, -1e30, "", {}, [], STRANGE, [STRANGE], True, "\n")
        for name in NAMES:
            for key in schemas(name).keys() - {"ChatTemplateArguments"}:
                with self.subTest(name, schema=key):
                    reference = where_schemas_are(name) + key
                    found = [DOCUMENTS[name].errors(probe, reference) for probe in probes]
                    self.assertTrue(any(found))


class OpenApiTest(unittest.TestCase):
    content = DOCUMENTS["openapi"].content

    def operations(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for path, methods in self.content["paths"].items():
            for method, operation in methods.items():
                yield f"{method.upper()} {path}", operation

    def response(self, response: dict[str, Any]) -> dict[str, Any]:
        found = DOCUMENTS["openapi"].resolve(response["$ref"]) if "$ref" in response else response
        assert isinstance(found, dict)
        return found

    def test_has_all_endpoints(self) -> None:
        names = [name for name, _ in self.operations()]
        self.assertEqual(
            sorted(names),
            [
                "GET /health",
                "GET /metrics",
                "GET /openapi.json",
                "GET /ready",
                "GET /v1/models",
                "GET /v1/models/{model}",
                "POST /apply-template",
                "POST /detokenize",
                "POST /tokenize",
                "POST /v1/chat/completions",
                "POST /v1/completions",
                "POST /v1/embeddings",
            ],
        )
        ids = [operation["operationId"] for _, operation in self.operations()]
        self.assertEqual(len(set(ids)), len(ids))

    def test_paths_and_parameters_agree(self) -> None:
        for name, operation in self.operations():
            found = [self.response(parameter) for parameter in operation["parameters"]]
            in_path = {parameter["name"] for parameter in found if parameter["in"] == "path"}
            self.assertEqual(in_path, set(re.findall(r"{(\w+)}", name)), name)

    def test_every_response_names_its_request(self) -> None:
        for name, operation in self.operations():
            self.assertIn("default", operation["responses"], name)
            for status, response in operation["responses"].items():
                with self.subTest(name, status=status):
                    self.assertIn("X-Request-Id", self.response(response)["headers"])

    def test_who_is_turned_away_learns_when_to_come_again(self) -> None:
        for name, operation in self.operations():
            for status in ("429", "503"):
                if status in operation["responses"]:
                    with self.subTest(name, status=status):
                        headers = self.response(operation["responses"][status])["headers"]
                        self.assertIn("Retry-After", headers)

    def test_every_code_has_an_example(self) -> None:
        shown = set()
        for response in self.content["components"]["responses"].values():
            for example in response["content"]["application/json"]["examples"].values():
                shown.add(example["value"]["error"]["code"])
        classes = {"io", "proof_failed", "out_of_memory"}  # as numeric
        self.assertEqual(set(schemas("openapi")["ErrorCode"]["enum"]) - classes, shown)

    def test_errors_of_one_status_are_not_those_of_another(self) -> None:
        responses = self.content["components"]["responses"]
        unauthorized = responses["Unauthorized"]["content"]["application/json"]
        for name in ("NotFound", "TooManyRequests", "ServerError", "BadRequest"):
            schema = responses[name]["content"]["application/json"]["schema"]
            value = unauthorized["examples"]["invalid_api_key"]["value"]
            self.assertNotEqual(DOCUMENTS["openapi"].errors(value, schema), [], name)


class TelemetryTest(unittest.TestCase):
    def enum(self, name: str) -> list[Any]:
        found = schemas("telemetry-v1")[name]["enum"]
        assert isinstance(found, list)
        return found

    def sources(self) -> str:
        files = sorted((ROOT / "src").rglob("*.cpp"))
        return "\n".join(file.read_text(encoding="utf-8") for file in files)

    def test_has_every_event_of_the_code(self) -> None:
        emitted = set(re.findall(r'emit\(\s*\{"([^"]+)"', self.sources()))
        known = {
            schema["properties"]["event"]["const"]
            for schema in schemas("telemetry-v1").values()
            if "event" in schema.get("properties", {})
        }
        self.assertLessEqual({"model.loaded", "sequence.finished", "http.request"}, emitted)
        self.assertLessEqual(emitted, known)

    def test_has_every_counter_of_the_code(self) -> None:
        counted = set(re.findall(r'\bcounter\("([^"]+)"', self.sources()))
        self.assertIn("scheduler.set_back", counted)
        known = schemas("telemetry-v1")["Counters"]["properties"]
        for name in counted:  # or what a name begins with: "http.responses_" + ...
            self.assertTrue(any(each.startswith(name) for each in known), name)

    def marked(self, field: str, name: str) -> dict[str, Any]:
        """What x-emitted says of each event, or of each metric."""
        return {
            schema["properties"][name]["const"]: schema.get("x-emitted")
            for schema in schemas("telemetry-v1").values()
            if field in schema.get("properties", {})
        }

    def test_events_are_marked_as_the_code_emits_them(self) -> None:
        emitted = set(re.findall(r'emit\(\s*\{"([^"]+)"', self.sources()))
        for name, mark in self.marked("event", "event").items():
            with self.subTest(name):
                self.assertIs(mark, name in emitted)

    def test_metrics_are_marked_as_the_code_reports_them(self) -> None:
        # As counters, histograms and gauges begin. Those of the process have names of Prometheus.
        named = set(re.findall(r'(?:\{|\badd\()\s*"([a-z0-9_.]+)",', self.sources()))
        reported = {f"tern_{name.replace('.', '_')}" for name in named}
        reported |= {name.replace(".", "_") for name in named if name.startswith("process.")}
        marked = self.marked("samples", "name")
        self.assertTrue({True, False} == set(marked.values()))
        for name, mark in marked.items():
            with self.subTest(name):
                self.assertIs(mark, name.removesuffix("_total") in reported)

    def test_what_is_marked_is_an_event_or_a_metric(self) -> None:
        marks = sum(
            isinstance(value, dict) and "x-emitted" in value
            for _, value in walk(DOCUMENTS["telemetry-v1"].content)
        )
        self.assertEqual(
            marks, len(self.marked("event", "event")) + len(self.marked("samples", "name"))
        )

    def test_every_counter_is_a_metric(self) -> None:
        metrics = {
            schema["properties"]["name"]["const"]
            for schema in schemas("telemetry-v1").values()
            if "samples" in schema.get("properties", {})
        }
        for name in schemas("telemetry-v1")["Counters"]["properties"]:
            self.assertIn(f"tern_{name.replace('.', '_')}_total", metrics)

    def test_every_event_and_metric_is_a_form_of_the_whole(self) -> None:
        for whole, field in (("Event", "event"), ("Metric", "samples")):
            forms = {
                form["$ref"].split("/")[-1] for form in schemas("telemetry-v1")[whole]["oneOf"]
            }
            those = {
                key
                for key, schema in schemas("telemetry-v1").items()
                if field in schema.get("properties", {})
            }
            self.assertEqual(forms, those)

    def test_knows_the_ends_and_errors_of_the_code(self) -> None:
        for name, file in (("EndReason", "engine/answer.cpp"), ("ErrorClass", "core/result.cpp")):
            text = (ROOT / "src" / file).read_text(encoding="utf-8")
            code = "ErrorCode" if name == "ErrorClass" else name
            in_code = re.findall(rf'case {code}::k\w+:\s*return "([^"]+)"', text)
            self.assertEqual(in_code, self.enum(name))


if __name__ == "__main__":
    unittest.main()
