#!/usr/bin/env python3
"""Makes tests/reference/data/float_blocks.gguf: blocks and what the `gguf` package says they mean.

For each type T the file holds "T" (two rows of blocks) and "T.f32", the package's dequantisation.
Needs: pip install gguf==0.19.0 numpy. The blocks are random bytes under a fixed seed, with the
half-precision scales kept finite; a few are subnormal, zero or negative. "trits.T" is the package's
encoding of the matrix "trits" times TRIT_SCALE.
"""

import sys
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

ROWS = 2
TRIT_SCALE = 0.0234375  # exact in half precision


def blocks(rng: np.random.Generator, count: int, size: int, scale_at: int) -> np.ndarray:
    data = rng.integers(0, 256, (count, size), dtype=np.uint8)
    scales = rng.normal(0, 0.01, count).astype(np.float16)
    scales[:4] = np.array([3e-7, 0.0, -1.5, 6.1e-5], dtype=np.float16)
    data[:, scale_at : scale_at + 2] = scales.view(np.uint8).reshape(count, 2)
    return data.reshape(ROWS, -1)


def main(path: Path) -> None:
    rng = np.random.default_rng(20261123)
    values = rng.normal(0, 1, (ROWS, 40)).astype(np.float32)
    rows = {
        Type.F32: values.view(np.uint8),
        Type.F16: values.astype(np.float16).view(np.uint8),
        Type.BF16: gguf.quants.quantize(values, Type.BF16).view(np.uint8).reshape(ROWS, -1),
        Type.Q8_0: blocks(rng, 8, 34, 0),
        Type.Q6_K: blocks(rng, 6, 210, 208),
        Type.Q4_0: blocks(rng, 8, 18, 0),
        Type.TQ1_0: blocks(rng, 6, 54, 52),
        Type.TQ2_0: blocks(rng, 6, 66, 64),
    }
    writer = gguf.GGUFWriter(path, arch="float-blocks")
    for kind, data in rows.items():
        name = kind.name.lower()
        meaning = gguf.quants.dequantize(data, kind).astype(np.float32)
        writer.add_tensor(name, data, raw_shape=data.shape, raw_dtype=kind)
        writer.add_tensor(f"{name}.f32", meaning)
    trits = rng.integers(-1, 2, (ROWS, 768)).astype(np.float32)
    trits[1, 256:512] = 0  # a block without a scale
    writer.add_tensor("trits", trits)
    for kind in (Type.TQ1_0, Type.TQ2_0):
        data = gguf.quants.quantize(trits * np.float32(TRIT_SCALE), kind)
        writer.add_tensor(f"trits.{kind.name.lower()}", data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(
        Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "data/float_blocks.gguf")
    )
