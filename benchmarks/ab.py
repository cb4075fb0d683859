"""How often `assay ab` is wrong: equal commits called different, and 5 % slowdowns not found.

    python benchmarks/ab.py equal --repeats 10     HEAD against HEAD on 20 series
    python benchmarks/ab.py slower --tries 20      HEAD against a commit that takes 5 % longer
    python benchmarks/ab.py replay --repeats 100   the same verdicts on recorded A/A series
    python benchmarks/ab.py table                  what is recorded, into docs/methodology.md

The commits are those of a scratch clone of this repository with one more workload, of 20 small
kernels. Everything else is the command as users run it: builds, worktrees, worker processes.
Each repeat is recorded as soon as it ends, so that a run can be stopped and goes on later.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from harness import store
from harness.data import find
from harness.errors import AssayError
from harness.verdict import Verdict, judge, looks

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT / "benchmarks/recorded/ab.json"
SERIES = ROOT / "benchmarks/recorded/aa_assay.jsonl"
PAGE = ROOT / "docs/methodology.md"
MARK = re.compile(r"(<!-- ab table -->\n).*?(<!-- /ab table -->)", re.DOTALL)

NAMES = {"equal": "equal commits", "slower": "5 % slower"}

PROBES = '''
"""Twenty small kernels, each of which takes FACTOR times as long as it needs."""

from time import perf_counter

import numpy as np

from harness import Parameter, Variant, verified

FACTOR = 1.0
KERNELS = {
    "sort": lambda a, b: np.sort(a),
    "copy": lambda a, b: np.copyto(b, a),
    "sqrt": lambda a, b: np.sqrt(a, out=b),
    "cumsum": lambda a, b: np.cumsum(a, out=b),
    "python": lambda a, b: sum(range(a.size // 8)),
}


class Probes:
    name, version = "probes", "1"
    parameters = {
        "kernel": Parameter("sort", "what is done", choices=tuple(KERNELS)),
        "size": Parameter(40_000, "float64 numbers that it is done to"),
    }
    variants = (Variant("numpy", run="workloads.probes:Probes", baseline=True),)

    def cases(self, size):
        for kernel in KERNELS:
            for count in (20_000, 40_000, 80_000, 160_000):
                yield {"kernel": kernel, "size": count}

    def prepare(self, device, variant, params, seed):
        a = np.random.default_rng(seed).random(params["size"])
        return KERNELS[params["kernel"]], a, np.zeros_like(a)

    def step(self, state):
        # More work would not do: 5 % more numbers can be faster, by their alignment alone.
        started = perf_counter()
        state[0](state[1], state[2])
        until = started + FACTOR * (perf_counter() - started)
        while perf_counter() < until:
            pass

    def verify(self, state):
        return verified(0.0, 1.0, "nothing to compare")


WORKLOAD = Probes()
'''


def main() -> None:
    """Measure what the command line asks for and record it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=("equal", "slower", "replay", "table"))
    parser.add_argument("--repeats", type=int, default=10, help="of `equal`: 20 verdicts each")
    parser.add_argument("--tries", type=int, default=20, help="of `slower`: one series each")
    parser.add_argument("--budget", default="", help="of each comparison, as `assay ab` takes it")
    parser.add_argument("--series", type=int, default=20, help="of `equal`: 20, or up to 5")
    parser.add_argument(
        "--quick", action="store_true", help="record nothing; exit 1 where a third is wrong"
    )
    asked = parser.parse_args()
    if asked.what == "replay":
        kept = [one for one in recorded() if not one["what"].startswith("replayed")]
        RECORDED.write_text(json.dumps([*kept, *replays(asked.repeats)], indent=1) + "\n")
    if asked.what in ("replay", "table"):
        write_table(recorded())
        return
    with tempfile.TemporaryDirectory() as scratch:
        clone = make_clone(Path(scratch))
        repeats = asked.repeats if asked.what == "equal" else asked.tries
        wrong = 0
        for number in range(repeats):
            results = clone.parent / f"results-{number}"
            one = compare(clone, asked.what, number, asked.budget, asked.series)
            wrong += one["wrong"] / len(one["cases"])
            print(json.dumps({"repeat": number + 1, **one["verdicts"], "took_s": one["took_s"]}))
            sys.stdout.flush()
            if not asked.quick:
                RECORDED.parent.mkdir(exist_ok=True)
                RECORDED.write_text(json.dumps([*recorded(), one], indent=1) + "\n")
                if asked.what == "equal":
                    keep_series(results / "ab")
            shutil.rmtree(results)
    if not asked.quick:
        write_table(recorded())
    sys.exit(int(asked.quick and 3 * wrong > repeats))


def make_clone(folder: Path) -> Path:
    """Clone HEAD, add the kernels, and tag `fast` and, 5 % slower, `slow`."""
    clone = folder / "clone"
    git(folder, "clone", "-q", str(ROOT), str(clone))
    project = clone / "pyproject.toml"
    points = '[project.entry-points."assay.workloads"]\n'
    text = project.read_text()
    project.write_text(text.replace(points, points + 'probes = "workloads.probes:WORKLOAD"\n'))
    for name, factor in (("fast", 1.0), ("slow", 1.05)):
        source = PROBES.replace("FACTOR = 1.0\n", f"FACTOR = {factor}\n")
        (clone / "workloads/probes.py").write_text(source)
        git(clone, "add", ".")
        git(clone, "commit", "-q", "-m", name)
        git(clone, "tag", name)
    # The calling Assay plans with what it has registered, so the kernels are registered here too.
    info = folder / "plugin" / "probes-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: probes\nVersion: 1.0\n")
    points = "[assay.workloads]\nprobes = probes_plugin:WORKLOAD\n"
    (info / "entry_points.txt").write_text(points)
    (info.parent / "probes_plugin.py").write_text(PROBES)
    return clone


def compare(clone: Path, what: str, number: int, budget: str, limit: int) -> dict[str, Any]:
    """Run one `assay ab` and return its verdicts."""
    series = ["-w", "probes"]
    kernels = ("sort", "copy", "sqrt", "cumsum", "python")
    sizes = (20_000, 40_000, 80_000, 160_000)
    if what == "slower":
        series += ["-p", f"kernel={kernels[number % 5]}", "-p", f"size={sizes[number // 5 % 4]}"]
    elif limit < len(kernels) * len(sizes):
        series += [f"-psize={sizes[0]}", *(f"-pkernel={kernel}" for kernel in kernels[:limit])]
    commits = ("fast", "fast") if what == "equal" else ("fast", "slow")
    within = ["--budget", budget] if budget else []
    started = time.monotonic()
    done = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("assay")), "ab", *commits, *series, *within),
            *("--environment", sys.prefix, "--results", str(clone.parent / f"results-{number}")),
            "--json",
        ],
        cwd=clone,
        env={
            **os.environ,
            "PYTHONPATH": str(clone.parent / "plugin"),
            "ASSAY_CACHE": str(clone.parent / "cache"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1) or not done.stdout:
        sys.exit(f"assay ab ended with {done.returncode}: {done.stderr.splitlines()[-1:]}")
    cases = json.loads(done.stdout)["cases"]
    verdicts = Counter(str(case["verdict"]) for case in cases)
    right = {"unchanged", "undecided"} if what == "equal" else {"regression"}
    return {
        "what": what,
        "machine": f"{os.cpu_count()} CPUs, {platform.machine()}",
        "load": os.getloadavg()[0],
        "took_s": round(time.monotonic() - started),
        "verdicts": dict(sorted(verdicts.items())),
        "wrong": sum(count for verdict, count in verdicts.items() if verdict not in right),
        "cases": [
            {
                "params": case["params"],
                "verdict": case["verdict"],
                "rounds": case["rounds"],
                "ratio": case["ratio"],
            }
            for case in cases
        ],
    }


def keep_series(results: Path) -> None:
    """Append the processes' times, in order of their start, for benchmarks/detection.py."""
    kept: dict[str, list[float]] = {}
    if SERIES.exists():
        for line in SERIES.read_text().splitlines():
            one = json.loads(line)
            kept[one["series"]] = one["values"]
    for stored in store.read(results).results:
        time_s = stored.result.measurement("time")
        if time_s is not None and time_s.values:
            name = " ".join(str(value) for value in stored.result.case.params.values())
            kept.setdefault(name, []).append(float(f"{median(time_s.values):.5g}"))
    SERIES.write_text(
        "".join(
            json.dumps({"series": name, "values": values}) + "\n" for name, values in kept.items()
        )
    )


def replays(repeats: int) -> list[dict[str, Any]]:
    """Judge recorded A/A series as `assay ab` would have: many more repeats than can be run.

    A repeat takes as many processes in a row as the most rounds need, from anywhere in a series;
    each two in a row are a round, and which of them is the candidate is drawn.
    """
    draw = np.random.default_rng(20_261_121)
    at = looks()
    series = {name: values for name, values in all_series() if len(values) >= 2 * at[-1]}
    found = []
    for what, factor in (("replayed, equal", 1.0), ("replayed, 5 % slower", 1.05)):
        cases = []
        for values in series.values():
            for _ in range(repeats):
                first = draw.integers(0, len(values) - 2 * at[-1] + 1)
                rounds = np.array(values[first : first + 2 * at[-1]]).reshape(-1, 2)
                rounds = draw.permuted(rounds, axis=1) * [1.0, factor]
                cases.append(verdict_of(rounds, at))
        verdicts = Counter(verdict for verdict, _ in cases)
        found.append(
            {
                "what": what,
                "series": list(series),
                "verdicts": dict(sorted(verdicts.items())),
                "rounds": sorted(rounds for _, rounds in cases)[len(cases) // 2],
            }
        )
    return found


def verdict_of(rounds: np.ndarray, at: Sequence[int]) -> tuple[str, int]:
    """Return what the looks at these rounds, float64 (rounds, 2), come to, and after how many."""
    for look, count in enumerate(at):
        base, candidate = ([[value] for value in side] for side in rounds[:count].T)
        judgement = judge(base, candidate, look=look, looks=at)
        if judgement.verdict is not Verdict.UNDECIDED:
            break
    return str(judgement.verdict), judgement.rounds


def all_series() -> list[tuple[str, list[float]]]:
    """Return the series that Assay recorded, and those of the data folder where it is there."""
    lines = SERIES.read_text().splitlines() if SERIES.exists() else []
    found = [(one["series"], one["values"]) for one in map(json.loads, lines)]
    try:
        rows = [json.loads(line) for line in find("aa_series.jsonl").read_text().splitlines()]
    except AssayError as error:
        print(f"left out: {error}")
        return found
    kernels = [name for name, value in rows[0].items() if isinstance(value, dict)]
    return [*found, *((f"recorded {name}", [row[name]["med"] for row in rows]) for name in kernels)]


def recorded() -> list[dict[str, Any]]:
    """Return every repeat recorded so far."""
    found: list[dict[str, Any]] = json.loads(RECORDED.read_text()) if RECORDED.exists() else []
    return found


def write_table(repeats: list[dict[str, Any]]) -> None:
    """Print the table of what is recorded and put it into the documentation."""
    lines = [
        "| commits | comparisons | series judged | regression | improvement | unchanged "
        "| undecided | rounds, median |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for what in ("equal", "slower", "replayed, equal", "replayed, 5 % slower"):
        of_kind = [one for one in repeats if one["what"] == what]
        counts: Counter[str] = Counter()
        for one in of_kind:
            counts.update(one["verdicts"])
        judged = counts.total()
        if not judged:
            continue
        rounds = round(median(map(rounds_of, of_kind)))
        verdicts = [
            f"{counts[verdict]} ({counts[verdict] / judged:.1%})"
            for verdict in ("regression", "improvement", "unchanged", "undecided")
        ]
        cells = [NAMES.get(what, what), str(len(of_kind)), str(judged), *verdicts, str(rounds)]
        lines.append(f"| {' | '.join(cells)} |")
    table = "\n".join(lines) + "\n"
    print(table)
    if PAGE.exists():
        PAGE.write_text(MARK.sub(lambda found: found[1] + table + found[2], PAGE.read_text()))


def rounds_of(one: dict[str, Any]) -> float:
    """Return the median number of rounds of a record."""
    return float(one["rounds"] if "rounds" in one else median(c["rounds"] for c in one["cases"]))


def git(folder: Path, *arguments: str) -> None:
    """Run git there."""
    identity = ("-c", "user.name=Bench", "-c", "user.email=bench@example.org")
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True)


if __name__ == "__main__":
    main()
