"""How this machine reads matrices: `tern tune` and `--tune`."""

import fcntl
import json
import os
import shutil
import struct
import time
from pathlib import Path
from typing import Any

from tern import MODEL, CliTest, Outcome, environment, interrupt, main, start, tern

HEADER = 4096
SHAPES = {(128, 256), (256, 256), (256, 768), (768, 256)}  # of the embedded model
SCALAR = ("--tier", "scalar")  # tuned at once: it has one plan


class TuneTest(CliTest):
    def setUp(self) -> None:
        super().setUp()
        self.cache = self.folder / "cache"

    def tuned(self, *arguments: str | Path, **options: Any) -> Outcome:
        options.setdefault("env", environment(TERN_CACHE_DIR=str(self.cache)))
        return self.succeed(*arguments, **options)

    def tune(self, *arguments: str | Path) -> dict[str, Any]:
        found = json.loads(self.tuned("tune", "--json", *arguments).stdout)
        assert isinstance(found, dict)
        return found

    def run_model(self, *arguments: str | Path, notice: str = "") -> dict[str, Any]:
        outcome = self.tuned("run", "Once", "-n", "4", "--seed", "7", "--json", *arguments)
        return self.report(outcome, notice)

    def entries(self) -> list[Path]:
        return sorted(self.cache.glob("tuning-*.entry"))


class CommandTest(TuneTest):
    def test_says_what_was_tried_kept_and_why_and_changes_no_logit(self) -> None:
        found = self.tune("-t", "2")
        self.assertEqual(found["threads"], 2)
        self.assertIsNone(found["team"])
        self.assertIn(found["tier"], found["made_by"])
        self.assertEqual(found["kept_in"], str(self.cache))
        self.assertEqual({(s["rows"], s["columns"]) for s in found["shapes"]}, SHAPES)
        for shape in found["shapes"]:
            candidates = shape["candidates"]
            self.assertTrue(all(candidate["exact"] for candidate in candidates))
            plans = [{k: c[k] for k in shape["kept"]} for c in candidates]
            self.assertIn(shape["kept"], plans)
            self.assertEqual(shape["own"], shape["kept"] == plans[0])
            self.assertEqual(shape["tile_registers"] is not None, found["tier"] == "amx")
            finalists = [candidate for candidate in candidates if candidate["ratio"]]
            self.assertEqual(len(finalists), 0 if len(candidates) == 1 else 3)
            if not shape["own"]:
                kept = candidates[plans.index(shape["kept"])]
                self.assertLessEqual(kept["ratio"]["median"], 0.97)
        (entry,) = self.entries()
        self.assertEqual(entry.stat().st_mode & 0o7777, 0o600)
        self.assertLess(entry.stat().st_size, 2 * HEADER)
        hashes = set()
        for how in ("off", "load"):
            verified = self.tuned("verify", "-t", "2", "--json", "--tune", how)
            hashes.add(json.loads(verified.stdout)["logits_sha256"])
        self.assertEqual(len(hashes), 1)

    def test_text(self) -> None:
        text = self.tuned("tune", *SCALAR).stdout.decode()
        self.assertRegex(text, r"\nthreads: kept \d+: there is no other number\n  \* \d+\n")
        for rows, columns in SHAPES:
            self.assertIn(f"{rows} x {columns}: 1 candidates", text)
        self.assertIn("all exact; kept two-bits", text)
        self.assertIn("the tier has no other", text)
        self.assertIn("bytes ahead", text)
        self.assertNotIn("us a matrix", text)  # there was nothing to compare
        for shape in self.tune(*SCALAR)["shapes"]:
            self.assertEqual([candidate["seconds"] for candidate in shape["candidates"]], [None])
        self.assertIn(f"kept in {self.cache}", text)

    def test_shapes_of_another_model_are_kept_beside(self) -> None:
        other = self.folder / "other.gguf"
        self.succeed("synth", "--shape", "large", "--layers", "1", "--type", "i2_s", "-o", other)
        self.tune(*SCALAR)
        self.tune(*SCALAR, "-m", other)
        self.assertEqual(len(self.entries()), 1)
        # Nothing is missing, neither of the one nor of the other.
        for model in (MODEL, other):
            report = self.run_model(*SCALAR, "--tune", "auto", "-m", model)
            self.assertEqual(report["tuning"], "loaded")

    def test_what_cannot_be_kept_is_said(self) -> None:
        file = self.folder / "file"
        file.touch()
        outcome = self.tuned("tune", *SCALAR, "--json", env=environment(TERN_CACHE_DIR=str(file)))
        self.assertIsNone(json.loads(outcome.stdout)["kept_in"])
        self.assertRegex(outcome.stderr.decode(), r"\Atern: tuning: [^\n]+ is not kept\n\Z")

    def test_two_at_once_forget_nothing_of_each_other(self) -> None:
        models = []
        for shape in ("large", "3b"):
            models.append(self.folder / f"{shape}.gguf")
            self.succeed("synth", "--shape", shape, "--layers", "1", "--type", "i2_s",
                         "-o", models[-1])  # fmt: skip
        self.tune(*SCALAR, "-t", "2")
        (entry,) = self.entries()
        before = entry.read_bytes()
        self.tune(*SCALAR, "-t", "2", "-m", models[0])
        of_both = entry.read_bytes()
        # A process that has looked at the entry, and must wait before it may write.
        lock = os.open(self.cache, os.O_RDONLY)
        self.addCleanup(os.close, lock)
        while True:
            entry.write_bytes(before)
            os.utime(entry, (0, 0))
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = start("tune", *SCALAR, "-t", "2", "-m", models[1],
                            env=environment(TERN_CACHE_DIR=str(self.cache)))  # fmt: skip
            while entry.stat().st_mtime == 0 and process.poll() is None:
                time.sleep(0.001)
            other = self.folder / "other"  # meanwhile another process keeps its own
            other.write_bytes(of_both)
            other.chmod(0o600)
            other.rename(entry)
            fcntl.flock(lock, fcntl.LOCK_UN)
            _, errors = process.communicate(timeout=100)
            self.assertEqual(process.returncode, 0, errors)
            if not errors:
                break  # else this one was so late that the other had given up waiting
        for model in (MODEL, *models):
            report = self.run_model(*SCALAR, "-t", "2", "-m", model, "--tune", "auto")
            self.assertEqual(report["tuning"], "loaded", model)

    def test_an_interrupt_ends_it_whoever_measures(self) -> None:
        model = self.folder / "model.gguf"
        self.succeed("synth", "--shape", "large", "--layers", "1", "--type", "i2_s", "-o", model)
        for command in (
            ("tune",),
            ("bench", "--tune", "full"),
            ("run", "Once", "--tune", "full"),
            ("perplexity", "-f", model, "--tune", "full", "--chunks", "1"),
        ):
            env = environment(TERN_CACHE_DIR=str(self.cache))
            process = start(*command, "-m", model, "-t", "2", env=env)
            time.sleep(0.5)
            interrupt(process)
            process.communicate(timeout=100)
            self.assertEqual(process.returncode, 130, command)
            self.assertEqual(self.entries(), [], command)

    def test_a_file_without_ternary_matrices_is_refused(self) -> None:
        empty = self.folder / "empty.gguf"
        empty.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + bytes(8))
        self.assert_fails(tern("tune", "-m", empty), 5, "empty.gguf", "found none")

    def test_usage(self) -> None:
        self.assert_fails(tern("tune", "-m", self.folder / "none"), 3, "none")
        self.assert_fails(tern("run", "x", "--tune", "perhaps"), 2, "perhaps")


class LoadingTest(TuneTest):
    def test_what_was_tuned_is_used_and_changes_nothing(self) -> None:
        texts = {self.run_model(*SCALAR, "--tune", "off")["text"]}
        self.assertEqual(self.run_model(*SCALAR)["tuning"], "none")
        self.assertFalse(self.cache.exists())  # a look makes no directory
        for how, outcome in (("auto", "measured"), ("auto", "loaded"), ("load", "loaded"),
                             ("full", "measured"), ("off", "off")):  # fmt: skip
            report = self.run_model(*SCALAR, "--tune", how)
            self.assertEqual(report["tuning"], outcome, how)
            texts.add(report["text"])
        self.assertEqual(self.run_model(*SCALAR)["tuning"], "loaded")
        self.assertEqual(len(texts), 1)

    def test_each_tier_and_number_of_threads_has_its_own(self) -> None:
        self.tune(*SCALAR, "-t", "2")
        self.assertEqual(self.run_model(*SCALAR, "-t", "2")["tuning"], "loaded")
        self.assertEqual(self.run_model(*SCALAR, "-t", "3")["tuning"], "none")
        self.tune(*SCALAR, "-t", "3")
        self.assertEqual(len(self.entries()), 2)

    def check_team(self, found: dict[str, Any]) -> None:
        team = found["team"]
        self.assertEqual(team["kept"], found["threads"])
        candidates = team["candidates"]
        counts = [candidate["threads"] for candidate in candidates]
        self.assertEqual(counts, sorted(set(counts), reverse=True))
        self.assertIn(team["kept"], counts)
        self.assertTrue(all(candidate["exact"] for candidate in candidates))
        self.assertIsNone(candidates[0]["decode_ratio"])
        for candidate in candidates[1:]:
            self.assertEqual(candidate["decode_ratio"]["rounds"], 25)
            if candidate["threads"] == team["kept"]:
                self.assertLessEqual(candidate["decode_ratio"]["median"], 0.97)
                self.assertLessEqual(candidate["prompts_ratio"]["median"], 1.03)

    def test_the_number_of_threads_is_used_unless_another_is_asked_for(self) -> None:
        report = self.run_model()
        self.assertEqual(report["threads_from"], "cores")
        cores = report["threads"]
        found = self.tune()
        kept = found["threads"]
        self.check_team(found)
        report = self.run_model()
        where = (report["threads"], report["threads_from"], report["tuning"])
        self.assertEqual(where, (kept, "tuned", "loaded"))
        other = kept + 1
        report = self.run_model("-t", str(other), notice=f"{other} threads as asked; `tern tune`")
        self.assertEqual((report["threads"], report["threads_from"]), (other, "asked"))
        report = self.run_model("-t", str(kept))
        self.assertEqual((report["threads"], report["threads_from"]), (kept, "asked"))
        report = self.run_model("--tune", "off")
        self.assertEqual((report["threads"], report["threads_from"]), (cores, "cores"))

    def test_the_number_of_threads_is_the_model_s(self) -> None:
        other = self.folder / "other.gguf"
        self.succeed("synth", "--shape", "large", "--layers", "1", "--type", "i2_s", "-o", other)
        self.tune(*SCALAR)
        self.assertEqual(self.run_model(*SCALAR)["threads_from"], "tuned")
        self.assertEqual(self.run_model(*SCALAR, "-m", other)["threads_from"], "cores")

    def test_each_number_of_cores_has_its_own(self) -> None:
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) == 1:
            self.skipTest("there is one core")

        def on_one_core() -> None:
            os.sched_setaffinity(0, cores[:1])

        self.tune(*SCALAR, "-t", "2")
        found = self.tuned("tune", "--json", *SCALAR, "-t", "2", preexec_fn=on_one_core)
        self.assertIn(" 1 cores", json.loads(found.stdout)["made_by"])
        self.assertEqual(len(self.entries()), 2)
        self.assertEqual(self.run_model(*SCALAR, "-t", "2")["tuning"], "loaded")
        listed = json.loads(self.tuned("cache", "ls", "--json").stdout)["entries"]
        self.assertEqual(len({entry["layout"] for entry in listed}), 2)

    def test_it_says_of_which_cpu_and_build_it_is(self) -> None:
        made_by = self.tune(*SCALAR, "-t", "2")["made_by"]
        program = self.tuned("version").stdout.decode().splitlines()[0]
        self.assertEqual(made_by.split(" on ")[0], program.replace("(commit ", "("))
        telling = ("cpu family", "CPU implementer")
        if any(name in Path("/proc/cpuinfo").read_text() for name in telling):
            self.assertTrue(any(name in made_by for name in telling), made_by)

    def test_a_directory_that_cannot_be_used_is_said(self) -> None:
        self.tune(*SCALAR, "-t", "2")
        self.cache.chmod(0o777)
        report = self.run_model(*SCALAR, "-t", "2", notice="no other may write to")
        self.assertIn("no other may write to", report["tuning"])

    def test_damage_is_said_and_ignored(self) -> None:
        self.tune(*SCALAR)
        (entry,) = self.entries()
        content = entry.read_bytes()
        text = self.run_model(*SCALAR)["text"]
        for offset in (0, HEADER, HEADER + 30, len(content) - 1):
            damaged = bytearray(content)
            damaged[offset] ^= 1
            entry.write_bytes(damaged)
            report = self.run_model(*SCALAR, notice="ignored, `tern tune` makes it again")
            self.assertIn(str(self.cache), report["tuning"])
            self.assertEqual((report["text"], report["threads_from"]), (text, "cores"))
        entry.write_bytes(content[:-5])
        self.run_model(*SCALAR, notice="ignored")
        report = self.run_model(*SCALAR, "--tune", "auto", notice="ignored")
        self.assertEqual(report["tuning"], "measured")
        self.assertEqual(self.run_model(*SCALAR)["tuning"], "loaded")

    def test_that_of_another_machine_is_said_and_ignored(self) -> None:
        self.tune(*SCALAR, "-t", "2")
        (other,) = self.entries()
        self.tune(*SCALAR, "-t", "3")
        (mine,) = set(self.entries()) - {other}
        shutil.copy(other, mine)
        report = self.run_model(*SCALAR, "-t", "3", notice="expected one made by tern")
        self.assertIn("found one made by tern", report["tuning"])

    def test_packed_weights_and_tuning_share_the_directory(self) -> None:
        model = self.folder / "model.gguf"
        shutil.copy(MODEL, model)
        self.tune(*SCALAR, "-m", model)
        for outcome in ("stored", "hit"):
            report = self.run_model(*SCALAR, "-m", model, "--cache", "on")
            self.assertEqual((report["cache"], report["tuning"]), (outcome, "loaded"))
        listed = json.loads(self.tuned("cache", "ls", "--json").stdout)["entries"]
        self.assertEqual(len(listed), 2)
        self.assertTrue(any(entry["layout"].startswith("tuning, ") for entry in listed))


if __name__ == "__main__":
    main()
