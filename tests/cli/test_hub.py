"""Models of a hub on the command line: pull, list, rm, -m, inspect and convert by ranges."""

import json
import os
import re
import signal
import stat
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "hub"))

import hub_server
from checkpoints import Gguf, Model
from tern import MODEL, CliTest, Outcome, environment, main, start, tern

TOKEN = "hf_verysecret"  # noqa: S105 of a server that is ours
COMMIT = hub_server.COMMIT
REF = "hf://org/repo"


class HubTest(CliTest):
    def setUp(self) -> None:
        super().setUp()
        tales = {"tales.gguf": MODEL.read_bytes(), "README.md": b"# A model\n"}
        self.serve(tales)
        kept = {k: v for k, v in environment().items() if not k.startswith("HF_")}
        kept |= {"HOME": str(self.folder / "home"), "HF_HOME": str(self.folder / "hf")}
        kept |= {"HF_TOKEN": TOKEN}
        for unwanted in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "http_proxy", "all_proxy"):
            kept.pop(unwanted, None)
        self.environment = kept
        self.use("ok")

    def serve(self, files: dict[str, bytes]) -> None:
        self.hub, self.port, self.cdn = hub_server.start(files)

    def use(self, fault: str) -> None:
        self.environment["HF_ENDPOINT"] = f"http://127.0.0.1:{self.port}/{fault}"

    def tern(self, *arguments: str | Path) -> Outcome:
        outcome = tern(*arguments, env=self.environment)
        self.assertNotIn(b"secret", outcome.stdout + outcome.stderr)
        return outcome

    def pull(self, *arguments: str) -> Outcome:
        outcome = self.tern("pull", *arguments)
        self.assertEqual(outcome.returncode, 0, outcome)
        return outcome

    def snapshot(self, name: str) -> Path:
        return self.folder / "hf/hub/models--org--repo/snapshots" / COMMIT / name

    def sent_bytes(self) -> int:
        """What was asked for of large files."""
        ranges = [entry["range"] for entry in self.hub.log if "/cdn/" in str(entry["path"])]
        pairs = [re.fullmatch(r"bytes=(\d+)-(\d+)", str(text)) for text in ranges]
        return sum(int(found[2]) - int(found[1]) + 1 for found in pairs if found)

    # tern pull

    def test_a_repository_is_pulled_and_run(self) -> None:
        outcome = self.pull(REF)
        self.assertEqual(outcome.stdout.decode().strip(), str(self.snapshot("")))
        self.assertRegex(
            outcome.stderr, rb"\Atern: hf://org/repo: 2 files, [0-9.]+ MB, .* in .* s\n\Z"
        )
        self.assertEqual(self.snapshot("tales.gguf").read_bytes(), MODEL.read_bytes())
        run = self.tern("run", "-m", REF, "-n", "4", "--seed", "1", "Once")
        here = self.tern("run", "-m", MODEL, "-n", "4", "--seed", "1", "Once")
        self.assertEqual((run.returncode, run.stdout), (0, here.stdout), run)

    def test_minus_m_brings_what_is_missing_and_asks_once(self) -> None:
        outcome = self.tern("tokenize", "-m", f"{REF}/tales.gguf", "Once")
        self.assertEqual(outcome.returncode, 0, outcome)
        self.assertIn(b"bringing tales.gguf", outcome.stderr)
        asked = len(self.hub.log)
        outcome = self.tern("tokenize", "-m", REF, "Once")
        self.assertEqual((outcome.returncode, outcome.stderr), (0, b""), outcome)
        self.assertEqual(len(self.hub.log), asked)
        self.environment["HF_HUB_OFFLINE"] = "1"
        self.assertEqual(self.tern("inspect", "--quick", "-m", REF).returncode, 0)
        self.assert_fails(self.tern("pull", REF), 2, "HF_HUB_OFFLINE")

    def test_names(self) -> None:
        self.pull(REF, "--as", "mine", "--include", "*.gguf")
        self.assertFalse(self.snapshot("README.md").exists())
        names = self.folder / "home/.config/tern/models.json"
        self.assertEqual(json.loads(names.read_text()), {"mine": REF})
        self.assertEqual(stat.S_IMODE(names.stat().st_mode), 0o600)
        outcome = self.tern("tokenize", "-m", "mine", "Once")
        self.assertEqual((outcome.returncode, outcome.stderr), (0, b""), outcome)
        listed = json.loads(self.tern("list", "--json").stdout)
        self.assertEqual(listed["names"]["mine"], REF)
        self.assertIn("bitnet-2b-4t", listed["names"])
        self.assert_fails(self.tern("pull", "other"), 2, "expected hf://org/repo", "tern list")
        self.assert_fails(self.tern("pull", REF, "--as", "a/b"), 2, "a/b: expected a name")

    def test_a_file_goes_before_a_name(self) -> None:
        self.pull(REF, "--as", "mine")
        outcome = tern("tokenize", "-m", "mine", "x", env=self.environment, cwd=self.folder)
        self.assertEqual(outcome.returncode, 0, outcome)
        (self.folder / "mine").write_bytes(b"no model")
        outcome = tern("tokenize", "-m", "mine", "x", env=self.environment, cwd=self.folder)
        self.assert_fails(outcome, 4, "mine")

    def test_the_token_goes_to_the_endpoint_alone(self) -> None:
        self.pull(REF)
        tokens: dict[int, set[object]] = {self.port: set(), self.cdn: set()}
        for entry in self.hub.log:
            tokens[int(str(entry["port"]))].add(entry["token"])
        self.assertEqual(tokens, {self.port: {f"Bearer {TOKEN}"}, self.cdn: {None}})

    def test_tokens_come_from_where_a_login_leaves_them(self) -> None:
        del self.environment["HF_TOKEN"]
        self.pull(f"{REF}/README.md")
        self.assertEqual({entry["token"] for entry in self.hub.log}, {None})
        self.hub.log.clear()
        (self.folder / "hf/token").write_text(f"{TOKEN}2\n")
        self.pull(f"{REF}/README.md")
        self.assertEqual({entry["token"] for entry in self.hub.log}, {f"Bearer {TOKEN}2"})
        self.hub.log.clear()
        self.environment |= {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
        self.pull(f"{REF}/README.md")
        self.assertEqual({entry["token"] for entry in self.hub.log}, {None})

    def test_cache_variables(self) -> None:
        home = str(self.folder / "home")
        for variables, place in (
            ({"HF_HUB_CACHE": f"{home}/a", "HF_HOME": f"{home}/x"}, "a"),
            ({"HUGGINGFACE_HUB_CACHE": f"{home}/b", "HF_HOME": f"{home}/x"}, "b"),
            ({"HF_HOME": f"{home}/c", "XDG_CACHE_HOME": f"{home}/x"}, "c/hub"),
            ({"XDG_CACHE_HOME": f"{home}/d"}, "d/huggingface/hub"),
            ({}, ".cache/huggingface/hub"),
        ):
            with self.subTest(place):
                del self.environment["HF_HOME"]
                before = dict(self.environment)
                self.environment |= variables
                self.pull(f"{REF}/README.md")
                self.assertTrue((Path(home) / place / "models--org--repo/blobs").is_dir())
                self.environment = before | {"HF_HOME": "x"}

    def test_a_pull_goes_on_after_ctrl_c(self) -> None:
        self.stopped_pull(signal.SIGINT, 130, b"the same command goes on from here")

    def test_a_pull_goes_on_after_a_kill(self) -> None:
        self.stopped_pull(signal.SIGKILL, -signal.SIGKILL, b"")

    def stopped_pull(self, with_signal: signal.Signals, status: int, words: bytes) -> None:
        self.serve({"big.gguf": os.urandom(40 << 20)})
        self.use("stall_late")
        self.hub.stall_after = 3
        process = start("pull", f"{REF}/big.gguf", env=self.environment)
        parts = self.folder / "hf/hub/models--org--repo/blobs"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not any(  # a chunk is finished
            journal.read_bytes().count(b"\n") > 1 for journal in parts.glob("*.tern-journal")
        ):
            time.sleep(0.05)
        process.send_signal(with_signal)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, status, errors)
        self.assertIn(words, errors)
        self.assertFalse(self.snapshot("big.gguf").exists())
        self.hub.stall_after = 1 << 30
        outcome = self.pull(f"{REF}/big.gguf")
        self.assertIn(b"MB were there from an earlier call", outcome.stderr)
        self.assertEqual(self.snapshot("big.gguf").read_bytes(), self.hub.files["big.gguf"])

    def test_failures_have_their_status(self) -> None:
        for fault, status, words in (
            ("unauthorized", 2, "answers 401"),
            ("gated", 2, "accept its terms"),
            ("no_repo", 2, "there is no such repository"),
            ("html", 4, "is this a hub?"),
            ("name_up", 4, "'../evil'"),
            ("name_control", 4, r"a\x1b[2Jb"),
            ("wrong_hash", 4, "have not the hash"),
            ("redirect_circle", 4, "in a circle"),
            ("huge_listing", 5, "longer than"),
            ("teapot", 3, "answers 418"),
        ):
            with self.subTest(fault):
                self.use(fault)
                self.assert_fails(self.tern("pull", REF), status, words)
        self.environment["HF_ENDPOINT"] = "ftp://example"
        self.assert_fails(self.tern("pull", REF), 2, "HF_ENDPOINT")
        self.use("ok")
        self.assert_fails(self.tern("pull", "hf://org"), 2, "expected hf://org/repo")
        self.assert_fails(self.tern("pull", f"{REF}/x"), 2, "it has README.md, tales.gguf")
        outcome = self.tern("run", "-m", f"{REF}/README.md", "x")
        self.assertEqual(outcome.returncode, 4, outcome)
        self.assertIn(b"README.md: header: expected the magic 'GGUF'", outcome.stderr)

    def test_several_models_must_be_told_apart(self) -> None:
        self.serve({"a.gguf": b"a", "b.gguf": b"b"})
        self.use("ok")
        self.assert_fails(self.tern("run", "-m", REF, "x"), 2, "name one of a.gguf, b.gguf")

    def test_proxies_are_used(self) -> None:
        self.environment["http_proxy"] = f"http://127.0.0.1:{self.port}"
        self.environment["HF_ENDPOINT"] = "http://hub.invalid/ok"
        outcome = self.tern("pull", f"{REF}/README.md")
        self.assertEqual(outcome.returncode, 0, outcome)
        self.assertTrue(str(self.hub.log[0]["path"]).startswith("http://hub.invalid/ok/api"))
        self.assertIn(b"the token is not sent", outcome.stderr)
        self.assertIsNone(self.hub.log[0]["token"])

    def test_tls_is_checked(self) -> None:
        self.hub, self.port, self.cdn = hub_server.start({"a.gguf": b"a", "b.txt": b"b"}, tls=True)
        self.environment["HF_ENDPOINT"] = f"https://127.0.0.1:{self.port}/ok"
        self.assert_fails(self.tern("pull", f"{REF}/b.txt"), 3, "certificate", "SSL_CERT_FILE")
        self.assertEqual(self.hub.log, [])
        self.environment["SSL_CERT_FILE"] = str(hub_server.CERTIFICATE)
        self.pull(f"{REF}/b.txt")
        self.assertEqual({entry["token"] for entry in self.hub.log}, {f"Bearer {TOKEN}"})
        # What was asked for by TLS is not taken without it.
        self.assert_fails(self.tern("pull", f"{REF}/a.gguf"), 4, "from https to plain http")

    # tern list, tern rm

    def test_list_and_rm(self) -> None:
        self.pull(REF)
        text = self.tern("list").stdout.decode()
        self.assertRegex(text, r"(?m)^ +[0-9.]+ MB  hf://org/repo/tales.gguf$")
        listed = json.loads(self.tern("list", "--json").stdout)
        (repo,) = listed["models"]
        self.assertEqual(repo["repo"], "org/repo")
        self.assertEqual(repo["revisions"][0]["commit"], COMMIT)
        removed = self.tern("rm", f"{REF}/tales.gguf")
        self.assertRegex(
            removed.stdout, rb"\Aremoved hf://org/repo/tales.gguf: 1 files, [0-9.]+ MB\n"
        )
        self.assertTrue(self.snapshot("README.md").exists())
        self.assertEqual(self.tern("rm", REF).returncode, 0)
        self.assertEqual(json.loads(self.tern("list", "--json").stdout)["models"], [])
        self.assert_fails(self.tern("rm", REF), 2, "there is nothing of it")
        self.assert_fails(self.tern("rm", MODEL), 2, "not Tern's to remove")

    def test_packed_weights_go_with_their_file_and_clear_asks_nobody(self) -> None:
        self.pull(REF)
        cache = self.folder / "cache"
        self.environment["TERN_CACHE_DIR"] = str(cache)
        for command in (("cache", "clear", "-m"), ("rm",)):
            stored = self.tern("run", "Once", "-n", "1", "--cache", "on", "-m", REF)
            self.assertEqual(stored.returncode, 0, stored)
            self.assertEqual(len(list(cache.glob("*.entry"))), 1)
            self.environment["HF_ENDPOINT"] = "http://127.0.0.1:9"  # nobody is there
            self.assertEqual(self.tern(*command, REF).returncode, 0)
            self.assertEqual(list(cache.iterdir()), [])

    def test_what_cannot_be_listed_is_said_and_the_rest_shown(self) -> None:
        self.pull(REF)
        broken = self.snapshot("README.md").parents[3] / "models--org--broken" / "snapshots"
        broken.mkdir(parents=True)
        (broken / "loop").symlink_to("loop")
        outcome = self.tern("list")
        self.assertEqual(outcome.returncode, 3, outcome)
        self.assertIn(b"hf://org/repo/tales.gguf", outcome.stdout)
        self.assertIn(b"models--org--broken/snapshots/loop: cannot list", outcome.stderr)
        listed = json.loads(self.tern("list", "--json").stdout)
        self.assertEqual([repo["repo"] for repo in listed["models"]], ["org/repo"])
        self.assertIn("cannot list", listed["unreadable"][0])

    def test_names_of_any_bytes_are_listed(self) -> None:
        self.pull(REF)
        odd = self.snapshot("README.md").parents[1] / os.fsdecode(b"odd\xff")
        odd.mkdir()
        (odd / os.fsdecode(b"file\xff")).write_bytes(b"x")
        (repo,) = json.loads(self.tern("list", "--json").stdout)["models"]
        self.assertEqual(
            [(entry["commit"], entry["files"][0]["path"]) for entry in repo["revisions"]][1:],
            [("odd\\xff", "file\\xff")],
        )

    def test_rm_of_a_name(self) -> None:
        self.pull(f"{REF}/tales.gguf", "--as", "mine")
        self.assertRegex(self.tern("rm", "mine").stdout, rb", and its name\n\Z")
        self.assertFalse(self.snapshot("tales.gguf").exists())
        self.assert_fails(self.tern("rm", "mine"), 2, "tern list")

    # Ranges instead of copies.

    def test_inspect_reads_the_head_alone(self) -> None:
        here = self.inspect("-m", MODEL, "--quick", "--tensors")
        outcome = self.tern("inspect", "--json", "--tensors", "--quick", "-m", REF)
        self.assertEqual(outcome.returncode, 0, outcome)
        there = json.loads(outcome.stdout)
        self.assertEqual(there.pop("file"), f"{REF}/tales.gguf")
        here.pop("file")
        self.assertEqual(there, here)
        self.assertLess(self.sent_bytes(), MODEL.stat().st_size)
        self.assertFalse((self.folder / "hf").exists())

    def test_inspect_of_what_is_no_model(self) -> None:
        self.serve({"bad.gguf": os.urandom(3 << 20)})
        self.use("ok")
        self.assert_fails(self.tern("inspect", "-m", f"{REF}/bad.gguf"), 4, "bad.gguf")

    def checkpoint(self, form: str, shards: int) -> Path:
        folder = self.folder / form / "repo"
        Model().write(folder, form, shards=shards)
        self.serve({path.name: path.read_bytes() for path in folder.iterdir()})
        self.use("ok")
        return folder

    def test_convert_reads_by_ranges(self) -> None:
        for form, shards in (("online", 3), ("autobitlinear", 1)):
            with self.subTest(form):
                folder = self.checkpoint(form, shards)
                here, there = self.folder / "here.gguf", self.folder / "there.gguf"
                self.succeed("convert", folder, "-o", here)
                outcome = self.tern("convert", REF, "-o", there)
                self.assertEqual(outcome.returncode, 0, outcome)
                self.assertEqual(there.read_bytes(), here.read_bytes())
                manifests = [
                    json.loads(Path(f"{file}.manifest.json").read_text()) for file in (here, there)
                ]
                self.assertEqual(manifests[0]["inputs"], manifests[1]["inputs"])
                # Weights come once; heads and scales before them a second time.
                large = sum(
                    p.stat().st_size for p in folder.iterdir() if p.suffix == ".safetensors"
                )
                self.assertLess(self.sent_bytes(), large * 1.1 + (1 << 18))
                self.assertFalse((self.folder / "hf/hub/models--org--repo").exists())
                self.assertEqual(sorted(p.name for p in self.folder.glob(".tern-spool*")), [])

    def test_convert_refuses_wrong_bytes_and_forgets_them(self) -> None:
        folder = self.checkpoint("autobitlinear", 1)
        content = bytearray((folder / "model.safetensors").read_bytes())
        header = int.from_bytes(content[:8], "little")
        norm = json.loads(content[8 : 8 + header])["model.norm.weight"]["data_offsets"][0]
        content[8 + header + norm] ^= 1  # the least bit of a number
        self.hub.replaced = bytes(content)
        self.use("wrong_bits")
        outcome = self.tern("convert", REF, "-o", self.folder / "out.gguf")
        self.assert_fails(outcome, 4, "have not the hash that the server lists")
        self.assertEqual(list(self.folder.glob("out.gguf*")), [])
        self.use("ok")
        self.assertEqual(self.tern("convert", REF, "-o", self.folder / "out.gguf").returncode, 0)

    def test_convert_refuses_scales_that_are_not_the_files(self) -> None:
        folder = self.checkpoint("autobitlinear", 1)
        content = bytearray((folder / "model.safetensors").read_bytes())
        header = int.from_bytes(content[:8], "little")
        for name, tensor in json.loads(content[8 : 8 + header]).items():
            if name.endswith("weight_scale"):
                content[8 + header + tensor["data_offsets"][0]] ^= 1
        self.hub.replaced = bytes(content)
        self.use("wrong_scales")
        outcome = self.tern("convert", REF, "-o", self.folder / "out.gguf")
        self.assert_fails(outcome, 4, "the server sent two different answers for the")
        self.use("ok")
        self.assertEqual(self.tern("convert", REF, "-o", self.folder / "out.gguf").returncode, 0)
        self.succeed("convert", folder, "-o", self.folder / "here.gguf")
        self.assertEqual(
            (self.folder / "out.gguf").read_bytes(), (self.folder / "here.gguf").read_bytes()
        )

    def test_convert_does_not_bring_finished_shards_again(self) -> None:
        folder = self.checkpoint("online", 3)
        self.use("third_missing")
        outcome = self.tern("convert", REF, "-o", self.folder / "out.gguf")
        self.assertEqual(outcome.returncode, 2, outcome)
        self.hub.log.clear()
        self.use("ok")
        outcome = self.tern("convert", REF, "-o", self.folder / "out.gguf")
        self.assertEqual(outcome.returncode, 0, outcome)
        self.assertIn(b"were finished before", outcome.stderr)
        large = sum(p.stat().st_size for p in folder.iterdir() if p.suffix == ".safetensors")
        self.assertLess(self.sent_bytes(), large * 0.6)
        self.succeed("convert", folder, "-o", self.folder / "here.gguf")
        converted = Gguf(self.folder / "out.gguf")
        self.assertTrue(converted.tensors)
        self.assertEqual(
            (self.folder / "out.gguf").read_bytes(), (self.folder / "here.gguf").read_bytes()
        )


if __name__ == "__main__":
    main()
