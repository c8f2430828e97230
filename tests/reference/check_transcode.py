"""Checks `tern transcode` against an independent writer; claims/transcode_identity runs it.

Prints the lines of the claim. Every ordered pair of i2_s, tl1, tl2, tq1_0, tq2_0, iq1_bn and
iq2_bn; from each of them to a checkpoint of packed uint8 and back; and as sources a checkpoint of
packed uint8 in both directions of its scales and one of floats that are ternary. Certificates and
bytes are computed again by ternary_layouts.py. Models: tern-tales, whose scales are no f16, and the
same with scales that are.
"""

import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import ternary_layouts as layouts

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/cli"))

from checkpoints import Gguf, Model, read_safetensors  # noqa: E402

TERN = os.environ["TERN"]  # the executable
TALES = ROOT / "models/tern-tales.gguf"


def run(*arguments: object) -> bytes:
    return subprocess.run(
        [TERN, *map(str, arguments)], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ).stdout


def verdict(name: str, value: object, target: object) -> None:
    print(f"{name}: value {value} target {target} {'MET' if value == target else 'NOT MET'}")


def matrices(path: Path) -> list[tuple[str, layouts.Trits, float]]:
    gguf = Gguf(path)
    found = []
    for name, (shape, kind, _, _) in gguf.tensors.items():
        if kind == layouts.TYPES["i2_s"]:
            codes = np.frombuffer(gguf.codes(name), np.uint8).reshape(shape[1], shape[0])
            found.append((name, codes.astype(np.int8) - 1, gguf.scale(name)))
    return found


def with_half_scales(folder: Path) -> Path:
    """tern-tales with scales that f16 holds."""
    content = bytearray(TALES.read_bytes())
    for name, (_, kind, offset, size) in Gguf(TALES).tensors.items():
        if kind == layouts.TYPES["i2_s"]:
            scale = float(np.float16(Gguf(TALES).scale(name)))
            content[offset + size - 32 : offset + size - 28] = struct.pack("<f", scale)
    path = folder / "half.gguf"
    path.write_bytes(content)
    return path


class Tally:
    """What was compared, and how much of it was the same."""

    def __init__(self) -> None:
        self.pairs = self.same_pairs = self.tensors = self.same_tensors = 0
        self.logits: set[str] = set()

    def compare_bytes(self, path: Path, kind: str, wanted: dict[str, bytes]) -> None:
        listed = json.loads(run("inspect", "-m", path, "--json", "--tensors", "--quick"))["tensors"]
        content = path.read_bytes()
        for tensor in listed:
            if tensor["type"] == kind:
                self.tensors += 1
                at = tensor["offset"]
                found = content[at : at + tensor["bytes"]]
                self.same_tensors += found == wanted[tensor["name"]]

    def compare_packed(self, folder: Path, model: Model, trits: dict[str, layouts.Trits]) -> None:
        found = read_safetensors(folder / "model.safetensors")
        for name, matrix in trits.items():
            theirs = model.their_name(name)
            scale = struct.pack("<f", model.gguf.scale(name))
            self.tensors += 1
            self.same_tensors += (
                found[theirs].data == layouts.hf_packed(matrix)
                and found[theirs + "_scale"].data == scale
            )


def transcode(source: Path, folder: Path, kind: str, name: str) -> tuple[Path, str]:
    output = folder / kind / name
    output.parent.mkdir(exist_ok=True)
    printed = run("transcode", source, "-o", output, "--type", kind)
    return output, printed.decode().split()[1]


def check(source: Path, folder: Path, tally: Tally) -> None:
    found = matrices(source)
    certificate = layouts.certificate(found)
    wanted = {
        kind: {name: layouts.encode(kind, trits, scale) for name, trits, scale in found}
        for kind in layouts.TYPES
    }
    direct = {}
    for kind in layouts.TYPES:
        direct[kind], _ = transcode(source, folder, kind, f"{source.stem}.gguf")
    sources = dict(direct)
    model = Model(source)
    for form in ("autobitlinear", "bitlinear", "float"):
        sources[form] = folder / f"{source.stem}.{form}"
        model.write(sources[form], form)
    for form, path in sources.items():
        expected = certificate
        if form == "bitlinear":  # the reciprocal of a reciprocal is another f32
            again = [(name, trits, model.scale_of(name, form)) for name, trits, _ in found]
            expected = layouts.certificate(again)
        for kind in layouts.TYPES:
            output, printed = transcode(path, folder, kind, "pair.gguf")
            tally.pairs += 1
            tally.same_pairs += printed == expected
            if form == "float" and kind in layouts.HALF_SCALES:
                # Scales that are found while the weights are read stand beside the matrices.
                ones = {name: layouts.encode(kind, trits, 1.0) for name, trits, _ in found}
                tally.compare_bytes(output, kind, ones)
            elif form != "bitlinear":
                tally.compare_bytes(output, kind, wanted[kind])
    trits = {name: matrix for name, matrix, _ in found}
    for kind, path in direct.items():
        packed, printed = transcode(path, folder, "hf_packed", f"{source.stem}.{kind}")
        _, again = transcode(packed, folder, kind, "back.gguf")
        tally.pairs += 2
        tally.same_pairs += (printed == certificate) + (again == certificate)
        tally.compare_packed(packed, model, trits)
    for path in direct.values():
        tally.logits.add(run("verify", "-m", path).decode())


def main() -> int:
    tally = Tally()
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as name:
        folder = Path(name)
        check(TALES, folder, tally)
        tales = {line.split("sha256 ")[1].split()[0] for line in tally.logits}
        check(with_half_scales(folder), folder, tally)
    verdict(
        "transcode.certificates",
        f"{tally.same_pairs} of {tally.pairs} pairs",
        f"{tally.pairs} of {tally.pairs} pairs",
    )
    verdict(
        "transcode.bytes",
        f"{tally.same_tensors} of {tally.tensors} matrices",
        f"{tally.tensors} of {tally.tensors} matrices",
    )
    own = run("verify", "-m", TALES).decode().split("sha256 ")[1].split()[0]
    verdict("transcode.verify", ", ".join(sorted(tales)), own)
    return 0


if __name__ == "__main__":
    sys.exit(main())
