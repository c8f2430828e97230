"""Sharded checkpoints of master weights in bf16, of any size: to measure conversions with.

The values are random, the tokenizer is the embedded model's. Standard library only.
"""

import json
import random
import struct
from pathlib import Path

from checkpoints import Model, write_json

SHARD_BYTES = 2_000_000_000
POOL_BYTES = 32 << 20
HIDDEN, FFN, HEADS, KV_HEADS, VOCAB = 4096, 14336, 32, 8, 32768


def value_pool(seed: int) -> bytes:
    """Bytes of bf16 values whose magnitude is below 2, so that none is infinite or NaN."""
    pool = bytearray(random.Random(seed).randbytes(POOL_BYTES))
    pool[1::2] = bytes(pool[1::2]).translate(bytes(byte & 0xBF for byte in range(256)))
    return bytes(pool)


def shapes(layers: int) -> dict[str, list[int]]:
    kv = HIDDEN // HEADS * KV_HEADS
    found = {"model.embed_tokens.weight": [VOCAB, HIDDEN]}
    for i in range(layers):
        block = f"model.layers.{i}."
        found |= {
            block + "input_layernorm.weight": [HIDDEN],
            block + "self_attn.q_proj.weight": [HIDDEN, HIDDEN],
            block + "self_attn.k_proj.weight": [kv, HIDDEN],
            block + "self_attn.v_proj.weight": [kv, HIDDEN],
            block + "self_attn.attn_sub_norm.weight": [HIDDEN],
            block + "self_attn.o_proj.weight": [HIDDEN, HIDDEN],
            block + "post_attention_layernorm.weight": [HIDDEN],
            block + "mlp.gate_proj.weight": [FFN, HIDDEN],
            block + "mlp.up_proj.weight": [FFN, HIDDEN],
            block + "mlp.ffn_sub_norm.weight": [FFN],
            block + "mlp.down_proj.weight": [HIDDEN, FFN],
        }
    return found | {"model.norm.weight": [HIDDEN]}


def size_of(shape: list[int]) -> int:
    return 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)


def layers_of(total: int) -> int:
    """As many layers as make about `total` bytes, at least one."""
    fixed = sum(size_of(shape) for shape in shapes(0).values())
    layer = sum(size_of(shape) for shape in shapes(1).values()) - fixed
    return max(1, round((total - fixed) / layer))


def write_shard(path: Path, tensors: dict[str, list[int]], pool: bytes, offset: int) -> None:
    header, at = {}, 0
    for name, shape in tensors.items():
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size_of(shape)]}
        at += size_of(shape)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for shape in tensors.values():
            left = size_of(shape)
            while left:
                offset = (offset + 2 * 7919) % POOL_BYTES
                part = memoryview(pool)[offset : offset + min(left, POOL_BYTES - offset)]
                file.write(part)
                left -= len(part)


def write(folder: Path, total: int, seed: int = 0) -> list[Path]:
    """Write a checkpoint of about `total` bytes; returns its shards."""
    folder.mkdir(parents=True, exist_ok=True)
    layers = layers_of(total)
    tales = Model()
    config = tales.config("online") | {
        "vocab_size": VOCAB,
        "hidden_size": HIDDEN,
        "intermediate_size": FFN,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HIDDEN // HEADS,
    }
    write_json(folder / "config.json", config)
    write_json(folder / "tokenizer.json", tales.tokenizer())
    tokens = tales.vocabulary()[0]
    write_json(folder / "tokenizer_config.json", {"bos_token": tokens[0], "eos_token": tokens[1]})
    groups: list[dict[str, list[int]]] = [{}]
    for name, shape in shapes(layers).items():
        if groups[-1] and sum(map(size_of, groups[-1].values())) + size_of(shape) > SHARD_BYTES:
            groups.append({})
        groups[-1][name] = shape
    pool = value_pool(seed)
    weight_map, paths = {}, []
    for i, group in enumerate(groups):
        name = f"model-{i + 1:05}-of-{len(groups):05}.safetensors"
        write_shard(folder / name, group, pool, 2 * i)
        weight_map |= dict.fromkeys(group, name)
        paths.append(folder / name)
    write_json(folder / "model.safetensors.index.json", {"weight_map": weight_map})
    return paths
