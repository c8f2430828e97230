"""`tern perplexity`: its figures agree with each other, and what it refuses."""

import json
import math
import signal
from typing import Any

from tern import CliTest, interrupt, main, start, tern

TEXT = b"Once upon a time there was a king who had three daughters. " * 12


class PerplexityTest(CliTest):
    def measure(self, *arguments: str, text: bytes = TEXT) -> dict[str, Any]:
        outcome = self.succeed("perplexity", "-f", "-", "--json", *arguments, input=text)
        found = json.loads(outcome.stdout)
        assert isinstance(found, dict)
        return found

    def test_figures_agree(self) -> None:
        found = self.measure("-c", "64")
        ids = self.succeed("tokenize", "--ids", input=TEXT).stdout.split()
        self.assertEqual((found["context"], found["stride"]), (64, 32))
        self.assertEqual(found["tokens"], len(ids) - 1)
        self.assertEqual(found["bytes"], len(TEXT))
        self.assertEqual(found["windows"], 1 + math.ceil((len(ids) - 64) / 32))
        perplexity, error = found["perplexity"], 1.959963984540054 * found["nll_standard_error"]
        self.assertAlmostEqual(math.log(perplexity["value"]), found["nll"])
        self.assertAlmostEqual(math.log(perplexity["lower"]), found["nll"] - error)
        self.assertAlmostEqual(math.log(perplexity["upper"]), found["nll"] + error)
        bits = found["nll"] * found["tokens"] / math.log(2) / len(TEXT)
        self.assertAlmostEqual(found["bits_per_byte"], bits)
        self.assertFalse(found["cancelled"])

    def test_same_bits_on_every_tier_and_number_of_threads(self) -> None:
        expected = self.measure("-c", "40", "--chunks", "2")["nll"]
        for arguments in (("-t", "1"), ("-t", "3"), ("--tier", "scalar")):
            found = self.measure("-c", "40", "--chunks", "2", *arguments)
            self.assertEqual(found["nll"], expected)

    def test_keys_and_values_in_int8_change_it_a_little(self) -> None:
        f16 = self.measure("-c", "64")
        int8 = self.measure("-c", "64", "--kv", "int8")
        self.assertEqual((f16["kv"], int8["kv"]), ("f16", "int8"))
        self.assertNotEqual(int8["nll"], f16["nll"])
        self.assertAlmostEqual(int8["nll"], f16["nll"], delta=0.05)

    def test_text_and_a_line_for_each_window(self) -> None:
        file = self.folder / "text"
        file.write_bytes(TEXT)
        outcome = self.succeed("perplexity", "-f", file, "-c", "64", "--chunks", "2")
        shown = outcome.stdout.decode()
        self.assertIn("windows         2 of 64 tokens, stride 32\n", shown)
        lines = outcome.stderr.decode().splitlines()
        self.assertEqual(len(lines), 2)
        self.assertRegex(lines[0], r"\Awindow 1/2: 63 tokens, perplexity [0-9.]+\Z")
        last = lines[1].removeprefix("window 2/2: 95 tokens, ")
        self.assertIn(last.replace("perplexity ", "perplexity      "), shown)

    def test_one_token_has_no_interval(self) -> None:
        arguments = ("perplexity", "-f", "-", "-c", "2", "--chunks", "1")
        shown = tern(*arguments, input=TEXT).stdout.decode()
        self.assertRegex(shown, r"NLL +[0-9.]+ nats; one token has no standard error\n")
        self.assertRegex(shown, r"perplexity +[0-9.]+; one token has no confidence interval\n")
        found = json.loads(tern(*arguments, "--json", input=TEXT).stdout)
        self.assertEqual(found["tokens"], 1)
        self.assertIsNone(found["nll_standard_error"])
        self.assertEqual([found["perplexity"][name] for name in ("lower", "upper")], [None] * 2)

    def test_what_is_refused(self) -> None:
        for arguments, text, status, words in (
            (("-c", "1"), TEXT, 2, "context: expected 2 to 512, found 1"),
            (("-c", "513"), TEXT, 2, "context: expected 2 to 512, found 513"),
            (("-c", "8", "--stride", "8"), TEXT, 2, "stride: expected 1 to 7, found 8"),
            (("--chunks", "-1"), TEXT, 2, "--chunks: Value -1 not in range 0 to"),
            (("--chunks", "18446744073709551616"), TEXT, 2, "--chunks: Value 1844"),
            (("--stride", "4294967296"), TEXT, 2, "--stride: Value 4294967296 not in range"),
            (("--ctx-size", "-1"), TEXT, 2, "--ctx-size: Value -1 not in range 0 to"),
            ((), b"", 2, "text: expected at least 3 tokens"),
            (("-m", "/nowhere"), TEXT, 3, "/nowhere"),
        ):
            outcome = tern("perplexity", "-f", "-", *arguments, input=text)
            self.assert_fails(outcome, status, words)
        self.assert_fails(tern("perplexity", "-f", "/nowhere"), 3, "/nowhere")
        self.assert_fails(tern("perplexity"), 2, "--file is required")

    def test_interrupt_ends_with_the_figures_until_then(self) -> None:
        file = self.folder / "text"
        file.write_bytes(TEXT * 100)
        process = start("perplexity", "-f", file, "-c", "64", "--json")
        assert process.stderr is not None
        process.stderr.readline()  # the first window is done
        interrupt(process)
        output, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 128 + signal.SIGINT)
        found = json.loads(output)
        self.assertTrue(found["cancelled"])
        self.assertGreaterEqual(found["tokens"], 63)


if __name__ == "__main__":
    main()
