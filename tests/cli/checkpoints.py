"""Models in GGUF as checkpoints of Hugging Face, in every form that a checkpoint has.

Standard library only. Trits are kept as bytes of codes (trit + 1), in row order.
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tern import MODEL

FORMS = ("autobitlinear", "bitlinear", "online", "float")
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
            12: "d"}  # fmt: skip
_STRING, _ARRAY = 8, 9
_F32, _F16, _I2_S = 0, 1, 36

LINEARS = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}


def byte_alphabet() -> list[str]:
    """GPT-2's visible characters, one a byte."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(byte) for byte in visible] + [chr(0x100 + i) for i in range(256 - len(visible))]


class Gguf:
    """Keys and tensors of a GGUF file: `tensors` has (shape, type, offset, size)."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        self.at = 8
        tensors, keys = self.read("Q"), self.read("Q")
        self.keys: dict[str, Any] = {}
        for _ in range(keys):
            name = self.text()
            self.keys[name] = self.value(self.read("I"))
        found = []
        for _ in range(tensors):
            name = self.text()
            shape = [self.read("Q") for _ in range(self.read("I"))]
            found.append((name, shape, self.read("I"), self.read("Q")))
        base = -(-self.at // 32) * 32
        self.tensors = {
            name: (shape, kind, base + offset, self.size(shape, kind))
            for name, shape, kind, offset in found
        }

    def read(self, code: str) -> Any:
        size = struct.calcsize("<" + code)
        self.at += size
        return struct.unpack_from("<" + code, self.data, self.at - size)[0]

    def text(self) -> str:
        length = self.read("Q")
        self.at += length
        return self.data[self.at - length : self.at].decode()

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            inner, count = self.read("I"), self.read("Q")
            return [self.value(inner) for _ in range(count)]
        return self.read(_SCALARS[kind])

    @staticmethod
    def size(shape: list[int], kind: int) -> int:
        count = 1
        for dimension in shape:
            count *= dimension
        return {_F32: 4 * count, _F16: 2 * count}.get(kind, count // 4 + 32)

    def bytes_of(self, name: str) -> bytes:
        _, _, offset, size = self.tensors[name]
        return self.data[offset : offset + size]

    def codes(self, name: str) -> bytes:
        """The codes 0, 1, 2 of a ternary matrix."""
        packed = self.bytes_of(name)[:-32]
        planes = [
            packed.translate(bytes((byte >> shift) & 3 for byte in range(256)))
            for shift in (6, 4, 2, 0)
        ]
        return b"".join(plane[at : at + 32] for at in range(0, len(packed), 32) for plane in planes)

    def scale(self, name: str) -> float:
        return float(struct.unpack("<f", self.bytes_of(name)[-32:-28])[0])


def f32(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def pack_rows(codes: bytes) -> bytes:
    """Quarter i of the rows in bits 2i, 2i + 1."""
    quarter = len(codes) // 4
    parts = [int.from_bytes(codes[i * quarter : (i + 1) * quarter], "little") for i in range(4)]
    packed = parts[0] | parts[1] << 2 | parts[2] << 4 | parts[3] << 6
    return packed.to_bytes(quarter, "little")


def trits_times(codes: bytes, magnitude: float, form: str = "f") -> bytes:
    """Floats of -magnitude, 0 and +magnitude."""
    table = [struct.pack("<" + form, value) for value in (-magnitude, 0.0, magnitude)]
    return b"".join(map(table.__getitem__, codes))


@dataclass
class Tensor:
    kind: str  # as safetensors name it
    shape: list[int]
    data: bytes


def write_safetensors(path: Path, tensors: dict[str, Tensor]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, tensor in tensors.items():
        header[name] = {
            "dtype": tensor.kind,
            "shape": tensor.shape,
            "data_offsets": [at, at + len(tensor.data)],
        }
        at += len(tensor.data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(tensor.data)


@dataclass(frozen=True)
class Family:
    """What transformers calls the block of a GGUF architecture."""

    model_class: str
    model_type: str
    activation: str
    norms: dict[str, str]
    neighbours: bool = False  # rows of queries and keys are reordered in the GGUF
    offset: float = 0.0  # what the class adds to the gains of its norms


_PLAIN = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
_SUB = _PLAIN | {"attn_sub_norm": "self_attn.attn_sub_norm", "ffn_sub_norm": "mlp.ffn_sub_norm"}
_QK = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
FAMILIES = {
    "bitnet-b1.58": Family("BitNetForCausalLM", "bitnet", "relu2", _SUB),
    "bitnet": Family("BitNetForCausalLM", "bitnet", "silu", _SUB),
    "llama": Family("LlamaForCausalLM", "llama", "silu", _PLAIN, neighbours=True),
    "qwen3": Family("Qwen3ForCausalLM", "qwen3", "silu", _PLAIN | _QK),
    "gemma3": Family(
        "Gemma3ForCausalLM",
        "gemma3_text",
        "gelu_pytorch_tanh",
        _QK
        | {
            "attn_norm": "input_layernorm",
            "post_attention_norm": "post_attention_layernorm",
            "ffn_norm": "pre_feedforward_layernorm",
            "post_ffw_norm": "post_feedforward_layernorm",
        },
        offset=1.0,
    ),
}


class Model:
    """A model in GGUF, and what each form of a checkpoint makes of it."""

    def __init__(self, path: Path = MODEL) -> None:
        self.gguf = Gguf(path)
        self.architecture = self.gguf.keys["general.architecture"]
        self.family = FAMILIES[self.architecture]
        prefix = self.architecture + "."
        self.shape = {
            k.removeprefix(prefix): v for k, v in self.gguf.keys.items() if k.startswith(prefix)
        }
        self.head_dim = self.shape["rope.dimension_count"]

    def linears(self) -> list[str]:
        return [name for name, (_, kind, _, _) in self.gguf.tensors.items() if kind == _I2_S]

    def their_name(self, name: str) -> str:
        if not name.startswith("blk."):
            return OUTSIDE[name]
        _, layer, role, _ = name.split(".")
        inner = (LINEARS | self.family.norms).get(role) or (
            LINEARS[role.removesuffix("_norm_in")] + ".rms_norm"
        )
        return f"model.layers.{layer}.{inner}.weight"

    def their_codes(self, name: str, columns: int) -> bytes:
        """The codes of a matrix, rows in the checkpoint's order."""
        codes = self.gguf.codes(name)
        if not self.family.neighbours or (".attn_q." not in name and ".attn_k." not in name):
            return codes
        rows = [codes[at : at + columns] for at in range(0, len(codes), columns)]
        out = []
        for at in range(0, len(rows), self.head_dim):
            head = rows[at : at + self.head_dim]
            out += head[0::2] + head[1::2]
        return b"".join(out)

    def gains(self, name: str) -> bytes:
        data = self.gguf.bytes_of(name)
        if not self.family.offset or "_norm_in." in name:
            return data
        values = struct.unpack(f"<{len(data) // 4}f", data)
        return struct.pack(f"<{len(values)}f", *(value - self.family.offset for value in values))

    def tensors(self, form: str) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for name, (shape, kind, _, _) in self.gguf.tensors.items():
            if name == "rope_freqs.weight":
                continue  # follows from config.json
            theirs = self.their_name(name)
            rows = shape[::-1]
            if kind == _F16:
                found[theirs] = Tensor("F16", rows, self.gguf.bytes_of(name))
                continue
            if kind == _F32:
                data = self.gguf.bytes_of(name) if len(rows) == 2 else self.gains(name)
                found[theirs] = Tensor("F32", rows, data)
                continue
            codes, scale = self.their_codes(name, rows[1]), self.gguf.scale(name)
            if form in ("autobitlinear", "bitlinear"):
                found[theirs] = Tensor("U8", [rows[0] // 4, rows[1]], pack_rows(codes))
                stored = scale if form == "autobitlinear" else f32(1 / scale)
                found[theirs + "_scale"] = Tensor("F32", [1], struct.pack("<f", stored))
            else:
                found[theirs] = Tensor("F32", rows, trits_times(codes, scale))
        return found

    def scale_of(self, name: str, form: str) -> float:
        """What the conversion of a form makes of a matrix's scale."""
        scale = self.gguf.scale(name)
        if form == "bitlinear":
            return f32(1 / f32(1 / scale))
        if form == "online":  # the mean magnitude of the masters
            codes = self.gguf.codes(name)
            return f32(scale * (len(codes) - codes.count(1)) / len(codes))
        return scale

    def write_gguf(self, path: Path, form: str) -> None:
        """The embedded model's file with the scales of that form."""
        content = bytearray(self.gguf.data)
        for name in self.linears():
            _, _, offset, size = self.gguf.tensors[name]
            content[offset + size - 32 : offset + size - 28] = struct.pack(
                "<f", self.scale_of(name, form)
            )
        path.write_bytes(content)

    def config(self, form: str) -> dict[str, Any]:
        shape = self.shape
        config: dict[str, Any] = {
            "architectures": [self.family.model_class],
            "model_type": self.family.model_type,
            "vocab_size": shape["vocab_size"],
            "hidden_size": shape["embedding_length"],
            "intermediate_size": shape["feed_forward_length"],
            "num_hidden_layers": shape["block_count"],
            "num_attention_heads": shape["attention.head_count"],
            "num_key_value_heads": shape["attention.head_count_kv"],
            "head_dim": self.head_dim,
            "hidden_act": self.family.activation,
            "max_position_embeddings": shape["context_length"],
            "rms_norm_eps": round(shape["attention.layer_norm_rms_epsilon"], 9),
            "rope_theta": shape["rope.freq_base"],
            "tie_word_embeddings": "output.weight" not in self.gguf.tensors,
            "attention_bias": False,
            "bos_token_id": 0,
            "eos_token_id": 1,
        }
        if self.architecture == "gemma3":
            config["query_pre_attn_scalar"] = self.head_dim
            config["layer_types"] = ["full_attention"] * shape["block_count"]
        if form != "float":
            config["quantization_config"] = {
                "quant_method": "bitnet",
                "linear_class": "autobitlinear" if form == "online" else form,
                "quantization_mode": "online" if form == "online" else "offline",
                "modules_to_not_convert": ["lm_head"],
            }
        if any("_norm_in." in name for name in self.gguf.tensors):
            config["quantization_config"] |= {
                "use_rms_norm": True,
                "rms_norm_eps": config["rms_norm_eps"],
            }
        return config

    def vocabulary(self) -> tuple[list[str], list[str]]:
        """Tokens and merges: the model's own, or one token a byte."""
        if "tokenizer.ggml.tokens" in self.gguf.keys:
            return self.gguf.keys["tokenizer.ggml.tokens"], self.gguf.keys["tokenizer.ggml.merges"]
        return ["<|bos|>", "<|eos|>", *byte_alphabet()], []

    def tokenizer(self) -> dict[str, Any]:
        tokens, merges = self.vocabulary()
        added = [
            {"id": i, "content": tokens[i], "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True}
            for i in (0, 1)
        ]  # fmt: skip
        bos = {"SpecialToken": {"id": tokens[0], "type_id": 0}}
        return {
            "version": "1.0",
            "added_tokens": added,
            "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                              "use_regex": True},
            "post_processor": {"type": "TemplateProcessing",
                               "single": [bos, {"Sequence": {"id": "A", "type_id": 0}}]},
            "decoder": {"type": "ByteLevel"},
            "model": {
                "type": "BPE", "dropout": None, "unk_token": None,
                "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                "byte_fallback": False,
                "vocab": {token: i for i, token in enumerate(tokens)},
                "merges": [m.split(" ") for m in merges],
            },
        }  # fmt: skip

    def write(self, folder: Path, form: str, shards: int = 1) -> None:
        """A checkpoint's folder."""
        folder.mkdir(parents=True, exist_ok=True)
        tokens, _ = self.vocabulary()
        for name, value in (
            ("config.json", self.config(form)),
            ("tokenizer.json", self.tokenizer()),
            (
                "tokenizer_config.json",
                {"bos_token": tokens[0], "eos_token": {"content": tokens[1]}},
            ),
        ):
            write_json(folder / name, value)
        if "pooling_type" in self.shape:
            write_pooling(folder, POOLING_MODES[self.shape["pooling_type"]])
        tensors = self.tensors(form)
        if shards == 1:
            write_safetensors(folder / "model.safetensors", tensors)
            return
        weight_map = {}
        for i in range(shards):
            name = f"model-{i + 1:05}-of-{shards:05}.safetensors"
            part = dict(list(tensors.items())[i::shards])
            write_safetensors(folder / name, part)
            weight_map |= dict.fromkeys(part, name)
        write_json(folder / "model.safetensors.index.json", {"weight_map": weight_map})


POOLING_MODES = {1: "mean_tokens", 2: "cls_token", 3: "lasttoken"}


def write_pooling(folder: Path, *modes: str) -> None:
    """What sentence-transformers keeps beside a model."""
    kinds = ("Transformer", "Pooling", "Normalize")
    paths = ("", "1_Pooling", "2_Normalize")
    write_json(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (kind, path) in enumerate(zip(kinds, paths, strict=True))
        ],
    )
    (folder / "1_Pooling").mkdir(exist_ok=True)
    all_modes = ("cls_token", "mean_tokens", "max_tokens", "lasttoken")
    settings = {f"pooling_mode_{mode}": mode in modes for mode in all_modes}
    settings |= {"word_embedding_dimension": 64, "include_prompt": True}
    write_json(folder / "1_Pooling" / "config.json", settings)


def sentence_piece(pieces: list[str]) -> bytes:
    """A tokenizer.model of BPE: unknown, begin and end, a token a byte, and those pieces."""

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    kinds = [("<unk>", 2), ("<s>", 3), ("</s>", 3)]
    kinds += [(f"<0x{byte:02X}>", 6) for byte in range(256)] + [(piece, 1) for piece in pieces]
    model = b"".join(
        field(1, field(1, piece.encode()) + b"\x15" + struct.pack("<f", -i) + bytes([0x18, kind]))
        for i, (piece, kind) in enumerate(kinds)
    )
    return model + field(2, b"\x18\x02") + field(3, b"\x20\x00")


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def read_safetensors(path: Path) -> dict[str, Tensor]:
    data = path.read_bytes()
    begin = 8 + int(struct.unpack_from("<Q", data)[0])
    found = {}
    for name, entry in json.loads(data[8:begin]).items():
        if name != "__metadata__":
            first, end = entry["data_offsets"]
            found[name] = Tensor(entry["dtype"], entry["shape"], data[begin + first : begin + end])
    return found
