"""`tern transcode --type hf_packed`: the folder of a checkpoint, and what is refused."""

import json
import random
import re
import shutil
import signal
import time
from pathlib import Path

from checkpoints import Gguf, Model, read_safetensors
from tern import MODEL, ROOT, CliTest, main, start, tern

DATA = ROOT / "tests/reference/data"
FAMILIES = (
    MODEL,
    DATA / "bitnet-silu-100.model.gguf",
    DATA / "falcon3.model.gguf",  # rows of queries and keys in another order, its own head
    DATA / "gemma3-embedding.model.gguf",  # gains of 1 + w, norms before linears, pooling
    DATA / "qwen3-embedding.model.gguf",
)
USAGE, IO, MALFORMED, UNSUPPORTED = 2, 3, 4, 5


class PackedTest(CliTest):
    def pack(self, source: Path, folder: Path, *options: str) -> tuple[str, str]:
        """The certificate, and what was said."""
        outcome = self.succeed("transcode", source, "-o", folder, "--type", "hf_packed", *options)
        found = re.fullmatch(rb"certificate ([0-9a-f]{64})\n", outcome.stdout)
        assert found is not None
        self.assertFalse(Path(f"{folder}.part").exists())
        return found[1].decode(), outcome.stderr.decode()

    def certificate(self, file: Path) -> str:
        found = self.inspect("-m", file, "--quick", "--certificate")["certificate"]
        assert isinstance(found, str)
        return found

    def logits(self, file: Path) -> bytes:
        found = re.search(rb"sha256 ([0-9a-f]{64})", self.succeed("verify", "-m", file).stdout)
        assert found is not None
        return found[1]

    def refuse(self, source: Path, status: int, *words: str, options: tuple[str, ...] = ()) -> None:
        folder = self.folder / "refused"
        outcome = tern("transcode", source, "-o", folder, "--type", "hf_packed", *options)
        self.assert_fails(outcome, status, *words)
        self.assertFalse(folder.exists())

    def converted(self, source: Path) -> Path:
        """A file with a tokenizer."""
        model = Model(source)
        model.write(self.folder / source.stem, "autobitlinear")
        file = self.folder / f"{source.stem}.gguf"
        self.succeed("convert", self.folder / source.stem, "-o", file)
        return file

    def check_pooling(self, folder: Path, hidden: int) -> None:
        """What the Pooling of sentence-transformers asks for."""
        config = json.loads((folder / "1_Pooling/config.json").read_text())
        self.assertEqual(config.pop("word_embedding_dimension"), hidden)
        self.assertEqual(sum(config.values()), 1)
        self.assertTrue(all(name.startswith("pooling_mode_") for name in config))

    def test_each_family(self) -> None:
        for source in FAMILIES:
            with self.subTest(source.stem):
                file = self.converted(source)
                folder = self.folder / f"{source.stem}.packed"
                certificate, _ = self.pack(file, folder)
                self.assertEqual(certificate, self.certificate(file))
                # What the tests' own writer makes of the same model.
                wanted = Model(file).tensors("autobitlinear")
                found = read_safetensors(folder / "model.safetensors")
                self.assertEqual(found.keys(), wanted.keys())
                for name, tensor in wanted.items():
                    self.assertEqual(found[name], tensor, name)
                config = json.loads((folder / "config.json").read_text())
                expected = Model(file).config("autobitlinear")
                activation = "hidden_activation" if "gemma" in source.stem else "hidden_act"
                expected[activation] = expected.pop("hidden_act")
                self.assertEqual(config, expected | {"torch_dtype": "float32"})
                if "embedding" in source.stem:
                    self.check_pooling(folder, config["hidden_size"])
                # And back: the same file, but for its name.
                back = self.folder / "back.gguf"
                self.succeed("convert", folder, "-o", back)
                self.assertEqual(self.certificate(back), certificate)
                self.assertEqual(self.logits(back), self.logits(file))
                keys, again = Gguf(file).keys, Gguf(back).keys
                self.assertEqual(again, keys | {"general.name": folder.name})

    def test_each_type(self) -> None:
        expected = self.certificate(MODEL)
        wanted = self.folder / "wanted"
        self.pack(MODEL, wanted)
        for kind in ("tl1", "tl2", "tq1_0", "tq2_0", "iq1_bn", "iq2_bn"):
            with self.subTest(kind):
                file = self.folder / f"{kind}-model" / "model.gguf"
                file.parent.mkdir()
                self.succeed("transcode", MODEL, "-o", file, "--type", kind)
                folder = self.folder / kind
                certificate, _ = self.pack(file, folder, "-t", "3")
                self.assertEqual(certificate, expected)
                for name in ("model.safetensors", "config.json", "tokenizer.json"):
                    self.assertEqual((folder / name).read_bytes(), (wanted / name).read_bytes())
                outcome = self.succeed("transcode", folder, "-o", file, "--type", kind)
                self.assertEqual(outcome.stdout.decode(), f"certificate {expected}\n")

    def test_what_is_no_float_becomes_f32(self) -> None:
        for head, kind in (("q8_0", "F32"), ("q6_k", "F32"), ("f16", "F16")):
            file = self.folder / f"{head}.gguf"
            self.succeed("transcode", MODEL, "-o", file, "--type", "i2_s", "--head", head)
            self.pack(file, self.folder / head)
            found = read_safetensors(self.folder / head / "model.safetensors")
            self.assertEqual(found["model.embed_tokens.weight"].kind, kind)
            back = self.folder / "back.gguf"
            outcome = self.succeed("convert", self.folder / head, "-o", back)
            rounds = b"values of embedding and head were rounded" in outcome.stderr
            self.assertEqual(rounds, head != "f16")
        again, said = self.pack(self.folder / "q6_k.gguf", self.folder / "f16.2", "--head", "f16")
        self.assertEqual(again, self.certificate(MODEL))
        self.assertIn("rounded to f16", said)
        found = read_safetensors(self.folder / "f16.2" / "model.safetensors")
        self.assertEqual(found["model.embed_tokens.weight"].kind, "F16")
        for head in ("q8_0", "q6_k"):
            self.refuse(MODEL, UNSUPPORTED, "as floats", head, options=("--head", head))

    def test_what_is_left_is_said(self) -> None:
        content = bytearray(MODEL.read_bytes())
        count = int.from_bytes(content[16:24], "little")
        content[16:24] = (count + 1).to_bytes(8, "little")
        key = b"general.license"
        # A key as long as a multiple of the alignment keeps the tensors where they are.
        value = 3 + (-(len(key) + 8 + 4 + 8 + 3)) % 32
        added = len(key).to_bytes(8, "little") + key + (8).to_bytes(4, "little")
        added += value.to_bytes(8, "little") + b"M" * value
        content[24:24] = added
        file = self.folder / "licensed.gguf"
        file.write_bytes(content)
        _, said = self.pack(file, self.folder / "tern-tales")
        line = next(line for line in said.splitlines() if "no place" in line)
        self.assertTrue(line.endswith("left: general.license"), line)

    def test_what_is_refused(self) -> None:
        self.refuse(MODEL.parent / "none.gguf", IO, "none.gguf")
        self.refuse(DATA / "falcon3.model.gguf", MALFORMED, "tokenizer.ggml.model")  # has none
        scaled = DATA / "llama3-scaled.model.gguf"
        self.refuse(scaled, UNSUPPORTED, "scales RoPE by factors", "rope_freqs.weight")
        Model().write(self.folder / "form", "bitlinear")
        self.refuse(self.folder / "form", UNSUPPORTED, "--type i2_s")
        full = self.folder / "full"
        full.mkdir()
        self.pack(MODEL, full)  # an empty one is taken
        before = {path.name: path.read_bytes() for path in full.iterdir()}
        outcome = tern("transcode", MODEL, "-o", full, "--type", "hf_packed")
        self.assert_fails(outcome, USAGE, "expected a new or an empty folder")
        self.assertEqual({path.name: path.read_bytes() for path in full.iterdir()}, before)
        file = self.folder / "file"
        file.write_bytes(b"mine")
        outcome = tern("transcode", MODEL, "-o", file, "--type", "hf_packed")
        self.assert_fails(outcome, USAGE, "expected a new or an empty folder")
        self.assertEqual(file.read_bytes(), b"mine")
        outcome = tern("transcode", MODEL, "-o", "", "--type", "hf_packed")
        self.assert_fails(outcome, USAGE, "expected a value, found an empty one")
        outcome = tern("transcode", MODEL, "-o", self.folder / "no/x", "--type", "hf_packed")
        self.assert_fails(outcome, IO, "cannot make the folder")

    def test_an_embedding_of_a_type_without_blocks(self) -> None:
        content = bytearray(MODEL.read_bytes())
        name = b"token_embd.weight"
        at = content.index(len(name).to_bytes(8, "little") + name) + 8 + len(name) + 4 + 16
        self.assertEqual(content[at : at + 4], (1).to_bytes(4, "little"))
        content[at : at + 4] = (36).to_bytes(4, "little")
        file = self.folder / "ternary.gguf"
        file.write_bytes(content)
        self.refuse(file, UNSUPPORTED, "token_embd.weight", "expected numbers, found i2_s")

    def test_another_part_stays(self) -> None:
        part = self.folder / "out.part"
        part.mkdir()
        (part / "config.json").write_bytes(b"mine")
        outcome = tern("transcode", MODEL, "-o", self.folder / "out", "--type", "hf_packed")
        self.assert_fails(outcome, USAGE, "out.part", "found another one", "take it away")
        self.assertEqual([path.name for path in part.iterdir()], ["config.json"])
        self.assertEqual((part / "config.json").read_bytes(), b"mine")

    def test_of_calls_at_once_one_succeeds(self) -> None:
        output = self.folder / "out"
        command = ("transcode", MODEL, "-o", output, "--type", "hf_packed", "-t", "1")
        calls = [start(*command) for _ in range(4)]
        said = [call.communicate()[1].decode() for call in calls]
        codes = [call.returncode for call in calls]
        self.assertEqual(sorted(codes), [0, USAGE, USAGE, USAGE], said)
        for code, words in zip(codes, said, strict=True):
            if code == USAGE:
                self.assertRegex(words, "another transcoding is writing|new or an empty folder")
        self.pack(MODEL, self.folder / "alone")
        for path in (self.folder / "alone").iterdir():
            self.assertEqual((output / path.name).read_bytes(), path.read_bytes(), path.name)
        self.assertFalse(Path(f"{output}.part").exists())

    def test_places(self) -> None:
        """Refused before the work, or where the path leads."""
        for place, words in ((".", "in which this runs"), ("/proc", "a file system begins")):
            outcome = tern(
                *("transcode", MODEL, "-o", place, "--type", "hf_packed"), cwd=self.folder
            )
            self.assert_fails(outcome, USAGE, words)
        self.assertEqual(list(self.folder.iterdir()), [])
        self.assertFalse(Path(f"{self.folder}.part").exists())
        folder = self.folder / "out"
        folder.mkdir(0o700)
        link = self.folder / "link"
        link.symlink_to(folder)
        self.succeed("transcode", MODEL, "-o", f"{link}/.", "--type", "hf_packed")
        self.assertTrue(link.is_symlink())
        self.assertTrue((folder / "model.safetensors").exists())
        self.assertEqual(folder.stat().st_mode & 0o777, 0o700)
        self.succeed("convert", folder, "-o", self.folder / "back.gguf")
        self.assertEqual(Gguf(self.folder / "back.gguf").keys["general.name"], "out")

    def test_a_tokenizer_that_the_files_cannot_say(self) -> None:
        content = MODEL.read_bytes()
        # The kind of token 5, normal, becomes unknown: byte-level BPE has none in tokenizer.json.
        at = content.index(b"tokenizer.ggml.token_type") + len("tokenizer.ggml.token_type") + 16
        self.assertEqual(content[at + 20 : at + 24], (1).to_bytes(4, "little"))
        file = self.folder / "unknown.gguf"
        file.write_bytes(content[: at + 20] + (2).to_bytes(4, "little") + content[at + 24 :])
        self.refuse(file, UNSUPPORTED, "cannot say the tokenizer", "the kind of token 5")

    def test_killed_at_any_point_it_goes_on_to_the_same_bytes(self) -> None:
        whole = self.folder / "whole"
        certificate, _ = self.pack(MODEL, whole)
        output = self.folder / "cut"
        command = ("transcode", MODEL, "-o", output, "--type", "hf_packed", "-t", "1")
        journal = Path(f"{output}.part/model.safetensors.journal")
        chance = random.Random(4)
        cuts = resumed = 0
        for _ in range(40):
            process = start(*command)
            before = journal.read_bytes().count(b"\n") if journal.exists() else 1
            lines = before + chance.randrange(1, 12)
            while process.poll() is None and (
                not journal.exists() or journal.read_bytes().count(b"\n") < lines
            ):
                time.sleep(0.0005)
            process.send_signal(signal.SIGKILL)
            _, said = process.communicate()
            if output.exists():  # it was done before
                shutil.rmtree(output)
            cuts += process.returncode == -signal.SIGKILL
            resumed += b"tensors were finished before" in said
            if cuts == 6:
                break
        self.assertEqual(cuts, 6)
        outcome = self.succeed(*command)
        resumed += b"tensors were finished before" in outcome.stderr
        self.assertGreater(resumed, 0)
        self.assertEqual(outcome.stdout.decode(), f"certificate {certificate}\n")
        self.check_same(output, whole)

    def test_killed_before_the_last_renaming_it_begins_anew(self) -> None:
        whole, output = self.folder / "whole", self.folder / "cut"
        self.pack(MODEL, whole)
        shutil.copytree(whole, f"{output}.part")
        Path(f"{output}.part/.tern-transcode").touch()
        self.pack(MODEL, output)
        self.check_same(output, whole)

    def check_same(self, output: Path, whole: Path) -> None:
        for path in whole.iterdir():
            self.assertEqual((output / path.name).read_bytes(), path.read_bytes())
        self.assertEqual(len(list(output.iterdir())), len(list(whole.iterdir())))


if __name__ == "__main__":
    main()
