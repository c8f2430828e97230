"""Ternary matrices in every layout that `tern transcode` writes, by NumPy from their descriptions.

Independent of Tern: TQ1_0 and TQ2_0 are those of PyPI's gguf; the tiles of TL1 and TL2 are made by
reshaping and transposing, as bitnet.cpp's converter does it (utils/convert-hf-to-gguf-bitnet.py);
I2_S, IQ1_BN and IQ2_BN value by value from what bitnet.cpp and ik_llama.cpp say of them. A matrix
is an int8 array of -1, 0, +1 with the shape (rows, columns), and has one scale.
"""

import hashlib
import struct
from collections.abc import Iterable

import gguf
import numpy as np
import numpy.typing as npt

Trits = npt.NDArray[np.int8]
Tiling = tuple[int, int, int]  # bm, bk, bmm

TYPES = {"i2_s": 36, "tl1": 38, "tl2": 39, "tq1_0": 34, "tq2_0": 35, "iq1_bn": 134, "iq2_bn": 135}
HALF_SCALES = ("tq1_0", "tq2_0", "iq1_bn")


def canonical_tiling(kind: str, rows: int, columns: int) -> Tiling:
    """What docs/cli.md promises where no kernel_config.ini says otherwise."""
    bm = max(n for n in range(32, 257, 32) if rows % n == 0)
    return bm, 96 if kind == "tl2" else max(n for n in (128, 64, 32) if columns % n == 0), 32


def i2_s(trits: Trits, scale: float) -> bytes:
    codes = (trits.reshape(-1, 4, 32) + 1).astype(np.uint8)
    packed = codes[:, 0] << 6 | codes[:, 1] << 4 | codes[:, 2] << 2 | codes[:, 3]
    return packed.tobytes() + struct.pack("<f", scale) + bytes(28)


def tq(trits: Trits, scale: float, kind: str) -> bytes:
    """By gguf, whose scale is the largest magnitude of a block: of blocks of zeros 0."""
    wanted = gguf.GGMLQuantizationType.TQ1_0 if kind == "tq1_0" else gguf.GGMLQuantizationType.TQ2_0
    blocks = gguf.quants.quantize(trits.astype(np.float32) * np.float32(scale), wanted)
    zeros = ~trits.reshape(-1, 256).any(axis=1)
    if zeros.any():  # Tern writes the matrix's scale there, too
        flat = blocks.reshape(len(zeros), -1).copy()
        flat[zeros, -2:] = np.frombuffer(np.float16(scale).tobytes(), np.uint8)
        blocks = flat
    return blocks.tobytes()


def base_3(digits: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Along the last axis, the least significant first, as ceil(v * 256 / 243)."""
    numbers = (digits * 3 ** np.arange(digits.shape[-1])).sum(axis=-1)
    return ((numbers * 256 + 242) // 243).astype(np.uint8)


def iq1_bn(trits: Trits, scale: float) -> bytes:
    rows, columns = trits.shape
    groups = (trits.reshape(rows, columns // 64, 4, 16) + 1).astype(np.int64)
    fives = base_3(groups[..., :15].reshape(rows, columns // 64, 12, 5))
    lasts = base_3(groups[..., 15])[..., None]
    blocks = np.concatenate([fives, lasts], axis=-1).reshape(rows, -1)
    scales = np.tile(np.frombuffer(np.float16(scale).tobytes(), np.uint8), (rows, 1))
    return np.concatenate([scales, blocks], axis=1).tobytes()


def iq2_bn(trits: Trits, scale: float) -> bytes:
    rows, columns = trits.shape
    codes = (trits.reshape(rows, columns // 64, 4, 16) + 1).astype(np.uint8)
    packed = codes[:, :, 0] | codes[:, :, 1] << 2 | codes[:, :, 2] << 4 | codes[:, :, 3] << 6
    scales = np.tile(np.frombuffer(np.float32(scale).tobytes(), np.uint8), (rows, 1))
    return np.concatenate([scales, packed.reshape(rows, -1)], axis=1).tobytes()


def tail(scale: float) -> bytes:
    return struct.pack("<f", scale) + bytes(28)


def tl1(trits: Trits, scale: float, tiling: Tiling) -> bytes:
    m, k = trits.shape
    tile_m, tile_k, bm = tiling
    by = 256 // bm
    pairs = trits.reshape(-1, 2).astype(np.int64)
    w = (pairs[:, 0] * 3 + pairs[:, 1] + 4).astype(np.uint8).reshape(m, k // 2)
    a, b, c, d = m // tile_m, k // tile_k, tile_m // bm, tile_k // by
    w = w.reshape(a, tile_m, k // 2).transpose(0, 2, 1)
    w = w.reshape(a, b, tile_k // 2, tile_m).transpose(0, 1, 3, 2)
    w = w.reshape(a, b, c, bm, tile_k // 2).transpose(0, 1, 2, 4, 3)
    w = w.reshape(a, b, c, d, by // 2, bm).transpose(0, 1, 2, 3, 5, 4)
    w = w.reshape(a, b, c, d, bm // 16, 16, by // 2).transpose(0, 1, 2, 3, 4, 6, 5)
    w = w.reshape(a, b, c, d, bm // 16, by // 4, 2, 16).transpose(0, 1, 2, 3, 4, 5, 7, 6)
    w = w.reshape(-1, 2)
    return (w[:, 0] << 4 | w[:, 1]).tobytes() + tail(scale)


def tl2_indices(w: npt.NDArray[np.uint8], tile_m: int, tile_k: int, width: int) -> bytes:
    """Indices of `width` weights, a row of them a row of the matrix; groups of 32 rows."""
    m, n = w.shape
    per_tile, by = tile_k // width, 2 * width
    k = n * width
    w = w.reshape(m // tile_m, tile_m, n).transpose(0, 2, 1)
    w = w.reshape(m // tile_m, k // tile_k, per_tile, tile_m).transpose(0, 1, 3, 2)
    w = w.reshape(m // tile_m, k // tile_k, tile_m // 32, 32, per_tile).transpose(0, 1, 2, 4, 3)
    w = w.reshape(m // tile_m, k // tile_k, tile_m // 32, tile_k // by, 2, 32)
    w = w.transpose(0, 1, 2, 3, 5, 4).reshape(-1, 2)
    packed = (w[:, 0] << 4 | w[:, 1]).reshape(-1, 4, 8)
    return packed[:, [0, 2, 1, 3]].tobytes()


def tl2_signs(negative: npt.NDArray[np.bool_], tile_m: int, tile_k: int) -> bytes:
    m, n = negative.shape
    a, b, c = m // tile_m, n * 3 // tile_k, tile_m // 32
    w = negative.astype(np.uint16).reshape(a, tile_m, n).transpose(0, 2, 1)
    w = w.reshape(a, b, tile_k // 3, tile_m).transpose(0, 1, 3, 2)
    w = w.reshape(a, b, c, 32, tile_k // 3).transpose(0, 1, 2, 4, 3)
    w = w.reshape(a, b, c, tile_k // 24, 16, 16)
    words = np.zeros((*w.shape[:4], 16), np.uint16)
    for i in range(16):
        words |= w[:, :, :, :, i] << np.uint16(15 - i)
    return words.astype("<u2").tobytes()


def tl2(trits: Trits, scale: float, tiling: Tiling) -> bytes:
    m, k = trits.shape
    tile_m, tile_k, _ = tiling
    three = k // tile_k * tile_k
    triples = trits[:, :three].reshape(m, three // 3, 3).astype(np.int64) @ np.array([9, 3, 1])
    codes = tl2_indices(np.abs(triples).astype(np.uint8), tile_m, tile_k, 3)
    codes += tl2_signs(triples < 0, tile_m, tile_k)
    if three != k:
        pairs = trits[:, three:].reshape(m, (k - three) // 2, 2).astype(np.int64) @ np.array([3, 1])
        codes += tl2_indices((pairs + 4).astype(np.uint8), tile_m, 32, 2)
    size = (k - 256) * m // 3 * 5 // 8 + 256 * m // 2 * 4 // 8
    codes += bytes(-(-size // 32) * 32 - len(codes))
    return codes + tail(scale)


def hf_packed(trits: Trits) -> bytes:
    """Four quarters of the rows a byte; the scale is a tensor of its own."""
    codes = (trits.reshape(4, trits.shape[0] // 4, -1) + 1).astype(np.uint8)
    return (codes[0] | codes[1] << 2 | codes[2] << 4 | codes[3] << 6).tobytes()


def encode(kind: str, trits: Trits, scale: float, tiling: Tiling | None = None) -> bytes:
    """The bytes of the tensor; a scale that the type cannot hold is 1 there, and f32 beside it."""
    if kind in HALF_SCALES and float(np.float16(scale)) != scale:
        scale = 1.0
    if kind in ("tl1", "tl2"):
        tiles = tiling or canonical_tiling(kind, *trits.shape)
        return tl1(trits, scale, tiles) if kind == "tl1" else tl2(trits, scale, tiles)
    if kind in ("tq1_0", "tq2_0"):
        return tq(trits, scale, kind)
    return {"i2_s": i2_s, "iq1_bn": iq1_bn, "iq2_bn": iq2_bn}[kind](trits, scale)


def certificate(matrices: Iterable[tuple[str, Trits, float]]) -> str:
    """As src/convert/certificate.h defines it."""
    lines = []
    for name, trits, scale in matrices:
        rows, columns = trits.shape
        digest = hashlib.sha256(f"tern-trits-1\n{name}\n{rows} {columns}\nmultiply\n".encode())
        digest.update(struct.pack("<f", scale))
        codes = (trits + 1).astype(np.uint8)
        codes = np.pad(codes, ((0, 0), (0, -columns % 4))).reshape(rows, -1, 4)
        packed = codes[..., 0] | codes[..., 1] << 2 | codes[..., 2] << 4 | codes[..., 3] << 6
        for row in packed:
            digest.update(hashlib.sha256(row.tobytes()).hexdigest().encode())
        lines.append(f"{name} {digest.hexdigest()}\n")
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
