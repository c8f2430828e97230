"""`tern synth`: models of random weights, and what it refuses."""

import hashlib
import signal
import time
from pathlib import Path

from tern import CliTest, main, start, tern

# 28 million ternary weights and an embedding of 49 million.
SMALL = ("synth", "--shape", "large", "--type", "i2_s", "--head", "q6_k", "--layers", "1")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class SynthTest(CliTest):
    def test_a_model_that_runs(self) -> None:
        file = self.folder / "model.gguf"
        outcome = self.succeed(*SMALL, "-o", file)
        self.assertEqual(outcome.stdout, b"")
        self.assertRegex(
            outcome.stderr.decode(),
            rf"\A{file}: large of i2_s and q6_k, seed 0, [0-9.]+ MB of weights in [0-9.]+ s\n\Z",
        )
        found = self.inspect("-m", file)
        self.assertTrue(found["config"]["runs"])
        self.assertEqual(found["metadata"]["general.name"], "synthetic large")
        self.assertEqual(found["types"]["i2_s"]["tensors"], 7)
        self.assertEqual(found["types"]["q6_k"]["values"], 32002 * 1536)
        self.succeed("run", "-m", file, "Hello", "-n", "3")
        self.succeed("verify", "-m", file, "--text", __file__, "-t", "1", "--chunk", "512")

    def test_the_seed_decides_the_bytes(self) -> None:
        hashes = []
        for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
            self.succeed(*SMALL, "--seed", seed, "-o", self.folder / name)
            hashes.append(sha256(self.folder / name))
            (self.folder / name).unlink()
        self.assertEqual(hashes[0], hashes[1])
        self.assertNotEqual(hashes[0], hashes[2])

    def test_bad_input(self) -> None:
        file = self.folder / "model.gguf"
        for arguments, word in (
            (("--shape", "7b", "--type", "i2_s"), "2b4t"),
            (("--shape", "2b4t", "--type", "q4_0"), "i2_s"),
            (("--shape", "2b4t", "--type", "i2_s", "--head", "i2_s"), "q8_0"),
            (("--shape", "2b4t", "--type", "i2_s", "--layers", "0"), "layers"),
            (("--shape", "2b4t", "--type", "i2_s", "--layers", "1025"), "layers"),
            (("--shape", "2b4t", "--type", "i2_s", "--context", "0"), "context"),
            (("--shape", "2b4t", "--type", "i2_s", "--seed", "-1"), "seed"),
            (("--shape", "2b4t", "--type", "i2_s", "--seed", "9" * 20), "seed"),
            (("--shape", "3b", "--type", "i2_s", "--head", "q6_k"), "multiple of 256"),
            (("--shape", "3b", "--type", "tq1_0"), "multiple of 256"),
            (("--shape", "3b", "--type", "tq2_0"), "multiple of 256"),
            (("--shape", "2b4t"), "--type"),
            (("--type", "i2_s"), "--shape"),
        ):
            with self.subTest(arguments):
                self.assert_fails(tern("synth", *arguments, "-o", file), 2, word)
        self.assert_fails(tern("synth", "--shape", "2b4t", "--type", "i2_s"), 2, "--output")
        self.assert_fails(tern(*SMALL, "-o", self.folder / "no" / "file"), 3, "no/file")
        self.assert_fails(tern(*SMALL, "-o", self.folder), 2, str(self.folder), "found a folder")
        self.assert_fails(tern(*SMALL, "-o", "."), 2, "tern: .: expected a file to write")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_interrupt_leaves_nothing(self) -> None:
        file = self.folder / "model.gguf"
        process = start("synth", "--shape", "2b4t", "--type", "i2_s", "-o", file)
        while not list(self.folder.iterdir()) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate()
        self.assertEqual((process.returncode, stdout), (130, b""), stderr)
        self.assertEqual(stderr.decode(), f"tern: {file}: interrupted, not written\n")
        self.assertEqual(list(self.folder.iterdir()), [])


if __name__ == "__main__":
    main()
