"""Every class of error has an input that causes it, here by way of the command line.

The classes are those of ErrorCode; claims/cli_bad_inputs counts them by the names of these tests.
"""

import os
import re
import resource
import struct
from pathlib import Path

from tern import MODEL, TERN, CliTest, environment, main, tern


class ExitCodeTest(CliTest):
    def test_usage_is_2(self) -> None:
        for arguments, word in (
            (("run",), "a prompt is missing"),
            (("run", "a", "-p", "b"), "excludes"),
            (("run", "a", "-f", "-"), "excludes"),
            (("run", "a", "b"), "b"),
            (("run", "a", "-n", "many"), "many"),
            (("run", "a", "-n", "-2"), "-2"),
            (("run", "a", "--seed", "-2"), "-2"),
            (("run", "a", "--seed", "9" * 20), "seed"),
            (("run", "a", "-n", "9" * 20), "predict"),
            (("run", "a", "-c", "9" * 20), "ctx-size"),
            (("run", "a", "-t", "0"), "0"),
            (("run", "a", "-t", "-1"), "-1"),
            (("run", "a", "-c", "513"), "at most 512"),
            (("run", "a", "--temp", "-1"), "temperature"),
            (("run", "a", "--temp", "nan"), "temperature"),
            (("run", "a", "--top-p", "1.5"), "top-p"),
            (("run", "a", "--min-p", "2"), "min-p"),
            (("run", "a", "--repeat-penalty", "0"), "repeat-penalty"),
            (("serve", "--print-config", "--stretch", "nan"), "--stretch: expected 1.01 to 1000"),
            (("run", "a", "--tier", "abacus"), "scalar"),
            (("run", "a", "--kv", "7"), "expected one of f16, int8, found 7"),
            (("run", "a", "--head", "1"), "auto, certified, exact"),
            (("run", "a", "--cache", "perhaps"), "auto, off, on"),
            (("run", "a", "-m", ""), "empty"),
            (("verify", "--chunk", "0"), "0"),
            (("inspect", "--wings"), "--wings"),
            (("tokenize", "++"), "behind --"),
            (("run", "--stop", "++", "++"), "behind --"),
            (("fly",), "fly"),
        ):
            with self.subTest(arguments):
                self.assert_fails(tern(*arguments), 2, word)

    def test_usage_of_an_empty_name(self) -> None:
        """A variable of a shell that was not set: without the option they do something else."""
        for arguments in (
            ("run", "a", "--events", ""),
            ("run", "a", "--tier", ""),
            ("run", "a", "--stop", ""),
            ("run", "-f", ""),
            ("chat", "--chat-template", ""),
            ("embed", "--pooling", "last", "a", "-o", ""),
            ("embed", "--pooling", "last", "-f", ""),
            ("verify", "--text", ""),
            ("perplexity", "-f", ""),
            ("diff", MODEL, ""),
            ("diff", "", MODEL),
            ("cache", "clear", "-m", ""),
            ("convert", "", "-o", "a.gguf"),
            ("convert", ".", "-o", ""),
            ("transcode", "", "-o", "a.gguf", "--type", "i2_s"),
            ("transcode", MODEL, "-o", "", "--type", "i2_s"),
            ("synth", "--shape", "large", "--type", "i2_s", "-o", ""),
            ("replay", ""),
            ("replay", "log", "--request", ""),
            ("replay", "log", "--chat-template", ""),
            ("pull", ""),
            ("pull", "hf://a/b", "--as", ""),
            ("pull", "hf://a/b", "--include", ""),
            ("rm", ""),
            ("bench-serve", "http://127.0.0.1:1", "--picture", ""),
            ("bench-serve", "http://127.0.0.1:1", "--model", ""),
            ("serve", "--print-config", "--config", ""),
            ("serve", "--print-config", "--make-key", ""),
            ("serve", "--print-config", "--api-keys", ""),
            ("serve", "--print-config", "--tls-cert", "", "--tls-key", "a"),
            ("serve", "--print-config", "--tls-cert", "a", "--tls-key", ""),
            ("serve", "--print-config", "--access-log", ""),
            ("serve", "--print-config", "--listen", ""),
            ("serve", "--print-config", "--admin-listen", ""),
            ("serve", "--print-config", "--model-id", ""),
            ("serve", "--print-config", "--chat-template", ""),
        ):
            with self.subTest(arguments):
                self.assert_fails(tern(*arguments), 2, "expected a value, found an empty one")
        config = self.folder / "tern.toml"
        config.write_text('api-keys = ""\n', encoding="utf-8")
        outcome = tern("serve", "--print-config", "--config", config)
        self.assert_fails(outcome, 2, f"{config}:1:1", "expected a value, found an empty one")

    def test_usage_of_nothing_is_help(self) -> None:
        outcome = tern()
        self.assertEqual((outcome.returncode, outcome.stdout), (2, b""))
        self.assertIn(b'tern run "Once upon a time"', outcome.stderr)

    def test_usage_of_the_environment(self) -> None:
        for command in (("run", "a"), ("verify",), ("version",)):
            outcome = tern(*command, env=environment(TERN_FORCE_ISA="abacus"))
            self.assert_fails(outcome, 2, "TERN_FORCE_ISA", "abacus")

    def test_io_is_3(self) -> None:
        missing = self.folder / "missing.gguf"
        for arguments in (("run", "a"), ("inspect",), ("tokenize", "a"), ("verify",)):
            self.assert_fails(tern(*arguments, "-m", missing), 3, str(missing))
        self.assert_fails(tern("inspect", "-m", self.folder), 3, str(self.folder))
        self.assert_fails(tern("run", "-f", missing), 3, str(missing))
        self.assert_fails(tern("verify", "--text", missing), 3, str(missing))
        self.assert_fails(tern("run", "a", "--events", self.folder / "no" / "events"), 3, "events")

    def test_a_missing_file_is_said_where_names_of_models_have_no_place(self) -> None:
        env = {k: v for k, v in environment().items() if k not in ("HOME", "XDG_CONFIG_HOME")}
        outcome = tern("run", "a", "-m", "missing", env=env)
        self.assert_fails(outcome, 2, "missing: there is no file of that name", "set HOME")

    def test_io_error_names_a_hostile_path_safely(self) -> None:
        outcome = tern("inspect", "-m", "\x1b[2J\nno\u202egguf\x7f")
        self.assert_fails(outcome, 3, "\\x1b[2J\\nno\\u{202e}gguf\\x7f")

    def test_malformed_is_4(self) -> None:
        cut = self.folder / "cut.gguf"
        for size in (3, 10, 100, 5000, MODEL.stat().st_size // 2):
            cut.write_bytes(MODEL.read_bytes()[:size])
            for command in (("run", "a"), ("inspect",), ("tokenize", "a"), ("verify",)):
                self.assert_fails(tern(*command, "-m", cut), 4, str(cut))

    def test_unsupported_is_5(self) -> None:
        content = MODEL.read_bytes()
        at = content.index(b"bitnet-b1.58")
        other = self.damaged("other.gguf", (at, b"rwkv-lstm-58"))
        self.assert_fails(tern("run", "a", "-m", other), 5, "rwkv-lstm-58")
        inspected = self.succeed("inspect", "-m", other)  # shown all the same
        self.assertIn(b"does not run here", inspected.stdout)

    def test_proof_failed_is_6(self) -> None:
        tensor = self.tensor("blk.3.ffn_down.weight")
        self.assertEqual(tensor["type"], "i2_s")
        damaged = self.damaged("code3.gguf", (tensor["offset"] + 1000, b"\xff"))
        for command in (("run", "a"), ("verify",)):
            self.assert_fails(tern(*command, "-m", damaged), 6, "blk.3.ffn_down.weight", "code 3")
        zeros = self.damaged("zeros.gguf", (tensor["offset"], b"\x55" * (tensor["bytes"] - 32)))
        self.assert_fails(tern("verify", "-m", zeros), 6, "blk.3.ffn_down.weight", "zero")

    def test_out_of_memory_is_7(self) -> None:
        # Refused ahead: keys and values of 16 million tokens.
        tokens = 1 << 24
        long = self.with_uint32("long.gguf", "bitnet-b1.58.context_length", tokens)
        needed = tokens * self.inspect("-m", MODEL)["config"]["kv_bytes_per_token"]
        if needed > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
            self.assert_fails(tern("run", "a", "-m", long), 7, "KV cache", "smaller context")
        self.succeed("run", "a", "-n", "1", "-m", long, "-c", "512")

    def test_out_of_memory_of_the_system_is_7(self) -> None:
        if re.search("asan|tsan|emulated", TERN):
            return  # sanitizers and emulators reserve terabytes of addresses

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_AS, (64 << 20, 64 << 20))

        large = self.folder / "large"
        with large.open("wb") as file:
            file.truncate(100 << 20)
        outcome = tern("run", "-f", large, preexec_fn=limit)
        self.assert_fails(outcome, 7, "memory")

    def test_numeric_is_8(self) -> None:
        norm = self.tensor("blk.2.attn_norm.weight")
        huge = struct.pack("<f", 3e38) * (norm["bytes"] // 4)
        loud = self.damaged("loud.gguf", (norm["offset"], huge))
        for command in (("run", "a"), ("verify",)):
            self.assert_fails(tern(*command, "-m", loud), 8, "layer 2")

    def test_context_length_is_9(self) -> None:
        words = "The king and the queen and the king and the queen"
        self.assert_fails(tern("run", words, "-c", "4"), 9, "context of 4")
        long = self.folder / "long"
        long.write_text(words * 400, encoding="utf-8")
        self.assert_fails(tern("verify", "--text", long), 9, "context of 512")

    def test_help_lists_the_codes(self) -> None:
        listed = self.succeed("--help").stdout.decode()
        documented = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text("utf-8")
        for code in (0, 2, 3, 4, 5, 6, 7, 8, 9, 130, 141):
            self.assertRegex(listed, rf"\b{code}  ?\w")
            self.assertRegex(documented, rf"\n\| {code} \|")


if __name__ == "__main__":
    main()
