"""`tern inspect`, `tokenize`, `verify` and `version`."""

import hashlib
import json
import re
import struct
from pathlib import Path

from tern import MODEL, ROOT, CliTest, environment, main, tern


def vocabulary_only() -> bytes:
    """A GGUF file with the embedded model's metadata and none of its tensors."""
    content = MODEL.read_bytes()
    first_tensor = content.index(struct.pack("<Q", len(b"token_embd.weight")) + b"token_embd")
    header = content[:8] + struct.pack("<Q", 0) + content[16:first_tensor]
    return header + bytes(-len(header) % 32)


class InspectTest(CliTest):
    def test_text_names_format_configuration_and_types(self) -> None:
        shown = self.succeed("inspect").stdout.decode()
        for words in (
            "GGUF version 3",
            "bitnet-b1.58",
            "i2_s",
            "tokenizer.ggml.tokens = [",
            "in all]",
        ):
            self.assertIn(words, shown)
        self.assertNotIn("blk.0.attn_q.weight", shown)
        self.assertIn("blk.0.attn_q.weight", self.succeed("inspect", "--tensors").stdout.decode())

    def test_json_agrees_with_the_file(self) -> None:
        found = self.inspect("-m", MODEL, "--tensors")
        self.assertEqual(found["bytes"], MODEL.stat().st_size)
        self.assertEqual(found["tensor_count"], len(found["tensors"]))
        self.assertTrue(found["config"]["runs"])
        self.assertEqual(found["metadata"]["general.architecture"], "bitnet-b1.58")
        for name in ("f16", "f32", "i2_s"):
            own = [tensor for tensor in found["tensors"] if tensor["type"] == name]
            self.assertEqual(found["types"][name]["tensors"], len(own))
            self.assertEqual(found["types"][name]["bytes"], sum(t["bytes"] for t in own))
        for tensor in found["tensors"]:
            self.assertEqual(tensor["offset"] % found["alignment"], 0)
            self.assertLessEqual(tensor["offset"] + tensor["bytes"], found["bytes"])

    def test_vocabulary_only(self) -> None:
        file = self.folder / "vocabulary.gguf"
        file.write_bytes(vocabulary_only())
        found = self.inspect("-m", file)
        self.assertEqual(found["tensor_count"], 0)
        self.assertFalse(found["config"]["runs"])
        self.assertIn(b"tensors       0", self.succeed("inspect", "-m", file).stdout)


class TokenizeTest(CliTest):
    def ids(self, *arguments: str | Path, **options: bytes) -> list[int]:
        line = self.succeed("tokenize", "--ids", *arguments, **options).stdout.decode()
        self.assertRegex(line, r"\A[0-9 ]*\n\Z")
        return [int(word) for word in line.split()]

    def test_ids_with_and_without_begin_of_text(self) -> None:
        whole = self.ids("Once upon a time")
        self.assertEqual(self.ids("--no-bos", "Once upon a time"), whole[1:])

    def test_text_and_standard_input_are_the_same(self) -> None:
        expected = self.ids("Once upon a time")
        for dash in ((), ("-",)):
            self.assertEqual(self.ids(*dash, input=b"Once upon a time"), expected)

    def test_standard_input_is_taken_byte_by_byte(self) -> None:
        text = b"a\0\xff\xc3\r\n\x1b[2J\n"
        shown = self.succeed("tokenize", "--no-bos", input=text).stdout.decode()
        self.assertTrue(all(character.isprintable() or character == "\n" for character in shown))
        self.assertGreater(len(self.ids("--no-bos", input=text)), 4)
        self.assertNotEqual(self.ids(input=b"a\n"), self.ids(input=b"a"))
        self.assertEqual(self.ids("--no-bos", input=b""), [])

    def test_table_has_a_line_for_each_token(self) -> None:
        lines = self.succeed("tokenize", "Once upon a time").stdout.decode().splitlines()
        self.assertEqual([int(line.split()[0]) for line in lines], self.ids("Once upon a time"))
        self.assertTrue(lines[0].endswith("special"))
        pieces = re.findall(r'^ *[0-9]+  "(.*)"$', "\n".join(lines[1:]), re.M)
        self.assertEqual("".join(pieces), "Once upon a time")

    def test_special_names_are_text_unless_asked_for(self) -> None:
        self.assertEqual(self.ids("--no-bos", "--special", "<|eos|>"), [1])
        self.assertGreater(len(self.ids("--no-bos", "<|eos|>")), 1)

    def test_vocabulary_only(self) -> None:
        file = self.folder / "vocabulary.gguf"
        file.write_bytes(vocabulary_only())
        self.assertEqual(self.ids("-m", str(file), "a king"), self.ids("a king"))

    def test_sentence_piece(self) -> None:
        file = ROOT / "tests/reference/data/spm_prefix.gguf"
        self.assertEqual(self.ids("-m", file, "a<|user|>b"), [266, 3, 567])
        self.assertEqual(self.ids("-m", file, input=b"a\x00\xff"), [266, 6, 261])
        self.assertEqual(self.ids("-m", file, ""), [])

    def test_vocabularies_that_are_none(self) -> None:
        content = (ROOT / "tests/reference/data/spm_prefix.gguf").read_bytes()
        for old, new, status, words in (
            (b"ggml.scores", b"ggml.scorex", 4, "tokenizer.ggml.scores': expected an array"),
            (b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0plamo", 5, "found 'plamo'"),
            (b"default", b"unknown", 5, "tokenizer.ggml.pre': expected 'default'"),
            (b"<0x0A>", b"<0x0B>", 4, "expected one byte token for each of the 256 bytes"),
        ):
            file = self.folder / "vocabulary.gguf"
            self.assertIn(old, content)
            file.write_bytes(content.replace(old, new))
            self.assert_fails(tern("tokenize", "-m", file, "a"), status, words)


class VerifyTest(CliTest):
    def report(self, *arguments: str) -> dict[str, object]:
        found = json.loads(self.succeed("verify", "--json", *arguments).stdout)
        assert isinstance(found, dict)
        return found

    def test_hash_depends_on_the_text_alone(self) -> None:
        first = self.report()
        self.assertRegex(str(first["logits_sha256"]), r"\A[0-9a-f]{64}\Z")
        for arguments in (
            ("-t", "1"),
            ("-t", "3"),
            ("--chunk", "1"),
            ("--chunk", "7"),
            ("--chunk", "512"),
            ("--tier", "scalar"),
            ("-m", str(MODEL)),
        ):
            self.assertEqual(self.report(*arguments)["logits_sha256"], first["logits_sha256"])
        other = self.folder / "text"
        other.write_text("The king", encoding="utf-8")
        self.assertNotEqual(
            self.report("--text", str(other))["logits_sha256"], first["logits_sha256"]
        )

    def test_keys_and_values_in_int8_have_their_own_hash(self) -> None:
        first = self.report("--kv", "int8")
        self.assertEqual((first["kv"], self.report()["kv"]), ("int8", "f16"))
        self.assertNotEqual(first["logits_sha256"], self.report()["logits_sha256"])
        for arguments in (("--chunk", "1", "-t", "3"), ("--tier", "scalar")):
            report = self.report("--kv", "int8", *arguments)
            self.assertEqual(report["logits_sha256"], first["logits_sha256"])
        self.assert_fails(tern("verify", "--kv", "q4"), 2, "--kv")

    def test_hash_is_of_every_position(self) -> None:
        other = self.folder / "text"
        other.write_text("The king", encoding="utf-8")
        report = self.report("--text", str(other))
        line = self.succeed("tokenize", "--ids", "The king").stdout
        self.assertEqual(report["positions"], len(line.split()))
        nothing = hashlib.sha256(b"").hexdigest()
        self.assertNotEqual(report["logits_sha256"], nothing)

    def test_text_shows_proof_tier_and_hash(self) -> None:
        shown = self.succeed("verify", "--tier", "scalar", "-t", "2").stdout.decode()
        report = self.report()
        self.assertRegex(shown, r"tier +scalar, 2 threads, keys and values in f16\n")
        self.assertRegex(shown, r"proof +passed in [0-9]+ ms: [1-9][0-9]* ternary tensors")
        self.assertIn(f"sha256 {report['logits_sha256']}\n", shown)
        proof = report["proof"]
        assert isinstance(proof, dict)
        self.assertIn(f"; median scale {proof['median_scale']:.4g}\n", shown)
        self.assertTrue(proof["proved"])
        self.assertEqual(proof["tensors"], self.inspect()["types"]["i2_s"]["tensors"])


class VersionTest(CliTest):
    def test_names_commit_compiler_and_tiers(self) -> None:
        shown = self.succeed("version").stdout.decode()
        self.assertRegex(shown, r"\Atern \d+\.\d+\.\d+ \(commit ([0-9a-f]{12}|unknown)\)\n")
        self.assertRegex(shown, r"tiers +scalar.*; chosen: [\w-]+\n")
        self.assertEqual(self.succeed("--version").stdout.decode().split()[1], shown.split()[1])

    def test_shows_the_forced_tier(self) -> None:
        outcome = self.succeed("version", env=environment(TERN_FORCE_ISA="scalar"))
        self.assertIn(b"chosen: scalar\n", outcome.stdout)


class HelpTest(CliTest):
    def test_every_command_has_help_with_an_example(self) -> None:
        self.assertEqual(tern("-h").stdout, self.succeed("--help").stdout)
        listed = self.succeed("--help").stdout.decode()
        self.assertLess(max(map(len, listed.splitlines())), 101)
        commands = re.findall(r"^  ([a-z-]+) ", listed.split("Subcommands:")[1], re.MULTILINE)
        self.assertIn("transcode", commands)
        for command in sorted(set(commands) - {"tern", "echo"}):
            with self.subTest(command):
                shown = self.succeed(command, "--help").stdout.decode()
                self.assertIn(f"Usage: tern {command}", shown)
                self.assertRegex(shown, rf"Examples?:\s(.*\n)*?.*tern {command}\b")
                self.assertLess(max(map(len, shown.splitlines())), 101)

    def test_tune_does_not_refer_to_itself(self) -> None:
        shown = self.succeed("tune", "--help").stdout.decode()
        self.assertRegex(shown, r"--threads N +Threads; without it as many as are found fastest\n")


if __name__ == "__main__":
    main()
