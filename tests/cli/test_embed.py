"""`tern embed`."""

import ast
import json
import struct
import time
from pathlib import Path

from tern import CliTest, interrupt, main, start, tern


class EmbedTest(CliTest):
    def vectors(self, *arguments: str | Path, **options: bytes) -> list[list[float]]:
        lines = self.succeed("embed", *arguments, **options).stdout.decode().splitlines()
        found = [json.loads(line) for line in lines]
        self.assertEqual([line["index"] for line in found], list(range(len(found))))
        self.assertTrue(all(line["tokens"] > 0 for line in found))
        return [line["embedding"] for line in found]

    def test_a_line_for_each_text_whatever_stands_beside_it(self) -> None:
        both = self.vectors("--pooling", "mean", "Once upon a time", "The king")
        self.assertEqual(len(both), 2)
        self.assertEqual(len(both[0]), 256)
        self.assertAlmostEqual(sum(x * x for x in both[1]), 1.0, places=5)
        self.assertEqual(self.vectors("--pooling", "mean", "The king"), both[1:])
        threads = self.vectors("-t", "3", "--tier", "scalar", "--pooling", "mean", "The king")
        self.assertEqual(threads, both[1:])

    def test_poolings_differ_and_raw_is_longer(self) -> None:
        last, mean, cls = (
            self.vectors("--pooling", pooling, "Once upon a time")[0]
            for pooling in ("last", "mean", "cls")
        )
        self.assertNotEqual(last, mean)
        self.assertNotEqual(last, cls)
        raw = self.vectors("--pooling", "last", "--raw", "Once upon a time")[0]
        length = sum(x * x for x in raw) ** 0.5
        self.assertNotAlmostEqual(length, 1.0, places=2)
        for a, b in zip(raw, last, strict=True):
            self.assertAlmostEqual(a / length, b, places=5)

    def test_lines_and_json_lines_are_texts(self) -> None:
        expected = self.vectors("--pooling", "last", "a b", "c")
        plain = self.vectors("--pooling", "last", input=b"a b\r\nc\n")
        self.assertEqual(plain, expected)
        file = self.folder / "texts.jsonl"
        file.write_text('"a b"\n{"id": 3, "text": "c"}', encoding="utf-8")
        self.assertEqual(self.vectors("--pooling", "last", "--jsonl", "-f", file), expected)
        multiple = self.vectors("--pooling", "last", "--jsonl", input=b'"a\\nb"\n')
        self.assertEqual(multiple, self.vectors("--pooling", "last", "a\nb"))

    def test_a_text_is_one_text_whatever_characters_it_has(self) -> None:
        texts = ["[a,b]", "[]", "{}", "", "-", "%%", "'a'", "++", "-x", "--"]
        expected = self.vectors(
            "--pooling", "last", "--jsonl", input="\n".join(map(json.dumps, texts)).encode()
        )
        self.assertEqual(len(expected), len(texts))
        self.assertEqual(self.vectors("--pooling", "last", "--", *texts), expected)
        self.assertEqual(self.vectors("--pooling", "last", *texts[:4], "--", *texts[4:]), expected)
        self.assertIn(b"tern embed [OPTIONS] [TEXT...]\n", self.succeed("embed", "-h").stdout)

    def test_no_texts_are_no_vectors(self) -> None:
        self.assertEqual(self.vectors("--pooling", "last", input=b""), [])

    def test_npy_holds_the_same_values(self) -> None:
        expected = self.vectors("--pooling", "last", "a", "b")
        path = self.folder / "vectors.npy"
        outcome = self.succeed("embed", "--pooling", "last", "-o", path, "a", "b")
        self.assertEqual(outcome.stdout, b"")
        content = path.read_bytes()
        self.assertEqual(content[:8], b"\x93NUMPY\x01\x00")
        (length,) = struct.unpack("<H", content[8:10])
        header = ast.literal_eval(content[10 : 10 + length].decode())
        self.assertEqual(header, {"descr": "<f4", "fortran_order": False, "shape": (2, 256)})
        values = struct.unpack("<512f", content[10 + length :])
        for found, vector in zip(values, expected[0] + expected[1], strict=True):
            self.assertEqual(found, struct.unpack("<f", struct.pack("<f", vector))[0])
        self.assertEqual([p.name for p in self.folder.iterdir()], ["vectors.npy"])

    def test_a_file_is_whole_or_as_it_was(self) -> None:
        path = self.folder / "vectors.jsonl"
        path.write_text("before", encoding="utf-8")
        outcome = tern("embed", "--pooling", "last", "-o", path, "a", "b" * 20000)
        self.assertEqual(outcome.returncode, 9)
        self.assertIn(b"tern: text 2: ", outcome.stderr)
        self.assertIn(b"do not fit into the context of", outcome.stderr)
        self.assertEqual(path.read_text(encoding="utf-8"), "before")
        self.succeed("embed", "--pooling", "last", "-o", path, "a")
        self.assertEqual(json.loads(path.read_text(encoding="utf-8"))["index"], 0)

    def test_an_interrupt_says_that_the_file_is_not_written(self) -> None:
        texts, path = self.folder / "texts", self.folder / "vectors.npy"
        texts.write_text("Once upon a time\n" * 100_000, encoding="utf-8")
        path.write_text("before", encoding="utf-8")
        process = start("embed", "--pooling", "last", "-f", texts, "-o", path)
        while len(list(self.folder.iterdir())) < 3 and process.poll() is None:
            time.sleep(0.01)
        interrupt(process)
        _, said = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, said)
        self.assertIn(f"tern: {path}: interrupted, not written\n", said.decode())
        self.assertEqual(path.read_text(encoding="utf-8"), "before")
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["texts", "vectors.npy"])

    def test_a_missing_pooling_names_the_choices(self) -> None:
        outcome = tern("embed", "a")
        self.assertEqual(outcome.returncode, 2)
        self.assertIn(b"bitnet-b1.58.pooling_type", outcome.stderr)
        self.assertIn(b"choose with --pooling last, mean or cls", outcome.stderr)
        self.assertIn(b"expected one of cls, last, mean", tern("embed", "--pooling", "x").stderr)

    def test_wrong_inputs_are_named(self) -> None:
        for line in (b"{", b"3", b"{}", b'{"text": 3}', b"[]", b""):
            outcome = tern("embed", "--jsonl", input=b'"a"\n' + line + b"\n")
            self.assertEqual(outcome.returncode, 4, line)
            self.assertIn(b"standard input: line 2: expected a JSON string", outcome.stderr)
        self.assertEqual(tern("embed", "--jsonl", "a").returncode, 2)
        self.assertEqual(tern("embed", "-f", "x", "a").returncode, 2)
        self.assertEqual(tern("embed", "-f", self.folder / "missing").returncode, 3)
        missing = self.folder / "missing" / "x.npy"
        self.assertEqual(tern("embed", "--pooling", "last", "-o", missing, "a").returncode, 3)


if __name__ == "__main__":
    main()
