"""What the claims on speed share: the synthetic 2B-4T and the figures of `tern bench` on it."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TERN = ROOT / "build/release/src/cli/tern"
THREADS = 2
# `tern bench` ends with it where a share is above 1, as when the machine had other work while the
# ceiling was measured, and asks to measure again.
ABOVE_CEILING = 8
TRIES = 3


def stdout_of(command: Sequence[str | Path], tries: int = 1, **options: Any) -> str:
    """What a program wrote. One that fails has said why on stderr, and ends the claim."""
    for left in reversed(range(tries)):
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, **options)
        if run.returncode != ABOVE_CEILING or left == 0:
            break
        print(f"exit status {ABOVE_CEILING}: measured again", file=sys.stderr, flush=True)
    if run.returncode != 0:
        sys.exit(f"exit status {run.returncode} of {shlex.join(map(str, command))}")
    return run.stdout


def synthetic_2b4t(context: int | None = None) -> str:
    """The path of a model with the shape of BitNet b1.58 2B-4T in I2_S with an f16 head."""
    command = [ROOT / "bench/synthetic_model", "2b4t", "i2_s", "f16"]
    if context is not None:
        command.append(str(context))
    return stdout_of(command).strip()


def tern_bench(
    *arguments: str,
    tier: str = "",
    model: str = "",
    threads: int = THREADS,
    cores: tuple[int, ...] = (),
) -> dict[str, Any]:
    """The figures; on the fastest tier, or the one given, and so are model and cores."""
    variables = {key: value for key, value in os.environ.items() if key != "TERN_FORCE_ISA"}
    if tier:
        variables["TERN_FORCE_ISA"] = tier
    command = [TERN, "bench", "-m", model or synthetic_2b4t(), "-t", str(threads), "--json"]
    command += arguments
    if cores:
        command = ["taskset", "-c", ",".join(map(str, cores)), *command]
    found = json.loads(stdout_of(command, TRIES, env=variables))
    assert isinstance(found, dict)
    return found


def share_of_reading(share: float, found: dict[str, Any]) -> str:
    """A share of decode in words, with the memory that it was measured on: a shared one gives twice
    as much in one second as in another, and decode is held to what it gave meanwhile."""
    decode, most = found["decode"], found["ceilings"]["read_bytes_per_s"]
    beside = decode["read_bytes_per_s"]
    return (
        f"{share:.3f} of the limit at {beside / 1e9:.1f} GB/s beside it "
        f"({decode['tokens_per_s']:.2f} tok/s; memory gave {most / 1e9:.1f} GB/s at most)"
    )


def print_claim(name: str, value: str, target: str, met: bool) -> None:
    print(f"{name}: value {value} target {target} {'MET' if met else 'NOT MET'}", flush=True)
