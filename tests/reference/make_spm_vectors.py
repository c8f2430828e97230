#!/usr/bin/env python3
"""Makes golden vectors for SentencePiece's BPE and unigram with the sentencepiece library.

usage: make_spm_vectors.py OUTPUT_DIRECTORY [COUNT [SEED]]

Needs `pip install sentencepiece==0.2.3 tokenizers==0.23.3` (the latter for make_bpe_vectors.py, the
texts of which it takes). It trains vocabularies of 700 tokens with tokens of the user: of BPE with
byte fallback `spm_prefix`, whose texts begin with a space of their own, and `spm_plain`, and of
unigram `unigram_bytes`, with byte fallback and without that space, and `unigram_unknown`, without
bytes and with it. It writes for each NAME.gguf, the vocabulary, and NAME.txt, COUNT strings with
their ids in the form of make_bpe_vectors.py. U+2581 is left out of the strings: SentencePiece
cannot tell it from a space.

The files in tests/reference/data come from the defaults, COUNT 600 and SEED 1.
"""

import io
import random
import sys
from pathlib import Path

import make_bpe_vectors as bpe
import sentencepiece

VOCABULARIES = (
    ("spm_prefix", "bpe", True, True),
    ("spm_plain", "bpe", False, True),
    ("unigram_bytes", "unigram", False, True),
    ("unigram_unknown", "unigram", True, False),
)
USER_DEFINED = ["<|user|>", "=>", "\u2581\u2581#"]
FIXED = [
    *(
        "",
        " ",
        "  ",
        "   ",
        "a",
        " a",
        "  a",
        "a ",
        "a  ",
        "a  b",
        "\n",
        " \n",
        "  \n",
        "   \n ",
        "\t",
    ),
    *(
        "the the",
        " the",
        "the\nthe",
        "thethethe",
        "\x00",
        "a\x00b",
        "\x7f",
        "é",
        "e\u0301",
        "海は",
        "🐦🐦",
    ),
    *(
        "<|user|>",
        " <|user|>",
        "a<|user|>b",
        "a <|user|> b",
        "<|user|><|user|>",
        "<|user|",
        "=>>=>",
    ),
    *("  #", " #", "a  #b", "a   #"),
    *("<s>", "</s>", "<unk>", "<0x0A>", "<s>the</s>", "<0x41>a", "\ufeffa", "\ufffd", "\U0010ffff"),
]


def train(kind, prefix, has_bytes):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(bpe.TRAINING_TEXT.splitlines()),
        model_writer=model,
        model_type=kind,
        vocab_size=700,
        character_coverage=0.98,
        byte_fallback=has_bytes,
        user_defined_symbols=USER_DEFINED,
        normalization_rule_name="identity",
        add_dummy_prefix=prefix,
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        hard_vocab_limit=kind == "bpe",
        num_threads=1,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def kind_of(model, token):
    kinds = ((model.is_unknown, 2), (model.is_control, 3), (model.is_unused, 5), (model.is_byte, 6))
    if model.id_to_piece(token) in USER_DEFINED:
        return 4
    return next((kind for asks, kind in kinds if asks(token)), 1)


def write_vocabulary(path, kind, model, prefix):
    size = model.get_piece_size()
    metadata = {
        "general.architecture": "llama",
        "general.type": "vocab",
        "tokenizer.ggml.model": "llama" if kind == "bpe" else "t5",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [model.id_to_piece(i) for i in range(size)],
        "tokenizer.ggml.scores": [float(model.get_score(i)) for i in range(size)],
        "tokenizer.ggml.token_type": [kind_of(model, i) for i in range(size)],
        "tokenizer.ggml.bos_token_id": model.bos_id(),
        "tokenizer.ggml.eos_token_id": model.eos_id(),
        "tokenizer.ggml.unknown_token_id": model.unk_id(),
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_space_prefix": prefix,
    }
    bpe.load_tool("tiktoken_to_gguf").write_gguf(path, metadata)


def random_text(rng):
    pieces = [bpe.random_text(rng)]
    while rng.random() < 0.3:
        name = rng.choice(USER_DEFINED).replace("\u2581", " ")
        pieces += [name, bpe.random_text(rng)]
    return "".join(pieces).replace("\u2581", "_")


def main():
    if len(sys.argv) not in (2, 3, 4) or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    directory = Path(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 600
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    for name, kind, prefix, has_bytes in VOCABULARIES:
        model = train(kind, prefix, has_bytes)
        write_vocabulary(str(directory / f"{name}.gguf"), kind, model, prefix)
        rng = random.Random(seed)
        texts = (FIXED + [random_text(rng) for _ in range(count)])[:count]
        with (directory / f"{name}.txt").open("w", encoding="ascii") as file:
            for text in texts:
                ids = " ".join(map(str, model.encode(text)))
                file.write(f"text\t{bpe.escape(text)}\t{ids}\n")


if __name__ == "__main__":
    main()
