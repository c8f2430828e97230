"""Watch a decoder at work: the inputs and outputs of each op of block 0.

Beside what the reference computed, `_exact` tensors hold the same op in float64 on the same
inputs, rounded once to float32: they tell a wrong result from a differently rounded one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from families import Family
from torch import Tensor, nn

LINEARS = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def quantise(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return integer codes [P, K] and scales [P], as both of the reference's linears do."""
    scale = 127 / x.abs().max(dim=-1, keepdim=True).values.clamp(min=1e-5)
    return (x * scale).round().clamp(-128, 127), scale[:, 0]


def exact_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return causal attention [T, heads, D] in float64 of q [T, heads, D], k and v [T, kv, D]."""
    repeat = q.shape[1] // k.shape[1]
    q, k, v = (t.double().transpose(0, 1) for t in (q, k, v))
    k, v = k.repeat_interleave(repeat, dim=0), v.repeat_interleave(repeat, dim=0)
    scores = q @ k.transpose(1, 2) * q.shape[-1] ** -0.5
    hidden = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
    odds = scores.masked_fill(hidden, float("-inf")).softmax(dim=-1)
    return (odds @ v).transpose(0, 1)


class Recorder:
    """Hooks on a model; a context manager. `finish` returns the tensors by name."""

    def __init__(self, model: nn.Module, gguf: tuple, rows: int, family: Family) -> None:
        self.model, self.rows, self.family = model, rows, family
        _, self.weights, self.scales = gguf
        self.seen: dict[str, Tensor] = {}
        self.hooks: list = []
        self.calls = 0  # of the rotation, to know block 0

    def __enter__(self) -> Recorder:
        """Place the hooks."""
        block = self.model.model.layers[0]
        for ours, theirs in (LINEARS | self.family.norms).items():
            self.watch(f"blk.0.{ours}", block.get_submodule(theirs))
        for ours, theirs in LINEARS.items():
            norm = getattr(block.get_submodule(theirs), "rms_norm", None)
            if norm is not None:
                self.watch(f"blk.0.{ours}_norm_in", norm)
        self.watch("output_norm", self.model.model.norm)
        self.watch("output", self.model.lm_head)
        for i, layer in enumerate(self.model.model.layers):
            self.watch(f"blk.{i}.out", layer)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the hooks."""
        for hook in self.hooks:
            hook.remove()

    def watch(self, name: str, module: nn.Module) -> None:
        """Keep the input and the output [T, ...] of a module."""

        def keep(_: nn.Module, inputs: tuple, output: Tensor | tuple) -> None:
            result = output[0] if isinstance(output, tuple) else output
            if inputs:
                self.seen[f"{name}.x"] = inputs[0][0].clone()
            self.seen[f"{name}.y"] = (result[0] if result.ndim > 2 else result).clone()

        self.hooks.append(module.register_forward_hook(keep))

    def keep_heads(self, name: str, x: Tensor) -> None:
        """Keep x [1, heads, T, D] of block 0 as [T, heads, D]."""
        self.seen.setdefault(f"blk.0.{name}", x[0].transpose(0, 1).clone())

    def linear(self, name: str) -> dict[str, Tensor]:
        """Return x, q, scale, acc, y and y_exact of a ternary linear."""
        x, y = (self.seen[f"blk.0.{name}.{end}"][: self.rows] for end in "xy")
        x = self.seen.get(f"blk.0.{name}_norm_in.y", x)[: self.rows]
        codes, scale = quantise(x)
        if self.family.neighbours and name in ("attn_q", "attn_k"):
            pairs = y.unflatten(-1, (-1, 2, self.model.config.head_dim // 2))
            y = pairs.transpose(-1, -2).flatten(1)  # as the rows of the GGUF
        trits = torch.from_numpy(self.weights[f"blk.0.{name}.weight"]).long()
        acc = codes.long() @ trits.T
        exact = acc.double() * self.scales[f"blk.0.{name}.weight"] / scale[:, None].double()
        torch.testing.assert_close(y, exact.float(), rtol=1e-5, atol=1e-5)
        return {"x": x, "q": codes, "scale": scale, "acc": acc, "y": y, "y_exact": exact}

    def norm(self, name: str) -> dict[str, Tensor]:
        """Return x, y and y_exact of a norm."""
        x, y = (self.seen[f"{name}.{end}"][: self.rows] for end in "xy")
        wide = x.double()
        r = (wide.square().mean(dim=-1, keepdim=True) + self.model.config.rms_norm_eps).rsqrt()
        exact = torch.from_numpy(self.weights[f"{name}.weight"].copy()).double() * (wide * r)
        return {"x": x, "y": y, "y_exact": exact}

    def finish(self) -> dict[str, Tensor]:
        """Return all tensors, named as README.md lists them."""
        plain = type(self.model.model.layers[0].mlp.down_proj) is nn.Linear  # not quantised
        ops = {f"blk.0.{name}": self.linear(name) for name in LINEARS if not plain}
        norms = [*self.family.norms, *(f"{name}_norm_in" for name in LINEARS)]
        found = [f"blk.0.{name}" for name in norms if f"blk.0.{name}.y" in self.seen]
        ops |= {name: self.norm(name) for name in found}
        ops["output_norm"] = self.norm("output_norm")
        hidden = self.seen["output.x"][: self.rows]
        exact = hidden.double() @ self.model.lm_head.weight.double().T
        ops["output"] = {"x": hidden, "y": self.seen["output.y"][: self.rows], "y_exact": exact}
        parts = {end: self.seen[f"blk.0.attn.{end}"] for end in ("q", "k", "v", "out")}
        parts["out_exact"] = exact_attention(parts["q"], parts["k"], parts["v"])
        ops["blk.0.attn"] = parts
        names = ("q", "k", "cos", "sin", "q_out", "k_out")
        ops["blk.0.rope"] = {end: self.seen[f"blk.0.rope.{end}"][: 2 * self.rows] for end in names}
        gate, up = (self.seen[f"blk.0.{name}.y"][: self.rows] for name in ("ffn_gate", "ffn_up"))
        after = "ffn_sub_norm" if "ffn_sub_norm" in self.family.norms else "ffn_down"
        inner = self.seen[f"blk.0.{after}.x"][: self.rows]
        ops["blk.0.ffn_act"] = {"gate": gate, "up": up, "out": inner}
        for i in range(len(self.model.model.layers)):
            ops[f"blk.{i}"] = {"out": self.seen[f"blk.{i}.out.y"]}
        return {f"golden.{op}.{end}": t for op, ends in ops.items() for end, t in ends.items()}


def _rotation(plain: Callable, recorder: Recorder) -> Callable:
    """Wrap the reference's rotation: keep block 0's, round the keys to f16 afterwards."""

    def rotate(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, **more: object) -> tuple:
        q_out, k_out = plain(q, k, cos, sin, **more)
        for end, x in (("q", q), ("k", k), ("q_out", q_out), ("k_out", k_out)):
            recorder.keep_heads(f"rope.{end}", x)
        for end, table in (("cos", cos), ("sin", sin)):
            recorder.seen.setdefault(f"blk.0.rope.{end}", table[0].clone())
        return q_out, k_out

    return rotate


def _attention(plain: Callable, recorder: Recorder) -> Callable:
    """Wrap the reference's attention: round K and V to f16 first, keep block 0's."""

    def attend(
        module: nn.Module, q: Tensor, k: Tensor, v: Tensor, *rest: object, **more: object
    ) -> tuple:
        k, v = k.half().float(), v.half().float()
        out = plain(module, q, k, v, *rest, **more)
        for end, x in (("q", q), ("k", k), ("v", v)):
            recorder.keep_heads(f"attn.{end}", x)
        recorder.seen.setdefault("blk.0.attn.out", out[0][0].clone())
        return out

    return attend


@contextmanager
def round_kv(recorder: Recorder) -> Iterator[None]:
    """Make every block read K (after RoPE) and V as f16 values, and record block 0."""
    names = ("apply_rotary_pos_emb", "eager_attention_forward")
    module = sys.modules[type(recorder.model).__module__]
    plain = {name: getattr(module, name) for name in names}
    module.apply_rotary_pos_emb = _rotation(plain[names[0]], recorder)
    module.eager_attention_forward = _attention(plain[names[1]], recorder)
    try:
        yield
    finally:
        for name, function in plain.items():
            setattr(module, name, function)
