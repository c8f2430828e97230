"""Run an exported GGUF in f32: integer codes times trits, exactly, then the two scales."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from export import ARCHITECTURE
from gguf_reader import read_gguf
from model import quantise, rope_tables, rotate
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from torch.nn import functional as nnf


class Exported:
    """A model read from a GGUF file, with its tokenizer."""

    def __init__(self, path: Path) -> None:
        keys, tensors, self.scales = read_gguf(path)
        self.tensors = {k: torch.from_numpy(v.astype(np.float32)) for k, v in tensors.items()}
        self.layers = int(keys[f"{ARCHITECTURE}.block_count"])
        self.heads = int(keys[f"{ARCHITECTURE}.attention.head_count"])
        self.kv_heads = int(keys[f"{ARCHITECTURE}.attention.head_count_kv"])
        self.context = int(keys[f"{ARCHITECTURE}.context_length"])
        self.eps = float(keys[f"{ARCHITECTURE}.attention.layer_norm_rms_epsilon"])
        theta = float(keys[f"{ARCHITECTURE}.rope.freq_base"])
        self.head_dim = int(keys[f"{ARCHITECTURE}.rope.dimension_count"])
        self.cos, self.sin = rope_tables(self.context, self.head_dim, theta)
        tokens = keys["tokenizer.ggml.tokens"]
        merges = [tuple(merge.split(" ")) for merge in keys["tokenizer.ggml.merges"]]
        self.tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges))
        self.tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self.tokenizer.decoder = decoders.ByteLevel()
        self.bos = int(keys["tokenizer.ggml.bos_token_id"])
        self.eos = int(keys["tokenizer.ggml.eos_token_id"])

    def norm(self, name: str, x: Tensor) -> Tensor:
        """Apply the norm `name` to x [B, S, H]."""
        r = torch.rsqrt(x.pow(2).mean(dim=-1, keepdim=True) + self.eps)
        return self.tensors[f"{name}.weight"] * (x * r)

    def linear(self, name: str, quantised: tuple[Tensor, Tensor]) -> Tensor:
        """Apply a ternary matrix to codes [B, S, K] and scales [B, S, 1]."""
        codes, scale = quantised
        weight, size = self.tensors[f"{name}.weight"], self.scales[f"{name}.weight"]
        return nnf.linear(codes, weight) * (size / scale)

    def block(self, i: int, x: Tensor) -> Tensor:
        """Map the residual stream [B, S, H] through block i."""
        batch, seq, hidden = x.shape
        at = f"blk.{i}."
        codes = quantise(self.norm(at + "attn_norm", x))
        q, k, v = (
            self.linear(at + part, codes).view(batch, seq, -1, self.head_dim).transpose(1, 2)
            for part in ("attn_q", "attn_k", "attn_v")
        )
        cos, sin = self.cos[:seq], self.sin[:seq]
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        k, v = (t.repeat_interleave(self.heads // self.kv_heads, dim=1) for t in (k, v))
        mixed = nnf.scaled_dot_product_attention(q, k, v, is_causal=True)
        mixed = mixed.transpose(1, 2).reshape(batch, seq, hidden)
        x = x + self.linear(at + "attn_output", quantise(self.norm(at + "attn_sub_norm", mixed)))
        codes = quantise(self.norm(at + "ffn_norm", x))
        inner = nnf.relu(self.linear(at + "ffn_gate", codes)).square()
        inner = inner * self.linear(at + "ffn_up", codes)
        return x + self.linear(at + "ffn_down", quantise(self.norm(at + "ffn_sub_norm", inner)))

    @torch.no_grad()
    def logits(self, tokens: Tensor) -> Tensor:
        """Map token ids [B, S] to logits [B, S, V]."""
        embedding = self.tensors["token_embd.weight"]
        x = nnf.embedding(tokens, embedding)
        for i in range(self.layers):
            x = self.block(i, x)
        return nnf.linear(self.norm("output_norm", x), embedding)

    def sample(self, prompt: str, count: int, temperature: float, seed: int) -> str:
        """Continue a prompt by at most `count` tokens; temperature 0 takes the likeliest."""
        rng = torch.Generator().manual_seed(seed)
        ids = [self.bos, *self.tokenizer.encode(prompt).ids]
        for _ in range(count):
            last = self.logits(torch.tensor([ids[-self.context :]]))[0, -1]
            if temperature > 0:
                odds = (last / temperature).softmax(dim=-1)
                token = int(torch.multinomial(odds, 1, generator=rng))
            else:
                token = int(last.argmax())
            if token == self.eos:
                break
            ids.append(token)
        return self.tokenizer.decode(ids[1:])
