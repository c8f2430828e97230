"""A strict validator for the part of JSON Schema 2020-12 that schemas/ uses.

A keyword that it does not know is an error, never ignored: what a schema says is what is checked.
References stay within the document ("#/..."). Texts are counted in code points, and patterns are
those that Python and ECMA-262 read alike.

    document = Document(load(ROOT / "schemas" / "openapi.json"))
    document.errors(value, "#/components/schemas/Model")  # [] or ["/data/0/id: expected ..."]
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda v: v is None,
    "boolean": lambda v: isinstance(v, bool),
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "integer": lambda v: (
        (isinstance(v, int) and not isinstance(v, bool))
        or (isinstance(v, float) and v.is_integer())
    ),
}
ANNOTATIONS = frozenset(
    {"$schema", "$id", "$defs", "title", "description", "default", "examples", "contentEncoding"}
    | {"x-emitted"}  # of events and metrics: whether Tern reports them today
)
ONE_SCHEMA = frozenset({"additionalProperties", "items", "not", "propertyNames"})
SCHEMAS = frozenset({"allOf", "anyOf", "oneOf"})
NAMED_SCHEMAS = frozenset({"$defs", "properties"})


class SchemaError(Exception):
    """The schema itself is wrong, or says what this validator does not check."""


def load(file: Path) -> Any:
    return parse(file.read_text(encoding="utf-8"))


def parse(text: str) -> Any:
    """JSON and nothing else: no key twice, no NaN, no infinity."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError(f"a key stands twice: {[key for key, _ in pairs]}")
        return found

    def no_constant(name: str) -> None:
        raise ValueError(f"JSON has no {name}")

    return json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)


def same(a: Any, b: Any) -> bool:
    """Equal as JSON: 1 is 1.0, but no true."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else text[:97] + "..."


class Document:
    """A document that holds schemas: one itself, or OpenAPI with its components."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def resolve(self, reference: str) -> Any:
        """What a "#/..." leads to."""
        if reference != "#" and not reference.startswith("#/"):
            raise SchemaError(f"{reference}: expected a reference within the document")
        found = self.content
        for part in reference.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdigit() and int(key) < len(found):
                found = found[int(key)]
            else:
                raise SchemaError(f"{reference}: leads nowhere, '{key}' is missing")
        return found

    def check_schema(self, schema: Any, where: str = "#") -> None:
        """Raises SchemaError where the schema is not one that errors() understands whole."""
        if isinstance(schema, bool):
            return
        if not isinstance(schema, dict):
            raise SchemaError(f"{where}: expected a schema, found {shown(schema)}")
        for keyword, argument in schema.items():
            at = f"{where}/{keyword}"
            if keyword == "$ref":
                self.resolve(argument)
            elif keyword in NAMED_SCHEMAS:
                for name, inner in argument.items():
                    self.check_schema(inner, f"{at}/{name}")
            elif keyword in SCHEMAS:
                for i, inner in enumerate(argument):
                    self.check_schema(inner, f"{at}/{i}")
            elif keyword in ONE_SCHEMA:
                self.check_schema(argument, at)
            elif keyword in CHECKS:
                check_argument(keyword, argument, at)
            elif keyword not in ANNOTATIONS:
                raise SchemaError(f"{at}: this keyword is not known")
        check_required(schema, where)

    def errors(self, value: Any, schema: Any = "#") -> list[str]:
        """What is wrong with a value, a line each; `schema` is one, or a reference to it."""
        if isinstance(schema, str):
            schema = {"$ref": schema}
        return [f"{path or '/'}: {message}" for path, message in self._errors(value, schema, "")]

    def _errors(self, value: Any, schema: Any, path: str) -> Iterator[tuple[str, str]]:
        if isinstance(schema, bool):
            if not schema:
                yield path, f"nothing is allowed here, found {shown(value)}"
            return
        for keyword, argument in schema.items():
            if keyword == "$ref":
                yield from self._errors(value, self.resolve(argument), path)
            elif keyword in SCHEMAS or keyword == "not":
                yield from self._combined(value, keyword, argument, path)
            elif keyword in CHECKS:
                if message := CHECKS[keyword](value, argument):
                    yield path, message
            elif keyword not in ANNOTATIONS | ONE_SCHEMA | NAMED_SCHEMAS:
                raise SchemaError(f"{path}: the keyword {keyword} is not known")
        if isinstance(value, dict):
            yield from self._properties(value, schema, path)
        if isinstance(value, list) and "items" in schema:
            for i, item in enumerate(value):
                yield from self._errors(item, schema["items"], f"{path}/{i}")

    def _properties(self, value: Any, schema: Any, path: str) -> Iterator[tuple[str, str]]:
        known = schema.get("properties", {})
        for name, item in value.items():
            at = f"{path}/{name}"
            if name in known:
                yield from self._errors(item, known[name], at)
            elif schema.get("additionalProperties") is False:
                yield at, "this name is not known"
            else:
                yield from self._errors(item, schema.get("additionalProperties", True), at)
            if "propertyNames" in schema:
                yield from self._errors(name, schema["propertyNames"], at)

    def _combined(
        self, value: Any, keyword: str, argument: Any, path: str
    ) -> Iterator[tuple[str, str]]:
        if keyword == "not":
            if not list(self._errors(value, argument, path)):
                yield path, f"expected anything but {shown(argument)}, found {shown(value)}"
            return
        found = [list(self._errors(value, schema, path)) for schema in argument]
        if keyword == "allOf":
            for each in found:
                yield from each
            return
        fitting = [i for i, each in enumerate(found) if not each]
        if not fitting:
            meant = [not self._is_meant(value, schema) for schema in argument]
            closest = min(zip(meant, map(len, found), range(len(found)), strict=True))[-1]
            yield path, f"fits none of {len(found)} forms; {describe(found[closest])}"
        elif keyword == "oneOf" and len(fitting) > 1:
            yield path, f"expected one form alone, fits the forms {fitting}"

    def _is_meant(self, value: Any, schema: Any) -> bool:
        """Whether the value has the type and the tags of this form, and so is to be held to it."""
        while isinstance(schema, dict) and "$ref" in schema:
            schema = self.resolve(schema["$ref"])
        if not isinstance(schema, dict) or wrong_type(value, schema.get("type", list(TYPES))):
            return False
        properties = schema.get("properties", {}) if isinstance(value, dict) else {}
        return all(
            "const" not in inner or name not in value or same(value[name], inner["const"])
            for name, inner in properties.items()
            if isinstance(inner, dict)
        )


def describe(errors: list[tuple[str, str]]) -> str:
    return "of the closest: " + "; ".join(f"{path or '/'}: {message}" for path, message in errors)


def check_argument(keyword: str, argument: Any, where: str) -> None:
    wanted = {
        "type": lambda a: all(t in TYPES for t in (a if isinstance(a, list) else [a])),
        "enum": lambda a: isinstance(a, list) and len(a) > 0,
        "const": lambda _: True,
        "required": lambda a: isinstance(a, list) and all(isinstance(name, str) for name in a),
        "pattern": lambda a: isinstance(a, str) and re.compile(a),
        "uniqueItems": lambda a: isinstance(a, bool),
    }.get(keyword, TYPES["number"])
    try:
        fine = wanted(argument)
    except (re.error, TypeError) as error:
        raise SchemaError(f"{where}: {error}") from error
    if not fine:
        raise SchemaError(f"{where}: {shown(argument)} is no argument of {keyword}")


def check_required(schema: dict[str, Any], where: str) -> None:
    """A required name that a closed object does not know could never be given."""
    if schema.get("additionalProperties") is False:
        for name in schema.get("required", []):
            if name not in schema.get("properties", {}):
                raise SchemaError(f"{where}/required: '{name}' is not among the properties")


def wrong_type(value: Any, types: Any) -> str:
    types = types if isinstance(types, list) else [types]
    fits = any(TYPES[t](value) for t in types)
    return "" if fits else f"expected {' or '.join(types)}, found {shown(value)}"


def among(value: Any, allowed: list[Any]) -> str:
    fits = any(same(value, each) for each in allowed)
    return "" if fits else f"expected one of {shown(allowed)}, found {shown(value)}"


def without_required(value: Any, names: list[str]) -> str:
    missing = [name for name in names if name not in value] if isinstance(value, dict) else []
    return f"{', '.join(missing)} missing" if missing else ""


def mismatch(value: Any, pattern: str) -> str:
    # Python's $ also fits before a last newline.
    if not isinstance(value, str) or re.search(re.sub(r"(?<!\\)\$", r"\\Z", pattern), value):
        return ""
    return f"expected {pattern}, found {shown(value)}"


def repeated(value: Any, unique: bool) -> str:
    if not unique or not isinstance(value, list):
        return ""
    twice = any(same(a, b) for i, a in enumerate(value) for b in value[:i])
    return f"expected no item twice, found {shown(value)}" if twice else ""


def bound(kind: str, size: Callable[[Any], Any], words: str, within: Callable[[Any, Any], bool]):
    """A check of values of that type: their size against a limit."""

    def check(value: Any, limit: Any) -> str:
        if not TYPES[kind](value) or within(size(value), limit):
            return ""
        return f"expected {words.format(limit)}, found {shown(value)}"

    return check


def at_most(a: Any, b: Any) -> bool:
    return a <= b


def at_least(a: Any, b: Any) -> bool:
    return a >= b


def itself(value: Any) -> Any:
    return value


# What a keyword finds wrong with a value: a message, empty where nothing is.
CHECKS: dict[str, Callable[[Any, Any], str]] = {
    "type": wrong_type,
    "enum": among,
    "const": lambda value, wanted: among(value, [wanted]),
    "required": without_required,
    "pattern": mismatch,
    "uniqueItems": repeated,
    "minimum": bound("number", itself, "at least {}", at_least),
    "maximum": bound("number", itself, "at most {}", at_most),
    "exclusiveMinimum": bound("number", itself, "more than {}", lambda a, b: a > b),
    "minLength": bound("string", len, "at least {} characters", at_least),
    "maxLength": bound("string", len, "at most {} characters", at_most),
    "minItems": bound("array", len, "at least {} items", at_least),
    "maxItems": bound("array", len, "at most {} items", at_most),
    "minProperties": bound("object", len, "at least {} names", at_least),
    "maxProperties": bound("object", len, "at most {} names", at_most),
}
