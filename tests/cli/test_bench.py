"""`tern bench` on the embedded model: it is small, so its figures say little, but all is there."""

import json
import re
import time
from typing import Any

from tern import MODEL, CliTest, Outcome, environment, interrupt, main, start, tern

SMALL = ("-p", "32", "-n", "8", "-d", "4", "-r", "3")


def packed_bytes(tier: str, columns: int, rows: int) -> int:
    """Of a matrix in tiles of 64 bytes, 16 rows by 20 columns where a tier unpacks five trits."""
    width = 20 if tier in ("avx512-vbmi", "amx") else 16
    return -(-rows // 16) * -(-columns // width) * 64


class BenchTest(CliTest):
    def bench(self, *arguments: str, **options: Any) -> Outcome:
        """A run that succeeds; one that a busy host disturbed says so, and is made again."""
        for _ in range(9):
            outcome = tern("bench", *arguments, **options)
            if not re.search(rb"hypervisor takes|ceiling was disturbed", outcome.stderr):
                break
        self.assertEqual(outcome.returncode, 0, outcome)
        return outcome

    def test_json_of_a_file(self) -> None:
        arguments = ("-m", MODEL, *SMALL, "-t", "2", "-b", "2,3", "--head", "exact", "--json")
        outcome = self.bench(*arguments)
        self.assertFalse(outcome.stderr)
        found = json.loads(outcome.stdout)
        shape = self.inspect("-m", MODEL, "--tensors")
        ternary = [t for t in shape["tensors"] if t["type"] == "i2_s"]
        macs = sum(t["shape"][0] * t["shape"][1] for t in ternary)
        self.assertEqual(found["prefill"]["macs_per_token"], macs)
        # Embedding and output are one matrix, so that each token reads all of the file's tensors.
        self.assertNotIn("output.weight", [t["name"] for t in shape["tensors"]])
        size = sum(t["bytes"] for t in shape["tensors"] if t not in ternary)
        size += sum(packed_bytes(found["tier"], *t["shape"]) for t in ternary)
        self.assertEqual(found["decode"]["bytes_per_token"], size)
        self.assertEqual(found["threads"], 2)
        ceilings = found["ceilings"]
        for part in ("prefill", "decode"):
            rate = found[part]["tokens_per_s"]
            self.assertGreater(rate, 0)
            self.assertLessEqual(found[part]["lower_quartile"], rate)
            self.assertGreaterEqual(found[part]["upper_quartile"], rate)
            self.assertLessEqual(found[part]["share"], 1)
        prefill, decode = found["prefill"], found["decode"]
        self.assertEqual(prefill["macs_per_token"], macs)
        self.assertGreater(prefill["mac_per_s"], 0)
        self.assertAlmostEqual(prefill["shares"][found["tier"]], prefill["share"])
        self.assertGreater(decode["read_bytes_per_s"], 0)
        keys = 1 + decode["kv_bytes_per_token"] / size
        self.assertAlmostEqual(decode["share_with_kv"], decode["share"] * keys)
        self.assertEqual([batch["sequences"] for batch in found["batches"]], [2, 3])
        for batch in found["batches"]:
            rate, count = batch["tokens_per_s"], batch["sequences"]
            self.assertAlmostEqual(batch["token_s"], count / rate)
            self.assertAlmostEqual(batch["times_one"], rate / found["decode"]["tokens_per_s"])
        self.assertEqual(found["prefills"], [found["prefill"]])
        self.assertEqual(ceilings["mac"][found["tier"]], ceilings["mac_per_s"])
        self.assertGreater(found["load_s"], 0)
        self.assertGreater(found["load"]["cold"]["s"], 0)
        self.assertGreater(found["rss_bytes"], 1 << 20)
        if found["rss_excludes_probe"]:
            self.assertLess(found["rss_bytes"], 1 << 30)

    def test_the_certified_head_reads_its_copy(self) -> None:
        small = ("-m", MODEL, "-p", "0", "-n", "4", "-r", "1", "--json")
        exact = json.loads(self.bench(*small, "--head", "exact").stdout)
        certified = json.loads(self.bench(*small).stdout)
        head = certified["head"]
        self.assertEqual(head["mode"], "certified")
        self.assertEqual(exact["head"]["mode"], "exact")
        self.assertEqual(
            certified["decode"]["bytes_per_token"],
            exact["decode"]["bytes_per_token"] - head["bytes"] + head["copy_bytes"],
        )
        self.assertGreaterEqual(head["exact_rows_per_token"], 1)
        self.assertLess(head["exact_rows_per_token"], exact["head"]["exact_rows_per_token"] / 2)

    def test_text_of_the_embedded_model_and_a_forced_tier(self) -> None:
        outcome = self.bench(
            "-p", "0", "-n", "2", "-r", "1", env=environment(TERN_FORCE_ISA="scalar")
        )
        text = outcome.stdout.decode()
        self.assertRegex(text, r"\Amodel    tern-tales, bitnet-b1.58, embedded model\n")
        self.assertIn("run      scalar, ", text)
        self.assertIn("prefill  not measured\n", text)
        self.assertIn("cold not measured", text)
        self.assertRegex(text, r"decode   2 tokens behind 16: [0-9.e+]+ tok/s \[")
        self.assertTrue(re.search(r"^read     [0-9.]+ GB/s", text, flags=re.MULTILINE))

    def test_refusals(self) -> None:
        self.assert_fails(tern("bench", "-r", "0"), 2, "--repetitions")
        self.assert_fails(tern("bench", "-d", "0"), 2, "--depth")
        self.assert_fails(tern("bench", "-p", "-1"), 2, "--prefill")
        self.assert_fails(tern("bench", "-p", "8,0"), 2, "prompts and batches of at least 1")
        self.assert_fails(tern("bench", "-b", "2,0"), 2, "--batch")
        self.assert_fails(tern("bench", "-m", self.folder / "none"), 3, "none")

    def test_lists_with_an_item_that_is_none_are_refused_by_name(self) -> None:
        for option, name, least in (("-p", "--prefill", 0), ("--batch", "--batch", 1)):
            for text in ("512,,8", ",8", "8,", "", ",", "8,x", "8, 9", "8,1048577"):
                with self.subTest(option, text=text):
                    outcome = tern("bench", "-m", self.folder / "none", option, text)
                    wanted = f"expected numbers of {least} to 1048576 between commas"
                    self.assert_fails(outcome, 2, name, wanted, f" in {text or 'an empty list'}")
        good = ("-p", "8,1048576", "-p", "1", "--batch=2,3")  # on to what is missing
        self.assert_fails(tern("bench", "-m", self.folder / "none", *good), 3, "none")

    def test_interrupt_ends_it_without_a_report(self) -> None:
        process = start("bench", "-p", "0", "-n", "400", "-d", "1", "-r", "1000")
        time.sleep(0.5)
        interrupt(process)
        output, errors = process.communicate(timeout=300)
        self.assertEqual((process.returncode, output, errors), (130, b"", b""))


if __name__ == "__main__":
    main()
