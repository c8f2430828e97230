"""What the tests of schemas/ share: the validator, and where the schemas are."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from json_schema import Document, SchemaError, load, parse  # noqa: E402

__all__ = ["FOLDER", "ROOT", "Document", "SchemaError", "load", "parse"]

FOLDER = ROOT / "schemas"
