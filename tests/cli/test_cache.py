"""Packed weights that are kept on disk: `--cache` and `tern cache`."""

import fcntl
import json
import os
import re
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Any

from checkpoints import Gguf
from tern import MODEL, TERN, CliTest, Outcome, environment, main, tern

HEADER = 4096
RUN = ("run", "Once", "-n", "4", "--seed", "7", "--json", "--cache")


class CacheTest(CliTest):
    def setUp(self) -> None:
        super().setUp()
        self.model = self.folder / "model.gguf"
        shutil.copy(MODEL, self.model)
        self.cache = self.folder / "cache"

    def environment(self) -> dict[str, str]:
        return environment(TERN_CACHE_DIR=str(self.cache))

    def cached(self, *arguments: str | Path, **options: Any) -> Outcome:
        options.setdefault("env", self.environment())
        return self.succeed(*arguments, **options)

    def run_model(
        self, *arguments: str | Path, cache: str = "on", notice: str = "", **options: Any
    ) -> dict[str, Any]:
        outcome = self.cached(*RUN, cache, "-m", self.model, *arguments, **options)
        return self.report(outcome, notice)

    def entries(self) -> list[Path]:
        return sorted(self.cache.glob("*.entry"))

    def listed(self) -> list[dict[str, Any]]:
        found = json.loads(self.cached("cache", "ls", "--json").stdout)
        self.assertEqual(found["directory"], str(self.cache))
        entries = found["entries"]
        assert isinstance(entries, list)
        return entries

    def flip(self, file: Path, offset: int) -> None:
        with file.open("r+b") as stream:
            stream.seek(offset)
            byte = stream.read(1)[0]
            stream.seek(offset)
            stream.write(bytes([byte ^ 1]))


def with_other_trits(model: bytes) -> bytes:
    """The model with ternary rows in reverse; bytes of I2_S lack code 3."""
    trits = bytes(b for b in range(256) if all((b >> shift) & 3 != 3 for shift in (0, 2, 4, 6)))
    matrix = b"[" + re.escape(trits) + b"]{4096}"
    half = len(model) // 2  # before it are the metadata
    return model[:half] + re.sub(
        matrix, lambda found: found[0][::-1], model[half:], flags=re.DOTALL
    )


class LoadingTest(CacheTest):
    def test_second_start_takes_the_weights_and_computes_the_same(self) -> None:
        hashes = set()
        for cache, outcome in (("off", "off"), ("on", "stored"), ("on", "hit"), ("off", "off")):
            report = self.run_model(cache=cache)
            self.assertEqual(report["cache"], outcome)
            self.assertTrue(report["proved"])
            verified = self.cached("verify", "-m", self.model, "--json", "--cache", cache)
            hashes.add((json.loads(verified.stdout)["logits_sha256"], report["text"]))
        self.assertEqual(len(hashes), 1)
        self.assertEqual(len(self.entries()), 1)
        self.assertEqual(self.entries()[0].stat().st_mode & 0o7777, 0o600)
        self.assertEqual(self.cache.stat().st_mode & 0o7777, 0o700)

    def test_nothing_is_kept_of_small_models_unless_asked(self) -> None:
        self.assertEqual(self.run_model(cache="auto")["cache"], "small model")
        embedded = json.loads(self.cached(*RUN, "on").stdout)
        self.assertEqual(embedded["cache"], "embedded model")
        self.assertFalse(self.cache.exists())

    def test_what_is_not_proved_is_not_kept(self) -> None:
        self.assertEqual(self.run_model("--no-verify")["cache"], "not proved")
        self.assertEqual(self.entries(), [])
        self.assertEqual(self.run_model()["cache"], "stored")
        self.assertEqual(self.run_model("--no-verify")["cache"], "hit")

    def test_a_model_that_changed_is_packed_again(self) -> None:
        self.assertEqual(self.run_model()["cache"], "stored")
        before = self.model.stat()
        os.utime(self.model, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        self.assertEqual(self.run_model()["cache"], "stored")
        self.flip(self.model, self.model.stat().st_size - 1)  # a model still
        os.utime(self.model, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
        self.assertEqual(self.run_model()["cache"], "stored")
        copy = self.folder / "copy"
        shutil.copy2(self.model, copy)
        copy.rename(self.model)
        self.assertEqual(self.run_model()["cache"], "stored")
        self.assertEqual(len(self.entries()), 1)  # those of the former contents are gone
        self.assertEqual(self.run_model()["cache"], "hit")

    def test_a_damaged_entry_is_said_and_packed_again(self) -> None:
        text = self.run_model()["text"]
        entry = self.entries()[0]
        size = entry.stat().st_size
        for offset in (0, 100, HEADER, HEADER + 300_000, size - 1):
            self.flip(entry, offset)
            report = self.run_model(notice="packed again")
            self.assertEqual((report["cache"], report["text"]), ("stored", text))
            self.assertEqual(self.run_model()["cache"], "hit")
        os.truncate(entry, size // 2)
        self.assertEqual(self.run_model(notice="packed again")["text"], text)
        entry.unlink()
        entry.symlink_to(self.model)
        content = self.model.read_bytes()
        self.assertEqual(self.run_model(notice="packed again")["cache"], "stored")
        self.assertEqual(self.model.read_bytes(), content)

    def test_an_entry_that_is_not_of_its_model_is_said_and_packed_again(self) -> None:
        text = self.run_model()["text"]
        other = self.folder / "other.gguf"
        other.write_bytes(with_other_trits(self.model.read_bytes()))
        self.cached(*RUN, "on", "-m", other)
        keys = {entry["model"]: entry["key"] for entry in self.listed()}
        entry, wrong = (
            self.cache / (keys[str(model.resolve())] + ".entry") for model in (self.model, other)
        )
        shutil.copy(wrong, entry)
        report = self.run_model(notice="do not pass the proof; packed again")
        self.assertEqual((report["cache"], report["text"]), ("stored", text))
        self.assertTrue(report["proved"])
        self.assertEqual(self.run_model()["cache"], "hit")
        shutil.copy(wrong, entry)
        with entry.open("rb") as reader:  # it cannot be removed, but replaced
            fcntl.flock(reader, fcntl.LOCK_SH)
            report = self.run_model(notice="do not pass the proof; packed again")
            self.assertEqual((report["cache"], report["text"]), ("stored", text))

    def test_without_room_a_run_goes_on(self) -> None:
        text = self.run_model(cache="off")["text"]

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

        report = self.run_model(notice="going on without it", preexec_fn=limit)
        self.assertEqual(report["text"], text)
        self.assertEqual(list(self.cache.iterdir()), [])

    def test_without_a_place_a_run_goes_on(self) -> None:
        file = self.folder / "file"
        file.touch()
        for place, named in (
            (file, file),
            (file / "cache", file),
            (Path("/proc/tern-cache"), Path("/proc/tern-cache")),
        ):
            variables = environment(TERN_CACHE_DIR=str(place))
            report = self.run_model("--tune", "off", notice="going on without it", env=variables)
            self.assertIn(str(named), report["cache"])
        self.cache.mkdir(mode=0o700)
        self.cache.chmod(0o777)
        self.run_model("--tune", "off", notice="no other may write to")
        nowhere = environment()
        for name in ("HOME", "XDG_CACHE_HOME", "TERN_CACHE_DIR"):
            nowhere.pop(name, None)
        self.run_model(notice="set TERN_CACHE_DIR or HOME", env=nowhere)

    def test_the_directory_follows_the_environment(self) -> None:
        for variables, place in (
            ({"XDG_CACHE_HOME": "xdg", "HOME": "home"}, "xdg/tern"),
            ({"XDG_CACHE_HOME": "", "HOME": "home"}, "home/.cache/tern"),
            ({"TERN_CACHE_DIR": "own", "XDG_CACHE_HOME": "xdg", "HOME": "home"}, "own"),
        ):
            absolute = {k: str(self.folder / v) if v else "" for k, v in variables.items()}
            self.run_model(env=environment(TERN_CACHE_DIR="") | absolute)
            self.assertEqual(len(list((self.folder / place).glob("*.entry"))), 1, place)

    def test_starts_at_once_do_not_meet(self) -> None:
        arguments = [TERN, *RUN, "on", "-m", str(self.model)]
        processes = [
            subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self.environment(),
            )
            for _ in range(4)
        ]
        texts = set()
        for process in processes:
            stdout, stderr = process.communicate()
            self.assertEqual(process.returncode, 0, stderr)
            texts.add(json.loads(stdout)["text"])
        self.assertEqual(len(texts), 1)
        self.assertEqual(len(list(self.cache.iterdir())), 1)
        self.assertEqual(self.run_model()["cache"], "hit")

    def test_load_is_an_event(self) -> None:
        file = self.folder / "events"
        for weights, cache in (("packed", "stored"), ("cache", "hit")):
            self.run_model("--events", file)
            lines = file.read_text(encoding="utf-8").splitlines()
            loaded = json.loads(lines[0])
            self.assertEqual(loaded["event"], "model.loaded")
            self.assertEqual((loaded["weights"], loaded["cache"]), (weights, cache))
            self.assertGreater(loaded["seconds"], loaded["proof_seconds"])
            self.assertGreater(loaded["bytes"], 0)


class VerifyTest(CacheTest):
    """`tern verify --cache on` compares all of the entry with the file."""

    def entry_of(self, model: Path) -> Path:
        keys = {entry["model"]: entry["key"] for entry in self.listed()}
        return self.cache / f"{keys[str(model.resolve())]}.entry"

    def take_entry_of(self, content: bytes) -> Path:
        """The entry of another model in the place of this one's."""
        other = self.folder / "other.gguf"
        other.write_bytes(content)
        self.cached(*RUN, "on", "-m", other)
        entry = self.entry_of(self.model)
        shutil.copy(self.entry_of(other), entry)
        return entry

    def test_says_how_much_was_compared(self) -> None:
        def verify(*cache: str) -> tuple[str, int]:
            outcome = self.cached("verify", "-m", self.model, "--json", *cache)
            self.assertEqual(outcome.stderr, b"")
            found = json.loads(outcome.stdout)
            return found["cache"], found["cache_compared"]

        self.assertEqual(verify(), ("off", 0))
        self.assertEqual(self.run_model()["cache"], "stored")
        blobs = self.inspect("-m", self.model)["types"]["i2_s"]["tensors"] + 1  # the head's copy
        self.assertEqual(verify("--cache", "on"), ("hit", blobs))
        self.assertEqual(verify("--cache", "auto"), ("small model", 0))
        text = self.cached("verify", "-m", self.model, "--cache", "on").stdout.decode()
        self.assertIn(f"cache   hit: {blobs} packed matrices of it equal those of the file\n", text)
        self.cached("cache", "clear")
        self.assertEqual(verify("--cache", "auto"), ("small model", 0))

    def test_asked_for_and_nothing_to_compare_is_an_error(self) -> None:
        verify = ("verify", "-m", self.model, "--cache", "on")
        words = ("--cache on", "expected a whole entry of this model to compare, found none")
        outcome = tern(*verify, env=self.environment())
        self.assert_fails(outcome, 3, *words, "stored now", "verify again")
        self.assertEqual(outcome.stdout, b"")
        self.cached(*verify)
        self.flip(self.entries()[0], HEADER)
        self.assertEqual(tern(*verify, env=self.environment()).returncode, 3)
        self.cached(*verify)
        file = self.folder / "file"
        file.touch()
        nowhere = environment(TERN_CACHE_DIR=str(file))
        outcome = tern(*verify, "--tune", "off", env=nowhere)
        self.assertRegex(outcome.stderr, rb"found none .*/file: .*run.*tern cache ls")
        self.assert_fails(tern("verify", "--cache", "on"), 3, *words, "embedded model")

    def test_one_other_trit_in_a_row_that_no_start_looks_at(self) -> None:
        self.run_model()
        gguf = Gguf(self.model)
        name, (shape, _, offset, _) = next(
            (name, tensor) for name, tensor in gguf.tensors.items() if "ffn_up" in name
        )
        content = bytearray(self.model.read_bytes())
        at = offset + 40 * shape[0] // 4  # the proof looks at each 17th row
        content[at] = 0b01010101 if content[at] != 0b01010101 else 0b01010110
        entry = self.take_entry_of(content)
        before = entry.read_bytes()
        self.assertEqual(self.run_model()["cache"], "hit")  # as ever: rows are compared
        outcome = tern("verify", "-m", self.model, "--cache", "on", env=self.environment())
        words = (entry.stem, name, "expected what is packed of the model file", "tern cache clear")
        self.assert_fails(outcome, 6, *words)
        self.assertRegex(outcome.stderr, rb"found another byte at [0-9]+ of [0-9]+")
        self.assertEqual(outcome.stdout, b"")
        self.assertEqual(entry.read_bytes(), before)
        self.cached("cache", "clear")
        self.run_model()
        self.cached("verify", "-m", self.model, "--cache", "on")

    def test_one_other_value_of_the_head(self) -> None:
        self.run_model()
        shape, _, offset, size = Gguf(self.model).tensors["token_embd.weight"]
        content = bytearray(self.model.read_bytes())
        row = 1000  # each start looks at four rows in about 273
        content[offset + size // shape[1] * row + 1] ^= 0x80  # another sign
        self.take_entry_of(content)
        self.assertEqual(self.run_model()["cache"], "hit")
        outcome = tern("verify", "-m", self.model, "--cache", "on", env=self.environment())
        self.assert_fails(outcome, 6, "token_embd.weight int8-1", "tern cache clear")


class BudgetTest(CacheTest):
    def environment(self) -> dict[str, str]:
        return super().environment() | {"TERN_CACHE_BUDGET": self.budget}

    budget = ""

    def shown(self) -> int:
        found = json.loads(self.cached("cache", "ls", "--json").stdout)["budget_bytes"]
        assert isinstance(found, int)
        return found

    def test_is_32_gib_or_what_the_environment_says(self) -> None:
        self.assertEqual(self.shown(), 32 << 30)
        self.budget = "3"
        self.assertEqual(self.shown(), 3 << 20)
        self.assertIn(b", at most 3.1 MB\n", self.cached("cache", "ls").stdout)

    def test_entries_go_for_it(self) -> None:
        self.run_model()
        size = self.entries()[0].stat().st_size
        self.budget = str(-(-size // (1 << 20)))  # for one
        other = self.folder / "other.gguf"
        shutil.copy(self.model, other)
        self.cached(*RUN, "on", "-m", other)
        self.assertEqual([entry["model"] for entry in self.listed()], [str(other.resolve())])
        self.budget = str(size >> 20)
        self.run_model(notice=f"the budget is {size >> 20 << 20}; going on without it")

    def test_what_is_no_number_of_mib_is_said(self) -> None:
        for self.budget in ("0", "-1", "32G", "1e3", " 1", "1073741825", str(1 << 64)):
            with self.subTest(self.budget):
                report = self.run_model("--tune", "off", notice="TERN_CACHE_BUDGET: expected MiB")
                self.assertIn("expected MiB, 1 to 1073741824", report["cache"])
                outcome = tern("cache", "ls", env=self.environment())
                self.assert_fails(outcome, 2, "TERN_CACHE_BUDGET", f'found "{self.budget}"')
        self.assertFalse(self.cache.exists())


class CommandTest(CacheTest):
    def test_ls_names_model_layout_size_and_last_use(self) -> None:
        self.assertEqual(self.listed(), [])
        self.run_model()
        (entry,) = self.listed()
        file = self.entries()[0]
        self.assertEqual(entry["model"], str(self.model.resolve()))
        self.assertRegex(entry["layout"], r"\A(five-trits|two-bits)-\d+\Z")
        self.assertEqual(entry["bytes"], file.stat().st_size)
        self.assertAlmostEqual(entry["last_use"], file.stat().st_mtime, places=3)
        text = self.cached("cache", "ls").stdout.decode()
        self.assertIn(str(self.model.resolve()), text.splitlines()[0])
        self.assertIn(entry["layout"], text.splitlines()[0])
        self.assertIn("in 1 entries", text.splitlines()[1])
        self.run_model()
        self.assertGreater(self.listed()[0]["last_use"], entry["last_use"])

    def test_ls_shows_what_is_damaged(self) -> None:
        self.run_model()
        self.flip(self.entries()[0], 8)
        (entry,) = self.listed()
        self.assertIsNone(entry["model"])
        self.assertIn(b"(damaged, or of another version)", self.cached("cache", "ls").stdout)

    def test_clear_removes_all_or_those_of_a_model(self) -> None:
        other = self.folder / "other.gguf"
        shutil.copy(self.model, other)
        self.run_model()
        self.cached(*RUN, "on", "-m", other)
        self.assertEqual(len(self.entries()), 2)
        said = self.cached("cache", "clear", "-m", other).stdout.decode()
        self.assertRegex(said, r"\Aremoved [0-9.]+ MB of .*/other\.gguf\n\Z")
        self.assertEqual([entry["model"] for entry in self.listed()], [str(self.model.resolve())])
        self.assertEqual(self.cached("cache", "clear", "-m", other).stdout, b"nothing to remove\n")
        removed = json.loads(self.cached("cache", "clear", "--json").stdout)
        self.assertEqual(len(removed["removed"]), 1)
        self.assertEqual(removed["in_use"], [])
        self.assertEqual(self.entries(), [])

    def test_files_of_others_stay(self) -> None:
        self.cache.mkdir(mode=0o700)
        content = {"thesis.part": b"x", "notes.entry": b"y", "zeros.part": bytes(9000)}
        for name, written in content.items():
            (self.cache / name).write_bytes(written)
        (self.cache / "aaa.entry").mkdir()
        self.run_model()
        self.assertEqual(len(self.listed()), 1)
        self.assertRegex(self.cached("cache", "clear").stdout, rb"\Aremoved [^\n]+\n\Z")
        for name, written in content.items():
            self.assertEqual((self.cache / name).read_bytes(), written)
        self.assertEqual(len(list(self.cache.iterdir())), 4)

    def test_clear_goes_on_where_an_entry_cannot_be_removed(self) -> None:
        other = self.folder / "other.gguf"
        shutil.copy(self.model, other)
        self.run_model()
        self.cached(*RUN, "on", "-m", other)
        user = os.geteuid() or 65534  # root may remove all
        self.folder.chmod(0o755)
        for path in (self.cache, *self.entries()):
            os.chown(path, user, -1)
        self.cache.chmod(0o500)
        outcome = tern("cache", "clear", "--json", env=self.environment(), user=user)
        self.assertEqual(outcome.returncode, 3)
        self.assertIn(b"could not remove 2 of the entries", outcome.stderr)
        found = json.loads(outcome.stdout)
        self.assertEqual((found["removed"], found["in_use"]), ([], []))
        self.assertEqual(len({entry["key"] for entry in found["failed"]}), 2)
        for entry in found["failed"]:
            self.assertIn("cannot remove the cache entry", entry["error"])
        outcome = tern("cache", "clear", env=self.environment(), user=user)
        self.assertEqual(outcome.returncode, 3)
        self.assertEqual(outcome.stdout.count(b"\n"), 2)
        self.assertRegex(outcome.stdout, rb"\Anot removed: [0-9.]+ MB of [^\n]+cannot remove")
        self.cache.chmod(0o700)

    def test_what_a_killed_writer_left_is_shown_and_cleared(self) -> None:
        self.run_model()
        entry = self.entries()[0]
        part = self.cache / f"{'0' * 32}.part"
        entry.rename(part)
        part.write_bytes(part.read_bytes()[:HEADER] + bytes(1000))
        (found,) = self.listed()
        self.assertEqual((found["unfinished"], found["bytes"]), (True, HEADER + 1000))
        self.assertIn(b"(unfinished)", self.cached("cache", "ls").stdout)
        with part.open("rb") as writer:
            fcntl.flock(writer, fcntl.LOCK_EX)
            self.assertIn(b"in use, kept: ", self.cached("cache", "clear").stdout)
        self.assertIn(b"removed ", self.cached("cache", "clear").stdout)
        self.assertEqual(list(self.cache.iterdir()), [])

    def test_an_entry_whose_model_is_gone_is_marked_and_can_be_cleared(self) -> None:
        self.run_model()
        self.assertFalse(self.listed()[0]["gone"])
        self.model.rename(self.folder / "renamed.gguf")
        self.assertTrue(self.listed()[0]["gone"])
        self.assertIn(b"model.gguf (gone)\n", self.cached("cache", "ls").stdout)
        self.assertIn(b"removed ", self.cached("cache", "clear", "-m", self.model).stdout)

    def test_a_look_makes_no_directory(self) -> None:
        for place in (self.cache, Path("/proc/tern-cache")):
            variables = environment(TERN_CACHE_DIR=str(place))
            found = json.loads(self.cached("cache", "ls", "--json", env=variables).stdout)
            self.assertEqual((found["directory"], found["entries"]), (str(place), []))
            said = self.cached("cache", "clear", env=variables).stdout
            self.assertEqual(said, b"nothing to remove\n")
            self.assertFalse(place.exists())

    def test_clear_of_a_model_of_a_hub_asks_nobody(self) -> None:
        variables = self.environment() | {
            "HF_HOME": str(self.folder / "hf"),
            "HF_ENDPOINT": "http://127.0.0.1:9",  # nobody is there
        }
        self.run_model()
        for model in ("bitnet-2b-4t", "hf://org/repo"):
            outcome = self.cached("cache", "clear", "-m", model, env=variables)
            self.assertEqual((outcome.stdout, outcome.stderr), (b"nothing to remove\n", b""))
        self.assertEqual(len(self.entries()), 1)

    def test_paths_that_are_no_utf8_are_valid_json(self) -> None:
        odd = os.fsdecode(b"odd-\xff")
        self.cache = self.folder / odd
        self.model = self.model.rename(self.folder / f"{odd}.gguf")
        self.run_model()
        found = json.loads(self.cached("cache", "ls", "--json").stdout)
        self.assertTrue(found["directory"].endswith("/odd-\ufffd"), found)
        self.assertTrue(found["entries"][0]["model"].endswith("/odd-\ufffd.gguf"), found)
        removed = json.loads(self.cached("cache", "clear", "-m", self.model, "--json").stdout)
        self.assertEqual(removed["removed"], found["entries"])

    def test_a_long_path_is_its_model(self) -> None:
        deep = self.folder.joinpath(*["d" * 200] * 6)
        deep.mkdir(parents=True)
        self.model = self.model.rename(deep / "model.gguf")
        self.run_model()
        self.model.touch()
        self.assertEqual(self.run_model()["cache"], "stored")
        self.assertEqual(len(self.entries()), 1)
        self.assertIn(b"removed", self.cached("cache", "clear", "-m", self.model).stdout)
        self.assertEqual(self.entries(), [])

    def test_clear_keeps_what_is_in_use(self) -> None:
        self.run_model()
        with self.entries()[0].open("rb") as reader:
            fcntl.flock(reader, fcntl.LOCK_SH)
            self.assertRegex(self.cached("cache", "clear").stdout.decode(), r"\Ain use, kept: ")
            found = json.loads(self.cached("cache", "clear", "--json").stdout)
            self.assertEqual((found["removed"], len(found["in_use"])), ([], 1))
        self.assertEqual(len(self.entries()), 1)

    def test_usage(self) -> None:
        self.assert_fails(tern("cache"), 2)
        self.assert_fails(tern("run", "x", "--cache", "perhaps"), 2, "perhaps")
        file = self.folder / "file"
        file.touch()
        variables = environment(TERN_CACHE_DIR=str(file))
        self.assert_fails(tern("cache", "ls", env=variables), 3, str(file))


if __name__ == "__main__":
    main()
