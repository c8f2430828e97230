"""`tern replay` over logs whose answers are those of `tern run`."""

import gzip
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from tern import TERN, CliTest, environment, main, tern


def start_reader(*arguments: str, stdin: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [TERN, *arguments], stdin=stdin, stdout=subprocess.PIPE, env=environment()
    )


class ReplayTest(CliTest):
    fingerprint = ""

    def setUp(self) -> None:
        super().setUp()
        if not ReplayTest.fingerprint:
            # What this program and its model are, it says of a line of another one.
            outcome = tern("replay", self.log(self.line("x", fingerprint="tern-0-f16-0")))
            found = re.search(r"that of this one (\w+)", outcome.stdout.decode())
            assert found, outcome
            version = self.succeed("--version").stdout.decode().split()[1]
            ReplayTest.fingerprint = f"tern-{version}-f16-{found[1]}"

    def log(self, *lines: dict[str, Any]) -> Path:
        path = self.folder / "access.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return path

    def line(self, name: str, **changes: Any) -> dict[str, Any]:
        """Of a completion that `tern run` has written."""
        tokens, text = self.answer()
        found = {
            "event": "http.request",
            "time": 1.0,
            "request_id": name,
            "path": "/v1/completions",
            "status": 200,
            "body": json.dumps({"prompt": "Once upon a time", "max_tokens": 12}),
            "system_fingerprint": changes.pop("fingerprint", self.fingerprint),
            "version": "0+x",
            "model": "another name",
            "seed": 5,
            "created": 1,
            "max_tokens": 12,
            "context": 512,
            "choices": [{"index": 0, "tokens": tokens, "text": text, "finish_reason": "length"}],
        }
        return found | changes

    written: tuple[list[int], str] | None = None

    def answer(self) -> tuple[list[int], str]:
        if ReplayTest.written is None:
            plain = ("--temp", "1", "--top-k", "0", "--top-p", "1", "--min-p", "0", "--seed", "5")
            run = self.succeed("run", "Once upon a time", "-n", "12", "--json", *plain)
            found = json.loads(run.stdout)
            ReplayTest.written = (found["tokens"], found["text"])
        return ReplayTest.written

    def test_identical_answers(self) -> None:
        path = self.log(self.line("a"), {"event": "request.finished"}, self.line("b"))
        outcome = self.succeed("replay", path)
        self.assertEqual(
            outcome.stdout.decode(),
            "a: identical, 1 answers of 12 tokens\nb: identical, 1 answers of 12 tokens\n"
            "2 identical, 0 different, 0 not replayed\n",
        )
        one = self.succeed("replay", path, "--request", "b", "-t", "2", "--tier", "scalar")
        self.assertIn(b"1 identical", one.stdout)
        found = json.loads(self.succeed("replay", path, "--json").stdout)
        self.assertEqual((found["identical"], found["lines_without_content"]), (2, 1))
        self.assertEqual(found["requests"][0]["request_id"], "a")
        self.assertEqual(found["requests"][0]["outcome"], "identical")

    def test_an_answer_that_differs(self) -> None:
        bad = self.line("b")
        tokens = list(bad["choices"][0]["tokens"])
        tokens[7] += 1
        bad["choices"] = [{**bad["choices"][0], "tokens": tokens}]
        outcome = tern("replay", self.log(self.line("a"), bad))
        self.assertEqual(outcome.returncode, 1)
        self.assertIn(b"b: different: choice 0: token 7 was ", outcome.stdout)
        self.assertIn(b"1 identical, 1 different", outcome.stdout)

    def test_another_model_another_version_and_other_keys(self) -> None:
        program, kv, content = self.fingerprint.rsplit("-", 2)
        for fingerprint, words in (
            (f"{program}-{kv}-000000000000", b"another model answered it"),
            (f"tern-0.0.0-{kv}-{content}", b"another version answered it: tern-0.0.0"),
            (f"{program}-int8-{content}", b"its keys and values were int8"),
        ):
            outcome = tern("replay", self.log(self.line("a", fingerprint=fingerprint)))
            self.assertEqual(outcome.returncode, 1)
            self.assertIn(b"a: not replayed: " + words, outcome.stdout)

    def test_broken_lines_spoil_no_others(self) -> None:
        path = self.log(self.line("a"))
        whole = path.read_bytes()
        path.write_bytes(whole + whole[:-20] + b"\n\n" + whole + whole[:-20])
        outcome = tern("replay", path)
        self.assertEqual(outcome.returncode, 1, outcome)
        said = outcome.stdout.decode()
        self.assertIn(f"broken: {path}: line 2: ", said)
        self.assertIn(f"broken: {path}: line 5: the line is cut", said)
        self.assertTrue(
            said.endswith("2 identical, 0 different, 0 not replayed, 2 broken lines\n"), said
        )
        outcome = tern("replay", path, "--json")
        self.assertEqual(outcome.returncode, 1)
        found = json.loads(outcome.stdout)
        self.assertEqual((found["identical"], len(found["broken_lines"])), (2, 2))
        self.assertIn("line 2", found["broken_lines"][0])
        odd = path.rename(self.folder / os.fsdecode(b"log\xff"))
        found = json.loads(tern("replay", odd, "--json").stdout)
        self.assertIn("/log\\xff: line 2", found["broken_lines"][0])

    def test_lines_of_others_do_not_spoil_the_one_that_is_asked_for(self) -> None:
        path = self.log(self.line("a"), self.line("b"))
        whole = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(whole[0][:-20] + b"\n" + whole[1] + b'{"torn')
        found = self.succeed("replay", path, "--request", "b")
        self.assertTrue(found.stdout.endswith(b"1 identical, 0 different, 0 not replayed\n"))
        self.assert_fails(tern("replay", path, "--request", "a"), 2, 'no request "a"', "line 1")
        path.write_bytes(whole[1] + whole[1][:-20])
        self.assertEqual(tern("replay", path, "--request", "b").returncode, 1)

    def test_a_log_is_read_line_by_line(self) -> None:
        """One that is longer than what is read in whole, of lines that are nothing to replay."""
        path = self.log(self.line("a"))
        line = b'{"event":"' + b"x" * (1 << 20) + b'"}\n'
        reader, writer = os.pipe()
        process = start_reader("replay", "-", "--json", stdin=reader)
        os.close(reader)
        with os.fdopen(writer, "wb") as file:
            for _ in range(520):
                file.write(line)
            file.write(path.read_bytes())
        outcome = json.loads(process.communicate()[0])
        self.assertEqual((outcome["identical"], outcome["lines_without_content"]), (1, 520))

    def test_a_log_of_gzip_is_named(self) -> None:
        path = self.folder / "access.jsonl.1.gz"
        path.write_bytes(gzip.compress(b"{}\n"))
        self.assert_fails(tern("replay", path), 2, str(path), "zcat FILE | tern replay -")

    def test_memory_for_keys_and_values_can_be_given(self) -> None:
        path = self.log(self.line("a"))
        less = tern("replay", path, "--kv-memory", "1")
        self.assertIn(b"give more with --kv-memory", less.stdout, less)
        self.succeed("replay", path, "--kv-memory", "64")

    def test_logs_that_are_none(self) -> None:
        path = self.log(self.line("a"))
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        self.assert_fails(tern("replay", path), 4, f"{path}: line 1", "the line is cut")
        path.write_bytes(b"{}\nnot json\n")
        self.assert_fails(tern("replay", path), 4, f"{path}: line 2")
        path.write_bytes(b"{}\n")
        self.assert_fails(tern("replay", path), 2, "--log-prompts", "1 lines without content")
        self.log(self.line("a"))
        self.assert_fails(tern("replay", path, "--request", "c"), 2, 'no request "c"')
        self.log(self.line("a", seed="x"))
        self.assert_fails(tern("replay", path), 4, "line 1: seed", "an integer")
        self.assert_fails(tern("replay", self.folder / "missing"), 3, "missing")
        self.assert_fails(tern("replay"), 2, "LOG")


if __name__ == "__main__":
    main()
