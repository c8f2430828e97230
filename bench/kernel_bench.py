"""What the claims on kernels share: the counters of bench_kernels, on several cores at once."""

import json
import subprocess

from tern_bench import ROOT, stdout_of

BENCH_KERNELS = ROOT / "build/release/bench/bench_kernels"
CORES = (0, 1)

# By benchmark, as "avx2/attention/8192/32", and counter.
Counters = dict[str, dict[str, float]]


def kernel_counters(pattern: str, seconds: float = 0.2, rounds: int = 5) -> Counters:
    """Counters of the benchmarks that the pattern matches, with a process on each core at the same
    time: the median over rounds of the mean over cores."""
    command = ["taskset", "-c", "", BENCH_KERNELS, f"--benchmark_filter={pattern}"]
    command += ["--benchmark_format=json", f"--benchmark_min_time={seconds}"]
    found: dict[tuple[str, str], list[list[float]]] = {}
    for _ in range(rounds):
        runs = []
        for core in CORES:
            command[2] = str(core)
            runs.append(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            )
        this_round: dict[tuple[str, str], list[float]] = {}
        for run in runs:
            text, errors = run.communicate()
            if run.returncode != 0:
                raise RuntimeError(f"{BENCH_KERNELS} exits with {run.returncode}: {errors}")
            for case in json.loads(text)["benchmarks"]:
                for counter in ("share", "mac", "weights"):
                    if counter in case:
                        this_round.setdefault((case["name"], counter), []).append(case[counter])
        for key, values in this_round.items():
            found.setdefault(key, []).append(values)
    counters: Counters = {}
    for (name, counter), of_rounds in found.items():
        means = sorted(sum(values) / len(values) for values in of_rounds)
        counters.setdefault(name, {})[counter] = means[len(means) // 2]
    return counters


def tiers() -> list[str]:
    """The tiers of this CPU, slowest first."""
    listed = stdout_of([BENCH_KERNELS, "--benchmark_list_tests"])
    return list(dict.fromkeys(line.split("/")[0] for line in listed.splitlines()))
