"""Draw the training curve of a run's log as a PNG."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def main() -> None:
    """Draw the loss and the held-out bits a byte over the tokens seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, default=Path("training/runs/tern-tales/log.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("models/tern-tales.png"))
    args = parser.parse_args()
    if not args.log.is_file():
        raise SystemExit(f"{args.log}: expected a log, found none; training/train.py writes it")
    try:
        lines = [json.loads(line) for line in args.log.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise SystemExit(f"{args.log}: expected a JSON object a line: {error}") from None
    probes = [line for line in lines if "held_out_bits_per_byte" in line]
    figure, left = plt.subplots(figsize=(7, 3.6), dpi=110)
    left.plot([x["tokens"] / 1e6 for x in lines], [x["loss"] for x in lines], color="#2a6f97")
    left.set_xlabel("tokens seen, millions")
    left.set_ylabel("training loss, nats a token", color="#2a6f97")
    left.grid(alpha=0.25)
    right = left.twinx()
    bits = [x["held_out_bits_per_byte"] for x in probes]
    right.plot([x["tokens"] / 1e6 for x in probes], bits, "o-", markersize=3, color="#c1121f")
    right.set_ylabel("held-out bits a byte", color="#c1121f")
    left.set_title("tern-tales: training curve")
    figure.tight_layout()
    figure.savefig(args.out, metadata={"Software": None})


if __name__ == "__main__":
    main()
