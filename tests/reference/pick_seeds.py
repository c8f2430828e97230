"""Pick seeds of the random models whose activations stay clear of rounding ties.

    python tests/reference/pick_seeds.py gqa-tied-64 --tries 400

An activation that lies on a rounding tie goes one way in one correct implementation and the other
way in the next, and attention carries the difference to every later position. A seed is good when
the reference agrees with this file's own float64 forward pass even while every intermediate value
is disturbed by as much as float32 arithmetic would. It prints in how many of 16 disturbed passes
any logit moved by more than 2e-5 of the range; `random_models.py` holds the seeds with fewest.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ["TORCHDYNAMO_DISABLE"] = "1"

import numpy as np
import torch
import transformers
from random_models import CASES, Case, write_case  # puts training/ on the path
from torch import Tensor

from capture import Recorder, round_kv  # isort: skip
from gguf_reader import read_gguf  # isort: skip
from model import rotate  # isort: skip

PASSES, NOISE = 16, 1.5e-7


ACTIVATIONS = {
    "relu2": lambda x: x.clamp(min=0).square(),
    "silu": torch.nn.functional.silu,
    "gelu_pytorch_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
}


class Twin:
    """The forward pass of a GGUF in float64, K and V rounded to f16, with noise on request."""

    def __init__(self, path: Path, case: Case, noise: float) -> None:
        _, tensors, self.scales = read_gguf(path)
        self.w = {k: torch.from_numpy(v.astype(np.float64)) for k, v in tensors.items()}
        self.c, self.family, self.noise = case.config, case.family, noise

    def disturb(self, x: Tensor) -> Tensor:
        """Multiply each element by 1 + noise."""
        return x * (1 + self.noise * torch.randn(x.shape, dtype=x.dtype))

    def norm(self, name: str, x: Tensor) -> Tensor:
        """Apply a norm to x [..., H], if the model has it."""
        if f"{name}.weight" not in self.w:
            return x
        r = (x.square().mean(dim=-1, keepdim=True) + self.c.eps).rsqrt()
        return self.disturb(self.w[f"{name}.weight"] * (x * r))

    def linear(self, name: str, x: Tensor) -> Tensor:
        """Quantise x [T, K] and apply a ternary matrix."""
        x = self.norm(f"{name}_norm_in", x)
        m = x.abs().amax(dim=-1, keepdim=True).clamp(min=1e-5)
        acc = (x * (127 / m)).round() @ self.w[f"{name}.weight"].T
        return self.disturb(acc * (self.scales[f"{name}.weight"] * m / 127))

    def turn(self, x: Tensor) -> Tensor:
        """Rotate x [heads, T, D]."""
        c = self.c
        if self.family.neighbours:
            x = torch.cat((x[..., ::2], x[..., 1::2]), dim=-1)
        exponents = torch.arange(0, c.head_dim, 2, dtype=torch.float64) / c.head_dim
        frequencies = c.rope_theta**-exponents / self.w.get("rope_freqs.weight", torch.ones(1))
        angles = torch.arange(x.shape[1])[:, None] * frequencies[None, :]
        both = torch.cat((angles, angles), dim=-1)
        return self.disturb(rotate(x, both.cos(), both.sin()))

    def attention(self, at: str, x: Tensor) -> Tensor:
        """Return the heads' outputs [T, heads * D] for the normed x [T, H]."""
        c, seq = self.c, x.shape[0]
        parts = [self.linear(at + name, x) for name in ("attn_q", "attn_k", "attn_v")]
        q, k, v = (part.view(seq, -1, c.head_dim).transpose(0, 1) for part in parts)
        q = self.turn(self.norm(at + "attn_q_norm", q))
        k = self.turn(self.norm(at + "attn_k_norm", k))
        k, v = (t.half().double().repeat_interleave(c.heads // c.kv_heads, 0) for t in (k, v))
        hidden = torch.ones(seq, seq, dtype=torch.bool).triu(1)
        scores = (q @ k.transpose(1, 2) * c.head_dim**-0.5).masked_fill(hidden, float("-inf"))
        return self.disturb((scores.softmax(dim=-1) @ v).transpose(0, 1).reshape(seq, -1))

    def ffn(self, at: str, x: Tensor) -> Tensor:
        """Return the gated product's projection for the normed x [T, H]."""
        gate, up = self.linear(at + "ffn_gate", x), self.linear(at + "ffn_up", x)
        inner = ACTIVATIONS[self.family.activation](gate) * up
        return self.linear(at + "ffn_down", self.norm(at + "ffn_sub_norm", inner))

    def logits(self, ids: Tensor) -> Tensor:
        """Map token ids [T] to logits [T, V]."""
        x = self.w["token_embd.weight"][ids]
        if self.family.embedding_scaled:
            x = x * self.c.hidden**0.5
        for i in range(self.c.layers):
            at = f"blk.{i}."
            mixed = self.attention(at, self.norm(at + "attn_norm", x))
            mixed = self.linear(at + "attn_output", self.norm(at + "attn_sub_norm", mixed))
            x = x + self.norm(at + "post_attention_norm", mixed)
            inner = self.ffn(at, self.norm(at + "ffn_norm", x))
            x = x + self.norm(at + "post_ffw_norm", inner)
        head = self.w.get("output.weight", self.w["token_embd.weight"])
        return self.norm("output_norm", x) @ head.T


def reference(folder: Path, gguf: Path, case: Case, ids: Tensor) -> Tensor:
    """Return the logits of transformers."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    with round_kv(Recorder(model, read_gguf(gguf), 1, case.family)):
        return model(ids[None], use_cache=False).logits[0].double()


@torch.no_grad()
def misses(case: Case, most: int) -> int:
    """Return in how many disturbed passes a case strays; beyond `most`, that it is beyond."""
    draw = np.random.default_rng(case.seed)
    ids = torch.from_numpy(draw.integers(0, case.config.vocab_size, case.positions))
    with tempfile.TemporaryDirectory() as name:
        folder, gguf = Path(name), Path(name) / "model.gguf"
        write_case(case, gguf, folder)
        calm = Twin(gguf, case, 0.0).logits(ids)
        reach = 2e-5 * (calm.max() - calm.min())
        twin = Twin(gguf, case, NOISE)
        count = 0
        for _ in range(PASSES):
            count += bool((twin.logits(ids) - calm).abs().max() > reach)
            if count > most:
                return PASSES
        found = reference(folder, gguf, case, ids)
        return count if (found - calm).abs().max() <= reach else PASSES


def main() -> None:
    """Try seeds until one never strays."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=[case.name for case in CASES])
    parser.add_argument("--tries", type=int, default=400)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    case = next(case for case in CASES if case.name == args.name)
    best = PASSES - 1
    for seed in range(case.seed, case.seed + args.tries):
        count = misses(replace(case, seed=seed), best)
        if count <= best:
            print(f"seed {seed}: {count} of {PASSES}", flush=True)
            best = count - 1
        if count == 0:
            return


if __name__ == "__main__":
    main()
