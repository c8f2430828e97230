"""A W1.58A8 BitNet decoder for training: the block of BitNet b1.58 2B-4T, unchanged.

Shapes use B (batch), S (sequence), H (hidden), F (feed-forward), V (vocabulary), D (head size).
Weights keep f32 masters; every forward pass quantises them to trits with one scale a matrix and
the activations to int8 with one scale a token. Gradients pass straight through both roundings.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a model; every linear's input width is a multiple of 128."""

    vocab_size: int = 4096
    hidden: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    ffn: int = 768
    context: int = 512
    rope_theta: float = 10000.0
    eps: float = 1e-5

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden // self.heads

    def to_dict(self) -> dict[str, int | float]:
        """Return the fields, ready for JSON."""
        return asdict(self)


def weight_scale(weight: Tensor) -> Tensor:
    """Return the multiplicative scale of a matrix, max(mean |w|, 1e-5); a scalar."""
    return weight.abs().mean().clamp(min=1e-5)


def weight_codes(weight: Tensor) -> Tensor:
    """Return the trits of a matrix, as floats in {-1, 0, 1}; same shape."""
    return (weight * (1.0 / weight_scale(weight))).round().clamp(-1, 1)


def quantise(x: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise rows to int8 codes, as floats.

    Returns codes [..., K] in [-128, 127] that carry a straight-through gradient, and the scales
    [..., 1] that turn a code back into a value by division.
    """
    scale = 127.0 / x.detach().abs().amax(dim=-1, keepdim=True).clamp(min=1e-5)
    scaled = x * scale
    codes = scaled.detach().round().clamp(-128, 127)
    return scaled + (codes - scaled).detach(), scale


class BitLinear(nn.Module):
    """One or more ternary matrices [out_i, K] that share an input; each has its own scale."""

    def __init__(self, k: int, outs: list[int], std: float) -> None:
        super().__init__()
        self.parts = nn.ParameterList([nn.Parameter(torch.randn(n, k) * std) for n in outs])

    def forward(self, codes: Tensor, scale: Tensor, dtype: torch.dtype) -> list[Tensor]:
        """Map codes [B, S, K] with scales [B, S, 1] to one f32 [B, S, out_i] for each matrix.

        The product runs in `dtype`: the codes and trits are exact in bf16.
        """
        codes = codes.to(dtype)
        outs = []
        for weight in self.parts:
            size = weight_scale(weight.detach())
            scaled = weight / size
            trits = scaled + (weight_codes(weight.detach()) - scaled).detach()
            outs.append(nnf.linear(codes, trits.to(dtype)).float() * (size / scale))
        return outs


class RMSNorm(nn.Module):
    """Root-mean-square norm with a gain [H]."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Return weight * x / rms(x); same shape."""
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(dim=-1, keepdim=True) + self.eps))


def rope_tables(positions: int, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Return cosines and sines [positions, head_dim], the two halves alike."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
    angles = torch.arange(positions, dtype=torch.float32)[:, None] / (theta**exponents)[None, :]
    both = torch.cat((angles, angles), dim=-1)
    return both.cos(), both.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate x [B, heads, S, D]; element i is paired with element i + D/2."""
    low, high = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-high, low), dim=-1) * sin


class Block(nn.Module):
    """Attention and gated feed-forward, each with a norm before it and one inside it."""

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.c = c
        std, narrow = 0.02, 0.02 / (2 * c.layers) ** 0.5
        kv = c.kv_heads * c.head_dim
        self.attn_norm = RMSNorm(c.hidden, c.eps)
        self.qkv = BitLinear(c.hidden, [c.hidden, kv, kv], std)
        self.attn_sub_norm = RMSNorm(c.hidden, c.eps)
        self.out = BitLinear(c.hidden, [c.hidden], narrow)
        self.ffn_norm = RMSNorm(c.hidden, c.eps)
        self.gate_up = BitLinear(c.hidden, [c.ffn, c.ffn], std)
        self.ffn_sub_norm = RMSNorm(c.ffn, c.eps)
        self.down = BitLinear(c.ffn, [c.hidden], narrow)

    def attention(self, x: Tensor, cos: Tensor, sin: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the attention branch of x [B, S, H]; same shape."""
        batch, seq, _ = x.shape
        c = self.c
        q, k, v = (
            part.view(batch, seq, -1, c.head_dim).transpose(1, 2)
            for part in self.qkv(*quantise(self.attn_norm(x)), dtype)
        )
        q, k = rotate(q, cos, sin).to(dtype), rotate(k, cos, sin).to(dtype)
        repeat = c.heads // c.kv_heads
        k = k.repeat_interleave(repeat, dim=1)
        v = v.to(dtype).repeat_interleave(repeat, dim=1)
        mixed = nnf.scaled_dot_product_attention(q, k, v, is_causal=True)
        mixed = mixed.transpose(1, 2).reshape(batch, seq, c.hidden).float()
        return self.out(*quantise(self.attn_sub_norm(mixed)), dtype)[0]

    def feed_forward(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the feed-forward branch of x [B, S, H]; same shape."""
        gate, up = self.gate_up(*quantise(self.ffn_norm(x)), dtype)
        inner = nnf.relu(gate).square() * up
        return self.down(*quantise(self.ffn_sub_norm(inner)), dtype)[0]

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, dtype: torch.dtype) -> Tensor:
        """Map the residual stream [B, S, H] to the next one."""
        x = x + self.attention(x, cos, sin, dtype)
        return x + self.feed_forward(x, dtype)


class BitNet(nn.Module):
    """The decoder, with the embedding tied to the output head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(torch.randn(config.vocab_size, config.hidden) * 0.02)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.norm = RMSNorm(config.hidden, config.eps)
        cos, sin = rope_tables(config.context, config.head_dim, config.rope_theta)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, tokens: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Map token ids [B, S] to f32 logits [B, S, V]; matrix products run in `dtype`."""
        cos, sin = self.cos[: tokens.shape[1]], self.sin[: tokens.shape[1]]
        x = nnf.embedding(tokens, self.embedding)
        for block in self.blocks:
            x = block(x, cos, sin, dtype)
        return nnf.linear(self.norm(x).to(dtype), self.embedding.to(dtype)).float()

    def loss(self, tokens: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the mean cross-entropy in nats a token of tokens [B, S + 1]."""
        logits = self(tokens[:, :-1], dtype)
        return nnf.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
