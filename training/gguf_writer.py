"""A small GGUF v3 writer: typed keys, F32, F16 and I2_S tensors.

I2_S holds a ternary matrix: the values, flattened in row order, in blocks of 128. Byte b of a
block holds the values b, 32 + b, 64 + b and 96 + b in bits 7:6, 5:4, 3:2 and 1:0, each as
value + 1. After the blocks come 32 bytes, of which the first four are the f32 scale that a code
is multiplied by.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ALIGNMENT = 32
TYPE_F32, TYPE_F16, TYPE_I2_S = 0, 1, 36
_U32, _I32, _F32, _BOOL, _STRING, _ARRAY, _U64 = 4, 5, 6, 7, 8, 9, 10


@dataclass(frozen=True)
class Tensor:
    """One tensor: its shape in row-major order (slowest first), GGML type id and bytes."""

    shape: tuple[int, ...]
    type_id: int
    data: bytes


def float_tensor(values: np.ndarray) -> Tensor:
    """Wrap an f16 or f32 array."""
    type_id = {np.dtype(np.float32): TYPE_F32, np.dtype(np.float16): TYPE_F16}[values.dtype]
    return Tensor(values.shape, type_id, np.ascontiguousarray(values).tobytes())


def ternary_tensor(trits: np.ndarray, scale: float) -> Tensor:
    """Pack trits [out, in] in {-1, 0, 1} and their multiplicative scale as I2_S."""
    if trits.size % 128 or trits.min() < -1 or trits.max() > 1:
        raise ValueError(f"I2_S wants whole blocks of 128 trits, got {trits.shape}")
    codes = (trits.astype(np.int8) + 1).astype(np.uint8).reshape(-1, 4, 32)
    packed = (codes[:, 0] << 6) | (codes[:, 1] << 4) | (codes[:, 2] << 2) | codes[:, 3]
    tail = struct.pack("<f", scale) + bytes(28)
    return Tensor(trits.shape, TYPE_I2_S, packed.tobytes() + tail)


def _string(text: str) -> bytes:
    raw = text.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def _typed(value: object) -> tuple[int, bytes]:
    """Return the GGUF type and bytes of a value; whole numbers are u32 (in lists i32)."""
    if isinstance(value, bool):
        return _BOOL, struct.pack("<?", value)
    if isinstance(value, int):
        return _U32, struct.pack("<I", value)
    if isinstance(value, float):
        return _F32, struct.pack("<f", value)
    if isinstance(value, str):
        return _STRING, _string(value)
    if isinstance(value, list) and value and isinstance(value[0], str):
        head = struct.pack("<IQ", _STRING, len(value))
        return _ARRAY, head + b"".join(map(_string, value))
    if isinstance(value, list) and value and isinstance(value[0], int):
        return _ARRAY, struct.pack(f"<IQ{len(value)}i", _I32, len(value), *value)
    raise TypeError(f"no GGUF type for {value!r}")


def _padding(size: int) -> bytes:
    return bytes(-size % ALIGNMENT)


def write_gguf(path: Path, keys: dict[str, object], tensors: dict[str, Tensor]) -> None:
    """Write a file beside its place and rename it."""
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(keys))
    for key, value in keys.items():
        type_id, raw = _typed(value)
        head += _string(key) + struct.pack("<I", type_id) + raw
    offset = 0
    for name, tensor in tensors.items():
        sizes = tensor.shape[::-1]  # GGUF names the fastest dimension first
        head += _string(name) + struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)
        head += struct.pack("<IQ", tensor.type_id, offset)
        offset += len(tensor.data) + len(_padding(len(tensor.data)))
    beside = path.with_name(path.name + ".tmp")
    with beside.open("wb") as file:
        file.write(head + _padding(len(head)))
        for tensor in tensors.values():
            file.write(tensor.data + _padding(len(tensor.data)))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
