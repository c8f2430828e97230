"""`tern convert`: checkpoints in every form and family, and conversions that are cut short."""

import hashlib
import json
import os
import random
import re
import signal
import time
from pathlib import Path

from checkpoints import FORMS, Gguf, Model, write_json
from tern import ROOT, CliTest, interrupt, main, start, tern

REFERENCE = ROOT / "tests" / "reference" / "data"
LEFTOVERS = (".part", ".journal")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class ConvertTest(CliTest):
    def convert(self, folder: Path, name: str, *options: str) -> Path:
        file = self.folder / name
        outcome = self.succeed("convert", folder, "-o", file, *options)
        self.assertEqual(outcome.stdout, b"")
        for suffix in LEFTOVERS:
            self.assertFalse(Path(str(file) + suffix).exists())
        return file

    def logits(self, file: Path) -> str:
        found = re.search(rb"sha256 ([0-9a-f]{64})", self.succeed("verify", "-m", file).stdout)
        assert found is not None
        return found[1].decode()

    def test_each_form_gives_the_logits_of_the_model(self) -> None:
        model = Model()
        for form in FORMS:
            with self.subTest(form):
                model.write(self.folder / form, form, shards=3 if form == "online" else 1)
                expected = self.folder / f"{form}.expected.gguf"
                model.write_gguf(expected, form)
                # Measured scales, too, survive a type of f16 scales.
                small = self.convert(self.folder / form, f"{form}.tq1.gguf", "--type", "tq1_0")
                self.assertEqual(self.logits(small), self.logits(expected))
                converted = self.convert(self.folder / form, f"{form}.gguf")
                self.assertEqual(self.logits(converted), self.logits(expected))
                found, wanted = Gguf(converted), Gguf(expected)
                # One of the embedding's values is -0.
                embedding = "token_embd.weight"
                self.assertEqual(found.bytes_of(embedding), wanted.bytes_of(embedding))
                for key in wanted.keys:
                    if key.startswith("tokenizer."):
                        self.assertEqual(found.keys[key], wanted.keys[key], key)

    def test_each_family_gives_the_tensors_of_the_reference(self) -> None:
        for name in (
            "gqa-tied-64",
            "mha-untied-64",
            "bitnet-silu-100",
            "llama3",
            "falcon3",
            "llama-rms-norm",
            "qwen3-embedding",
            "gemma3-embedding",
        ):
            with self.subTest(name):
                model = Model(REFERENCE / f"{name}.model.gguf")
                model.write(self.folder / name, "autobitlinear")
                found = Gguf(self.convert(self.folder / name, f"{name}.gguf"))
                self.assertEqual(set(found.tensors), set(model.gguf.tensors))
                for tensor, (shape, kind, _, _) in model.gguf.tensors.items():
                    self.assertEqual(found.tensors[tensor][:2], (shape, kind), tensor)
                    self.assertEqual(found.bytes_of(tensor), model.gguf.bytes_of(tensor), tensor)
                for key, value in model.shape.items():
                    if not key.endswith("value_length"):
                        self.assertEqual(found.keys[f"{model.architecture}.{key}"], value, key)

    def test_rope_factors(self) -> None:
        model = Model(REFERENCE / "llama3-scaled.model.gguf")
        folder = self.folder / "scaled"
        model.write(folder, "autobitlinear")
        config = json.loads((folder / "config.json").read_text())
        config["rope_scaling"] = {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        }
        write_json(folder / "config.json", config)
        found = Gguf(self.convert(folder, "scaled.gguf"))
        name = "rope_freqs.weight"
        self.assertEqual(found.bytes_of(name), model.gguf.bytes_of(name))

    def test_types(self) -> None:
        model = Model(REFERENCE / "falcon3.model.gguf")
        folder = self.folder / "types"
        model.write(folder, "autobitlinear")
        tensors = Gguf(self.convert(folder, "f16.gguf")).tensors
        self.assertEqual(tensors["token_embd.weight"][1], 1)
        for head, number in (("q8_0", 8), ("q6_k", 14)):
            found = self.inspect("-m", self.convert(folder, f"{head}.gguf", "--head", head))
            self.assertEqual(found["types"][head]["tensors"], 2, number)
        # Scales that are no f16 stand beside the matrices.
        logits = self.logits(self.folder / "f16.gguf")
        for kind in ("tq2_0", "tq1_0", "tl1", "iq2_bn", "iq1_bn"):
            file = self.convert(folder, f"{kind}.gguf", "--type", kind)
            self.assertEqual(self.logits(file), logits, kind)
            beside = [name for name in Gguf(file).tensors if name.endswith(".scale")]
            self.assertEqual(len(beside), 14 if kind in ("tq2_0", "tq1_0", "iq1_bn") else 0, kind)

    def test_a_type_that_cannot_hold_the_rows(self) -> None:
        Model(REFERENCE / "bitnet-silu-100.model.gguf").write(self.folder / "100", "autobitlinear")
        for options, words in (
            (("--type", "tq2_0"), ("tensor 'model.layers.0.self_attn.q_proj.weight'", "tq2_0")),
            (
                ("--head", "q6_k"),
                ("tensor 'model.embed_tokens.weight'", "q6_k", "multiples of 256"),
            ),
        ):
            outcome = tern("convert", self.folder / "100", "-o", self.folder / "x", *options)
            self.assert_fails(outcome, 5, *words)

    def test_f16_scales_fit_every_type(self) -> None:
        model = Model(REFERENCE / "falcon3.model.gguf")
        folder = self.folder / "f16"
        model.write(folder, "autobitlinear")
        content = bytearray((folder / "model.safetensors").read_bytes())
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        base = 8 + int.from_bytes(content[:8], "little")
        for name, entry in header.items():
            if name.endswith("_scale"):  # as many bits as an f16 has
                at = base + entry["data_offsets"][0]
                bits = int.from_bytes(content[at : at + 4], "little") & ~0x1FFF
                content[at : at + 4] = bits.to_bytes(4, "little")
        (folder / "model.safetensors").write_bytes(content)
        hashes = {
            self.logits(self.convert(folder, f"{kind}.gguf", "--type", kind))
            for kind in ("i2_s", "tq2_0", "tq1_0")
        }
        self.assertEqual(len(hashes), 1)

    def test_manifest_and_defaults(self) -> None:
        folder = self.folder / "tales"
        Model().write(folder, "online", shards=2)
        write_json(folder / "generation_config.json", {"temperature": 0.6, "top_k": 20})
        (folder / "chat_template.jinja").write_text("{{ messages }}")
        file = self.convert(folder, "tales.gguf")
        manifest = json.loads(Path(str(file) + ".manifest.json").read_text())
        self.assertEqual(manifest["output"]["sha256"], sha256(file))
        self.assertEqual(
            {entry["file"]: entry["sha256"] for entry in manifest["inputs"]},
            {path.name: sha256(path) for path in folder.iterdir()},
        )
        keys = Gguf(file).keys
        self.assertEqual(keys["tokenizer.chat_template"], "{{ messages }}")
        self.assertEqual(keys["general.sampling.top_k"], 20)
        self.assertAlmostEqual(keys["general.sampling.temp"], 0.6, places=6)
        self.assertEqual(keys["general.name"], "tales")

    def test_names_of_files_may_be_any_bytes(self) -> None:
        folder = self.folder / os.fsdecode(b"tal\xffes")
        Model().write(folder, "online")
        file = self.convert(folder, os.fsdecode(b'a"\xff.gguf'))
        manifest = json.loads(Path(str(file) + ".manifest.json").read_text(encoding="utf-8"))
        self.assertEqual(manifest["output"]["file"], 'a"\ufffd.gguf')
        self.assertEqual(Gguf(file).keys["general.name"], "tal\ufffdes")

    def test_killed_at_any_point_it_goes_on_to_the_same_bytes(self) -> None:
        folder = self.folder / "tales"
        Model().write(folder, "online", shards=3)
        begin = time.monotonic()
        wanted = sha256(self.convert(folder, "whole.gguf"))
        seconds = time.monotonic() - begin
        file = self.folder / "cut.gguf"
        chance = random.Random(7)
        for _ in range(6):
            process = start("convert", folder, "-o", file)
            time.sleep(chance.uniform(0, seconds))
            process.kill()
            process.communicate()
            self.assertFalse(file.exists() and sha256(file) != wanted)
        self.convert(folder, "cut.gguf")
        self.assertEqual(sha256(file), wanted)
        manifests = [Path(f"{self.folder / name}.manifest.json").read_text() for name in
                     ("whole.gguf", "cut.gguf")]  # fmt: skip
        self.assertEqual(manifests[0].replace("whole", "cut"), manifests[1])

    def stop_before_the_end(self, folder: Path, file: Path) -> None:
        """Leaves a part in which some tensors are finished."""
        journal = Path(str(file) + ".journal")
        while True:
            process = start("convert", folder, "-o", file, "-t", "1")
            while process.poll() is None and not (
                journal.exists() and journal.read_bytes().count(b"\n") > 8
            ):
                time.sleep(0.001)
            process.kill()
            _, said = process.communicate()
            self.assertIn(process.returncode, (0, -signal.SIGKILL), said)
            if journal.exists():
                return

    def test_what_is_finished_is_verified(self) -> None:
        folder = self.folder / "tales"
        Model().write(folder, "online")
        wanted = sha256(self.convert(folder, "whole.gguf"))
        file = self.folder / "cut.gguf"
        self.stop_before_the_end(folder, file)
        part = Path(str(file) + ".part")
        content = bytearray(part.read_bytes())
        middle = len(content) // 4
        for at in range(middle, middle + 1_000_000, 1000):
            content[at] ^= 0x55
        part.write_bytes(content)
        outcome = self.succeed("convert", folder, "-o", file)
        self.assertIn(b"tensors were finished before", outcome.stderr)
        self.assertEqual(sha256(file), wanted)

    def test_another_source_begins_anew(self) -> None:
        folder, file = self.folder / "tales", self.folder / "cut.gguf"
        Model().write(folder, "online")
        self.stop_before_the_end(folder, file)
        Model().write(folder, "float")
        outcome = self.succeed("convert", folder, "-o", file)
        self.assertNotIn(b"finished before", outcome.stderr)
        self.assertEqual(sha256(file), sha256(self.convert(folder, "whole.gguf")))

    def test_interrupt(self) -> None:
        folder, file = self.folder / "tales", self.folder / "cut.gguf"
        Model().write(folder, "online")
        process = start("convert", folder, "-o", file, "-t", "1")
        while process.poll() is None and not Path(str(file) + ".journal").exists():
            time.sleep(0.001)
        interrupt(process)
        _, message = process.communicate()
        if process.returncode != 0:  # it may have been quicker
            self.assertEqual(process.returncode, 128 + signal.SIGINT)
            self.assertIn(b"the same command goes on from here", message)
        self.convert(folder, "cut.gguf")

    def test_the_output_is_no_file_that_is_read(self) -> None:
        folder = self.folder / "tales"
        Model().write(folder, "online", shards=2)
        (folder / "chat_template.jinja").write_text("{{ messages }}")
        before = {path: path.read_bytes() for path in folder.iterdir()}
        for path in before:
            outcome = tern("convert", folder, "-o", path)
            self.assert_fails(outcome, 2, "input and output are the same file")
        part = folder / "chat_template.jinja.part"
        part.hardlink_to(folder / "config.json")
        outcome = tern("convert", folder, "-o", folder / "chat_template.jinja")
        self.assert_fails(outcome, 2, "input and output are the same file")
        part.unlink()
        self.assertEqual({path: path.read_bytes() for path in folder.iterdir()}, before)
        # Another name in the folder is fine, twice, too.
        for _ in range(2):
            self.succeed("convert", folder, "-o", folder / "tales.gguf")

    def test_limits(self) -> None:
        folder = self.folder / "tales"
        Model().write(folder, "float")
        outcome = tern("convert", folder, "-o", self.folder / "x", "--max-ram", "100")
        self.assert_fails(outcome, 7, "are needed, allowed are 100")


if __name__ == "__main__":
    main()
