"""Train tern-tales: quantisation-aware, seeded, resumable and bounded in steps and in time.

    python training/train.py --corpus DIR --out training/runs/tern-tales --minutes 100

Run it again to resume. Progress is the larger of the share of the steps and the share of the
minutes used, and the learning rate always anneals to zero as it reaches 1.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path

import torch
from corpus import read_books
from data import Windows
from model import BitNet, ModelConfig
from tokenizer import load_tokenizer, train_tokenizer
from torch import Tensor


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="folder of .txt files")
    parser.add_argument("--out", type=Path, default=Path("training/runs/tern-tales"))
    parser.add_argument("--steps", type=int, default=7000)
    parser.add_argument("--minutes", type=float, default=120.0, help="limit over all resumptions")
    parser.add_argument("--tokens", type=int, default=4096, help="tokens a step")
    parser.add_argument("--length", type=int, default=256, help="tokens a window at first")
    parser.add_argument("--long-from", type=float, default=0.75, help="progress of full windows")
    parser.add_argument("--lr", type=float, default=3e-3, help="peak learning rate")
    parser.add_argument("--decay", type=float, default=0.1, help="weight decay, first half only")
    parser.add_argument("--warmup", type=int, default=200, help="steps")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save-every", type=float, default=180.0, help="seconds")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-compile", action="store_true")
    args = parser.parse_args()
    for name in ("steps", "minutes", "length", "lr", "warmup", "threads", "save_every"):
        if not getattr(args, name) > 0:
            parser.error(f"--{name.replace('_', '-')}: expected more than 0")
    if args.length > ModelConfig.context or args.tokens < ModelConfig.context:
        parser.error(
            f"expected at most {ModelConfig.context} tokens a window, which is the context, and "
            "at least as many a step"
        )
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("--device: this PyTorch finds no GPU")
    return args


def learning_rate(peak: float, step: int, warmup: int, progress: float) -> float:
    """Return the rate of a step: linear warm-up, then half a cosine down to zero."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
    return peak * min(1.0, (step + 1) / warmup) * cosine


def save_atomically(state: dict, path: Path) -> None:
    """Write a checkpoint beside its place, flush it to disk and rename it."""
    beside = path.with_suffix(".tmp")
    with beside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def make_optimizer(model: BitNet, lr: float) -> torch.optim.AdamW:
    """Return AdamW in two groups: matrices, which decay, then gains, which never do."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    gains = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices}, {"params": gains, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), eps=1e-8, fused=True)


class Run:
    """The state of one training run: model, optimizer, step and seconds spent."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        args.out.mkdir(parents=True, exist_ok=True)
        self.checkpoint = args.out / "checkpoint.pt"
        books, held_out = read_books(args.corpus)
        path = args.out / "tokenizer.json"
        if not path.exists():
            train_tokenizer(list(books.values()), ModelConfig.vocab_size).save(str(path))
        self.tokenizer = load_tokenizer(path)
        self.data = Windows(list(books.values()), self.tokenizer, args.seed)
        self.probe = self.held_out_windows(list(held_out.values()))
        self.config = ModelConfig(vocab_size=self.tokenizer.get_vocab_size())
        self.model = BitNet(self.config).to(args.device)
        self.optimizer = make_optimizer(self.model, args.lr)
        self.step, self.spent = 0, 0.0
        if self.checkpoint.exists():
            self.resume()

    def held_out_windows(self, texts: list[str]) -> tuple[Tensor, float]:
        """Return fixed held-out windows [16, 257] and their mean bytes a token."""
        windows = torch.from_numpy(Windows(texts, self.tokenizer, seed=7).batch(0, 16, 256))
        size = sum(len(self.tokenizer.decode(row).encode()) for row in windows[:, 1:].tolist())
        return windows, size / windows[:, 1:].numel()

    def resume(self) -> None:
        """Go on from the last checkpoint."""
        state = torch.load(self.checkpoint, map_location=self.args.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.spent = state["step"], state["spent"]
        print(f"resumed at step {self.step}, {self.spent / 60:.1f} min", flush=True)

    def save(self) -> None:
        """Write the checkpoint."""
        state = {
            "config": self.config.to_dict(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "spent": self.spent,
        }
        save_atomically(state, self.checkpoint)

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0 to 1."""
        return min(1.0, max(self.step / self.args.steps, self.spent / (60 * self.args.minutes)))

    def set_rates(self) -> float:
        """Set this step's learning rate and weight decay; return the rate."""
        rate = learning_rate(self.args.lr, self.step, self.args.warmup, self.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.param_groups[0]["weight_decay"] = (
            self.args.decay if self.progress < 0.5 else 0.0
        )
        return rate

    def next_batch(self) -> Tensor:
        """Return the windows [B, S + 1] of this step; B * S is the same at every step."""
        length = self.args.length if self.progress < self.args.long_from else self.config.context
        batch = self.data.batch(self.step, self.args.tokens // length, length)
        return torch.from_numpy(batch).to(self.args.device)

    @torch.no_grad()
    def held_out_bits(self) -> float:
        """Return bits a byte on the held-out probe: a quick look; evaluate.py measures fully."""
        windows, bytes_per_token = self.probe
        nats = self.model.loss(windows.to(self.args.device), torch.bfloat16).item()
        return nats / math.log(2) / bytes_per_token


def train(run: Run) -> None:
    """Train to the end of the run, log every 50 steps, save every few minutes."""
    args = run.args
    loss_of = run.model.loss if args.no_compile else torch.compile(run.model.loss, dynamic=False)
    log = (args.out / "log.jsonl").open("a", encoding="utf-8")
    clock, saved, losses = time.monotonic(), time.monotonic(), []
    while run.progress < 1.0:
        rate = run.set_rates()
        loss = loss_of(run.next_batch(), torch.bfloat16)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
        run.optimizer.step()
        run.optimizer.zero_grad()
        losses.append(loss.item())
        run.step += 1
        now = time.monotonic()
        run.spent, clock = run.spent + now - clock, now
        if not math.isfinite(losses[-1]):
            raise SystemExit(f"step {run.step}: the loss is {losses[-1]}; nothing was saved")
        if run.step % 50 == 0:
            line = {
                "step": run.step,
                "seconds": round(run.spent, 1),
                "tokens": run.step * args.tokens,
                "loss": round(sum(losses) / len(losses), 4),
                "lr": rate,
                "progress": round(run.progress, 4),
            }
            if run.step % 250 == 0:
                line["held_out_bits_per_byte"] = round(run.held_out_bits(), 4)
            log.write(json.dumps(line) + "\n")
            log.flush()
            print(json.dumps(line), flush=True)
            losses = []
        if now - saved > args.save_every:
            run.save()
            saved = now
    run.save()
    print(f"finished: {run.step} steps, {run.spent / 60:.1f} min", flush=True)


def main() -> None:
    """Start or resume a run."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    train(Run(args))


if __name__ == "__main__":
    main()
