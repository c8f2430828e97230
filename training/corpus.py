"""Read a folder of plain-text books and make their text regular.

Books from public libraries are wrapped at about 70 columns. A paragraph of prose becomes one
line; verse, lists and drama keep their lines. Blank lines part paragraphs.
"""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median

HELD_OUT = ("carroll-alice.txt", "chesterton-thursday.txt")
_PROSE_WIDTH = 50  # characters; the median line of a wrapped prose paragraph is wider
_START = re.compile(r"^\*{3} ?START OF.*?\*{3}$", re.MULTILINE)
_END = re.compile(r"^\*{3} ?END OF.*?\*{3}$", re.MULTILINE)


def strip_boilerplate(text: str) -> str:
    """Drop a library's header and footer, where the usual marker lines are present."""
    start, end = _START.search(text), _END.search(text)
    return text[start.end() if start else 0 : end.start() if end else len(text)]


def unwrap(paragraph: str) -> str:
    """Join the lines of one paragraph when it is wrapped prose."""
    lines = [line.rstrip() for line in paragraph.split("\n")]
    body = lines[:-1]
    if not body or median(len(line) for line in body) < _PROSE_WIDTH:
        return "\n".join(lines)
    text = re.sub(r"(?<=[a-z])-\n(?=[a-z])", "", "\n".join(line.lstrip() for line in lines))
    return re.sub(r" {2,}", " ", text.replace("\n", " "))


def normalise(text: str) -> str:
    """Return a book's text with one line a paragraph of prose and one blank line between them."""
    text = strip_boilerplate(text.replace("\ufeff", "").replace("\r\n", "\n"))
    paragraphs = re.split(r"\n\s*\n", text.strip("\n"))
    return "\n\n".join(unwrap(p.strip("\n")) for p in paragraphs if p.strip()) + "\n"


def read_text(path: Path) -> str:
    """Return a file's text; what is no UTF-8 ends the program."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SystemExit(f"{path}: expected UTF-8, found another byte at {error.start}") from None


def read_books(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the training and the held-out books of a folder, by file name."""
    paths = sorted(folder.glob("*.txt"))
    if not paths:
        raise SystemExit(f"{folder}: expected .txt files, found none")
    missing = [name for name in HELD_OUT if not (folder / name).exists()]
    if missing:
        raise SystemExit(f"{folder}: held-out books are missing: {', '.join(missing)}")
    books = {p.name: normalise(read_text(p)) for p in paths}
    held_out = {name: books.pop(name) for name in HELD_OUT}
    return books, held_out
