"""Stored results are compared like with like, and no more is said than is known."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import store
from harness.case_run import CaseRun
from harness.commands.compare import row_of
from harness.comparison import KEYS, pairs
from harness.records import Case, Measurement, Outcome, Result, Status, Work

CASE = Case("spmv", "1", "pcsr", "cpu", {"rows": 10})
ENVIRONMENT = {
    "machine": "bench",
    "cpu": {"model": "Example", "logical_cpus": 2, "governor": "performance"},
    "memory_bytes": 8 << 30,
    "kernel": "Linux 6.1",
    "hypervisor": None,
    "python": "3.12.1",
    "packages": {"numpy": "2.4", "torch": "2.12"},
    "settings": {},
    "device": {"driver": "580"},
}


def case_run(
    *seconds: float, case: Case = CASE, canary_s: float = 0.001, **changes: Any
) -> CaseRun:
    environment = {**ENVIRONMENT, **changes.pop("environment", {})}
    return CaseRun(
        "run",
        tuple(
            replace(
                Result(
                    case,
                    Outcome.OK,
                    process=number,
                    work=Work(items=2.0, item="product"),
                    measurements=(
                        Measurement("time", "s", "process", "clock", values=(value, value)),
                        Measurement("canary", "s", "device", "cpu", values=(canary_s,)),
                    ),
                    environment=environment,
                ),
                **changes,
            )
            for number, value in enumerate(seconds)
        ),
    )


BASE = case_run(1.0, 1.01, 0.99, 1.0, 1.005)
SLOWER = (1.2, 1.21, 1.19, 1.2, 1.205)


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [
        (SLOWER, "regression"),
        ((0.8, 0.81, 0.79, 0.8, 0.805), "improvement"),
        ((1.0, 1.002, 0.998, 1.0, 1.001), "unchanged"),
        ((0.9, 1.2, 1.0, 1.1, 0.95), "undecided"),
    ],
)
def test_the_verdict_follows_the_ratio_and_its_doubt(
    seconds: tuple[float, ...], verdict: str
) -> None:
    [pair] = pairs([BASE], [case_run(*seconds)])
    assert pair.verdict == verdict


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("machine", {"environment": {"machine": "other"}}),
        ("cpu", {"environment": {"cpu": {**ENVIRONMENT["cpu"], "model": "Another"}}}),  # type: ignore[dict-item]
        ("memory", {"environment": {"memory_bytes": 4 << 30}}),
        ("kernel", {"environment": {"kernel": "Linux 6.2"}}),
        ("hypervisor", {"environment": {"hypervisor": "KVM"}}),
        ("python", {"environment": {"python": "3.13.0"}}),
        ("packages", {"environment": {"packages": {"numpy": "2.4", "torch": "2.13"}}}),
        ("settings", {"environment": {"settings": {"threads": 1}}}),
        ("device", {"environment": {"device": {"driver": "590"}}}),
        ("inputs", {"inputs": {"digest": "ab"}}),
        ("version", {"case": replace(CASE, version="2")}),
    ],
)
def test_an_unlike_pair_is_refused_with_its_key_unless_that_is_allowed(
    key: str, change: dict[str, Any]
) -> None:
    other = case_run(*SLOWER, **change)
    [refused] = pairs([BASE], [other])
    assert refused.ratio is None
    assert refused.verdict == "unlike"
    assert f"{key} differs" in refused.reason
    assert f"--allow {key}" in refused.reason
    [allowed] = pairs([BASE], [other], allow=[key])
    assert allowed.verdict == "regression"
    assert key in KEYS


def test_only_what_differs_is_named() -> None:
    other = case_run(*SLOWER, environment={"packages": {"numpy": "2.4", "torch": "2.13"}})
    [refused] = pairs([BASE], [other])
    assert "packages differs: torch=2.12 and torch=2.13" in refused.reason
    assert "numpy" not in refused.reason


def test_one_process_a_side_tells_no_difference() -> None:
    [pair] = pairs([case_run(1.0)], [case_run(2.0)])
    assert pair.verdict == "undecided"
    assert pair.p_value is None
    assert "one process" in pair.reason


def test_a_failed_or_impossible_side_is_told_and_not_compared() -> None:
    failed = case_run(1.0, 1.0, outcome=Outcome.CRASHED, reason="killed by SIGSEGV")
    [pair] = pairs([BASE], [failed])
    assert (pair.verdict, pair.reason) == ("crashed", "candidate: killed by SIGSEGV")
    [pair] = pairs([case_run(1.0, 1.0, flags=("impossible",))], [BASE])
    assert pair.verdict == "impossible"
    assert pair.ratio is None


def test_a_case_that_one_side_lacks_is_left_out() -> None:
    other = case_run(1.0, case=replace(CASE, params={"rows": 11}))
    assert pairs([BASE], [other]) == []


def test_a_slower_machine_cancels_where_times_are_normalised_by_the_canary() -> None:
    slower_machine = case_run(*SLOWER, canary_s=0.0012)
    [plain] = pairs([BASE], [slower_machine])
    [normal] = pairs([BASE], [slower_machine], normalise=True)
    assert plain.drift == pytest.approx(1.2)
    assert plain.verdict == "regression"
    assert normal.verdict == "unchanged"


def test_the_table_says_where_the_machine_itself_was_slower() -> None:
    [pair] = pairs([BASE], [case_run(*SLOWER, canary_s=0.0012)])
    assert "the machine's canary took +20.0%" in row_of(pair).note
    [pair] = pairs([BASE], [case_run(*SLOWER, canary_s=0.00101)])
    assert "canary" not in row_of(pair).note


def test_many_equal_series_give_few_false_discoveries() -> None:
    random_ = random.Random(3)

    def noisy(case: Case) -> CaseRun:
        return case_run(*(random_.lognormvariate(0.0, 0.01) for _ in range(6)), case=case)

    cases = [replace(CASE, params={"rows": number}) for number in range(400)]
    found = pairs(map(noisy, cases), map(noisy, cases), threshold=1e-4)
    assert sum(pair.verdict in ("regression", "improvement") for pair in found) <= 2
    # Without the control about one in twenty p-values is below 5 %.
    assert sum((pair.p_value or 0.0) < 0.05 for pair in found) > 8


def test_a_real_change_is_found_among_many_equal_series() -> None:
    random_ = random.Random(4)
    cases = [replace(CASE, params={"rows": number}) for number in range(100)]
    base = [case_run(*(random_.gauss(1, 0.01) for _ in range(6)), case=one) for one in cases]
    candidate = [
        case_run(*((1.1 if at == 7 else 1) * random_.gauss(1, 0.01) for _ in range(6)), case=one)
        for at, one in enumerate(cases)
    ]
    regressions = [p for p in pairs(base, candidate) if p.verdict == "regression"]
    assert [pair.case.params["rows"] for pair in regressions] == [7]


def test_the_noise_of_the_canary_is_a_part_of_the_doubt() -> None:
    random_ = random.Random(5)

    def noisy(case: Case) -> CaseRun:
        return CaseRun(
            "run",
            tuple(
                replace(
                    case_run(
                        random_.gauss(1, 0.001), case=case, canary_s=random_.gauss(0.001, 0.00003)
                    ).result,
                    process=number,
                )
                for number in range(5)
            ),
        )

    cases = [replace(CASE, params={"rows": number}) for number in range(100)]
    found = pairs(map(noisy, cases), map(noisy, cases), normalise=True)
    assert sum(pair.verdict in ("regression", "improvement") for pair in found) <= 2
    assert sum(abs(pair.ratio.estimate - 1) > 0.02 for pair in found if pair.ratio) > 10


def test_a_pair_without_canaries_is_not_normalised_in_silence() -> None:
    bare = case_run(*SLOWER)
    lacking = replace(
        bare,
        results=tuple(replace(one, measurements=one.measurements[:1]) for one in bare.results),
    )
    [pair] = pairs([BASE], [lacking], normalise=True)
    assert (pair.ratio, pair.verdict) == (None, "undecided")
    assert "compare without --normalise" in pair.reason


def test_what_no_timer_resolves_is_unresolvable_on_the_side_where_it_is() -> None:
    short = Measurement("time", "s", "process", "clock", status=Status.UNRESOLVABLE, reason="short")
    [pair] = pairs([BASE], [case_run(1.0, 1.0, measurements=(short,))])
    assert (pair.verdict, pair.reason) == ("unresolvable", "candidate: short")


def test_the_same_version_pairs_where_a_side_holds_several() -> None:
    newer = replace(CASE, version="2")
    sides = [BASE, case_run(*SLOWER, case=newer)]
    assert [pair.verdict for pair in pairs(sides, sides)] == ["unchanged", "unchanged"]
    assert [pair.verdict for pair in pairs(sides, sides[::-1])] == ["unchanged", "unchanged"]


def test_the_order_of_parameters_does_not_keep_a_pair_apart() -> None:
    one = replace(CASE, params={"rows": 10, "cols": 3})
    other = replace(CASE, params={"cols": 3, "rows": 10})
    assert len(pairs([case_run(1.0, 1.0, case=one)], [case_run(1.0, 1.0, case=other)])) == 1


Assay = Callable[..., "subprocess.CompletedProcess[str]"]


def stored(root: Path, *runs: CaseRun) -> str:
    """Store them as one run and return its id."""
    cases = [one.case for one in runs]
    with store.open_run(
        root, cases, fingerprint="", settings={}, environment={}, force=True
    ) as run:
        for one in runs:
            for result in one.results:
                run.append(result)
        run.finish()
    return run.header.id


def test_what_was_measured_with_uncommitted_changes_is_not_the_commits(
    assay: Assay, tmp_path: Path
) -> None:
    root = tmp_path / "results"
    commits = {name: {"commit": name * 40, "dirty": name == "b"} for name in "ab"}
    clean = stored(root, case_run(1.0, 1.01, 0.99, environment=commits["a"]))
    dirty = stored(root, case_run(1.0, 1.01, 0.99, environment=commits["b"]))
    refused = assay("compare", "aaaa", "bbbb")
    assert refused.returncode == 2
    assert f"name the run {dirty}" in refused.stderr
    assert assay("compare", "aaaa", dirty).returncode == 0
    stored(root, case_run(*SLOWER, environment={**commits["a"], "dirty": True}))
    assert assay("compare", clean, "aaaa").returncode == 0


def test_what_cannot_be_read_or_has_no_pair_is_named(assay: Assay, tmp_path: Path) -> None:
    root = tmp_path / "results"
    other = case_run(1.0, 1.0, case=replace(CASE, params={"rows": 11}))
    base, candidate = stored(root, BASE, other), stored(root, BASE)
    damaged = next((root / candidate).glob("*-4.json"))
    damaged.write_text("{")
    done = assay("compare", base, candidate, "--json")
    assert done.returncode == 0
    assert done.stderr.count(f"warning: results/{candidate}/{damaged.name} is damaged") == 1
    assert f"warning: left out: 1 cases that only {base} has" in done.stderr
    assert len(done.stdout.split('"verdict"')) == 2


def test_a_name_as_long_as_no_path_can_be_is_no_result(assay: Assay, tmp_path: Path) -> None:
    stored(tmp_path / "results", BASE)
    done = assay("compare", "x" * 5000, "latest")
    assert done.returncode == 2
    assert done.stderr.startswith("assay: ")
