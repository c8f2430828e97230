"""`tern diff`, and what `tern inspect` finds beyond the header."""

import json
import struct

from tern import MODEL, CliTest, main, tern


class DiffTest(CliTest):
    def test_the_same_model_is_0(self) -> None:
        outcome = tern("diff", MODEL, MODEL)
        self.assertEqual(outcome.returncode, 0)
        self.assertIn(b"tensors       0 differ, 68 are in both files", outcome.stdout)

    def test_what_differs_is_named_and_1(self) -> None:
        tensor = self.tensor("blk.2.ffn_up.weight")
        scale = tensor["offset"] + tensor["bytes"] - 32
        (was,) = struct.unpack("<f", MODEL.read_bytes()[scale : scale + 4])
        other = self.damaged("other.gguf", (scale, struct.pack("<f", 1 / was)))
        outcome = tern("diff", MODEL, other)
        self.assertEqual(outcome.returncode, 1)
        self.assertEqual(outcome.stderr, b"")
        self.assertIn(b"blk.2.ffn_up.weight: the same trits, scale 0.0", outcome.stdout)
        self.assertIn(b"one the inverse of the other", outcome.stdout)
        found = json.loads(tern("diff", "--json", MODEL, other).stdout)
        self.assertFalse(found["same"])
        self.assertEqual(found["metadata"], [])
        self.assertEqual([t["fault"] for t in found["tensors"]], ["inverse_scale"])
        self.assertAlmostEqual(found["tensors"][0]["a"], was)

    def test_weights_leave_metadata_out(self) -> None:
        other = self.with_uint32("other.gguf", "general.file_type", 7)
        outcome = tern("diff", MODEL, other)
        self.assertEqual(outcome.returncode, 1)
        self.assertIn(b"general.file_type: 40 in A, 7 in B", outcome.stdout)
        self.assertEqual(tern("diff", "--weights", MODEL, other).returncode, 0)

    def test_files_that_cannot_be_read(self) -> None:
        self.assert_fails(tern("diff", MODEL, self.folder / "missing"), 3, "missing")
        self.assert_fails(tern("diff", MODEL), 2, "B")


class FactsTest(CliTest):
    def test_trits_scales_and_footprint(self) -> None:
        found = self.inspect("-m", MODEL, "--tensors")
        trits = found["ternary"]["trits"]
        self.assertEqual(sum(trits.values()), found["types"]["i2_s"]["values"])
        self.assertEqual(found["ternary"]["scale"]["direction"], "multiplies")
        self.assertEqual(found["warnings"], [])
        counted = [t["trits"] for t in found["tensors"] if "trits" in t]
        self.assertEqual(len(counted), found["ternary"]["matrices"])
        self.assertEqual(
            [sum(column) for column in zip(*counted, strict=True)], list(trits.values())
        )
        cost = found["footprint"]
        self.assertEqual(cost["kv_bytes"], cost["kv_bytes_per_token"] * 512)
        self.assertGreater(cost["weight_bytes"], cost["bytes_per_token"])
        self.assertGreater(cost["tokens_per_second"], cost["tokens_per_second_at_context"])
        shown = self.succeed("inspect").stdout.decode()
        for words in ("trits  ", "by which a layer multiplies", "MB of weights", "tok/s here"):
            self.assertIn(words, shown)

    def test_quick_counts_and_measures_nothing(self) -> None:
        found = self.inspect("--quick")
        self.assertIsNone(found["ternary"])
        self.assertIsNone(found["footprint"])
        self.assertNotIn(b"trits  ", self.succeed("inspect", "--quick").stdout)

    def test_what_is_odd_is_a_warning(self) -> None:
        tensor = self.tensor("blk.2.ffn_up.weight")
        other = self.damaged("other.gguf", (tensor["offset"], b"\xff"))
        found = self.inspect("-m", other)
        self.assertEqual(len(found["warnings"]), 1)
        self.assertIn("blk.2.ffn_up.weight: code 3 at element 0", found["warnings"][0])
        self.assertIn(b"warning       blk.2.ffn_up", self.succeed("inspect", "-m", other).stdout)


if __name__ == "__main__":
    main()
