"""Small random BitNet models, healthy enough that every part of the block matters.

Each is written twice: in the Hugging Face `bitnet` form, which the reference loads, and as GGUF,
which Tern loads.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "training"))

from export import LINEARS, NORMS, gguf_keys, hf_config, pack_rows
from gguf_writer import Tensor, float_tensor, ternary_tensor, write_gguf
from model import ModelConfig


@dataclass(frozen=True)
class Case:
    """One configuration: sizes, the direction of the scale, the head and the embedding's type."""

    name: str
    config: ModelConfig
    linear_class: str  # "autobitlinear" multiplies by weight_scale, "bitlinear" divides
    tied: bool
    embedding: type  # np.float16 or np.float32
    seed: int
    positions: int = 24


def _sizes(hidden: int, heads: int, kv_heads: int, theta: float) -> ModelConfig:
    return ModelConfig(
        vocab_size=320,
        hidden=hidden,
        layers=2,
        heads=heads,
        kv_heads=kv_heads,
        ffn=640,
        context=64,
        rope_theta=theta,
    )


CASES = [
    Case("gqa-tied-64", _sizes(256, 4, 2, 10000.0), "autobitlinear", True, np.float16, 311),
    Case("mha-untied-64", _sizes(256, 4, 4, 500000.0), "bitlinear", False, np.float16, 322),
    Case(
        "gqa-untied-128", _sizes(384, 3, 1, 500000.0), "autobitlinear", False, np.float16, 3301, 16
    ),
    Case("mha-tied-128", _sizes(256, 2, 2, 10000.0), "bitlinear", True, np.float32, 1854),
]


def _shapes(c: ModelConfig) -> dict[str, tuple[int, int]]:
    """Return [out, in] of each linear by its GGUF name."""
    kv = c.kv_heads * c.head_dim
    return {
        "attn_q": (c.hidden, c.hidden),
        "attn_k": (kv, c.hidden),
        "attn_v": (kv, c.hidden),
        "attn_output": (c.hidden, c.hidden),
        "ffn_gate": (c.ffn, c.hidden),
        "ffn_up": (c.ffn, c.hidden),
        "ffn_down": (c.hidden, c.ffn),
    }


class _Builder:
    """Draws the tensors of a case and keeps both forms of each."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.rng = np.random.default_rng(case.seed)
        self.gguf: dict[str, Tensor] = {}
        self.hf: dict[str, np.ndarray] = {}

    def gain(self, ours: str, theirs: str, size: int) -> None:
        """Add a norm's gain, near 1 with spread."""
        values = (1.0 + 0.2 * self.rng.standard_normal(size)).astype(np.float32)
        self.gguf[f"{ours}.weight"] = float_tensor(values)
        self.hf[f"{theirs}.weight"] = values

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
        if self.case.linear_class == "bitlinear":
            stored = np.float32(1.0) / scale
            scale = np.float32(1.0) / stored
        else:
            stored = scale
        self.gguf[f"{ours}.weight"] = ternary_tensor(trits, float(scale))
        self.hf[f"{theirs}.weight"] = pack_rows(trits)
        self.hf[f"{theirs}.weight_scale"] = np.array([stored], dtype=np.float32)

    def build(self) -> None:
        """Add every tensor."""
        c = self.case.config
        self.matrix("token_embd", "model.embed_tokens")
        for i in range(c.layers):
            ours, theirs = f"blk.{i}.", f"model.layers.{i}."
            for name, other in NORMS.items():
                size = c.ffn if name == "ffn_sub_norm" else c.hidden
                self.gain(ours + name, theirs + other, size)
            for name, other in (pair for pairs in LINEARS.values() for pair in pairs):
                size = 0.09 if name in ("attn_q", "attn_k") else 0.04
                self.linear(ours + name, theirs + other, _shapes(c)[name], size)
        self.gain("output_norm", "model.norm", c.hidden)
        if not self.case.tied:
            self.matrix("output", "lm_head")


def write_case(case: Case, gguf: Path, folder: Path) -> None:
    """Write a case as GGUF and as a Hugging Face folder."""
    builder = _Builder(case)
    builder.build()
    write_gguf(gguf, gguf_keys(case.config, case.name), builder.gguf)
    config = hf_config(case.config) | {"tie_word_embeddings": case.tied}
    quantisation = {"quant_method": "bitnet", "modules_to_not_convert": ["lm_head"]}
    quantisation["linear_class"] = case.linear_class
    quantisation["quantization_mode"] = "offline"
    config["quantization_config"] = quantisation
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    save_file(builder.hf, str(folder / "model.safetensors"), metadata={"format": "pt"})
