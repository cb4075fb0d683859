"""A run that is killed at any moment goes on where it stopped and loses nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness import session, store
from harness.environment import environment_name
from harness.plan import Plan, PlannedCase, Selection, plan
from harness.records import Outcome, Result
from harness.registry import Registry
from harness.repetition import PILOT


class Silent:
    """Hears of everything and remembers which cases were started, and the warnings."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.warnings: list[str] = []

    def started(self, run: store.Run, plan: Plan) -> None: ...

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def case_started(self, planned: PlannedCase, process: int) -> None:
        self.ran.append(planned.case.variant)

    def phase(self, name: str) -> None: ...

    def process_done(self, planned: PlannedCase, result: Result, last: bool) -> None: ...


class DiesAfter(Silent):
    """Interrupts the run once so many results are stored."""

    def __init__(self, cases: int) -> None:
        super().__init__()
        self.left = cases

    def process_done(self, planned: PlannedCase, result: Result, last: bool) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def small_plan(fakes: Registry, *variants: str) -> Plan:
    return plan(fakes, Selection(variants=variants, size="small", processes=1))


def results_of(outcome: session.RunOutcome) -> list[Result]:
    return [result for one in outcome.cases for result in one.results]


def test_a_run_measures_every_case_and_is_finished(tmp_path: Path, fakes: Registry) -> None:
    planned = small_plan(fakes, "exact", "wrong", "needs-unicorn")
    outcome = session.run_plan(planned, session.Settings(), tmp_path, observer=Silent())
    assert [result.outcome for result in results_of(outcome)] == [
        Outcome.OK,
        Outcome.FAILED,
        Outcome.SKIPPED,
    ]
    assert (tmp_path / outcome.run / "finished").exists()
    for result in results_of(outcome):
        assert {"machine", "commit", "dirty", "source_digest", "id"} <= set(result.environment)


def test_an_interrupted_run_measures_only_what_is_missing(tmp_path: Path, fakes: Registry) -> None:
    planned = small_plan(fakes, "exact", "half", "chatters")
    with pytest.raises(KeyboardInterrupt):
        session.run_plan(planned, session.Settings(), tmp_path, observer=DiesAfter(2))
    observer = Silent()
    outcome = session.run_plan(planned, session.Settings(), tmp_path, observer=observer)
    [missing] = observer.ran
    assert missing in ("exact", "half", "chatters")
    assert len(results_of(outcome)) == 3
    again = Silent()
    session.run_plan(planned, session.Settings(), tmp_path, observer=again)
    assert len(again.ran) == 3


@pytest.mark.parametrize("change", ["settings", "plan", "force"])
def test_anything_else_starts_anew(tmp_path: Path, fakes: Registry, change: str) -> None:
    planned = small_plan(fakes, "exact", "half")
    with pytest.raises(KeyboardInterrupt):
        session.run_plan(planned, session.Settings(), tmp_path, observer=DiesAfter(1))
    settings = session.Settings(threads=1) if change == "settings" else session.Settings()
    if change == "plan":
        first, second = planned.cases
        sampling = replace(second.sampling, budget_s=0.5)
        planned = replace(planned, cases=(first, replace(second, sampling=sampling)))
    observer = Silent()
    session.run_plan(planned, settings, tmp_path, observer=observer, force=change == "force")
    assert sorted(observer.ran) == ["exact", "half"]


def test_cases_after_the_budget_are_skipped_with_the_reason(
    tmp_path: Path, fakes: Registry
) -> None:
    planned = small_plan(fakes, "exact", "half")
    settings = session.Settings(budget_s=1e-9)
    outcome = session.run_plan(planned, settings, tmp_path, observer=Silent())
    assert {result.reason for result in results_of(outcome)} == {session.OVER_BUDGET}


def test_measuring_the_ceilings_does_not_use_up_the_budget(tmp_path: Path, fakes: Registry) -> None:
    # Less than it takes to start the process that measures them.
    settings = session.Settings(budget_s=0.1)
    outcome = session.run_plan(small_plan(fakes, "exact"), settings, tmp_path, observer=Silent())
    assert [result.outcome for result in results_of(outcome)] == [Outcome.OK]


def test_threads_reach_the_worker(tmp_path: Path, fakes: Registry) -> None:
    outcome = session.run_plan(
        small_plan(fakes, "exact"),
        session.Settings(threads=1),
        tmp_path,
        observer=Silent(),
    )
    variables = results_of(outcome)[0].environment["runtime"]["variables"]
    assert variables["OMP_NUM_THREADS"] == "1"


def test_an_input_that_changed_is_not_mixed_with_the_old_one(
    tmp_path: Path, fakes: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = small_plan(fakes, "exact", "half")
    source = tmp_path / "input.mtx"
    source.write_text("old")
    cases = tuple(
        replace(one, case=replace(one.case, params={**one.case.params, "file": str(source)}))
        for one in planned.cases
    )
    planned = replace(planned, cases=cases)
    root = tmp_path / "results"
    with pytest.raises(KeyboardInterrupt):
        session.run_plan(planned, session.Settings(), root, observer=DiesAfter(1))
    source.write_text("changed")
    observer = Silent()
    session.run_plan(planned, session.Settings(), root, observer=observer)
    assert sorted(observer.ran) == ["exact", "half"]


@pytest.mark.parametrize("name", ["ASSAY_MACHINE", "OMP_NUM_THREADS"])
def test_another_machine_or_library_setting_is_not_resumed(
    tmp_path: Path, fakes: Registry, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    planned = small_plan(fakes, "exact", "half")
    monkeypatch.setenv(name, "1")
    with pytest.raises(KeyboardInterrupt):
        session.run_plan(planned, session.Settings(), tmp_path, observer=DiesAfter(1))
    monkeypatch.setenv(name, "2")
    observer = Silent()
    session.run_plan(planned, session.Settings(), tmp_path, observer=observer)
    assert sorted(observer.ran) == ["exact", "half"]


def test_a_result_of_source_that_changed_during_the_run_is_dirty(
    tmp_path: Path, fakes: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "drifting.py"
    module.write_text("from harness.testing import FAKE_WORKLOAD as WORKLOAD\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    registry = replace(fakes, workloads={"fake": "drifting:WORKLOAD"})

    class Edits(Silent):
        def process_done(self, planned: PlannedCase, result: Result, last: bool) -> None:
            module.write_text(module.read_text() + "# edited\n")

    outcome = session.run_plan(
        small_plan(registry, "exact", "half"),
        session.Settings(),
        tmp_path / "results",
        observer=Edits(),
    )
    first, second = sorted(results_of(outcome), key=lambda result: result.started_at)
    assert first.environment["dirty_files"] != ["changed during the run"]
    assert second.environment["dirty"] is True
    assert second.environment["dirty_files"] == ["changed during the run"]


def test_an_input_that_one_variant_rejects_is_not_tried_by_the_next(
    tmp_path: Path, fakes: Registry
) -> None:
    planned = small_plan(fakes, "rejects-input")
    [one] = planned.cases
    other = replace(one, case=replace(one.case, variant="rejects-it-too"))
    outcome = session.run_plan(
        replace(planned, cases=(one, other)), session.Settings(), tmp_path, observer=Silent()
    )
    assert {result.reason for result in results_of(outcome)} == {
        "input.txt: line 3 is not a number; repair the file"
    }
    assert sorted(result.duration_s > 0 for result in results_of(outcome)) == [False, True]


def test_a_case_is_repeated_until_it_is_precise(tmp_path: Path, fakes: Registry) -> None:
    planned = plan(fakes, Selection(variants=("exact",), size="small"))
    outcome = session.run_plan(planned, session.Settings(), tmp_path, observer=Silent())
    [one] = outcome.cases
    # The virtual clock is exact, so the pilot is precise at once.
    assert [result.process for result in one.results] == list(range(PILOT))
    assert all(result.quality is None for result in one.results[1:])


def test_a_case_that_fails_is_not_repeated(tmp_path: Path, fakes: Registry) -> None:
    planned = plan(fakes, Selection(variants=("wrong",), size="small"))
    outcome = session.run_plan(planned, session.Settings(), tmp_path, observer=Silent())
    assert [result.outcome for result in results_of(outcome)] == [Outcome.FAILED]


def test_every_round_measures_each_case_once(tmp_path: Path, fakes: Registry) -> None:
    variants = ("exact", "half", "chatters")
    planned = plan(fakes, Selection(variants=variants, size="small", processes=3))
    observer = Silent()
    session.run_plan(planned, session.Settings(), tmp_path, observer=observer)
    rounds = [sorted(observer.ran[at : at + 3]) for at in (0, 3, 6)]
    assert rounds == [sorted(variants)] * 3


def test_an_interrupted_repetition_goes_on_with_the_next_process(
    tmp_path: Path, fakes: Registry
) -> None:
    planned = plan(fakes, Selection(variants=("exact",), size="small", processes=4))
    with pytest.raises(KeyboardInterrupt):
        session.run_plan(planned, session.Settings(), tmp_path, observer=DiesAfter(3))
    observer = Silent()
    outcome = session.run_plan(planned, session.Settings(), tmp_path, observer=observer)
    assert observer.ran == ["exact"]
    assert [result.process for result in outcome.cases[0].results] == [0, 1, 2, 3]


def test_a_result_that_was_damaged_is_measured_again_and_no_other(
    tmp_path: Path, fakes: Registry
) -> None:
    planned = plan(fakes, Selection(variants=("exact",), size="small", processes=3))
    with pytest.raises(KeyboardInterrupt):
        session.run_plan(planned, session.Settings(), tmp_path, observer=DiesAfter(3))
    first, *others = sorted(tmp_path.glob("*/*-[0-9].json"))
    kept = [path.read_bytes() for path in others]
    first.write_text("{")
    observer = DiesAfter(5)
    outcome = session.run_plan(planned, session.Settings(), tmp_path, observer=observer)
    assert observer.ran == ["exact"]
    assert [path.read_bytes() for path in others] == kept
    assert [result.process for result in outcome.cases[0].results] == [0, 1, 2]
    assert outcome.cases[0].result.quality is not None


def test_results_carry_the_ceilings_of_their_device_and_canaries(
    tmp_path: Path, fakes: Registry
) -> None:
    outcome = session.run_plan(
        small_plan(fakes, "exact"), session.Settings(), tmp_path, observer=Silent()
    )
    [result] = results_of(outcome)
    assert "float64" in {ceiling.level for ceiling in result.ceilings}
    phases = [one.phase for one in result.measurements if one.quantity == "canary"]
    assert phases == ["before", "after"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("return Path('/no/such/folder')", "no file can be written and read in /no/such/folder"),
        ("raise AssayError('no such input')", "no such input"),
    ],
)
def test_a_disk_that_cannot_be_read_costs_its_ceiling_and_says_so(
    tmp_path: Path, fakes: Registry, monkeypatch: pytest.MonkeyPatch, body: str, why: str
) -> None:
    name = f"reads_disk_{len(why)}"
    (tmp_path / f"{name}.py").write_text(
        "from pathlib import Path\n"
        "from harness.errors import AssayError\n"
        "from harness.testing.fakes import FakeWorkload\n"
        "class Reads(FakeWorkload):\n"
        "    def disk_folder(self, params):\n"
        f"        {body}\n"
        "WORKLOAD = Reads()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    planned = small_plan(replace(fakes, workloads={"fake": f"{name}:WORKLOAD"}), "exact")
    observer = Silent()
    outcome = session.run_plan(planned, session.Settings(), tmp_path / "r", observer=observer)
    assert [result.outcome for result in results_of(outcome)] == [Outcome.OK]
    assert observer.warnings == [f"no ceiling of the disk: {why}"]


def test_other_settings_are_another_environment(tmp_path: Path, fakes: Registry) -> None:
    planned = small_plan(fakes, "needs-unicorn")
    default, pinned = (
        session.run_plan(planned, settings, tmp_path, observer=Silent()).cases[0].result
        for settings in (session.Settings(), session.Settings(threads=1))
    )
    assert default.environment["id"] != pinned.environment["id"]
    assert environment_name(pinned.environment).endswith("-threads1")


def test_five_kills_at_random_moments_lose_no_result(
    tmp_path: Path, plugin_folder: Path, assay_program: str
) -> None:
    survive_kills(tmp_path, plugin_folder, assay_program, kills=5)


@pytest.mark.soak
def test_fifty_kills_at_random_moments_lose_no_result(
    tmp_path: Path, plugin_folder: Path, assay_program: str
) -> None:
    survive_kills(tmp_path, plugin_folder, assay_program, kills=50)


def survive_kills(folder: Path, plugins: Path, program: str, kills: int) -> None:
    """Kill `assay run` again and again, then let it end; results must stay byte for byte."""
    seed = random.SystemRandom().getrandbits(32)
    print(f"kill moments drawn with seed {seed}")
    moments = random.Random(seed)
    # Each kill can cost the case in work, so there are more cases than kills.
    steps = [f"-pstep_s={1 + place}" for place in range(kills + 3)]
    command = [
        program,
        *("run", "-w", "fake", "-b", "fake", "--variant", "exact", "--size", "small"),
        *("--processes", "1", "-p", "real_s=0.002", *steps),
    ]
    env = {**os.environ, "PYTHONPATH": str(plugins)}
    seen: dict[Path, bytes] = {}
    for _ in range(kills):
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(moments.uniform(0.1, 2.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        seen |= check_kept(folder, seen)
    subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)
    check_kept(folder, seen)
    contents = store.read(folder / "results")
    assert contents.problems == ()
    finished = [one for one in (folder / "results").iterdir() if (one / "finished").exists()]
    assert finished
    [last] = finished[-1:]
    results = store.read(folder / "results", last.name).results
    assert len(results) == len(steps)
    assert all(stored.result.outcome is Outcome.OK for stored in results)


def check_kept(folder: Path, seen: dict[Path, bytes]) -> dict[Path, bytes]:
    """Every result seen before is still there, byte for byte; return what is there now."""
    now = {path: path.read_bytes() for path in (folder / "results").glob("[0-9]*/*-0.json")}
    assert {path: now.get(path) for path in seen} == seen
    return now
