"""jinja2 as transformers sets it up for chat templates, and conversations to render."""

import copy
import json
from typing import Any

import jinja2
import jinja2.ext
import jinja2.sandbox

TALK = [
    {"role": "system", "content": "Be brief.\n"},
    {"role": "user", "content": '  What\'s 2+2? <b>"x"</b> '},
    {"role": "assistant", "content": "<think>\nadd\n</think>\n\nIt is 4."},
    {"role": "user", "content": "Größe? 海は広い 🐦\n\nYes"},
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather 'here' & there",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer", "min": 1}},
                "required": ["city"],
            },
        },
    }
]
CALLS = [
    {"role": "user", "content": "Weather in Rome?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "c1",
                "function": {"name": "get_weather", "arguments": {"city": "Rome", "days": 2}},
            },
            {
                "id": "c2",
                "function": {"name": "get_weather", "arguments": {"city": "Bari", "x": None}},
            },
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    {"role": "tool", "tool_call_id": "c2", "content": "rain"},
]
PARTS = [{"role": "user", "content": [{"type": "text", "text": "Hi "}, {"type": "image"}]}]
INPUTS = [
    {"messages": TALK, "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>"},
    {
        "messages": TALK[1:3],
        "add_generation_prompt": False,
        "bos_token": "<s>",
        "eos_token": "</s>",
    },
    {
        "messages": CALLS,
        "tools": TOOLS,
        "add_generation_prompt": True,
        "bos_token": "",
        "eos_token": "",
    },
    {"messages": PARTS, "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>"},
    {"messages": [], "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>"},
]


def environment() -> jinja2.Environment:
    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(
            x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    class Generation(jinja2.ext.Extension):
        tags = frozenset({"generation"})

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return jinja2.nodes.Scope(body, lineno=line)

    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    return made


def rendered(made: jinja2.Environment, template: str, variables: dict[str, Any]) -> dict[str, str]:
    """`text`, what jinja2 renders, or `fails`, the name of what it or Python raises."""
    try:
        # Of their own: "indent" adds to a list before it fails.
        text = made.from_string(template).render(**copy.deepcopy(variables))
        text.encode()  # refuses halves of surrogate pairs
    except Exception as error:
        return {"fails": type(error).__name__}
    return {"text": text}
