"""The families of models: their names, here and in Hugging Face transformers, and their norms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model import ModelConfig

_PLAIN = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
_SUB_NORMS = {
    "attn_norm": "input_layernorm",
    "attn_sub_norm": "self_attn.attn_sub_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_sub_norm": "mlp.ffn_sub_norm",
}


@dataclass(frozen=True)
class Family:
    """What one class of transformers computes, by the names of both forms."""

    architecture: str  # of the GGUF
    model_class: str
    model_type: str
    activation: str
    norms: dict[str, str]  # of a block: ours and theirs
    neighbours: bool = False  # RoPE turns neighbours in the GGUF: rows of Q and K are reordered
    offset: float = 0.0  # what the class adds to the gains of its norms
    embedding_scaled: bool = False  # by the root of the hidden size

    def width(self, norm: str, c: ModelConfig) -> int:
        """Return how many values a norm of a block takes."""
        if norm in ("attn_q_norm", "attn_k_norm"):
            return c.head_dim
        query = c.heads * c.head_dim
        return {"attn_sub_norm": query, "ffn_sub_norm": c.ffn}.get(norm, c.hidden)

    def settings(self, c: ModelConfig) -> dict[str, object]:
        """Return what config.json says beside the common settings."""
        if self.architecture != "gemma3":
            return {}
        rope = {"rope_type": "default", "rope_theta": c.rope_theta}
        return {
            "hidden_activation": self.activation,
            "query_pre_attn_scalar": c.head_dim,
            "layer_types": ["full_attention"] * c.layers,
            "rope_parameters": {"full_attention": rope, "sliding_attention": rope},
        }


BITNET = Family("bitnet-b1.58", "BitNetForCausalLM", "bitnet", "relu2", _SUB_NORMS)
BITNET_SILU = Family("bitnet", "BitNetForCausalLM", "bitnet", "silu", _SUB_NORMS)
LLAMA = Family("llama", "LlamaForCausalLM", "llama", "silu", _PLAIN, neighbours=True)
QWEN3 = Family(
    "qwen3",
    "Qwen3ForCausalLM",
    "qwen3",
    "silu",
    _PLAIN | {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"},
)
GEMMA3 = Family(
    "gemma3",
    "Gemma3ForCausalLM",
    "gemma3_text",
    "gelu_pytorch_tanh",
    {
        "attn_norm": "input_layernorm",
        "attn_q_norm": "self_attn.q_norm",
        "attn_k_norm": "self_attn.k_norm",
        "post_attention_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
    offset=1.0,
    embedding_scaled=True,
)
