"""tools/roofline: where the points and roofs stand, and what it refuses."""

import json
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

ROOFLINE = Path(__file__).resolve().parents[2] / "tools" / "roofline"


def bench() -> dict[str, Any]:
    """A machine of 10 GB/s and 1000 G/s: 1e9 multiply-accumulates and 1e9 bytes a token."""
    return {
        "model": "a <model>",
        "threads": 2,
        "tier": "fast",
        "prefill": {
            "tokens": 100,
            "chunk": 50,
            "tokens_per_s": 100,
            "share": 0.1,
            "macs_per_token": 10**9,
        },
        "decode": {
            "tokens": 8,
            "tokens_per_s": 10,
            "share": 1.0,
            "bytes_per_token": 10**9,
            "read_bytes_per_s": 1e10,
        },
        "ceilings": {"read_bytes_per_s": 2e10, "mac": {"slow": 1e11, "fast": 1e12}},
    }


def draw(found: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", ROOFLINE],
        input=json.dumps(found),
        capture_output=True,
        text=True,
    )


class RooflineTest(unittest.TestCase):
    def test_a_decode_at_the_limit_lies_on_the_slope(self) -> None:
        run = draw(bench())
        self.assertEqual(run.returncode, 0, run)
        lines = re.findall(
            r'<line x1="(.+?)" y1="(.+?)" x2="(.+?)" y2="(.+?)" [^/]*2\.5', run.stdout
        )
        (x1, y1, x2, y2), (_, roof, _, _) = ([float(n) for n in line] for line in lines)
        circles = re.findall(r'<circle cx="(.+?)" cy="(.+?)"', run.stdout)
        prefill, decode = ([float(n) for n in circle] for circle in circles)
        self.assertAlmostEqual((decode[1] - y1) / (decode[0] - x1), (y2 - y1) / (x2 - x1), 2)
        self.assertGreater(prefill[1], roof)  # below the roof, since y grows downwards
        self.assertEqual(y2, roof)

    def test_labels(self) -> None:
        text = draw(bench()).stdout
        for words in (
            "a &lt;model&gt;, 2 threads",
            "reading 10.0 GB/s",
            "fast 1000 G/s",
            "slow 100 G/s",
            "prefill 100 tok/s, 10%",
            "decode 10 tok/s, 100%",
        ):
            self.assertIn(words, text)

    def test_half_a_measurement_is_refused(self) -> None:
        for phase in ("prefill", "decode"):
            run = draw(bench() | {phase: None})
            self.assertNotEqual(run.returncode, 0)
            self.assertFalse(run.stdout)
            self.assertIn("both prefill and decode", run.stderr)

    def test_what_is_no_measurement_is_named(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "bench.json"
            for text, words in (
                (None, "No such file"),
                ("", "is no JSON"),
                ("[]", "expected the JSON of `tern bench --json`"),
                ("{}", "expected the JSON of `tern bench --json`"),
                (
                    '{"prefill": null, "decode": null, "ceilings": {}}',
                    "with both prefill and decode",
                ),
            ):
                if text is not None:
                    file.write_text(text, encoding="utf-8")
                run = subprocess.run(
                    [sys.executable, "-B", ROOFLINE, file], capture_output=True, text=True
                )
                self.assertEqual((run.returncode, run.stdout), (1, ""), text)
                self.assertNotIn("Traceback", run.stderr)
                self.assertIn(words, run.stderr)
                self.assertIn(str(file), run.stderr)


if __name__ == "__main__":
    unittest.main()
