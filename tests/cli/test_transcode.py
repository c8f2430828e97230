"""`tern transcode`: every type and form of a checkpoint, what is refused, what is cut short."""

import json
import random
import re
import signal
import time
from pathlib import Path

from checkpoints import FORMS, Gguf, Model, write_json
from tern import MODEL, CliTest, interrupt, main, start, tern

TYPES = ("i2_s", "tl1", "tl2", "tq1_0", "tq2_0", "iq1_bn", "iq2_bn")
HALF = ("tq1_0", "tq2_0", "iq1_bn")
USAGE, IO, MALFORMED, UNSUPPORTED, PROOF = 2, 3, 4, 5, 6
KEY = b"tern.kernel_config"


class TranscodeTest(CliTest):
    def transcode(self, source: Path, kind: str, name: str, *options: str) -> tuple[Path, str]:
        """The file, in a folder of its type, and the certificate."""
        file = self.folder / kind / name
        file.parent.mkdir(exist_ok=True)
        outcome = self.succeed("transcode", source, "-o", file, "--type", kind, *options)
        found = re.fullmatch(rb"certificate ([0-9a-f]{64})\n", outcome.stdout)
        assert found is not None
        for suffix in (".part", ".journal"):
            self.assertFalse(Path(str(file) + suffix).exists())
        return file, found[1].decode()

    def logits(self, file: Path) -> str:
        found = re.search(rb"sha256 ([0-9a-f]{64})", self.succeed("verify", "-m", file).stdout)
        assert found is not None
        return found[1].decode()

    def certificate(self, file: Path) -> str:
        found = self.inspect("-m", file, "--quick", "--certificate")["certificate"]
        assert isinstance(found, str)
        return found

    def refuse(self, source: Path, kind: str, status: int, *words: str) -> None:
        output = self.folder / "refused.gguf"
        self.assert_fails(tern("transcode", source, "-o", output, "--type", kind), status, *words)
        self.assertFalse(output.exists())

    def test_another_scale_beside_a_matrix_is_a_difference(self) -> None:
        file, _ = self.transcode(MODEL, "tq1_0", "model.gguf")
        listed = self.inspect("-m", file, "--quick", "--tensors")["tensors"]
        scale = next(t for t in listed if t["name"] == "blk.0.attn_q.scale")
        content = bytearray(file.read_bytes())
        content[scale["offset"]] ^= 1  # the last bit of an f32: f16 cannot see it
        file.write_bytes(content)
        outcome = tern("diff", MODEL, file, "--weights")
        self.assertEqual(outcome.returncode, 1, outcome.stdout)
        self.assertIn(b"blk.0.attn_q", outcome.stdout)

    def test_each_type(self) -> None:
        expected = self.certificate(MODEL)
        text = self.succeed("inspect", "-m", MODEL, "--quick", "--certificate").stdout.decode()
        self.assertIn(f"certificate   {expected}\n", text)
        self.assertIsNone(self.inspect("-m", MODEL, "--quick")["certificate"])
        logits = self.logits(MODEL)
        for kind in TYPES:
            with self.subTest(kind):
                file, certificate = self.transcode(MODEL, kind, "model.gguf")
                self.assertEqual(certificate, expected)
                self.assertEqual(self.certificate(file), expected)
                self.assertEqual(self.logits(file), logits)
                found = self.inspect("-m", file)
                self.assertEqual(found["types"][kind]["tensors"], 42)
                self.assertEqual(found["types"]["f32"]["tensors"], 25 + 42 * (kind in HALF))
                self.assertEqual(found["warnings"], [])
                same = self.succeed("diff", MODEL, file, "--weights")
                self.assertEqual(same.returncode, 0)

    def test_each_form_of_a_checkpoint(self) -> None:
        model = Model()
        for form in FORMS:
            with self.subTest(form):
                folder = self.folder / form
                model.write(folder, form)
                converted = self.folder / f"{form}.gguf"
                self.succeed("convert", folder, "-o", converted)
                for kind in ("iq2_bn", "tl1", "tl2", "tq2_0", "iq1_bn"):
                    file, certificate = self.transcode(folder, kind, f"{form}.gguf")
                    self.assertEqual(certificate, self.certificate(converted))
                    self.assertEqual(self.logits(file), self.logits(converted))

    def test_heads(self) -> None:
        _, certificate = self.transcode(MODEL, "i2_s", "same.gguf")
        for head in ("f16", "q8_0", "q6_k"):
            file, found = self.transcode(MODEL, "i2_s", f"{head}.gguf", "--head", head)
            self.assertEqual(found, certificate)
            self.assertEqual(self.inspect("-m", file)["types"][head]["tensors"], 1)
        # The same quantisation as that of tern convert.
        Model().write(self.folder / "form", "autobitlinear")
        self.succeed(
            "convert", self.folder / "form", "-o", self.folder / "c.gguf", "--head", "q6_k"
        )
        name = "token_embd.weight"
        self.assertEqual(
            self.tensor_bytes(self.folder / "c.gguf", name),
            self.tensor_bytes(self.folder / "i2_s" / "q6_k.gguf", name),
        )

    def tensor_bytes(self, file: Path, name: str) -> bytes:
        listed = self.inspect("-m", file, "--tensors", "--quick")["tensors"]
        tensor = next(tensor for tensor in listed if tensor["name"] == name)
        return file.read_bytes()[tensor["offset"] : tensor["offset"] + tensor["bytes"]]

    def test_all_else_is_copied(self) -> None:
        file, _ = self.transcode(MODEL, "iq2_bn", "model.gguf")
        found, wanted = Gguf(file), Gguf(MODEL)
        numbers = {"general.file_type": 137}
        self.assertEqual(list(found.keys.items()), list((wanted.keys | numbers).items()))
        same, _ = self.transcode(file, "i2_s", "same.gguf")
        self.assertEqual(same.read_bytes(), MODEL.read_bytes())
        for name, (_, kind, _, _) in wanted.tensors.items():
            if kind != 36:
                self.assertEqual(self.tensor_bytes(file, name), wanted.bytes_of(name), name)

    def test_scales_that_f16_holds_stay_in_the_blocks(self) -> None:
        content = bytearray(MODEL.read_bytes())
        for name, (_, kind, offset, size) in Gguf(MODEL).tensors.items():
            if kind == 36:  # as many bits as an f16 has
                at = offset + size - 32
                bits = int.from_bytes(content[at : at + 4], "little") & ~0x1FFF
                content[at : at + 4] = bits.to_bytes(4, "little")
                self.assertGreater(bits, 0, name)
        source = self.folder / "source.gguf"
        source.write_bytes(content)
        for kind in HALF:
            file, certificate = self.transcode(source, kind, "model.gguf")
            self.assertEqual(certificate, self.certificate(source))
            self.assertEqual(self.inspect("-m", file)["types"]["f32"]["tensors"], 25)
            self.assertEqual(self.logits(file), self.logits(source))

    def test_tilings(self) -> None:
        file, certificate = self.transcode(MODEL, "tl1", "model.gguf")
        beside = file.parent / "kernel_config.ini"
        text = beside.read_text()
        self.assertIn("m = 768\nk = 256\nbm = 256\nbk = 128\nbmm = 32\n", text)
        # Of a file that does not say it itself, they stand beside it.
        foreign = file.parent / "foreign.gguf"
        foreign.write_bytes(file.read_bytes().replace(KEY, b"from.kernel_config"))
        self.assertEqual(self.certificate(foreign), certificate)
        beside.write_text(text.replace("m = 768", "m = 1536"))
        self.assertEqual(self.certificate(file), certificate)
        outcome = tern("verify", "-m", foreign)
        self.assert_fails(outcome, UNSUPPORTED, "blk.0.ffn_gate.weight", "m = 768, k = 256")
        self.refuse(foreign, "i2_s", UNSUPPORTED, "the tiling of its 768 x 256 is not known")
        beside.write_text("[a]\nm = 1\n")
        outcome = tern("inspect", "-m", foreign)
        self.assert_fails(outcome, MALFORMED, "kernel_config.ini", "line 1", "has no k")
        beside.unlink()
        self.refuse(foreign, "i2_s", UNSUPPORTED, "kernel_config.ini beside the file")
        # And they decide those of an output.
        wanted = text.replace("bm = 256", "bm = 64").replace("bmm = 32", "bmm = 64")
        beside.write_text(wanted)
        other, found = self.transcode(MODEL, "tl1", "other.gguf")
        self.assertEqual(found, certificate)
        self.assertNotEqual(other.read_bytes(), file.read_bytes())
        self.assertEqual(Gguf(other).keys[KEY.decode()].count("bmm = 64"), 4)
        self.assertEqual(beside.read_text(), wanted)
        again, _ = self.transcode(other, "iq2_bn", "again.gguf")
        self.assertEqual(self.certificate(again), certificate)
        for kind, words in (("tl2", ("bmm", "found 64")), ("tl1", ("no section has m = 768",))):
            if kind == "tl1":
                beside.write_text(wanted.replace("m = 768", "m = 32"))
            outcome = tern("transcode", MODEL, "-o", file.parent / "x.gguf", "--type", kind)
            self.assert_fails(outcome, UNSUPPORTED, "kernel_config.ini", *words)
            self.assertFalse((file.parent / "x.gguf").exists())

    def test_an_id_alone_is_not_trusted(self) -> None:
        """I2_S under the id of TL1, which has the same size."""
        content = bytearray(MODEL.read_bytes())
        for name in Gguf(MODEL).tensors:
            encoded = len(name).to_bytes(8, "little") + name.encode()
            at = content.index(encoded) + len(encoded)
            rank = int.from_bytes(content[at : at + 4], "little")
            at += 4 + 8 * rank
            if content[at] == 36:
                content[at] = 38
        file = self.folder / "named_tl1.gguf"
        file.write_bytes(content)
        shapes = ((256, 256), (128, 256), (768, 256), (256, 768))
        (self.folder / "kernel_config.ini").write_text(
            "".join(f"[{m} {k}]\nm={m}\nk={k}\nbm=32\nbk=64\nbmm=32\n" for m, k in shapes)
        )
        outcome = tern("verify", "-m", file)
        self.assert_fails(outcome, PROOF, "an index without meaning", "another layout")
        self.refuse(file, "i2_s", MALFORMED, "means nothing: the bytes are not tl1")

    def test_what_is_refused(self) -> None:
        link = self.folder / "link.gguf"
        copy = self.folder / "copy.gguf"
        copy.write_bytes(MODEL.read_bytes())
        link.hardlink_to(copy)
        for output in (copy, link):
            outcome = tern("transcode", copy, "-o", output, "--type", "tq1_0")
            self.assert_fails(outcome, USAGE, "input and output are the same file")
        link.rename(self.folder / "out.gguf.part")
        outcome = tern("transcode", copy, "-o", self.folder / "out.gguf", "--type", "tq1_0")
        self.assert_fails(outcome, USAGE, "input and output are the same file")
        self.assertEqual(copy.read_bytes(), MODEL.read_bytes())
        outcome = tern("transcode", copy, "-o", self.folder, "--type", "tq1_0")
        self.assert_fails(outcome, USAGE, "expected a file to write, found a folder")
        outcome = tern("transcode", copy, "-o", self.folder / "no" / "x", "--type", "i2_s")
        self.assert_fails(outcome, IO, "cannot open")
        self.refuse(self.folder / "missing.gguf", "i2_s", IO, "missing.gguf")
        outcome = tern("transcode", copy, "-o", self.folder / "x", "--type", "q8_0")
        self.assertEqual(outcome.returncode, USAGE)

    def test_shapes_and_codes_that_a_type_cannot_hold(self) -> None:
        small = MODEL.parents[1] / "tests/reference/data/bitnet-silu-100.model.gguf"  # 400 wide
        for kind, words in (
            ("tq1_0", ("blk.0.attn_q.weight", "multiples of 256", "400")),
            ("iq2_bn", ("blk.0.attn_q.weight", "multiples of 64", "400")),
            ("tl2", ("blk.0.attn_q.weight", "multiples of 32, found 400 x 400")),
        ):
            self.refuse(small, kind, UNSUPPORTED, *words)
        self.transcode(small, "i2_s", "same.gguf")
        tensor = self.tensor("blk.2.ffn_up.weight")
        damaged = self.damaged("damaged.gguf", (tensor["offset"], b"\xff"))
        self.refuse(damaged, "tq1_0", MALFORMED, "blk.2.ffn_up.weight", "element 0 means nothing")
        outcome = tern("inspect", "-m", damaged, "--certificate", "--quick")
        self.assert_fails(outcome, MALFORMED, "blk.2.ffn_up.weight")
        scale = self.damaged(
            "scale.gguf", (tensor["offset"] + tensor["bytes"] - 32, b"\x00\x00\x80\xbf")
        )
        self.refuse(scale, "tq1_0", MALFORMED, "blk.2.ffn_up.weight", "finite scale")

    def test_a_scale_that_is_no_scale(self) -> None:
        file, _ = self.transcode(MODEL, "tq2_0", "model.gguf")
        listed = self.inspect("-m", file, "--tensors", "--quick")["tensors"]
        beside = next(t for t in listed if t["name"] == "blk.0.attn_q.scale")
        content = bytearray(file.read_bytes())
        content[beside["offset"] : beside["offset"] + 4] = b"\x00\x00\xc0\x7f"
        broken = self.folder / "nan.gguf"
        broken.write_bytes(content)
        outcome = tern("verify", "-m", broken)
        self.assert_fails(outcome, MALFORMED, "blk.0.attn_q.scale", "finite scale")
        weight = next(t for t in listed if t["name"] == "blk.0.attn_q.weight")
        content = bytearray(file.read_bytes())
        for block in range(weight["bytes"] // 66):
            at = weight["offset"] + block * 66 + 64
            content[at : at + 2] = b"\x00\x38"  # 0.5
        broken.write_bytes(content)
        outcome = tern("verify", "-m", broken)
        self.assert_fails(outcome, UNSUPPORTED, "blk.0.attn_q.scale", "ambiguous")

    def test_killed_at_any_point_it_goes_on_to_the_same_bytes(self) -> None:
        whole, certificate = self.transcode(MODEL, "tl2", "whole.gguf", "--head", "q6_k")
        output = whole.parent / "cut.gguf"
        command = ("transcode", MODEL, "-o", output, "--type", "tl2", "--head", "q6_k")
        chance = random.Random(4)
        journal = Path(str(output) + ".journal")
        for _ in range(6):
            process = start(*command)
            lines = chance.randrange(1, 40)
            while process.poll() is None and (
                not journal.exists() or journal.read_bytes().count(b"\n") < lines
            ):
                time.sleep(0.0005)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        outcome = self.succeed(*command)
        self.assertEqual(outcome.stdout.decode(), f"certificate {certificate}\n")
        self.assertEqual(output.read_bytes(), whole.read_bytes())

    def cut(self, output: Path, command: tuple[str | Path, ...], lines: int) -> int:
        """Kills it when its journal is so long; how many tensors were finished."""
        journal = Path(f"{output}.journal")
        for _ in range(20):
            process = start(*command)
            while process.poll() is None and (
                not journal.exists() or journal.read_bytes().count(b"\n") < lines
            ):
                time.sleep(0.0005)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            if Path(f"{output}.part").exists():
                return journal.read_bytes().count(b"\n") - 1
            output.unlink()  # it was done before
            journal.unlink(missing_ok=True)
        raise AssertionError("it was never cut")

    def test_a_folder_that_was_killed_goes_on_to_the_same_bytes(self) -> None:
        for form in ("online", "bitlinear"):
            with self.subTest(form):
                folder = self.folder / form
                Model().write(folder, form)
                whole, certificate = self.transcode(folder, "iq1_bn", f"{form}.gguf")
                output = whole.parent / f"{form}-cut.gguf"
                command = ("transcode", folder, "-o", output, "--type", "iq1_bn", "-t", "1")
                finished = self.cut(output, command, 20)
                outcome = self.succeed(*command)
                self.assertEqual(outcome.stdout.decode(), f"certificate {certificate}\n")
                said = re.search(rb"(\d+) tensors were finished before", outcome.stderr)
                assert said is not None
                self.assertGreaterEqual(int(said[1]), finished - 1)
                self.assertEqual(output.read_bytes(), whole.read_bytes())

    def test_what_the_journal_says_is_verified(self) -> None:
        output = self.folder / "out.gguf"
        command = ("transcode", MODEL, "-o", output, "--type", "iq1_bn")
        self.cut(output, command, 20)
        part = Path(f"{output}.part")
        content = bytearray(part.read_bytes())
        content[len(content) // 3] ^= 1
        part.write_bytes(content)
        self.succeed(*command)
        self.assertEqual(self.certificate(output), self.certificate(MODEL))

    def test_ctrl_c(self) -> None:
        folder = self.folder / "form"
        Model().write(folder, "online")
        output = self.folder / "out.gguf"
        process = start("transcode", folder, "-o", output, "--type", "iq2_bn", "-t", "1")
        while process.poll() is None and not Path(f"{output}.journal").exists():
            time.sleep(0.001)
        interrupt(process)
        _, message = process.communicate()
        if process.returncode != 0:  # it may have been quicker
            self.assertEqual(process.returncode, 128 + signal.SIGINT)
            self.assertIn(b"the same command goes on from here", message)
        self.succeed("transcode", folder, "-o", output, "--type", "iq2_bn")

    def test_the_manifest_of_a_checkpoint(self) -> None:
        Model().write(self.folder / "form", "bitlinear")
        write_json(self.folder / "form" / "generation_config.json", {"temperature": 0.5})
        file, _ = self.transcode(self.folder / "form", "iq2_bn", "model.gguf")
        manifest = json.loads(Path(f"{file}.manifest.json").read_text())
        self.assertEqual(manifest["type"], "iq2_bn")


if __name__ == "__main__":
    main()
