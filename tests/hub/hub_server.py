"""A hub that misbehaves: the API and the files of a Hugging Face endpoint, with a fault by name.

The first part of a path is the fault: http://127.0.0.1:PORT/cut/api/models/... Large files lie on a
second port, which is another origin. Each fault counts its requests by itself.

usage: hub_server.py [FILE...]     (of org/repo, beside those that are always there)

Prints the two ports, and that of a hub behind TLS, and serves until standard input ends. GET /_log:
a JSON list of the requests. The first two are proxies by CONNECT, too, for which every host is this
machine.
"""

import contextlib
import functools
import hashlib
import json
import random
import socket
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

# Signed by itself, and known to nobody: openssl req -x509 -newkey ec -nodes -days 36500, for
# 127.0.0.1 and hub.example.
CERTIFICATE = Path(__file__).with_name("localhost.pem")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".gguf", ".safetensors", ".bin")
MODEL = random.Random(1).randbytes(300_000)
FILES = {
    "model.gguf": MODEL,
    "config.json": b'{"model_type": "test"}\n',
    "sub/notes.txt": b"A note.\n",
    "empty.txt": b"",
}

# What tests/hub/faults.h expects of each stands there.
STATUSES = {"unauthorized": 401, "gated": 403, "no_repo": 404, "gone": 410, "teapot": 418}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def entry(path: str, content: bytes) -> dict[str, object]:
    git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    found: dict[str, object] = {"type": "file", "oid": git, "size": len(content), "path": path}
    if path.endswith(LARGE):
        found["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 134}
    return found


def with_entry(**changes: object) -> Callable[[list], list]:
    """The listing with one more file, which differs in this."""
    return lambda listing: [*listing, entry("extra.txt", b"x") | changes]


LISTINGS: dict[str, Callable[[list], object]] = {
    "name_up": with_entry(path="../evil"),
    "name_up_inside": with_entry(path="a/../../evil"),
    "name_absolute": with_entry(path="/etc/evil"),
    "name_control": with_entry(path="a\u001b[2Jb"),
    "name_newline": with_entry(path="a\nb"),
    "name_backslash": with_entry(path="..\\evil"),
    "name_empty": with_entry(path=""),
    "name_long": with_entry(path="x" * 300),
    "name_number": with_entry(path=7),
    "twice": with_entry(path="config.json"),
    "file_and_folder": with_entry(path="config.json/x"),
    "size_negative": with_entry(size=-1),
    "size_huge": with_entry(size=1 << 60),
    "size_text": with_entry(size="12"),
    "hash_path": with_entry(oid="../../../../etc/passwd"),
    "hash_short": with_entry(lfs={"oid": "00", "size": 1}),
    "type_unknown": with_entry(type="link"),
    "not_objects": lambda _: ["model.gguf"],
    "not_a_list": lambda listing: {"files": listing},
    "longer": lambda listing: [
        e | {"lfs": e["lfs"] | {"size": 300_001}} if "lfs" in e else e for e in listing
    ],
    "too_large": lambda listing: [
        e | {"lfs": e["lfs"] | {"size": 1 << 43}} if "lfs" in e else e for e in listing
    ],
    "same_bytes": with_entry(path="twin.gguf", lfs={"oid": sha256(MODEL), "size": len(MODEL)}),
    "small_longer": lambda listing: [
        e | {"size": 99} if e["path"] == "config.json" else e for e in listing
    ],
}


@functools.cache
def many_files() -> bytes:
    one = '{"type":"file","oid":"%s","size":0,"path":"f%d"}'
    listed = ",".join([one % ("0" * 40, i) for i in range(100_001)])
    return f"[{listed}]".encode()


class Hub:
    """Files, and what was asked."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.log: list[dict[str, object]] = []
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.cdn = ""
        # What some faults are told by a test.
        self.stall_after = 1 << 30
        self.replaced = b""
        self.third_is_gone = False

    def count(self, key: str) -> int:
        """How often this was asked before."""
        with self.lock:
            self.counts[key] += 1
            return self.counts[key] - 1


def pass_on(source: socket.socket, sink: socket.socket) -> None:
    """All that comes from one connection, to another, until the first ends."""
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/_log":
            self.send(200, json.dumps(self.hub.log).encode())
            return
        with self.hub.lock:
            self.hub.log.append(
                {
                    "port": self.server.server_address[1],
                    "path": self.path,
                    "token": self.headers.get("Authorization"),
                    "range": self.headers.get("Range"),
                }
            )
        _, self.fault, *rest = parts.path.split("/")
        try:
            if rest[:1] == ["cdn"]:
                self.cdn(rest[1], parse_qs(parts.query))
            elif rest[:2] == ["api", "models"] and "revision" in rest:
                self.revision()
            elif rest[:2] == ["api", "models"] and "tree" in rest:
                self.tree(parse_qs(parts.query))
            elif "resolve" in rest:
                self.resolve(unquote("/".join(rest[rest.index("resolve") + 2 :])))
            else:
                self.send(404, b"nothing here")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def do_CONNECT(self) -> None:
        port = int(self.path.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as other:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\nVia: a proxy\r\n\r\n")
            back = threading.Thread(target=pass_on, args=(other, self.connection), daemon=True)
            back.start()
            pass_on(self.connection, other)
            back.join()
        self.close_connection = True

    # How things are sent.

    def send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def redirect(self, target: str, **headers: str) -> None:
        self.send(302, b"", Location=target, **headers)

    def send_cut(self, status: int, body: bytes, **headers: str) -> None:
        """Half of what was promised, and the connection ends."""
        headers["Content_Length"] = str(len(body))
        self.send(status, body[: len(body) // 2], **headers)
        self.end()

    def end(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        self.wfile.flush()
        self.connection.settimeout(5)
        with contextlib.suppress(OSError):
            self.connection.recv(1)  # until the client leaves
        self.close_connection = True

    # What is asked.

    def revision(self) -> None:
        before = self.hub.count(self.fault + " revision")
        if self.fault in STATUSES:
            self.send(STATUSES[self.fault], b'{"error": "no"}')
        elif self.fault == "html":
            self.send(200, b"<html><body>Log in to the network</body></html>")
        elif self.fault == "bad_commit":
            self.send(200, b'{"sha": "../../../../tmp"}')
        elif self.fault == "renamed" and before == 0:
            self.send(307, b"", Location=self.path.replace("org/repo", "org/other"))
        elif self.fault == "api_cut" and before == 0:
            self.send_cut(200, json.dumps({"sha": COMMIT}).encode())
        elif self.fault == "api_silent" and before == 0:
            self.end()
        elif self.fault == "many_headers":
            self.send(200, b"{}", **{f"X_{i}": "x" * 100 for i in range(2000)})
        elif self.fault == "no_http":
            self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
            self.end()
        else:
            self.send(200, json.dumps({"sha": COMMIT, "id": "org/repo"}).encode())

    def tree(self, query: dict[str, list[str]]) -> None:
        listing = [entry(path, content) for path, content in sorted(self.hub.files.items())]
        here = f"http://127.0.0.1:{self.server.server_address[1]}/{self.fault}/api/models/org/repo"
        page = int(query.get("cursor", ["0"])[0])
        if self.fault == "huge_listing":
            self.send_endless()
        elif self.fault == "garbage_json":
            self.send(200, b'[{"type": "file", "path": "model.gguf", "si')
        elif self.fault == "deep_json":
            self.send(200, b"[" * 1000 + b"]" * 1000)
        elif self.fault == "key_twice":
            self.send(200, b'[{"type": "file", "path": "a", "path": "b"}]')
        elif self.fault == "endless_pages":
            link = f'<{here}/tree/{COMMIT}?cursor={page + 1}>; rel="next"'
            self.send(200, b"[]", Link=link)
        elif self.fault == "page_elsewhere":
            self.send(200, b"[]", Link=f'<{self.hub.cdn}/ok/tree/x>; rel="next"')
        elif self.fault == "paged":
            link = f'<{here}/tree/{COMMIT}?cursor={page + 1}>; rel="next"'
            last = page == len(listing) - 1
            self.send(200, json.dumps([listing[page]]).encode(), **({} if last else {"Link": link}))
        elif self.fault == "many_files":
            self.send(200, many_files())
        else:
            change = LISTINGS.get(self.fault, lambda found: found)
            self.send(200, json.dumps(change(listing)).encode())

    def send_endless(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        piece = b"[" + b" " * 65535
        for _ in range(1000):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def resolve(self, path: str) -> None:
        before = self.hub.count(self.fault + " resolve " + path)
        content = self.hub.files.get(path)
        gone = self.fault == "third_missing" and self.hub.third_is_gone and "-00003-" in path
        if content is None or gone or self.fault == "file_gone":
            self.send(404, b"no such file")
        elif path.endswith(LARGE):
            self.resolve_large(content, before)
        elif self.fault == "small_cut" and before == 0:
            self.send_cut(200, content)
        elif self.fault == "small_wrong":
            self.send_file(content[::-1])
        else:
            self.send_file(content)

    def resolve_large(self, content: bytes, before: int) -> None:
        target = f"{self.hub.cdn}/{self.fault}/cdn/{sha256(content)}?sig=secret{before}"
        linked = {"X_Linked_Etag": f'"{sha256(content)}"', "X_Linked_Size": str(len(content))}
        here = self.path.split("?")[0]
        hop = int((parse_qs(urlsplit(self.path).query).get("hop") or ["0"])[0])
        redirects = {
            "redirect_relative": here + "?hop=1" if hop == 0 else target,
            "redirect_circle": f"{here}?hop={1 - hop}",
            "redirect_self": self.path,
            "redirect_many": f"{here}?hop={hop + 1}",
            "redirect_file": "file:///etc/passwd",
            "redirect_ftp": "ftp://127.0.0.1/x",
            "redirect_nowhere": "http://[",
        }
        busy = {
            "busy": (2, 429, "0"),
            "busy_second": (1, 429, "1"),
            "busy_long": (100, 429, "100000"),
            "busy_date": (1, 503, "Wed, 21 Oct 2015 07:28:00 GMT"),
        }
        times, status, wait = busy.get(self.fault, (0, 0, ""))
        if before < times:
            self.send(status, b"slow down", Retry_After=wait)
        elif self.fault == "linked_other":
            self.redirect(target, X_Linked_Etag='"' + "0" * 64 + '"')
        elif self.fault == "linked_size":
            self.redirect(target, X_Linked_Size="12")
        elif self.fault == "file_gated":
            self.send(403, b"accept the terms")
        else:
            self.redirect(redirects.get(self.fault, target), **linked)

    def cdn(self, digest: str, query: dict[str, list[str]]) -> None:
        before = self.hub.count(self.fault + " cdn")
        content = next(c for c in self.hub.files.values() if sha256(c) == digest)
        again = query["sig"][0] in self.seen(query["sig"][0])
        if self.fault == "broken" and before < 2:
            self.send(500, b"oops")
        elif self.fault == "broken_always":
            self.send(502, b"oops")
        elif self.fault == "busy_always":
            self.send(429, b"slow down")
        elif self.fault == "silent" and before == 0:
            self.end()
        elif self.fault == "expired" and again:
            self.send(403, b"the signature has expired")
        elif self.fault == "denied_elsewhere":
            self.send(403, b"no")
        elif self.fault == "wrong_hash":
            self.send_file(content[::-1])
        elif self.fault == "wrong_bits" or (
            self.fault == "wrong_scales" and self.asked_bytes() <= 4 and self.asked_first()
        ):
            self.send_file(self.hub.replaced)
        elif self.fault == "third_missing" and self.asks_for_weights_of_third(content):
            self.hub.third_is_gone = True
            self.send(403, b"the signature has expired")
        elif self.fault == "not_satisfiable":
            self.send(416, b"", Content_Range="bytes */10")
        else:
            self.send_file(content)

    def asks_for_weights_of_third(self, content: bytes) -> bool:
        name = next(name for name, other in self.hub.files.items() if other is content)
        return "-00003-" in name and self.asked_bytes() > 20_000

    def asked_bytes(self) -> int:
        first, last = self.headers["Range"].removeprefix("bytes=").split("-")
        return int(last) + 1 - int(first)

    def asked_first(self) -> bool:
        return self.hub.count(f"{self.fault} {self.headers['Range']}") == 0

    def seen(self, signature: str) -> list[str]:
        return [signature] if self.hub.count(self.fault + " " + signature) > 0 else []

    # A file, or the part of it that was asked for.

    def send_file(self, content: bytes) -> None:
        before = self.hub.count(self.fault + " file")
        etag = "one"
        if self.fault == "changed_once" and before >= 2:
            etag = "two"
        if self.fault == "changed_always":
            etag = f"v{before}"
        headers = {"ETag": f'"{etag}"', "Accept_Ranges": "bytes"}
        asked = self.headers.get("Range")
        if not content or asked is None or self.fault.startswith("no_ranges"):
            if self.fault == "no_ranges_cut" and before == 3:
                self.send_cut(200, content, **headers)
            else:
                self.send(200, content, **headers)
            return
        first, last = (int(number) for number in asked.removeprefix("bytes=").split("-"))
        last = min(last, len(content) - 1)
        if first >= len(content):
            self.send(416, b"", Content_Range=f"bytes */{len(content)}")
            return
        self.send_part(content, first, last, before, headers)

    def send_part(
        self, content: bytes, first: int, last: int, before: int, headers: dict[str, str]
    ) -> None:
        total = len(content)
        large = total > 1000
        if self.fault == "short_parts":
            last = min(last, first + 20_000)
        body = content[first : last + 1]
        if large and self.fault == "wrong_place":
            first, last = first + 1, last + 1
        if large and self.fault == "wrong_total":
            total += 5
        if self.fault == "range_nonsense":
            headers["Content_Range"] = "bytes 5-1/0"
        elif self.fault != "range_missing":
            headers["Content_Range"] = f"bytes {first}-{last}/{total}"
        cut = (self.fault == "cut" and before < 3) or self.fault == "cut_always"
        if cut:
            self.send_cut(206, body, **headers)
        elif self.fault == "length_longer":
            self.send(206, body, Content_Length=str(len(body) + 7), **headers)
            self.end()
        elif self.fault == "length_shorter" and before < 3:
            self.send(206, body[:-1], **headers)
        elif (
            (self.fault == "stall" and before == 0)
            or self.fault == "stall_always"
            or (self.fault == "stall_late" and before >= self.hub.stall_after)
        ):
            headers["Content_Length"] = str(len(body))
            self.send(206, body[: len(body) // 2], **headers)
            self.stall()
        else:
            self.send(206, body, **headers)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients leave in the middle; that is what the tests are about."""

    request_queue_size = 64


def start(files: dict[str, bytes], tls: bool = False) -> tuple[Hub, int, int]:
    """Serves on two free ports, on threads of its own; on the first by TLS where wanted."""
    hub = Hub(files)
    handler = type("HubHandler", (Handler,), {"hub": hub})
    servers = [Server(("127.0.0.1", 0), handler) for _ in range(2)]
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        servers[0].socket = context.wrap_socket(servers[0].socket, server_side=True)
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    ports = [server.server_address[1] for server in servers]
    hub.cdn = f"http://127.0.0.1:{ports[1]}"
    return hub, ports[0], ports[1]


def main() -> None:
    extra = {Path(name).name: Path(name).read_bytes() for name in sys.argv[1:]}
    _, port, cdn = start(FILES | extra)
    _, tls, _ = start(FILES, tls=True)
    print(port, cdn, tls, flush=True)
    while sys.stdin.buffer.read1(4096):
        time.sleep(0.01)


if __name__ == "__main__":
    main()
