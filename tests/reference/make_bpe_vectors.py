#!/usr/bin/env python3
"""Makes golden vectors for byte-level BPE with Hugging Face tokenizers.

usage: make_bpe_vectors.py OUTPUT_DIRECTORY [COUNT [SEED]]

Needs `pip install tokenizers==0.23.3`. For each pre-tokenizer it trains a vocabulary of 1000 tokens
on the text below and writes two files: bpe_NAME.gguf, the vocabulary, and bpe_NAME.txt, COUNT
strings with their ids. A line of the latter holds, divided by tabs: `text` or `special` (whether
names of special tokens are such tokens), the string, the ids. In the string, bytes outside of
printable ASCII, and the backslash, are written as \\xNN.

The files in tests/reference/data come from the defaults, COUNT 600 and SEED 1.
"""

# ruff: noqa: SIM905 - words stand in a text for reading

import importlib.machinery
import importlib.util
import json
import random
import sys
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

TOOLS = Path(__file__).resolve().parents[2] / "tools"
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|eot_id|>x"]

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# fmt: off
TRAINING_TEXT = """\
The tern's a small sea bird; it'll fly from one end of the earth to the other, and it doesn't tire.
We've seen it in the north, they're seeing it in the south: I'm sure you'd know it if you saw it.
"Where's it going?" she asked. "There," he said. "It's going there, and we'll never go with it."
In 1990, 1991 and 2024 there were 12345 of them; 3.14159 is not 22/7, and 1,000,000 is 10^6.
    def encode(self, text):\n        return [self.ids[b] for b in text]\n\n\n\tif x == y:\n\t\tpass
ÜBER DIE GRÖSSE, über die Größe, l'été à la plage, l’été, ça va, señor, niño, coração, žluťoučký.
Быстрая крачка летит над морем. Она летит далеко, и море под ней тихо. Море, море, море.
Η θάλασσα είναι μεγάλη και η θάλασσα είναι βαθιά. 海は広いな大きいな。海は青い。燕鷗飛過大海，大海很大。
갈매기는 바다 위를 날아간다. 바다는 넓다. समुद्र बहुत बड़ा है और समुद्र गहरा है. البحر كبير والبحر عميق ١٢٣٤.
🐦🐦🐦 🌊🌊 👩‍👩‍👧 👍🏽 e\u0301te\u0301 a\u0308 ½ ¼ ² ³ Ⅷ Ⅸ ∑ → ← …… —— !!! ??? ... ''' ``` ====== ------ ###### ////// <<< >>>
the the the of of and and to to a a in in that that it it is is was was he he for for on on
"""

WORDS = (
    "the tern it's don't I'M WE'RE you'Ll they'Ve he'D she'ſ 'sa 'tx 're've O'Neill rock'n'roll "
    "being Größe été l’été море θάλασσα 海 大海 바다 समुद्र البحر naïve co-op x_y a.b "
    "e\u0301 a\u0308\u0304 ﬁ ſ K ŉ Ǆ ª º ʰ ᴬ Ⅷ ② ½ ² ₂ ١٢٣ १२३ "
    "12 123 1234 12345678 3.14 1,000 1e9 0x1F"
).split()
MARKS = [
    *"!?.,;:'\"`~@#$%^&*()-_=+[]{}|\\/<>§°€£¥×÷→∑√∞≠—–…“”‘’«»、。！？，：「」～・",
    *"'''", "''", "...", "--", "==>", "://", "\u0301", "\u200d", "\ufe0f", "\u200b", "\ufeff",
    "\x00", "\x07", "\x1c", "\x1f", "\x7f", "\x80", "\xad", "🐦", "👩‍👩‍👧", "👍🏽", "🇩🇪",
    "\ue000", "\ufffd", "\uffff", "\U0010ffff", "\u0378", "\U000323b0",
]
SPACES = [
    *([" "] * 8), "  ", "   ", "     ", *(["\n"] * 4), "\n\n", "\r\n", "\r", "\t", "\t\t", " \n",
    "\n ", " \n  \n ", "\x0b", "\x0c", "\x85", "\xa0", "\u1680", "\u2003", "\u2028", "\u2029",
    "\u202f", "\u205f", "\u3000", "\u180e",
]
FIXED = [
    "", " ", "  ", "\n", "\n\n", " \n", "\n ", " \n ", "\t \n\t x", "a", " a", "  a", "\na", "\r\na",
    "'", "'s", "'S", "'ſ", "'ſt", "'ll", "'lL", "'LL", "'l", "'r", "'re", "'rE", "'v", "'ve", "'x",
    "''s", " 's", "a's", "a 's", "!'s", "1's", "\n's", "'\u0301s", "1", "12", "123", "1234", "1234567",
    " 1", " 12", "  123", "a1", "1a", "!1", "1!", " !", "  !", "!\n", "!\n\n", "!\r\n\n x", "! \n",
    " !\n a", "\xa0a", "\xa0\xa0a", "\x85a", "\u2028a", "\na b", "a\n\n\nb", "a \n \n b", "a  \n  b",
    "a   ", "a   b", "a \t b", "\u3000\u3000a", "\u200ba", "\u0301a", "🐦a", "a🐦", "a\u0301b", "\x00a",
    "<|eot_id|>", "a<|eot_id|>b", "<|eot_id|>x", "<|eot_id|><|eot_id|>", "<|eot_id|", "<<|eot_id|>>",
    "<|begin_of_text|>a <|end_of_text|>", "<|eot_id|> x", "it's <|eot_id|> it's",
]
# fmt: on


def load_tool(name):
    loader = importlib.machinery.SourceFileLoader(name, str(TOOLS / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


def make_splitter(pre):
    gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if pre in ("gpt-2", "olmo"):
        return gpt2
    if pre == "falcon":
        threes = pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), behavior="isolated")
        punctuation = pre_tokenizers.Punctuation(behavior="contiguous")
        digits = pre_tokenizers.Digits(individual_digits=False)
        return pre_tokenizers.Sequence([punctuation, gpt2, digits, threes])
    pattern = LLAMA3.replace("{1,3}", "") if pre == "qwen2" else LLAMA3
    by_pattern = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([by_pattern, to_bytes])


def make_tokenizer(pre):
    tokenizer = Tokenizer(models.BPE(ignore_merges=pre == "llama-bpe"))
    tokenizer.pre_tokenizer = make_splitter(pre)
    if pre in ("qwen2", "olmo"):
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TRAINING_TEXT], trainer)
    return tokenizer


def write_vocabulary(path, pre, tokenizer):
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    tool = load_tool("tiktoken_to_gguf")
    kinds = [tool.CONTROL if token in SPECIAL else tool.NORMAL for token in tokens]
    tool.write_gguf(
        path,
        {
            "general.architecture": "llama",
            "general.type": "vocab",
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": pre,
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": kinds,
            "tokenizer.ggml.merges": merges,
            "tokenizer.ggml.bos_token_id": tokens.index(SPECIAL[0]),
            "tokenizer.ggml.eos_token_id": tokens.index(SPECIAL[1]),
            "tokenizer.ggml.eot_token_id": tokens.index(SPECIAL[2]),
            "tokenizer.ggml.add_bos_token": False,
        },
    )


def random_code_point(rng):
    while True:
        code = rng.randrange(rng.choice([0x80, 0x800, 0x3000, 0x10000, 0x110000]))
        if not 0xD800 <= code < 0xE000:
            return chr(code)


def random_text(rng):
    pieces = []
    for _ in range(rng.randint(1, 9)):
        kind = rng.random()
        if kind < 0.35:
            pieces.append(rng.choice(WORDS))
        elif kind < 0.6:
            pieces.append(rng.choice(SPACES))
        elif kind < 0.8:
            pieces.append(rng.choice(MARKS))
        elif kind < 0.9:
            pieces.append(random_code_point(rng))
        elif kind < 0.98:
            start = rng.randrange(len(TRAINING_TEXT))
            pieces.append(TRAINING_TEXT[start : start + rng.randint(1, 24)])
        else:
            pieces.append(rng.choice(SPECIAL))
    return "".join(pieces)


def escape(text):
    return "".join(
        chr(b) if 0x20 <= b < 0x7F and b != 0x5C else f"\\x{b:02x}" for b in text.encode("utf-8")
    )


def main():
    if len(sys.argv) not in (2, 3, 4) or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    directory = Path(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 600
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    for pre in ("gpt-2", "llama-bpe", "falcon", "qwen2", "olmo"):
        tokenizer = make_tokenizer(pre)
        write_vocabulary(str(directory / f"bpe_{pre}.gguf"), pre, tokenizer)
        rng = random.Random(seed)
        texts = (FIXED + [random_text(rng) for _ in range(count)])[:count]
        with (directory / f"bpe_{pre}.txt").open("w", encoding="ascii") as file:
            for text in texts:
                for special in (False, True) if "<|" in text else (False,):
                    tokenizer.encode_special_tokens = not special
                    ids = tokenizer.encode(text, add_special_tokens=False).ids
                    mode = "special" if special else "text"
                    file.write(f"{mode}\t{escape(text)}\t{' '.join(map(str, ids))}\n")


if __name__ == "__main__":
    main()
