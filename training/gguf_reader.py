"""Read back the GGUF files that gguf_writer.py writes."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from gguf_writer import ALIGNMENT, TYPE_F16, TYPE_F32, TYPE_I2_S

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
_STRING, _ARRAY = 8, 9


class _Cursor:
    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0

    def take(self, code: str) -> object:
        value = struct.unpack_from("<" + code, self.raw, self.at)[0]
        self.at += struct.calcsize("<" + code)
        return value

    def string(self) -> str:
        size = self.take("Q")
        self.at += size
        return self.raw[self.at - size : self.at].decode("utf-8")

    def value(self, type_id: int) -> object:
        if type_id == _STRING:
            return self.string()
        if type_id == _ARRAY:
            inner, count = self.take("I"), self.take("Q")
            return [self.value(inner) for _ in range(count)]
        return self.take(_SCALARS[type_id])


def unpack_trits(raw: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Turn the bytes of I2_S blocks into trits, int8 [out, in]."""
    blocks = raw.reshape(-1, 1, 32) >> np.array([6, 4, 2, 0], dtype=np.uint8)[None, :, None]
    return ((blocks & 3).astype(np.int8) - 1).reshape(shape)


def read_gguf(path: Path) -> tuple[dict[str, object], dict[str, np.ndarray], dict[str, float]]:
    """Return the keys, the tensors (trits as int8) and the scales of the ternary tensors."""
    if not path.is_file():
        raise SystemExit(f"{path}: expected a file, found none; training/export.py writes it")
    raw = path.read_bytes()
    if raw[:8] != struct.pack("<4sI", b"GGUF", 3):
        raise SystemExit(f"{path}: expected GGUF version 3, found {raw[:8]!r}")
    try:
        return _read(_Cursor(raw))
    except (struct.error, ValueError, KeyError) as error:
        found = f"{type(error).__name__}: {error}"
        raise SystemExit(f"{path}: expected a file of training/export.py ({found})") from None


def _read(cursor: _Cursor) -> tuple[dict[str, object], dict[str, np.ndarray], dict[str, float]]:
    cursor.at = 8
    tensor_count, key_count = cursor.take("Q"), cursor.take("Q")
    keys = {cursor.string(): cursor.value(cursor.take("I")) for _ in range(key_count)}
    infos = []
    for _ in range(tensor_count):
        name = cursor.string()
        sizes = [cursor.take("Q") for _ in range(cursor.take("I"))]
        infos.append((name, tuple(sizes[::-1]), cursor.take("I"), cursor.take("Q")))
    base = cursor.at + (-cursor.at % ALIGNMENT)
    tensors, scales = {}, {}
    for name, shape, type_id, offset in infos:
        count, at = int(np.prod(shape)), base + offset
        if type_id == TYPE_I2_S:
            raw = np.frombuffer(cursor.raw, np.uint8, count // 4, at)
            tensors[name] = unpack_trits(raw, shape)
            scales[name] = struct.unpack_from("<f", cursor.raw, at + count // 4)[0]
        else:
            dtype = {TYPE_F32: np.float32, TYPE_F16: np.float16}[type_id]
            tensors[name] = np.frombuffer(cursor.raw, dtype, count, at).reshape(shape)
    return keys, tensors, scales
