"""Measure an exported GGUF on the held-out books, in bits a byte, and print samples."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from corpus import read_books
from infer import Exported
from torch.nn import functional as nnf


def bits_per_byte(model: Exported, text: str, stride: int) -> tuple[float, int]:
    """Return the bits a UTF-8 byte of a text and its number of tokens.

    Windows of the whole context move by `stride` tokens; every token is scored once, in the
    window that shows it the most text before it. The text starts after BOS.
    """
    ids = torch.tensor([model.bos, *model.tokenizer.encode(text).ids])
    nats, scored = 0.0, 1
    for start in range(0, len(ids), stride):
        window = ids[start : start + model.context]
        end = start + len(window)
        if end > scored:
            fresh = end - scored
            logits = model.logits(window[None, :-1])[0, -fresh:]
            nats += nnf.cross_entropy(logits, window[-fresh:], reduction="sum").item()
            scored = end
        if end == len(ids):
            break
    return nats / math.log(2) / len(text.encode("utf-8")), len(ids) - 1


def main() -> None:
    """Print the figures of each held-out book, of both, and the samples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="folder of .txt files")
    parser.add_argument("--gguf", type=Path, default=Path("models/tern-tales.gguf"))
    parser.add_argument("--stride", type=int, default=256, help="tokens between windows")
    parser.add_argument("--prompt", default="Once upon a time")
    parser.add_argument("--count", type=int, default=120, help="tokens in a sample")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = Exported(args.gguf)
    bits = size = 0.0
    for name, text in read_books(args.corpus)[1].items():
        value, tokens = bits_per_byte(model, text, args.stride)
        length = len(text.encode("utf-8"))
        bits, size = bits + value * length, size + length
        print(f"{name}: {value:.4f} bits a byte ({length} bytes, {tokens} tokens)")
    print(f"held out, together: {bits / size:.4f} bits a byte")
    for temperature, seed in ((0.0, 0), (0.8, 1), (0.8, 2), (0.8, 3)):
        print(f"\n--- temperature {temperature}, seed {seed}")
        print(model.sample(args.prompt, args.count, temperature, seed))


if __name__ == "__main__":
    main()
