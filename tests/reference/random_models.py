"""Small random ternary models, healthy enough that every part of the block matters.

Each is written twice: in a Hugging Face form, which the reference loads, and as GGUF, which Tern
loads. `families.py` says what the families are; a case adds sizes and the form of the checkpoint.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from families import BITNET, BITNET_SILU, GEMMA3, LLAMA, QWEN3, Family
from safetensors.numpy import save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "training"))

from export import LINEARS, gguf_keys, hf_config, pack_rows
from gguf_writer import Tensor, float_tensor, ternary_tensor, write_gguf
from model import ModelConfig

LAST_TOKEN = 3  # of pooling_type

# Forms of a checkpoint. The first two hold packed trits, and a `weight_scale` that a linear divides
# or multiplies by; `online` holds master weights that each forward pass quantises; `float` holds
# trits times their scale, and its linears do not quantise their inputs.
FORMS = ("bitlinear", "autobitlinear", "online", "float")


@dataclass(frozen=True)
class Sizes(ModelConfig):
    """A shape whose head size need not be the hidden size over the heads."""

    head_size: int = 0  # 0: that

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.head_size or self.hidden // self.heads


@dataclass(frozen=True)
class Case:
    """One model: its family and sizes, the checkpoint's form, the head and the embedding's type."""

    name: str
    config: Sizes
    form: str
    tied: bool
    embedding: type  # np.float16 or np.float32
    seed: int
    positions: int = 24
    family: Family = BITNET
    input_norms: bool = False  # `use_rms_norm`: one before each ternary linear
    embeds: bool = False  # an embedding model, whose golden vectors have pooled states
    rope: dict[str, object] = field(default_factory=dict)  # more of `rope_parameters`


def _sizes(hidden: int, heads: int, kv_heads: int, theta: float, **more: float) -> Sizes:
    sizes = Sizes(
        vocab_size=320,
        hidden=hidden,
        layers=2,
        heads=heads,
        kv_heads=kv_heads,
        ffn=640,
        context=64,
        rope_theta=theta,
    )
    return replace(sizes, **more)


# Llama 3.1's, but for a context so small that all three ranges of frequencies occur.
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}

F16, F32 = np.float16, np.float32
CASES = [
    Case("gqa-tied-64", _sizes(256, 4, 2, 10000.0), "autobitlinear", True, F16, 311),
    Case("mha-untied-64", _sizes(256, 4, 4, 500000.0), "bitlinear", False, F16, 322),
    Case("gqa-untied-128", _sizes(384, 3, 1, 500000.0), "autobitlinear", False, F16, 3301, 16),
    Case("mha-tied-128", _sizes(256, 2, 2, 10000.0), "bitlinear", True, F32, 1854),
    Case("bitnet-online", _sizes(256, 4, 2, 500000.0), "online", True, F16, 104, 12),
    Case(
        "bitnet-silu-100",
        _sizes(400, 4, 4, 10000.0),
        "online",
        True,
        F16,
        118,
        8,
        BITNET_SILU,
    ),
    Case("llama3", _sizes(256, 4, 2, 500000.0), "bitlinear", False, F16, 100, 12, LLAMA),
    Case(
        "llama3-scaled",
        _sizes(256, 4, 1, 500000.0),
        "autobitlinear",
        True,
        F16,
        101,
        12,
        LLAMA,
        rope=LLAMA3_ROPE,
    ),
    Case(
        "falcon3",
        _sizes(512, 2, 1, 1000042.0, eps=1e-6, ffn=512),
        "bitlinear",
        False,
        F16,
        103,
        8,
        LLAMA,
    ),
    Case("llama-online", _sizes(256, 2, 2, 10000.0), "online", True, F32, 108, 12, LLAMA),
    Case(
        "llama-rms-norm",
        _sizes(256, 4, 2, 10000.0, eps=1e-6),
        "bitlinear",
        True,
        F16,
        144,
        12,
        LLAMA,
        input_norms=True,
    ),
    Case("trilm", _sizes(256, 4, 4, 10000.0), "float", False, F16, 100, 12, LLAMA),
    Case(
        "qwen3-embedding",
        _sizes(256, 4, 2, 1000000.0, eps=1e-6, head_size=128),
        "online",
        True,
        F16,
        168,
        10,
        QWEN3,
        input_norms=True,
        embeds=True,
    ),
    Case(
        "gemma3-embedding",
        _sizes(320, 2, 1, 10000.0, eps=1e-6, head_size=256, ffn=512),
        "online",
        True,
        F16,
        102,
        8,
        GEMMA3,
        input_norms=True,
        embeds=True,
    ),
]


def _shapes(c: ModelConfig) -> dict[str, tuple[int, int]]:
    """Return [out, in] of each linear by its GGUF name."""
    query, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
    return {
        "attn_q": (query, c.hidden),
        "attn_k": (kv, c.hidden),
        "attn_v": (kv, c.hidden),
        "attn_output": (c.hidden, query),
        "ffn_gate": (c.ffn, c.hidden),
        "ffn_up": (c.ffn, c.hidden),
        "ffn_down": (c.hidden, c.ffn),
    }


def neighbours(rows: np.ndarray, head_dim: int) -> np.ndarray:
    """Reorder rows [heads * D, K]: element i of a head and element i + D/2 become neighbours."""
    halves = rows.reshape(-1, 2, head_dim // 2, rows.shape[1])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def rope_factors(c: ModelConfig, rope: dict[str, object]) -> np.ndarray:
    """Return what llama3 scaling divides each frequency by, [D / 2]."""
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    turns = np.arange(0, c.head_dim, 2) / c.head_dim
    waves = 2 * np.pi * c.rope_theta**turns
    smooth = (float(rope["original_max_position_embeddings"]) / waves - low) / (high - low)
    smooth = smooth.clip(0, 1)
    return (1 / ((1 - smooth) / float(rope["factor"]) + smooth)).astype(np.float32)


class _Builder:
    """Draws the tensors of a case and keeps both forms of each."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.rng = np.random.default_rng(case.seed)
        self.gguf: dict[str, Tensor] = {}
        self.hf: dict[str, np.ndarray] = {}

    def gain(self, ours: str, theirs: str, size: int, offset: float = 0.0) -> None:
        """Add a norm's gain, near 1 with spread; the Hugging Face form is less by `offset`."""
        values = (1.0 + 0.2 * self.rng.standard_normal(size)).astype(np.float32)
        stored = values - np.float32(offset)
        self.gguf[f"{ours}.weight"] = float_tensor(stored + np.float32(offset))
        self.hf[f"{theirs}.weight"] = stored

    def matrix(self, ours: str, theirs: str) -> None:
        """Add an embedding or a head [V, H]."""
        c = self.case.config
        values = 0.3 * self.rng.standard_normal((c.vocab_size, c.hidden))
        values = values.astype(self.case.embedding)
        self.gguf[f"{ours}.weight"] = float_tensor(values)
        self.hf[f"{theirs}.weight"] = values.astype(np.float32)

    def linear(self, ours: str, theirs: str, shape: tuple[int, int], size: float) -> None:
        """Add a ternary matrix with a multiplicative scale near `size`."""
        trits = self.rng.choice([-1, 0, 1], size=shape, p=[0.31, 0.38, 0.31]).astype(np.int8)
        scale = np.float32(size * self.rng.uniform(0.8, 1.25))
        form = self.case.form
        if form in ("bitlinear", "autobitlinear"):
            stored = np.float32(1.0) / scale if form == "bitlinear" else scale
            scale = np.float32(1.0) / stored if form == "bitlinear" else scale
            self.hf[f"{theirs}.weight"] = pack_rows(trits)
            self.hf[f"{theirs}.weight_scale"] = np.array([stored], dtype=np.float32)
        else:
            masters = trits.astype(np.float32) * scale
            if form == "online":
                masters, trits, scale = self.masters(trits, scale)
            self.hf[f"{theirs}.weight"] = masters
        if self.case.family.neighbours and ours.endswith(("attn_q", "attn_k")):
            trits = neighbours(trits, self.case.config.head_dim)
        self.gguf[f"{ours}.weight"] = ternary_tensor(trits, float(scale))

    def masters(
        self, trits: np.ndarray, scale: np.float32
    ) -> tuple[np.ndarray, np.ndarray, np.float32]:
        """Return master weights, and the trits and the scale that quantising them gives."""
        spread = self.rng.uniform(-0.3, 0.3, trits.shape)
        weights = ((trits + spread) * scale).astype(np.float32)
        mean = np.abs(weights.astype(np.float64)).mean()
        found = np.clip(np.rint(weights / mean), -1, 1).astype(np.int8)
        return weights, found, np.float32(mean)

    def build(self) -> None:
        """Add every tensor."""
        c, family = self.case.config, self.case.family
        self.matrix("token_embd", "model.embed_tokens")
        shapes = _shapes(c)
        for i in range(c.layers):
            ours, theirs = f"blk.{i}.", f"model.layers.{i}."
            for name, other in family.norms.items():
                self.gain(ours + name, theirs + other, family.width(name, c), family.offset)
            for name, other in (pair for pairs in LINEARS.values() for pair in pairs):
                size = 0.09 if name in ("attn_q", "attn_k") else 0.04
                self.linear(ours + name, theirs + other, shapes[name], size)
                if self.case.input_norms:
                    norm = f"{theirs}{other}.rms_norm"
                    self.gain(f"{ours}{name}_norm_in", norm, shapes[name][1])
        self.gain("output_norm", "model.norm", c.hidden, family.offset)
        if self.case.rope:
            self.gguf["rope_freqs.weight"] = float_tensor(rope_factors(c, self.case.rope))
        if not self.case.tied:
            self.matrix("output", "lm_head")


def _hf_settings(case: Case) -> dict[str, object]:
    """Return config.json."""
    c, family = case.config, case.family
    rope = {"rope_type": "default", "rope_theta": c.rope_theta} | case.rope
    config = hf_config(c) | {
        "architectures": [family.model_class],
        "model_type": family.model_type,
        "hidden_act": family.activation,
        "rope_parameters": rope,
        "tie_word_embeddings": case.tied,
        "head_dim": c.head_dim,
    }
    config |= family.settings(c)
    quantisation = {"quant_method": "bitnet", "modules_to_not_convert": ["lm_head"]}
    online = case.form == "online"
    quantisation["linear_class"] = "autobitlinear" if online else case.form
    quantisation["quantization_mode"] = "online" if online else "offline"
    if case.input_norms:
        quantisation |= {"use_rms_norm": True, "rms_norm_eps": c.eps}
    config["quantization_config"] = quantisation
    if case.form == "float":
        del config["quantization_config"]
    return config


def write_case(case: Case, gguf: Path, folder: Path) -> None:
    """Write a case as GGUF and as a Hugging Face folder."""
    builder = _Builder(case)
    builder.build()
    keys = gguf_keys(case.config, case.name, case.family.architecture)
    if case.embeds:
        keys[f"{case.family.architecture}.pooling_type"] = LAST_TOKEN
    write_gguf(gguf, keys, builder.gguf)
    folder.mkdir(parents=True, exist_ok=True)
    config = json.dumps(_hf_settings(case), indent=2)
    (folder / "config.json").write_text(config, encoding="utf-8")
    save_file(builder.hf, str(folder / "model.safetensors"), metadata={"format": "pt"})
