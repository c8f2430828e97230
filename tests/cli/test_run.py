"""`tern run`: what it writes where, and that nothing but the seed decides the text."""

import json
import re
import subprocess
import time

from tern import MODEL, STATISTICS, CliTest, environment, main, tern

ONCE = ("run", "Once upon a time", "-n", "24", "--seed", "7")
DOCUMENTED_KEYS = [
    "text",
    "tokens",
    "end",
    "prompt_tokens",
    "generated_tokens",
    "context",
    "kv",
    "seed",
    "model",
    "architecture",
    "tier",
    "threads",
    "threads_from",
    "proved",
    "cache",
    "tuning",
    "tokens_per_second",
    "limit",
    "head",
    "seconds",
    "peak_resident_bytes",
    "counters",
]


class RunTest(CliTest):
    def text(self, *arguments: str) -> bytes:
        return bytes(self.succeed(*arguments).stdout)

    def test_stdout_has_the_text_alone_and_stderr_one_line(self) -> None:
        outcome = self.succeed(*ONCE)
        report = json.loads(self.succeed(*ONCE, "--json").stdout)
        self.assertTrue(outcome.stdout)
        self.assertEqual(outcome.stdout.decode(), report["text"])
        self.assertRegex(outcome.stderr.decode(), STATISTICS)
        self.assertIn(", proved, ", outcome.stderr.decode())
        self.assertIn("24 tokens, max tokens, seed 7", outcome.stderr.decode())

    def test_seed_alone_decides_the_text(self) -> None:
        first = self.text(*ONCE)
        for threads in ("1", "2", "3"):
            self.assertEqual(self.text(*ONCE, "-t", threads), first)
        self.assertEqual(self.text(*ONCE, "--tier", "scalar"), first)
        self.assertNotEqual(self.text(*ONCE[:-1], "8"), first)

    def test_random_seed_is_said_and_repeats_the_text(self) -> None:
        for asked in ((), ("--seed", "-1")):
            outcome = self.succeed("run", "The king", "-n", "16", *asked)
            found = re.search(r"seed (\d+)\n", outcome.stderr.decode())
            self.assertIsNotNone(found)
            seed = found[1] if found else ""
            again = self.text("run", "The king", "-n", "16", "--seed", seed)
            self.assertEqual(again, outcome.stdout)

    def test_numbers_are_decimal(self) -> None:
        """Whatever zeros stand before them."""
        ten = self.succeed("run", "Once", "-n", "9", "--seed", "10")
        zeros = self.succeed("run", "Once", "-n", "09", "--seed", "0010", "-c", "00")
        self.assertEqual(zeros.stdout, ten.stdout)
        self.assertIn(b"seed 10\n", zeros.stderr)
        self.assertIn(
            b"parallel = 10\n", self.succeed("serve", "--print-config", "--parallel", "010").stdout
        )
        self.assertIn(
            b"priority = 0\n", self.succeed("serve", "--print-config", "--priority", "0").stdout
        )
        self.assert_fails(tern("run", "Once", "--seed", "-010"), 2, "-10")
        self.assert_fails(tern("run", "Once", "-n", "0x"), 2, "0x")
        of_nine = self.text("run", "Once", "-n", "9", "--seed", "1", "--top-k", "9")
        self.assertEqual(
            self.text("run", "Once", "-n", "9", "--seed", "1", "--top-k", "09"), of_nine
        )
        for option in ("--seed", "--top-k", "--temp"):
            self.assert_fails(
                tern("run", "Once", option, "0x10"), 2, "expected a decimal number, found 0x10"
            )

    def test_a_name_of_digits_is_no_number(self) -> None:
        settings = self.succeed("serve", "--print-config", "--model-id", "007").stdout
        self.assertIn(b'model-id = "007"\n', settings)

    def test_a_prompt_without_an_end_is_refused(self) -> None:
        for arguments in (("run", "-f", "/dev/zero"), ("perplexity", "-f", "/dev/zero")):
            self.assert_fails(
                tern(*arguments), 2, "/dev/zero: expected at most 512 MiB, found more"
            )

    def test_temperature_0_needs_no_seed(self) -> None:
        greedy = ("run", "The king", "-n", "16", "--temp", "0")
        self.assertEqual(self.text(*greedy), self.text(*greedy))

    def test_prompt_alone_behind_p_and_from_a_file_are_the_same(self) -> None:
        rest = ("-n", "16", "--seed", "7")
        alone = self.text("run", "The old king", *rest)
        self.assertEqual(self.text("run", "-p", "The old king", *rest), alone)
        file = self.folder / "prompt"
        file.write_text("The old king\n", encoding="utf-8")
        self.assertEqual(self.text("run", "-f", str(file), *rest), alone)
        piped = self.succeed("run", "-f", "-", *rest, input=b"The old king\n")
        self.assertEqual(piped.stdout, alone)

    def test_prompt_may_be_named_as_a_command_or_begin_with_a_dash(self) -> None:
        self.succeed("run", "version", "-n", "1")
        self.succeed("run", "-n", "1", "-p", "--- he said")

    def test_prompt_of_any_bytes(self) -> None:
        outcome = self.succeed("run", "-f", "-", "-n", "8", input=b"\xff\xfe\0caf\xc3 \x1b[2J")
        outcome.stdout.decode("utf-8")  # raises where it is not UTF-8

    def test_empty_prompt_starts_from_the_beginning_of_text(self) -> None:
        report = json.loads(self.text("run", "", "-n", "4", "--json"))
        self.assertEqual(report["prompt_tokens"], 1)
        self.assertEqual(
            json.loads(self.text("run", "-p", "", "-n", "4", "--json"))["prompt_tokens"], 1
        )

    def test_n_0_writes_nothing(self) -> None:
        outcome = self.succeed("run", "Once", "-n", "0")
        self.assertEqual(outcome.stdout, b"")
        self.assertIn("nothing decoded", outcome.stderr.decode())

    def test_context_ends_the_text(self) -> None:
        report = json.loads(self.text("run", "Once", "-c", "20", "--ignore-eos", "--json"))
        self.assertEqual(report["end"], "context_full")
        self.assertEqual(report["context"], 20)
        self.assertEqual(report["prompt_tokens"] + report["generated_tokens"], 20)

    def test_stop_string_ends_the_text_and_is_cut(self) -> None:
        whole = self.text(*ONCE).decode()
        stop = whole[len(whole) // 2 :][:3]
        outcome = self.succeed(*ONCE, "--stop", "never in any text", "--stop", stop)
        self.assertEqual(outcome.stdout.decode(), whole[: whole.index(stop)])
        self.assertIn("stop string", outcome.stderr.decode())

    def test_json_is_one_object_with_the_documented_keys(self) -> None:
        outcome = self.succeed(*ONCE, "-t", "2", "--json")
        self.assertEqual(outcome.stdout.count(b"\n"), 1)
        report = json.loads(outcome.stdout)
        self.assertEqual(list(report), DOCUMENTED_KEYS)
        self.assertEqual(len(report["tokens"]), report["generated_tokens"])
        self.assertEqual(report["counters"]["engine.generated_tokens"], 24)
        self.assertEqual((report["seed"], report["threads"]), (7, 2))
        self.assertTrue(report["proved"])
        self.assertGreater(report["tokens_per_second"], 0)
        self.assertGreater(report["limit"]["bytes_per_token"], 1e6)
        share = report["limit"]["share"]
        self.assertTrue(share is None or 0 < share <= 1)

    def test_the_way_to_the_largest_logits_changes_no_text(self) -> None:
        of_all = ("--top-k", "0", "--top-p", "1", "--min-p", "0")
        for sampling in (
            ("--temp", "0"),
            ("--temp", "1", "--repeat-penalty", "1.2"),
            ("--temp", "1.5", "--repeat-penalty", "1.2", *of_all),
        ):
            found = {}
            for mode in ("auto", "certified", "exact"):
                run = self.succeed(*ONCE, *sampling, "--head", mode, "--json")
                found[mode] = json.loads(run.stdout)
                self.assertEqual(found[mode]["text"], found["auto"]["text"])
            self.assertEqual(found["auto"]["head"], found["certified"]["head"])
            self.assertEqual(found["certified"]["head"]["mode"], "certified")
            self.assertEqual(found["exact"]["head"]["mode"], "exact")
            rows = found["certified"]["head"]["exact_rows_per_token"]
            self.assertLess(rows, found["exact"]["head"]["exact_rows_per_token"] / 2)
            counters = found["certified"]["counters"]
            self.assertEqual(rows, counters["engine.head_rows"] / counters["engine.head_searches"])
        whole = json.loads(self.text(*ONCE, "--top-k", "0", "--json"))
        self.assertIsNone(whole["head"]["exact_rows_per_token"])
        self.assert_fails(tern("run", "x", "--head", "fast"), 2, "--head")

    def test_no_verify_says_so(self) -> None:
        outcome = self.succeed(*ONCE, "--no-verify")
        self.assertIn("not proved (--no-verify)", outcome.stderr.decode())
        self.assertEqual(outcome.stdout, self.text(*ONCE))

    def test_model_file_is_the_embedded_model(self) -> None:
        self.assertEqual(self.text(*ONCE, "-m", str(MODEL)), self.text(*ONCE))

    def test_events_are_json_lines(self) -> None:
        file = self.folder / "events"
        self.succeed(*ONCE, "--events", str(file))
        events = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        finished = [event for event in events if event["event"] == "sequence.finished"]
        self.assertEqual(len(finished), 1)
        self.assertEqual(finished[0]["generated_tokens"], 24)

    def test_events_never_take_the_place_of_the_model(self) -> None:
        model = self.folder / "model.gguf"
        model.write_bytes(MODEL.read_bytes())
        link = self.folder / "events"
        link.symlink_to(model)
        for path in (model, link):
            outcome = tern("run", "Once", "-n", "1", "-m", str(model), "--events", str(path))
            self.assertEqual(outcome.returncode, 2, outcome)
            self.assertIn(b"found that of the model", outcome.stderr)
        self.assertEqual(model.read_bytes(), MODEL.read_bytes())

    def test_tier_is_forced_by_option_and_environment(self) -> None:
        for arguments, variables, expected in (
            (("--tier", "scalar"), {}, "scalar"),
            ((), {"TERN_FORCE_ISA": "scalar"}, "scalar"),
            (("--tier", "scalar"), {"TERN_FORCE_ISA": "nonsense"}, "scalar"),
        ):
            outcome = self.succeed(*ONCE, "--json", *arguments, env=environment(**variables))
            self.assertEqual(json.loads(outcome.stdout)["tier"], expected)

    def test_special_names_are_text_unless_asked_for(self) -> None:
        def prompt_tokens(*arguments: str) -> int:
            report = json.loads(self.text("run", "<|eos|>", "-n", "1", "--json", *arguments))
            return int(report["prompt_tokens"])

        self.assertEqual(prompt_tokens("--special"), 2)
        self.assertGreater(prompt_tokens(), 2)

    def test_quick_end_does_not_wait_for_standard_input(self) -> None:
        begin = time.monotonic()
        with subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE) as sleeper:
            self.succeed("run", "Once", "-n", "1", stdin=sleeper.stdout)
            sleeper.kill()
        self.assertLess(time.monotonic() - begin, 50)


if __name__ == "__main__":
    main()
