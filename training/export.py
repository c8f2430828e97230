"""Export a checkpoint: GGUF (I2_S) for Tern and safetensors in the Hugging Face `bitnet` form."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from gguf_writer import Tensor, float_tensor, ternary_tensor, write_gguf
from model import BitNet, ModelConfig, weight_codes, weight_scale
from safetensors.numpy import save_file
from tokenizer import BOS, BOS_ID, EOS, EOS_ID, vocabulary

ARCHITECTURE = "bitnet-b1.58"
_NORMAL, _CONTROL = 1, 3  # token types of GGUF

# Module of model.py: (name in GGUF, name in the Hugging Face form), one for each matrix it holds.
LINEARS = {
    "qkv": [
        ("attn_q", "self_attn.q_proj"),
        ("attn_k", "self_attn.k_proj"),
        ("attn_v", "self_attn.v_proj"),
    ],
    "out": [("attn_output", "self_attn.o_proj")],
    "gate_up": [("ffn_gate", "mlp.gate_proj"), ("ffn_up", "mlp.up_proj")],
    "down": [("ffn_down", "mlp.down_proj")],
}
NORMS = {
    "attn_norm": "input_layernorm",
    "attn_sub_norm": "self_attn.attn_sub_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_sub_norm": "mlp.ffn_sub_norm",
}


def pack_rows(trits: np.ndarray) -> np.ndarray:
    """Pack trits [out, in] to uint8 [out / 4, in]: quarter i of the rows in bits 2i, 2i + 1."""
    codes = (trits + 1).astype(np.uint8).reshape(4, -1, trits.shape[1])
    return codes[0] | (codes[1] << 2) | (codes[2] << 4) | (codes[3] << 6)


@torch.no_grad()
def collect(model: BitNet) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
    """Return the tensors of both forms; the embedding is rounded to f16 in both.

    The Hugging Face form stores it as f32, because a pre-quantised model is loaded as it stands.
    """
    embedding = model.embedding.numpy().astype(np.float16)
    gguf = {"token_embd.weight": float_tensor(embedding)}
    hf = {"model.embed_tokens.weight": embedding.astype(np.float32)}
    for i, block in enumerate(model.blocks):
        for ours, theirs in NORMS.items():
            gain = getattr(block, ours).weight.numpy().astype(np.float32)
            gguf[f"blk.{i}.{ours}.weight"] = float_tensor(gain)
            hf[f"model.layers.{i}.{theirs}.weight"] = gain
        for module, names in LINEARS.items():
            for weight, (ours, theirs) in zip(getattr(block, module).parts, names, strict=True):
                trits = weight_codes(weight).numpy().astype(np.int8)
                scale = weight_scale(weight).numpy().astype(np.float32)
                gguf[f"blk.{i}.{ours}.weight"] = ternary_tensor(trits, float(scale))
                hf[f"model.layers.{i}.{theirs}.weight"] = pack_rows(trits)
                hf[f"model.layers.{i}.{theirs}.weight_scale"] = scale.reshape(1)
    gain = model.norm.weight.numpy().astype(np.float32)
    gguf["output_norm.weight"] = float_tensor(gain)
    hf["model.norm.weight"] = gain
    return gguf, hf


def gguf_keys(c: ModelConfig, name: str, architecture: str = ARCHITECTURE) -> dict[str, object]:
    """Return the model's keys, without the tokenizer's."""
    model = {
        "block_count": c.layers,
        "context_length": c.context,
        "embedding_length": c.hidden,
        "feed_forward_length": c.ffn,
        "attention.head_count": c.heads,
        "attention.head_count_kv": c.kv_heads,
        "attention.layer_norm_rms_epsilon": float(c.eps),
        "rope.freq_base": float(c.rope_theta),
        "rope.dimension_count": c.head_dim,
        "vocab_size": c.vocab_size,
    }
    general = {
        "general.architecture": architecture,
        "general.name": name,
        "general.file_type": 40,
        "general.alignment": 32,
    }
    if c.heads * c.head_dim != c.hidden:
        model |= {"attention.key_length": c.head_dim, "attention.value_length": c.head_dim}
    return general | {f"{architecture}.{key}": value for key, value in model.items()}


def tokenizer_keys(path: Path) -> dict[str, object]:
    """Return the tokenizer's keys."""
    tokens, merges = vocabulary(path)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [_CONTROL if t in (BOS, EOS) else _NORMAL for t in tokens],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": BOS_ID,
        "tokenizer.ggml.eos_token_id": EOS_ID,
        "tokenizer.ggml.add_bos_token": True,
    }


def hf_config(c: ModelConfig) -> dict[str, object]:
    """Return config.json of the Hugging Face form."""
    return {
        "architectures": ["BitNetForCausalLM"],
        "model_type": "bitnet",
        "vocab_size": c.vocab_size,
        "hidden_size": c.hidden,
        "intermediate_size": c.ffn,
        "num_hidden_layers": c.layers,
        "num_attention_heads": c.heads,
        "num_key_value_heads": c.kv_heads,
        "hidden_act": "relu2",
        "max_position_embeddings": c.context,
        "rms_norm_eps": c.eps,
        "rope_theta": c.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": c.rope_theta},
        "tie_word_embeddings": True,
        "attention_bias": False,
        "bos_token_id": BOS_ID,
        "eos_token_id": EOS_ID,
        "dtype": "float32",
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": "offline",
            "modules_to_not_convert": ["lm_head"],
        },
    }


def bos_before_each_text() -> dict[str, object]:
    """The post-processor of tokenizer.json that does what add_bos_token does in the GGUF file."""
    bos = {"SpecialToken": {"id": BOS, "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    return {
        "type": "TemplateProcessing",
        "single": [bos, first],
        "pair": [bos, first, second],
        "special_tokens": {BOS: {"id": BOS, "ids": [BOS_ID], "tokens": [BOS]}},
    }


def write_hf(folder: Path, c: ModelConfig, tensors: dict[str, np.ndarray], tokens: Path) -> None:
    """Write model.safetensors, config.json and the tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "model_max_length": c.context,
    }
    for name, value in (("config.json", hf_config(c)), ("tokenizer_config.json", settings)):
        (folder / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    tokenizer = json.loads(tokens.read_text(encoding="utf-8"))
    tokenizer["post_processor"] = bos_before_each_text()
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")


def main() -> None:
    """Export the checkpoint of a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("training/runs/tern-tales"))
    parser.add_argument("--gguf", type=Path, default=Path("models/tern-tales.gguf"))
    parser.add_argument("--hf", type=Path, help="folder for the Hugging Face form")
    parser.add_argument("--name", default="tern-tales")
    args = parser.parse_args()
    checkpoint, tokens = args.run / "checkpoint.pt", args.run / "tokenizer.json"
    for path in (checkpoint, tokens):
        if not path.is_file():
            raise SystemExit(f"{path}: expected a file, found none; training/train.py writes it")
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    config = ModelConfig(**state["config"])
    model = BitNet(config)
    model.load_state_dict(state["model"])
    gguf, hf = collect(model)
    args.gguf.parent.mkdir(parents=True, exist_ok=True)
    write_gguf(args.gguf, gguf_keys(config, args.name) | tokenizer_keys(tokens), gguf)
    if args.hf:
        write_hf(args.hf, config, hf, tokens)
    print(f"{args.gguf}: step {state['step']}, {args.gguf.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
