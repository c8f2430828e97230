#!/usr/bin/env python3
"""Makes random templates by a grammar, and what jinja2 renders of them, set up as transformers does.

usage: make_chat_fuzz.py OUTPUT_FILE [COUNT [SEED]]

Most of it is made so that it renders: texts, numbers and lists go where they are taken, and names
of loops where there is one; the rest is anything anywhere.

Leaves out "e" and "safe", whose results jinja2 shows and joins as Markup, and Tern as text. Writes
the format of make_chat_vectors.py. Left out are templates of which jinja2's text shows how
Python keeps an object in memory ("<generator object ...>"), which nothing else can repeat.
"""

# ruff: noqa: E501, PLR0911 - tables and grammar stand as they are

import json
import random
import re
import sys
from pathlib import Path

from chat_jinja import INPUTS, environment, rendered

OF_PYTHON = re.compile(
    r"<(?:built-in|bound|function|generator|Macro|jinja2|class|Loop|[\w.]+ obj)|dict_|\bobject at 0x|Cycler|Joiner|Namespace|itertools"
)
STRINGS = ["''", "'a'", "'B c'", "' x\\n'", "'Größe'", "'海🐦'", "'a,b,,c'", "'<|im_end|>'", "'</think>y'",
           "'it\\'s'", "'\\x41\\101'", "'12'", "'1.5'", "'%s'", "'a' 'b'", "'\\\\'"]  # fmt: skip
NUMBERS = ["0", "1", "-1", "2", "3", "7", "10", "1.5", "0.1", "-2.5", "1e3", "0x1F", "1_000"]
OF_ANY = ["string", "default('d')", "default('d', true)", "tojson", "tojson(indent=2)", "upper", "lower", "trim",
          "title", "capitalize", "replace('a', 'b')", "wordcount", "center(7)", "int(5)", "float(none)"]  # fmt: skip
OF_TEXT = ["length", "list", "first", "last", "reverse", "unique | list", "sort", "indent", "indent(2, true)", "count",
           "int", "float", "batch(2) | list", "select | list", "join('-')", "max", "min", "trim('a')",
           "select('in', ['a', ' ']) | list", "map('upper') | join", "format"]  # fmt: skip
OF_NUMBER = ["int", "float", "abs", "round", "round(1)", "round(0, 'floor')", "round(1, 'ceil')"]
OF_LIST = ["length", "list", "first", "last", "join", "join(', ')", "reverse | list", "count", "batch(2) | list",
           "batch(3, 'z') | list", "map('string') | join('+')", "map(attribute='role') | list", "map('tojson') | list",
           "map(attribute='x', default='z') | list", "select('string') | list", "reject('none') | list",
           "selectattr('role', 'equalto', 'user') | list", "rejectattr('content') | list", "select | list",
           "selectattr('content', 'defined') | map(attribute='content') | list", "map('default', 1) | list",
           "reject('in', ['a']) | list", "map('attr', 'role') | list"]  # fmt: skip
OF_MESSAGES = ["sort(attribute='role')", "groupby('role') | list", "unique(attribute='role') | list",
               "max(attribute='role')", "map('items') | map('list') | list", "map('dictsort') | list",
               "groupby('role') | map('last') | map('length') | list"]  # fmt: skip
OF_ODD = ["sort", "sort(reverse=true)", "sum", "max", "min", "items | list", "dictsort", "round", "abs", "unique | list",
          "format(1)", "indent", "reverse | list", "map('upper') | list", "batch(2) | list"]  # fmt: skip
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "sequence",
         "iterable", "true", "false", "eq(1)", "ne('a')", "in([1, 'a'])", "lower", "upper", "sameas(none)",
         "callable"]  # fmt: skip
OF_ODD_TESTS = ["odd", "even", "divisibleby(2)", "gt(1)", "in('ab')", "le('b')", "divisibleby(0.5)"]
METHODS = ["strip()", "lstrip('a')", "rstrip()", "split()", "split(',')", "split(',', 1)", "rsplit('b', 1)", "upper()",
           "lower()", "title()", "capitalize()", "startswith('a')", "endswith(('c', 'b'))", "replace('a', 'xy')",
           "find('b')", "rfind('a')", "count('a')", "splitlines()", "join(['x', 'y'])", "removeprefix('a')",
           "removesuffix('c')", "partition(',')", "rpartition('b')", "zfill(4)", "ljust(4)", "rjust(4, '.')",
           "center(5)", "swapcase()", "isdigit()", "isalpha()", "isupper()", "isspace()", "isalnum()",
           "format(1)", "role", "nothing", "isascii()"]  # fmt: skip
OF_DICT = ["items() | list", "keys() | list", "values() | list", "get('role')", "get('x', 2)", "role", "content",
           "nothing"]  # fmt: skip
OPERATORS = ["+", "-", "*", "/", "//", "%", "~", "and", "or", "==", "!=", "<", "<=", ">", ">=", "in",
             "not in"]  # fmt: skip
NAMES = ["messages", "m", "x", "y", "ns.v", "tools", "bos_token", "add_generation_prompt", "nothing", "messages[0]",
         "messages[-1].content", "messages[0]['content']", "messages[0].role"]  # fmt: skip
OF_LOOP = ["loop.index", "loop.first", "loop.last", "loop.previtem", "loop.nextitem", "loop.length", "loop.revindex0",
           "loop.depth", "loop.cycle('a', 2)", "loop.changed(x)"]  # fmt: skip
# What loops go over, by what their targets take apart.
OVER = {
    "m": ["messages", "messages[1:]", "messages | reverse", "messages | selectattr('content')"],
    "x": ["[1, 2, 3]", "range(3)", "'ab'", "['a', none, 1.5]", "messages | map(attribute='role')", "{'a': 1}", "()"],
    "x, y": ["{'a': 1}.items()", "[[1, 2], [3, 4]]", "[(1, (2, 3))]", "messages[0].items()", "messages[0] | dictsort",
             "messages | groupby('role')", "['ab', 'cd']", "['a', 'b'] | batch(2)"],
    "(x, y)": ["[[1, 2], [3, 4]]", "{'a': 1} | items", "[(1, (2, 3))]"],
    "x, (y, m)": ["[(1, (2, 3))]", "[[1, 'ab'], [2, [3, 4]]]"],
}  # fmt: skip


class Grammar:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.loops = 0
        self.has_h = False

    def one(self, *of: str) -> str:
        return self.random.choice(of)

    def chance(self, of_ten: int) -> bool:
        return self.random.randrange(10) < of_ten

    def atom(self) -> str:
        kind = self.random.randrange(10)
        if kind < 3:
            return self.one(*STRINGS)
        if kind < 5:
            return self.one(*NUMBERS)
        if kind < 6:
            return self.one("true", "false", "none", "[]", "{}", "()", "True", "None")
        return self.one(*NAMES, *(OF_LOOP if self.loops or self.random.randrange(50) == 0 else []))

    def number(self, depth: int) -> str:
        kind = self.random.randrange(10)
        if depth == 0 or kind < 3:
            return self.one(*NUMBERS)
        if kind < 5:
            return (
                f"({self.text_value(depth - 1)}).{self.one('find', 'count')}({self.one(*STRINGS)})"
            )
        if kind < 6:
            return f"({self.number(depth - 1)} | {self.one(*OF_NUMBER)})"
        if kind < 7:
            return f"-{self.number(depth - 1)}"
        return f"({self.number(depth - 1)} {self.one('+', '-', '*', '/', '//', '%')} {self.number(depth - 1)})"

    def text_value(self, depth: int) -> str:
        return (
            self.one(*STRINGS)
            if depth == 0 or self.chance(2)
            else f"({self.expression(depth - 1)}) | string"
        )

    def filtered(self, depth: int) -> str:
        kind = self.random.randrange(20)
        if kind < 5:
            return f"({self.expression(depth)}) | {self.one(*OF_ANY)}"
        if kind < 10:
            return f"{self.text_value(depth)} | {self.one(*OF_TEXT)}"
        if kind < 12:
            return f"{self.number(depth)} | {self.one(*OF_NUMBER)}"
        if kind < 15:
            of = self.one("messages", "messages[1:]", f"[{self.expression(depth)}, {self.expression(depth)}]",
                          f"({self.text_value(depth)} | list)", "nothing", "0", f"({self.expression(depth)})")  # fmt: skip
            return f"{of} | {self.one(*OF_LIST)}"
        if kind < 19:
            return (
                self.one("messages", "messages[:2]", "messages[1:]")
                + " | "
                + self.one(*OF_MESSAGES)
            )
        return f"({self.expression(depth)}) | {self.one(*OF_ODD)}"

    def operation(self, depth: int) -> str:
        a = lambda: self.expression(depth)  # noqa: E731
        if self.chance(5):
            return f"{a()} {self.one('~', 'and', 'or', '==', '!=')} {a()}"
        if self.chance(5):
            return (
                f"{self.number(depth)} {self.one('+', '//', '%', '<', '>=')} {self.number(depth)}"
            )
        if self.chance(6):
            of = self.one("in", "<", "+", "not in", ">=")
            return f"({self.text_value(depth)}) {of} ({self.text_value(depth)})"
        return f"{a()} {self.one(*OPERATORS)} {a()}"

    def called(self, depth: int) -> str:
        if self.chance(8):
            return f"({self.text_value(depth)}).{self.one(*METHODS)}"
        if self.chance(8):
            return f"{self.one('messages[0]', 'messages[-1]', '{}')}.{self.one(*OF_DICT)}"
        return f"({self.expression(depth)}).{self.one(*METHODS, *OF_DICT)}"

    def expression(self, depth: int = 3) -> str:
        if depth == 0 or self.chance(2):
            return self.atom()
        inner = depth - 1
        a = lambda: self.expression(inner)  # noqa: E731
        match self.random.randrange(12):
            case 0 | 1:
                return self.operation(inner)
            case 2 | 3:
                return self.filtered(inner)
            case 4:
                if self.chance(2):
                    return f"({self.number(inner)} is {self.one(*OF_ODD_TESTS[:4])})"
                return f"({a()} is {self.one('', 'not ')}{self.one(*TESTS, *(OF_ODD_TESTS if self.chance(1) else []))})"
            case 5 | 6:
                return self.called(inner)
            case 7:
                return f"({a()} if {a()} else {a()})" if self.chance(8) else f"({a()} if {a()})"
            case 8:
                return "[" + ", ".join(a() for _ in range(self.random.randrange(4))) + "]"
            case 9:
                return (
                    "{"
                    + ", ".join(
                        f"{self.one(*STRINGS)}: {a()}" for _ in range(self.random.randrange(3))
                    )
                    + "}"
                )
            case 10:
                n = lambda: self.one("", "1", "-1", "2", "0")  # noqa: E731
                of = self.one("messages", f"({self.text_value(inner)})")
                return f"{of}[{self.one(n() + ':' + n(), n() + ':' + n() + ':' + self.one('1', '-1', '2'), '0', '-1', a())}]"
            case _:
                return self.one(
                    f"({a()})",
                    f"not {a()}",
                    f"-{self.number(inner)}",
                    f"range({self.one('3', '1, 4')}) | list",
                )

    def tag(self, text: str) -> str:
        return "{%" + self.one("", "", "-", "+") + f" {text} " + self.one("", "", "-", "+") + "%}"

    def text(self) -> str:
        return self.one(
            "", "", " ", "\n", "a", "  \n", "\n  ", "<|im_start|>", "x }} y", "é\t", "{ b", "\n\n"
        )

    def output(self) -> str:
        return "{{" + self.one("", "-") + f" {self.expression(2)} " + self.one("", "-") + "}}"

    def loop(self, depth: int) -> str:
        target = self.one("m", "m", *OVER)
        over = self.one(*OVER[target])
        if self.random.randrange(20) == 0:
            over = self.one(*OVER[self.one(*OVER)], self.expression(2))
        condition = f" if ({self.expression(2)})" if self.chance(2) else ""
        recursive = " recursive" if self.chance(1) else ""
        again = {"m": "messages[:1]", "x": "[1]"}.get(target, self.one("[[1, 2]]", "[]"))
        self.loops += 1
        body = self.body(depth)
        if recursive:
            body += (
                "{% if loop.depth < 3 %}{{ loop("
                + self.one(again, again, again, "[]", "[1]")
                + ") }}{% endif %}"
            )
        self.loops -= 1
        otherwise = self.tag("else") + self.body(depth) if self.chance(2) else ""
        return (
            self.tag(f"for {target} in {over}{condition}{recursive}")
            + body
            + otherwise
            + self.tag("endfor")
        )

    def statement(self, depth: int) -> str:
        body = lambda: self.body(depth - 1)  # noqa: E731
        e = self.expression
        match self.random.randrange(13):
            case 0 | 1 | 2:
                return self.loop(depth - 1)
            case 3 | 4:
                middle = self.tag(f"elif {e(2)}") + body() if self.chance(3) else ""
                otherwise = self.tag("else") + body() if self.chance(5) else ""
                return self.tag(f"if {e(2)}") + body() + middle + otherwise + self.tag("endif")
            case 5 | 6:
                return self.tag(
                    self.one(
                        f"set x = {e()}",
                        f"set ns.v = {e(2)}",
                        f"set x, y = {e(1)}, {e(1)}",
                        f"set (x, (y, m)) = 1, {self.one(f'({e(1)}, {e(1)})', e(1))}",
                    )
                )
            case 7:
                return (
                    self.tag("set y" + self.one("", " | upper", " | trim"))
                    + body()
                    + self.tag("endset")
                )
            case 8:
                name = self.one("f", "g")
                return (self.tag(f"macro {name}(x, y={self.atom()})") + body() + self.tag("endmacro")
                        + "{{ " + name + "(" + self.one("", "1", "m", "1, 2", "y=3", "'a', y='b'") + ") }}")  # fmt: skip
            case 9:
                return (
                    self.tag(
                        "filter " + self.one("upper", "trim", "indent", "replace('a', 'b') | title")
                    )
                    + body()
                    + self.tag("endfilter")
                )
            case 10:
                return self.tag("with x = " + e(1) + ", y = x") + body() + self.tag("endwith")
            case 11:
                return self.one(
                    "{# note #}",
                    "{#- note -#}",
                    "{% raw %} {{ x }} {% endraw %}",
                    "{%- raw -%} a {% endraw -%}",
                )
            case _:
                if self.loops and self.chance(5):
                    return (
                        "{% if "
                        + e(1)
                        + " %}"
                        + self.tag(self.one("break", "continue"))
                        + "{% endif %}"
                    )
                if not self.has_h and self.random.randrange(20):
                    return self.output()
                return (
                    self.tag("call(x) h(" + self.one("'a'", "m") + ")")
                    + body()
                    + self.tag("endcall")
                )

    def body(self, depth: int) -> str:
        parts = []
        for _ in range(self.random.randrange(1, 4)):
            parts += [
                self.text(),
                self.output() if depth <= 0 or self.chance(5) else self.statement(depth),
            ]
        return "".join(parts) + self.text()

    def template(self) -> str:
        start = "{% set ns = namespace(v=0) %}{% set x = 'a' %}{% set m = messages[0] %}"
        self.has_h = self.chance(3)
        if self.has_h:
            start += "{% macro h(x) %}[{{ x }}{{ caller(x) }}]{% endmacro %}"
        return start + self.body(2)


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    grammar = Grammar(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    made = environment()
    with Path(sys.argv[1]).open("w", encoding="utf-8") as file:
        while count > 0:
            template, variables = grammar.template(), grammar.random.choice(INPUTS[:4])
            case = rendered(made, template, variables)
            if OF_PYTHON.search(case.get("text", "")):
                continue
            count -= 1
            case = {"template": template, "variables": variables, **case}
            file.write(json.dumps(case, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
