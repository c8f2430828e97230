"""Make golden vectors with Hugging Face transformers (float32, eager).

    python tests/reference/make_golden.py                      # the random models
    python tests/reference/make_golden.py --hf DIR --gguf FILE # and tern-tales

Writes data/<name>.model.gguf and data/<name>.golden.gguf; README.md beside this file lists the
tensors. T is the number of positions, P the first few of them, H hidden, V vocabulary.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # the plain reference, not its compiled form

import numpy as np
import torch
import transformers
from families import BITNET, Family
from random_models import CASES, Case, write_case  # puts training/ on the path

from capture import Recorder, round_kv  # isort: skip
from gguf_reader import read_gguf  # isort: skip
from gguf_writer import float_tensor, write_gguf  # isort: skip

ROWS = 3  # positions of the per-op tensors, P
HERE = Path(__file__).resolve().parent


def load(folder: Path) -> transformers.PreTrainedModel:
    """Load a Hugging Face folder in float32."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    return model.eval()


def pooled(states: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return embeddings of hidden states [T, H]: each pooling in float32, then length 1."""
    ways = {"last": states[-1], "mean": states.mean(dim=0), "cls": states[0]}
    unit = torch.nn.functional.normalize
    return {f"golden.embedding.{way}": unit(x[None], p=2, dim=1) for way, x in ways.items()}


def write_golden(
    folder: Path, gguf: Path, tokens: list[int], out: Path, about: tuple[str, Family, bool]
) -> None:
    """Run the reference twice (K and V in f32, then rounded to f16) and write what it did.

    `about` names the form of the checkpoint and its family, and says whether states are pooled.
    """
    form, family, embeds = about
    model = load(folder)
    ids = torch.tensor([tokens])
    with torch.no_grad():
        plain = model(ids, use_cache=False).logits[0]
        recorder = Recorder(model, read_gguf(gguf), ROWS, family)
        with round_kv(recorder), recorder:
            rounded = model(ids, use_cache=False).logits[0]
    tensors = {
        "golden.tokens": ids[0],
        "golden.logits": plain,
        "golden.logits_kv16": rounded,
        **recorder.finish(),
    }
    if embeds:
        tensors |= pooled(recorder.seen["output_norm.y"])
    keys = {
        "general.architecture": "golden",
        "general.alignment": 32,
        "golden.model": gguf.name,
        "golden.linear_class": form,
        "golden.transformers": transformers.__version__,
        "golden.torch": torch.__version__.split("+")[0],
    }
    arrays = {k: v.detach().to(torch.float32).numpy() for k, v in tensors.items()}
    write_gguf(out, keys, {k: float_tensor(np.ascontiguousarray(v)) for k, v in arrays.items()})
    gap = float((plain - rounded).abs().max() / (plain.max() - plain.min()))
    print(
        f"{out.name}: {out.stat().st_size // 1024} KiB, {plain.min():.1f}..{plain.max():.1f},"
        f" f16 K and V move one by at most {gap:.1e} of the range"
    )


def make_case(case: Case, data: Path) -> None:
    """Write one random model and its golden vectors."""
    gguf = data / f"{case.name}.model.gguf"
    tokens = np.random.default_rng(case.seed).integers(0, case.config.vocab_size, case.positions)
    with tempfile.TemporaryDirectory() as folder:
        write_case(case, gguf, Path(folder))
        out = data / f"{case.name}.golden.gguf"
        about = (case.form, case.family, case.embeds)
        write_golden(Path(folder), gguf, tokens.tolist(), out, about)


def make_tales(folder: Path, gguf: Path, data: Path) -> None:
    """Write the golden vectors of tern-tales."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = "There was once a poor miller who had a"  # clear of rounding ties, see README.md
    about = ("autobitlinear", BITNET, False)
    tokens = [tokenizer.bos_token_id, *tokenizer(text).input_ids][:10]
    write_golden(folder, gguf, tokens, data / "tern-tales.golden.gguf", about)


def main() -> None:
    """Make all golden files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE / "data")
    parser.add_argument("--hf", type=Path, help="tern-tales in the Hugging Face form")
    parser.add_argument("--gguf", type=Path, default=HERE.parents[1] / "models/tern-tales.gguf")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="names of random models, else all")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.data.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        if args.only is not None and case.name not in args.only:
            continue
        make_case(case, args.data)
    if args.hf:
        make_tales(args.hf, args.gguf, args.data)


if __name__ == "__main__":
    main()
