#!/usr/bin/env python3
"""Renders the templates of chat_details.jsonl with jinja2, as make_chat_vectors.py sets it up.

usage: make_chat_details.py FILE [TEMPLATE ...]

Needs `pip install jinja2==3.1.6`. FILE has a JSON object a line: `template`, `variables`, and
either `text` or `fails`: true, which are written anew; a TEMPLATE is added. Its templates are small
and many: each says one thing that a mutant of the interpreter gets wrong.
"""

import json
import sys
from pathlib import Path

from make_chat_vectors import environment


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    file = Path(sys.argv[1])
    cases = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    cases += [{"template": template, "variables": {}} for template in sys.argv[2:]]
    made = environment()
    lines = []
    for case in cases:
        template, variables = case["template"], case["variables"]
        try:
            text = made.from_string(template).render(**variables)
            text.encode()  # refuses halves of surrogate pairs
            outcome = {"text": text}
        except Exception:
            outcome = {"fails": True}
        rendered = {"template": template, "variables": variables} | outcome
        lines.append(json.dumps(rendered, ensure_ascii=False) + "\n")
    file.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
