"""The validator of tests/support/json_schema.py: what it refuses, and what it lets pass."""

import unittest
from typing import Any

from schemas import Document, SchemaError, parse

# keyword, a schema, values that fit, values that do not
CASES: tuple[tuple[str, Any, tuple[Any, ...], tuple[Any, ...]], ...] = (
    ("type null", {"type": "null"}, (None,), (0, False, "", [], {})),
    ("type boolean", {"type": "boolean"}, (True, False), (0, 1, None, "true")),
    ("type integer", {"type": "integer"}, (0, -3, 2.0, 2**64), (True, 0.5, "1", None)),
    ("type number", {"type": "number"}, (0, 0.5), (False, "0.5", None)),
    ("type string", {"type": "string"}, ("", "a"), (0, None, ["a"])),
    ("type array", {"type": "array"}, ([], [1]), ({}, "[]")),
    ("type object", {"type": "object"}, ({}, {"a": 1}), ([], None)),
    ("types", {"type": ["string", "null"]}, ("a", None), (1, [])),
    ("enum", {"enum": ["a", 1, None]}, ("a", 1, 1.0, None), (True, "b", 0)),
    ("const", {"const": {"a": [1]}}, ({"a": [1]}, {"a": [1.0]}), ({"a": [True]}, {"a": []}, 1)),
    ("const 0", {"const": 0}, (0, 0.0), (False, None)),
    ("required", {"required": ["a"]}, ({"a": None}, 1, []), ({}, {"b": 1})),
    ("properties", {"properties": {"a": {"type": "string"}}}, ({}, {"a": ""}), ({"a": 1},)),
    (
        "additionalProperties false",
        {"properties": {"a": True}, "additionalProperties": False},
        ({}, {"a": 1}),
        ({"b": 1}, {"a": 1, "b": 1}),
    ),
    (
        "additionalProperties",
        {"properties": {"a": True}, "additionalProperties": {"type": "integer"}},
        ({"a": "", "b": 1},),
        ({"b": ""},),
    ),
    ("propertyNames", {"propertyNames": {"pattern": "^[0-9]+$"}}, ({"1": 0},), ({"x": 0},)),
    ("minProperties", {"minProperties": 1}, ({"a": 1}, []), ({},)),
    ("maxProperties", {"maxProperties": 1}, ({"a": 1},), ({"a": 1, "b": 1},)),
    ("items", {"items": {"type": "integer"}}, ([], [1, 2], "a"), (["1"], [1, "2"])),
    ("minItems", {"minItems": 1}, ([1], {}), ([],)),
    ("maxItems", {"maxItems": 1}, ([1],), ([1, 2],)),
    ("uniqueItems", {"uniqueItems": True}, ([1, True, 2], [0, False]), ([1, 1.0], ["a", "a"])),
    ("minLength", {"minLength": 2}, ("ab", "äö", 1), ("a", "ä")),
    ("maxLength", {"maxLength": 2}, ("ab", "äö"), ("abc",)),
    ("pattern", {"pattern": "^a+$"}, ("aa", 1), ("ab", "", "a\n")),
    ("pattern with \\$", {"pattern": "^\\$$"}, ("$",), ("", "$\n")),
    ("minimum", {"minimum": 1}, (1, 1.5, "0"), (0, 0.999)),
    ("maximum", {"maximum": 1}, (1, -1), (2, 1.001)),
    ("exclusiveMinimum", {"exclusiveMinimum": 0}, (0.001,), (0, -1)),
    ("allOf", {"allOf": [{"minimum": 1}, {"maximum": 2}]}, (1, 2), (0, 3)),
    ("anyOf", {"anyOf": [{"const": 1}, {"minimum": 1}]}, (1, 2), (0,)),
    ("oneOf", {"oneOf": [{"const": 1}, {"minimum": 1}]}, (2,), (0, 1)),
    ("not", {"not": {"required": ["a"]}}, ({}, {"b": 1}), ({"a": 1},)),
    ("true", True, (None, 1), ()),
    ("false", False, (), (None, 1)),
    ("empty", {}, (None, 1, {}), ()),
)


class KeywordsTest(unittest.TestCase):
    def test_what_fits_and_what_does_not(self) -> None:
        for name, schema, good, bad in CASES:
            document = Document(schema)
            document.check_schema(schema)
            for value in good:
                with self.subTest(name, good=value):
                    self.assertEqual(document.errors(value, schema), [])
            for value in bad:
                with self.subTest(name, bad=value):
                    self.assertNotEqual(document.errors(value, schema), [])

    def test_errors_name_the_place(self) -> None:
        schema = {"properties": {"a": {"items": {"properties": {"b": {"type": "string"}}}}}}
        errors = Document(schema).errors({"a": [{}, {"b": 1}]})
        self.assertEqual(errors, ["/a/1/b: expected string, found 1"])

    def test_errors_name_the_unknown(self) -> None:
        errors = Document({"additionalProperties": False}).errors({"tools": []})
        self.assertEqual(errors, ["/tools: this name is not known"])

    def test_errors_of_forms_are_those_of_the_closest(self) -> None:
        schema = {"oneOf": [{"type": "string"}, {"type": "object", "required": ["a"]}]}
        self.assertIn("a missing", Document(schema).errors({})[0])


class ReferencesTest(unittest.TestCase):
    def test_are_followed(self) -> None:
        document = Document({"$defs": {"a/b": {"type": "string"}}, "$ref": "#/$defs/a~1b"})
        document.check_schema(document.content)
        self.assertEqual(document.errors("x"), [])
        self.assertNotEqual(document.errors(1), [])

    def test_beside_other_keywords_both_count(self) -> None:
        schema = {"$defs": {"a": {"minimum": 1}}, "$ref": "#/$defs/a", "maximum": 2}
        self.assertEqual([bool(Document(schema).errors(v)) for v in (0, 1, 3)], [True, False, True])

    def test_recursion_ends_with_the_value(self) -> None:
        document = Document({"properties": {"next": {"$ref": "#"}}, "required": ["x"]})
        self.assertEqual(document.errors({"x": 1, "next": {"x": 1}}), [])
        self.assertEqual(document.errors({"x": 1, "next": {}}), ["/next: x missing"])

    def test_that_lead_nowhere_are_errors(self) -> None:
        for reference in ("#/$defs/no", "other.json#/a", "#/list/7", "#/list/x"):
            with self.subTest(reference), self.assertRaises(SchemaError):
                Document({"list": [1]}).check_schema({"$ref": reference})


class StrictnessTest(unittest.TestCase):
    def test_refuses_schemas_it_does_not_understand(self) -> None:
        for schema in (
            {"typo": 1},
            {"properties": {"a": {"patternProperties": {}}}},
            {"items": {"format": "uri"}},
            {"anyOf": [{"if": True}]},
            {"not": {"dependentRequired": {}}},
            {"$defs": {"a": {"minContains": 1}}},
            {"additionalProperties": {"unevaluatedItems": False}},
            {"type": "text"},
            {"type": ["string", "text"]},
            {"enum": []},
            {"enum": "a"},
            {"required": "a"},
            {"pattern": "("},
            {"pattern": 1},
            {"minimum": "1"},
            {"maxItems": True},
            {"uniqueItems": 1},
            {"items": [{}]},
            {"required": ["a"], "additionalProperties": False},
            7,
        ):
            with self.subTest(schema), self.assertRaises(SchemaError):
                Document(schema).check_schema(schema)

    def test_refuses_them_while_it_validates_too(self) -> None:
        with self.assertRaises(SchemaError):
            Document({"typo": 1}).errors(1)

    def test_reads_json_and_nothing_else(self) -> None:
        self.assertEqual(parse('{"a": [1, null]}'), {"a": [1, None]})
        for text in ('{"a": 1, "a": 1}', "NaN", "[-Infinity]", "{} x", "{'a': 1}", ""):
            with self.subTest(text), self.assertRaises(ValueError):
                parse(text)


if __name__ == "__main__":
    unittest.main()
