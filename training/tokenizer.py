"""Train the byte-level BPE of tern-tales: GPT-2's pre-tokenizer, a BOS and an EOS token."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from corpus import read_books
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

BOS, EOS = "<|bos|>", "<|eos|>"
BOS_ID, EOS_ID = 0, 1


def train_tokenizer(texts: list[str], vocab_size: int) -> Tokenizer:
    """Return a byte-level BPE of at most `vocab_size` entries; all 256 bytes are among them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[BOS, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer.json."""
    return Tokenizer.from_file(str(path))


def vocabulary(path: Path) -> tuple[list[str], list[str]]:
    """Return the tokens in order of id and the merges ("left right") in order of rank."""
    model = json.loads(path.read_text(encoding="utf-8"))["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    return tokens, merges


def main() -> None:
    """Train on the training books of a corpus and write tokenizer.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="folder of .txt files")
    parser.add_argument("--out", type=Path, default=Path("training/runs/tern-tales"))
    parser.add_argument("--vocab-size", type=int, default=4096)
    args = parser.parse_args()
    books, held_out = read_books(args.corpus)
    tokenizer = train_tokenizer(list(books.values()), args.vocab_size)
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(args.out / "tokenizer.json"))
    for name, text in held_out.items():
        count = len(tokenizer.encode(text).ids)
        print(f"{name}: {len(text.encode()) / count:.2f} bytes a token")


if __name__ == "__main__":
    main()
