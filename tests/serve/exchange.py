"""Holds an exchange with the server to the OpenAPI document: its path, its method, the status, the
headers and the body of the reply, and the body of a request that was answered."""

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from json_schema import Document, load  # noqa: E402

OPENAPI = Document(load(ROOT / "schemas" / "openapi.json"))
PATHS = OPENAPI.content["paths"]
RESPONSES = OPENAPI.content["components"]["responses"]


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    return OPENAPI.resolve(value["$ref"]) if "$ref" in value else value


def operation(method: str, path: str) -> dict[str, Any] | None:
    """None for a path that the document does not have; {} for another method of one."""
    path = path.split("?", maxsplit=1)[0]
    for template, methods in PATHS.items():
        if re.fullmatch(re.sub(r"\\{\w+\\}", ".+", re.escape(template)), path):
            return methods.get(method.lower().replace("head", "get"), {})
    return None


def response(method: str, path: str, status: int) -> dict[str, Any] | None:
    found = operation(method, path)
    if found is None:
        return RESPONSES["NotFound"] if status == 404 else None
    if not found:  # as of any operation of the path
        found = {"responses": {"405": {"$ref": "#/components/responses/MethodNotAllowed"}}}
    known = found["responses"].get(str(status))
    if known is None and status == 404:  # an administrator's path, asked for elsewhere
        return RESPONSES["NotFound"]
    return None if known is None else resolved(known)


def header_errors(wanted: dict[str, Any], headers: dict[str, str]) -> list[str]:
    errors = []
    limits = RESPONSES["TooManyRequests"]["headers"]  # which any reply may have
    wanted = {name: limits[name] for name in limits if name.startswith("X-RateLimit")} | wanted
    for name, reference in wanted.items():
        header = resolved(reference)
        schema = header["schema"]
        text = headers.get(name.lower())
        if text is None:
            errors += [f"{name}: expected it, found none"] if header.get("required") else []
            continue
        value = int(text) if schema.get("type") == "integer" and text.isdigit() else text
        errors += [f"{name}{error}" for error in OPENAPI.errors(value, schema)]
    for name in headers:
        ours = name.startswith(("x-ratelimit-", "retry-after", "www-authenticate", "allow"))
        if ours and name not in {n.lower() for n in wanted}:
            errors.append(f"{name}: the document does not have it")
    return errors


def errors_of(
    method: str, path: str, status: int, headers: dict[str, str], body: bytes
) -> list[str]:
    if method == "OPTIONS" and status == 204:
        return [] if "x-request-id" in headers else ["x-request-id is missing"]
    found = response(method, path, status)
    if found is None:
        return [f"{method} {path}: the document has no {status}"]
    errors = header_errors(found["headers"], headers)
    if method == "HEAD":
        return errors
    kind = headers.get("content-type", "").split(";")[0]
    if kind not in found["content"]:
        return [*errors, f"Content-Type: the document has no {kind}"]
    if kind == "text/event-stream":
        return errors + event_errors(path, body)
    value = json.loads(body) if kind == "application/json" else body.decode()
    return errors + OPENAPI.errors(value, found["content"][kind]["schema"])


def request_errors(method: str, path: str, status: int, body: bytes | None) -> list[str]:
    """What the server answers, the document lets clients ask."""
    if method != "POST" or body is None or not 200 <= status < 300:
        return []
    found = operation(method, path)
    assert found, path
    schema = resolved(found["requestBody"]["content"]["application/json"]["schema"])
    # What is null counts as absent, also where nobody knows its name.
    fields = {
        name: value
        for name, value in json.loads(body).items()
        if value is not None or name in schema["properties"]
    }
    return [f"request{error}" for error in OPENAPI.errors(fields, schema)]


def event_errors(path: str, body: bytes) -> list[str]:
    kind = "ChatCompletionEvent" if "chat" in path else "CompletionEvent"
    errors = []
    for block in body.decode().split("\n\n")[:-1]:
        event: dict[str, Any] = dict(line.split(": ", 1) for line in block.split("\n"))
        if event["data"] != "[DONE]":
            event["data"] = json.loads(event["data"])
        errors += OPENAPI.errors(event, f"#/components/schemas/{kind}")
    return errors
