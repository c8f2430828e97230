"""Checkpoints that `tern convert` must refuse, each with a message of its own."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from checkpoints import (
    Gguf,
    Model,
    Tensor,
    sentence_piece,
    write_json,
    write_pooling,
    write_safetensors,
)
from tern import ROOT, CliTest, main, tern

MODEL = Model(ROOT / "tests" / "reference" / "data" / "gqa-tied-64.model.gguf")
USAGE, IO, MALFORMED, UNSUPPORTED = 2, 3, 4, 5
Q = "model.layers.0.self_attn.q_proj.weight"
GATE = "model.layers.0.mlp.gate_proj.weight"
PIECES = sentence_piece(["\u2581", "a", "b"])  # 259, 260 and 261
NORM = "model.layers.1.input_layernorm.weight"
EMBEDDING = "model.embed_tokens.weight"


class Checkpoint:
    """A good one; a case spoils one thing."""

    def __init__(self) -> None:
        self.config = MODEL.config("autobitlinear")
        self.tokenizer: Any = MODEL.tokenizer()
        tokens, _ = MODEL.vocabulary()
        self.settings: dict[str, Any] = {"bos_token": tokens[0], "eos_token": tokens[1]}
        self.generation: dict[str, Any] = {}
        self.tensors = MODEL.tensors("autobitlinear")
        self.pooling: tuple[str, ...] | None = None
        self.files: dict[str, bytes | None] = {}  # as they are; None: there is no such file

    @property
    def quantisation(self) -> dict[str, Any]:
        found = self.config["quantization_config"]
        assert isinstance(found, dict)
        return found

    def write(self, folder: Path) -> None:
        folder.mkdir()
        write_json(folder / "config.json", self.config)
        write_json(folder / "tokenizer.json", self.tokenizer)
        write_json(folder / "tokenizer_config.json", self.settings)
        write_json(folder / "generation_config.json", self.generation)
        write_safetensors(folder / "model.safetensors", self.tensors)
        if self.pooling is not None:
            write_pooling(folder, *self.pooling)
        for name, content in self.files.items():
            if content is None:
                (folder / name).unlink()
            else:
                (folder / name).write_bytes(content)


def config(**settings: Any) -> Callable[[Checkpoint], None]:
    return lambda c: c.config.update(settings)


def no_config(key: str) -> Callable[[Checkpoint], None]:
    return lambda c: c.config.__delitem__(key)


def quantisation(**settings: Any) -> Callable[[Checkpoint], None]:
    return lambda c: c.quantisation.update(settings)


def file(name: str, content: bytes | None) -> Callable[[Checkpoint], None]:
    return lambda c: c.files.update({name: content})


def no_tensor(name: str) -> Callable[[Checkpoint], None]:
    return lambda c: c.tensors.__delitem__(name)


def tensor(name: str, kind: str, shape: list[int], data: bytes) -> Callable[[Checkpoint], None]:
    return lambda c: c.tensors.update({name: Tensor(kind, shape, data)})


def scale(value: float) -> Callable[[Checkpoint], None]:
    return tensor(Q + "_scale", "F32", [1], struct.pack("<f", value))


def tokenizer(path: str, value: Any) -> Callable[[Checkpoint], None]:
    """Sets the member of tokenizer.json at "a.b.0.c"."""

    def spoil(checkpoint: Checkpoint) -> None:
        *outer, last = path.split(".")
        place = checkpoint.tokenizer
        for key in outer:
            place = place[int(key) if isinstance(place, list) else key]
        place[last] = value

    return spoil


def without(key: str) -> Callable[[Checkpoint], None]:
    return tokenizer(key, None)


def settings(**values: Any) -> Callable[[Checkpoint], None]:
    return lambda c: c.settings.update(values)


def generation(**values: Any) -> Callable[[Checkpoint], None]:
    return lambda c: c.generation.update(values)


def first_value(name: str, raw: bytes) -> Callable[[Checkpoint], None]:
    def spoil(checkpoint: Checkpoint) -> None:
        found = checkpoint.tensors[name]
        found.data = raw + found.data[len(raw) :]

    return spoil


def most_scales(value: float) -> Callable[[Checkpoint], None]:
    def spoil(checkpoint: Checkpoint) -> None:
        scales = [name for name in checkpoint.tensors if name.endswith("_scale")]
        for name in scales[: len(scales) // 2 + 1]:
            checkpoint.tensors[name].data = struct.pack("<f", value)

    return spoil


def floats_with_a_scale(checkpoint: Checkpoint) -> None:
    checkpoint.config = MODEL.config("float")
    checkpoint.tensors = MODEL.tensors("float")
    scale(1.0)(checkpoint)


def as_floats(spoil_first: bool) -> Callable[[Checkpoint], None]:
    def spoil(checkpoint: Checkpoint) -> None:
        checkpoint.config = MODEL.config("float")
        checkpoint.tensors = MODEL.tensors("float")
        data = checkpoint.tensors[Q].data
        first = struct.pack("<f", 0.125) if spoil_first else b""
        checkpoint.tensors[Q].data = first + (data[4:] if spoil_first else bytes(len(data)))

    return spoil


def pooling(*modes: str) -> Callable[[Checkpoint], None]:
    return lambda c: setattr(c, "pooling", modes)


def two_poolings(checkpoint: Checkpoint) -> None:
    checkpoint.pooling = ("cls_token",)
    modules([{"type": "x.Pooling", "path": "1_Pooling"}] * 2)(checkpoint)


def modules(value: object) -> Callable[[Checkpoint], None]:
    return lambda c: c.files.update({"modules.json": json.dumps(value).encode()})


def pieces(**settings: Any) -> Callable[[Checkpoint], None]:
    """A tokenizer.model, and what tokenizer_config.json says beside it."""

    def spoil(checkpoint: Checkpoint) -> None:
        checkpoint.files["tokenizer.model"] = PIECES
        checkpoint.settings = settings

    return spoil


def added(key: str, entry: object) -> Callable[[Checkpoint], None]:
    return pieces(added_tokens_decoder={key: entry})


# (what is spoilt, the exit status, words of the message that no other case has)
CASES: list[tuple[Callable[[Checkpoint], None], int, str]] = [
    # Files.
    (file("model.safetensors", None), IO, "expected model.safetensors or model.safetensors.index"),
    (file("model.safetensors", b""), MALFORMED, "inside the length of its header"),
    (file("model.safetensors", b"\x80\0\0\0\0\0\0\0{}"), MALFORMED, "ends inside its header"),
    (file("model.safetensors", b"\xff" * 16), MALFORMED, "not a safetensors file"),
    (file("config.json", None), IO, "config.json: cannot open"),
    (file("config.json", b'{"a":1,"a":1}'), MALFORMED, "the name 'a' stands twice"),
    (file("tokenizer.json", None), IO, "expected tokenizer.json or tokenizer.model"),
    (file("tokenizer.model", b"\x0a"), MALFORMED, "the message ends inside a field"),
    (file("tokenizer.model", b"\x0f"), MALFORMED, "expected a wire type of 0, 1, 2 or 5, found 7"),
    (file("tokenizer.model", b"\x0a\x05\x0a\x01a\x18\x09"), MALFORMED, "a type of 1 to 6, found 9"),
    (file("tokenizer.model", b"\x12\x02\x18\x01"), MALFORMED, "expected pieces, found none"),
    (
        file("tokenizer.model", b"\x0a\x03\x0a\x01a\x12\x02\x18\x03"),
        UNSUPPORTED,
        "expected a model type of 1 (unigram) or 2 (BPE), found 3",
    ),
    (file("tokenizer.model", b"\x1a\x03\x12\x01x"), UNSUPPORTED, "precompiled_charsmap"),
    (file("tokenizer.model", b"\x1a\x02\x20\x01"), UNSUPPORTED, "remove_extra_whitespaces"),
    (
        lambda c: c.files.update({"tokenizer.model": b"IQ== 0\n", "tokenizer.json": None}),
        UNSUPPORTED,
        "the tiktoken file is not Llama 3's",
    ),
    # The configuration.
    (config(architectures=["MapleForCausalLM"]), UNSUPPORTED, "unknown class 'MapleForCausalLM'"),
    (config(architectures="BitNet"), MALFORMED, "expected a list of one class"),
    (config(hidden_act="gelu"), UNSUPPORTED, "the activation 'gelu' is not known"),
    (no_config("hidden_act"), MALFORMED, "hidden_act: expected a text, found nothing"),
    (config(hidden_size="x"), MALFORMED, "hidden_size: expected a whole number of 1 to"),
    (config(num_hidden_layers=0), MALFORMED, "num_hidden_layers: expected a whole number"),
    (config(vocab_size=-3), MALFORMED, "vocab_size: expected a whole number"),
    (config(intermediate_size=1 << 40), MALFORMED, "intermediate_size: expected a whole number"),
    (config(num_key_value_heads=3), MALFORMED, "expected a divisor of num_attention_heads 4"),
    (config(head_dim=63), MALFORMED, "RoPE needs an even head size, found 63"),
    (no_config("rms_norm_eps"), MALFORMED, "rms_norm_eps: expected a number above zero"),
    (config(rope_theta=0), MALFORMED, "rope_theta: expected a number above zero, found 0"),
    (config(rope_parameters={"rope_theta": 5.0}), MALFORMED, "expected that of rope_parameters"),
    (config(rope_scaling=3), MALFORMED, "rope_scaling: expected an object"),
    (config(rope_scaling={"type": "yarn"}), UNSUPPORTED, "RoPE scaling 'yarn'"),
    (config(partial_rotary_factor=0.5), UNSUPPORTED, "RoPE over a part of a head"),
    (config(sliding_window=512), UNSUPPORTED, "sliding-window attention is not supported"),
    (config(layer_types=["sliding_attention"]), UNSUPPORTED, "expected full_attention alone"),
    (config(attention_bias=True), UNSUPPORTED, "attention_bias: the setting is not understood"),
    (config(num_experts=8), UNSUPPORTED, "num_experts: the setting is not understood"),
    (config(tie_word_embeddings="yes"), MALFORMED, 'expected true or false, found "yes"'),
    (config(query_pre_attn_scalar=7), UNSUPPORTED, "expected the head size 64"),
    (config(eos_token_id=9999), MALFORMED, "eos_token_id: expected the id of a token, below 258, "
     "found 9999"),
    (config(eos_token_id=[1, 258]), MALFORMED, "found [1,258]"),
    (config(eos_token_id=-1), MALFORMED, "below 258, found -1"),
    (config(bos_token_id="<s>"), MALFORMED, 'below 258, found "<s>"'),  # noqa: S106
    # The quantisation.
    (config(quantization_config=1), UNSUPPORTED, "in a class that knows it"),
    (no_config("quantization_config"), UNSUPPORTED, "a linear could divide or multiply"),
    (quantisation(quant_method="gptq"), UNSUPPORTED, "expected 'bitnet', found 'gptq'"),
    (quantisation(linear_class="other"), UNSUPPORTED, "'bitlinear' or 'autobitlinear', found"),
    (quantisation(quantization_mode="late"), UNSUPPORTED, "'offline' or 'online', found 'late'"),
    (
        quantisation(quantization_mode="online", linear_class="bitlinear"),
        UNSUPPORTED,
        "'online' goes with linear_class",
    ),
    (quantisation(quantization_mode="online"), MALFORMED, "expected F32, F16 or BF16, found U8"),
    (quantisation(group_size=64), UNSUPPORTED, "group_size: the setting is not understood"),
    (quantisation(modules_to_not_convert=["q_proj"]), UNSUPPORTED, "expected lm_head alone"),
    (
        quantisation(use_rms_norm=True, rms_norm_eps=0.5),
        UNSUPPORTED,
        "expected that of the model's other norms",
    ),
    (quantisation(linear_class="bitlinear"), MALFORMED, "contradicts linear_class 'bitlinear'"),
    (most_scales(25.0), MALFORMED, "contradicts linear_class 'autobitlinear'"),
    # The tensors.
    (no_tensor(Q), MALFORMED, "q_proj.weight': the tensor is missing"),
    (no_tensor(NORM), MALFORMED, "layers.1.input_layernorm.weight': the tensor is missing"),
    (no_tensor(Q + "_scale"), MALFORMED, "its scale 'model.layers.0.self_attn.q_proj"),
    (tensor("model.extra", "U8", [1], b"x"), UNSUPPORTED, "'model.extra': the tensor has no place"),
    (tensor(Q.replace("weight", "bias"), "F32", [1], bytes(4)), UNSUPPORTED, "biases are not"),
    (floats_with_a_scale, UNSUPPORTED, "a scale of weights that are not packed"),
    (tensor("lm_head.weight", "U8", [1], b"x"), UNSUPPORTED, "ties the head to the embedding"),
    (tensor(NORM, "F32", [2], bytes(8)), MALFORMED, "expected the shape [256], as"),
    (tensor(NORM, "I32", [256], bytes(1024)), MALFORMED, "expected F32, F16 or BF16, found I32"),
    (tensor(EMBEDDING, "F32", [1, 256], bytes(1024)), MALFORMED, "expected the shape [320, 256]"),
    (tensor(Q, "U8", [256, 64], bytes(16384)), MALFORMED, "found [256, 64]"),
    (tensor(Q, "F32", [1], bytes(4)), MALFORMED, "expected packed weights of U8"),
    (config(intermediate_size=510), MALFORMED, "have a multiple of 4 rows, config.json gives 510"),
    (
        tensor(Q + "_scale", "F32", [2], bytes(8)),
        UNSUPPORTED,
        "expected one scale a matrix, found 2; scales of rows or groups",
    ),
    (scale(0.0), MALFORMED, "expected a scale above zero, found 0.0"),
    (scale(-1.0), MALFORMED, "expected a scale above zero, found -1.0"),
    (scale(float("nan")), MALFORMED, "expected a scale above zero, found nan"),
    (scale(float("inf")), MALFORMED, "expected a scale above zero, found inf"),
    (scale(1e-40), MALFORMED, "expected a scale that f32 holds with all digits"),
    (first_value(GATE, b"\x03"), MALFORMED, "a code is 3, which means no trit"),
    (first_value(NORM, b"\0\0\xc0\x7f"), MALFORMED, "1.input_layernorm.weight': a value is NaN"),
    (first_value(EMBEDDING, b"\0\x7c"), MALFORMED, "'model.embed_tokens.weight': a value is NaN"),
    (as_floats(True), UNSUPPORTED, "the matrix is not ternary, or has more than one scale"),
    (as_floats(False), MALFORMED, "all weights are zero"),
    # The tokenizer.
    (tokenizer("normalizer", {"type": "Lowercase"}), UNSUPPORTED, "expected none or NFC"),
    (tokenizer("pre_tokenizer", None), UNSUPPORTED, "Tern knows (of gpt-2, olmo, llama-bpe, qwen2 "
     "and falcon); found nothing"),
    (tokenizer("pre_tokenizer.add_prefix_space", True), UNSUPPORTED, '"add_prefix_space":true'),
    (tokenizer("model.ignore_merges", True), UNSUPPORTED, "expected false as the pre-tokenizer"),
    (tokenizer("model.type", "WordPiece"), UNSUPPORTED, "expected 'BPE' or 'Unigram', found"),
    (tokenizer("model.byte_fallback", True), UNSUPPORTED, "expected Metaspace or none"),
    (tokenizer("model.dropout", 0.5), UNSUPPORTED, "dropout: expected nothing, found"),
    (tokenizer("model.vocab", {}), MALFORMED, "expected tokens, found none"),
    (tokenizer("model.vocab", {"a": 2, "b": 2}), MALFORMED, "is another token's, too"),
    (tokenizer("model.vocab", {"a": "x"}), MALFORMED, "expected an id for 'a' below 320"),
    (tokenizer("model.vocab", {"a": 319, "b": 400}), MALFORMED, "'b' below 320, the vocab_size"),
    (tokenizer("model.merges", [["a"]]), MALFORMED, "expected two tokens a merge"),
    (tokenizer("model.merges", ["a b"]), MALFORMED, "found no 'ab'"),
    (tokenizer("model.merges", 7), MALFORMED, "merges: expected a list"),
    (tokenizer("added_tokens.0.rstrip", True), UNSUPPORTED, "added_tokens: rstrip: the token"),
    (tokenizer("added_tokens.0.id", 7), MALFORMED, "'<|bos|>' has the ids 0 and 7"),
    (tokenizer("added_tokens.0.id", None), MALFORMED, "expected an id for '<|bos|>'"),
    (tokenizer("post_processor.type", "BertProcessing"), UNSUPPORTED, "found 'BertProcessing'"),
    (tokenizer("post_processor.single", [{"SpecialToken": {"id": "A"}}]), UNSUPPORTED,
     "expected the BOS token once, found 'A'"),
    (tokenizer("post_processor.single", [3]), MALFORMED, "expected a SpecialToken or a Sequence"),
    (settings(bos_token="<s>"), MALFORMED, "the special token '<s>' of tokenizer_config.json"),  # noqa: S106
    (settings(add_bos_token=False), MALFORMED, "tokenizer.json says otherwise"),
    (settings(chat_template=3), MALFORMED, "chat_template: expected a text, found 3"),
    (settings(chat_template=[3]), MALFORMED, "chat_template: expected objects in the list"),
    (settings(chat_template=[{"template": ""}]), MALFORMED, "chat_template: name: expected a text"),
    (settings(chat_template=[{"name": "default"}]), MALFORMED, "template: template: expected a"),
    (settings(chat_template=[{"name": "x", "template": ""}] * 2), MALFORMED, "found two of 'x'"),
    (settings(chat_template=[{"name": "x" * 65536, "template": ""}]), USAGE,
     "x.gguf: key 23 of 23: expected a key of at most 65535 bytes"),
    (pieces(added_tokens_decoder=[]), MALFORMED, "added_tokens_decoder: expected an object"),
    (added("", {}), MALFORMED, "expected ids and objects, found ''"),
    (added("4x", {}), MALFORMED, "expected ids and objects, found '4x'"),
    (added("100000000", {}), MALFORMED, "expected ids and objects, found '100000000'"),
    (added("262", 3), MALFORMED, "expected ids and objects, found '262'"),
    (added("262", {}), MALFORMED, "added_tokens_decoder: content: expected a text"),
    (added("260", {"content": "b"}), MALFORMED, "expected 'a' of tokenizer.model, found 'b'"),
    (added("261", {"content": "a"}), MALFORMED, "expected 'b' of tokenizer.model, found 'a'"),
    (added("320", {"content": "c"}), MALFORMED, "expected at most 320 tokens, the vocab_size of "
     "config.json, found 321"),
    (added("261", {"content": "b", "rstrip": True}), UNSUPPORTED, "decoder: rstrip: the token 'b'"),
    (added("1", {"content": "<s>", "single_word": True}), UNSUPPORTED, "the token '<s>' takes"),
    (lambda c: (config(vocab_size=5)(c), pieces()(c),
                tensor(EMBEDDING, "F16", [5, 256], bytes(2560))(c)),
     MALFORMED, "expected at most 5 tokens"),
    (generation(temperature="hot"), MALFORMED, 'a number of at least 0, found "hot"'),
    (generation(top_p=-0.5), MALFORMED, "a number of at least 0, found -5E-1"),
    (generation(min_p=2000000), MALFORMED, "a number of at least 0, found 2000000"),
    (generation(top_k=0), MALFORMED, "top_k: expected a whole number of 1 to"),
    (generation(eos_token_id=[1, 5, 6, 7]), UNSUPPORTED, "more than two tokens"),
    # Pooling of embedding models.
    (pooling("max_tokens"), UNSUPPORTED, "expected mean, cls or last-token pooling, found another"),
    (pooling("cls_token", "lasttoken"), UNSUPPORTED, "expected one mode of pooling, found two"),
    (pooling(), MALFORMED, "expected one mode of pooling, found none"),
    (modules({}), MALFORMED, "expected an array of modules"),
    (modules([3]), MALFORMED, "expected an object for each module"),
    (modules([{"type": "x.Dense"}]), UNSUPPORTED, 'a normalisation, found "x.Dense"'),
    (two_poolings, UNSUPPORTED, "expected one pooling, found two"),
    (modules([{"type": "x.Pooling", "path": "/1_Pooling"}]), MALFORMED, 'found "/1_Pooling"'),
    (modules([{"type": "x.Pooling", "path": "../1"}]), MALFORMED, 'found "../1"'),
    (modules([{"type": "x.Pooling"}]), MALFORMED, "modules.json: path: expected a text"),
]  # fmt: skip


class BadCheckpointTest(CliTest):
    def test_each_is_refused_with_its_own_words(self) -> None:
        messages = []
        for i, (spoil, status, words) in enumerate(CASES):
            with self.subTest(words):
                checkpoint = Checkpoint()
                spoil(checkpoint)
                checkpoint.write(self.folder / str(i))
                outcome = tern("convert", self.folder / str(i), "-o", self.folder / "x.gguf")
                self.assert_fails(outcome, status, words)
                self.assertFalse((self.folder / "x.gguf").exists())
                messages.append((words, outcome.stderr.decode()))
        for words, message in messages:
            readers = [other for _, other in messages if words in other]
            self.assertEqual(readers, [message], words)
        self.assertGreaterEqual(len(messages), 40)
        print(f"{len(messages)} checkpoints refused")

    def test_files_of_json(self) -> None:
        for name in (
            "config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "generation_config.json",
            "1_Pooling/config.json",
            "modules.json",
        ):
            for content, words in ((b"{'", "expected JSON"), (b"7", "expected an ")):
                with self.subTest(name, content=content):
                    checkpoint = Checkpoint()
                    checkpoint.pooling = ("cls_token",)
                    checkpoint.files[name] = content
                    folder = self.folder / f"{len(list(self.folder.iterdir()))}"
                    checkpoint.write(folder)
                    outcome = tern("convert", folder, "-o", self.folder / "x.gguf")
                    self.assert_fails(outcome, MALFORMED, f"{folder.name}/{name}: {words}")

    def accepted(self, *changes: Callable[[Checkpoint], None]) -> dict[str, Any]:
        """The keys of the file."""
        checkpoint = Checkpoint()
        for change in changes:
            change(checkpoint)
        folder = self.folder / f"good.{len(list(self.folder.iterdir()))}"
        checkpoint.write(folder)
        file = folder / "good.gguf"
        self.succeed("convert", folder, "-o", file)
        self.succeed("verify", "-m", file)
        return Gguf(file).keys

    def test_the_one_that_is_not_spoilt_is_accepted(self) -> None:
        keys = self.accepted()
        self.assertFalse([key for key in keys if ".sampling." in key or "template" in key])

    def test_what_follows_from_the_configuration_is_passed_over(self) -> None:
        self.accepted(tensor("model.layers.0.self_attn.rotary_emb.inv_freq", "F32", [1], bytes(4)))

    def test_scales_of_1_have_no_wrong_direction(self) -> None:
        self.accepted(most_scales(1.0))

    def test_a_vocabulary_that_is_shorter_than_the_embedding(self) -> None:
        tokens, _ = MODEL.vocabulary()
        found = self.accepted()["tokenizer.ggml.tokens"]
        self.assertEqual((len(found), found[: len(tokens)]), (320, tokens))
        self.assertEqual(found[-1], "[UNUSED319]")

    def test_pieces_with_tokens_that_were_added(self) -> None:
        decoder = {
            "263": {"content": "<t>"},
            "1": {"content": "<s>", "special": True},
            "262": {"content": "<c>", "special": True},
        }
        keys = self.accepted(
            pieces(added_tokens_decoder=decoder, bos_token="<c>", eos_token="<t>"),  # noqa: S106
            config(bos_token_id=1, eos_token_id=2),
        )
        self.assertEqual(keys["tokenizer.ggml.model"], "llama")
        self.assertEqual(keys["tokenizer.ggml.tokens"][260:264], ["a", "b", "<c>", "<t>"])
        self.assertEqual(keys["tokenizer.ggml.token_type"][260:264], [1, 1, 3, 4])
        self.assertEqual(len(keys["tokenizer.ggml.scores"]), 320)
        self.assertEqual(keys["tokenizer.ggml.bos_token_id"], 262)  # by name, not by the model
        self.assertEqual(keys["tokenizer.ggml.eos_token_id"], 263)
        self.assertEqual(keys["tokenizer.ggml.add_bos_token"], True)
        self.assertEqual(keys["tokenizer.ggml.add_space_prefix"], True)

    def test_pieces_that_were_added_are_found_as_such(self) -> None:
        names = {"0": "<unk>", "1": "<s>", "260": "a", "261": "b"}
        decoder = {i: {"content": name, "special": name != "b"} for i, name in names.items()}
        kinds = self.accepted(pieces(added_tokens_decoder=decoder))["tokenizer.ggml.token_type"]
        self.assertEqual((kinds[:3], kinds[260:262]), ([2, 3, 3], [3, 4]))

    def test_special_tokens_by_name_and_by_id(self) -> None:
        tokens, _ = MODEL.vocabulary()
        prefix = "tokenizer.ggml."

        def found(*changes: Callable[[Checkpoint], None]) -> dict[str, Any]:
            keys = self.accepted(*changes)
            return {
                key.removeprefix(prefix): value
                for key, value in keys.items()
                if key.startswith(prefix) and key.endswith("_id")
            }

        expected = {"bos_token_id": 0, "eos_token_id": 1}
        self.assertEqual(found(), expected)
        # By the names of tokenizer_config.json, whatever config.json has.
        self.assertEqual(
            found(
                settings(eos_token=tokens[7], pad_token={"content": tokens[8]}),
                config(eos_token_id=[]),
            ),
            {"bos_token_id": 0, "eos_token_id": 7, "padding_token_id": 8},
        )
        self.assertEqual(
            found(settings(bos_token=tokens[9]), without("post_processor"), config(bos_token_id=2)),
            {"bos_token_id": 9, "eos_token_id": 1},
        )
        # Without names by the ids there; the second that ends a text is told once.
        self.assertEqual(
            found(
                lambda c: c.settings.clear(),
                without("post_processor"),
                config(bos_token_id=4, eos_token_id=[5, 6]),
                generation(eos_token_id=[5, 6]),
            ),
            {"bos_token_id": 4, "eos_token_id": 5, "eot_token_id": 6},
        )

    def test_a_tiktoken_file_goes_behind_tokenizer_json(self) -> None:
        self.assertEqual(
            self.accepted(file("tokenizer.model", b"IQ== 0\nIg== 1\n"))["tokenizer.ggml.model"],
            "gpt2",
        )

    def test_defaults_of_sampling_and_templates(self) -> None:
        named = [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]
        values = {"temperature": 0, "top_p": 0.5, "min_p": 1.0, "repetition_penalty": 1e6}
        keys = self.accepted(settings(chat_template=named), generation(top_k=7, **values))
        self.assertEqual(keys["tokenizer.chat_template"], "a")
        self.assertEqual(keys["tokenizer.chat_template.tool_use"], "b")
        expected = {"temp": 0.0, "top_p": 0.5, "min_p": 1.0, "penalty_repeat": 1e6, "top_k": 7}
        found = {name: keys[f"general.sampling.{name}"] for name in expected}
        self.assertEqual(found, expected)

    def test_pickles(self) -> None:
        checkpoint = Checkpoint()
        checkpoint.files = {"model.safetensors": None, "pytorch_model.bin": b"\x80\x02"}
        checkpoint.write(self.folder / "pickle")
        outcome = tern("convert", self.folder / "pickle", "-o", self.folder / "x.gguf")
        self.assert_fails(outcome, UNSUPPORTED, "runs code when it is read", "weights_only=True")


if __name__ == "__main__":
    main()
