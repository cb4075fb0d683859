"""A selection becomes cases in a stated order, or one line that says what is wrong with it."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from harness.errors import AssayError
from harness.plan import CASE_S, DEFAULT_ESTIMATE_S, SAMPLING_S, Selection, parse_value, plan
from harness.records import Parameter
from harness.registry import Registry
from harness.repetition import PILOT

BOTH = Registry(
    backends={
        "fake": "harness.testing:FAKE_BACKEND",
        "absent": "harness.testing:ABSENT_BACKEND",
    },
    workloads={"fake": "harness.testing:FAKE_WORKLOAD"},
)


def test_everything_is_planned_without_a_selection(fakes: Registry) -> None:
    planned = plan(fakes, Selection())
    assert len(planned.cases) == 2 * 13
    assert {one.case.backend for one in planned.cases} == {"fake"}


def test_variants_of_the_same_parameters_stand_together(fakes: Registry) -> None:
    planned = plan(fakes, Selection(variants=("exact", "half")))
    assert [(one.case.params["step_s"], one.case.variant) for one in planned.cases] == [
        (0.5, "exact"),
        (0.5, "half"),
        (2.0, "exact"),
        (2.0, "half"),
    ]


def test_every_parameter_has_a_value_in_declared_order(fakes: Registry) -> None:
    params = plan(fakes, Selection(variants=("exact",))).cases[0].case.params
    assert list(params) == ["step_s", "real_s", "hoard_bytes", "mode"]
    assert params["step_s"] == 0.5
    assert params["mode"] == "plain"


def test_a_given_parameter_holds_in_every_case_and_equal_cases_are_planned_once(
    fakes: Registry,
) -> None:
    planned = plan(fakes, Selection(variants=("exact",), params=(("step_s", "1.25"),)))
    assert [one.case.params["step_s"] for one in planned.cases] == [1.25]


def test_repeated_values_of_a_parameter_are_swept(fakes: Registry) -> None:
    selection = Selection(
        variants=("exact",), size="small", params=(("step_s", "1"), ("step_s", "2"))
    )
    assert [one.case.params["step_s"] for one in plan(fakes, selection).cases] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        ("needs-unicorn", "needs unicorn, which fake does not have here"),
        ("needs-package", "needs the package no_such_package, which is not installed"),
    ],
)
def test_what_a_variant_lacks_is_its_reason_to_be_skipped(
    fakes: Registry, variant: str, reason: str
) -> None:
    one = plan(fakes, Selection(variants=(variant,), size="small")).cases[0]
    assert one.skip is not None
    assert one.skip.startswith(reason)
    assert one.estimate_s == 0.0


def test_another_device_lacks_the_features_of_the_fake(fakes: Registry) -> None:
    host = "cpu" if os.uname().machine == "x86_64" else "arm"
    registry = replace(fakes, backends={host: f"backends.{host}:BACKEND"})
    one = plan(registry, Selection(variants=("exact",), size="small")).cases[0]
    assert one.skip == f"needs virtual_time, which {host} does not have here"


def test_a_backend_without_a_device_is_left_out_unless_it_is_asked_for() -> None:
    assert {one.case.backend for one in plan(BOTH, Selection()).cases} == {"fake"}
    asked = plan(BOTH, Selection(backends=("absent",), variants=("exact",)))
    assert {one.skip for one in asked.cases} == {
        "absent is unavailable: no such device; plug one in"
    }


def test_no_available_backend_is_one_line() -> None:
    only_absent = replace(BOTH, backends={"absent": BOTH.backends["absent"]})
    with pytest.raises(AssayError, match=r"no backend is available .* `assay devices`"):
        plan(only_absent, Selection())


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(workloads=("fke",)), "unknown workload 'fke'; did you mean fake?"),
        (Selection(backends=("fakee",)), "unknown backend 'fakee'; did you mean fake?"),
        (Selection(variants=("exakt",)), "unknown variant 'exakt'; did you mean exact?"),
        (Selection(params=(("step", "1"),)), "unknown parameter 'step'; did you mean step_s"),
        (Selection(size="tiny"), "unknown size 'tiny'; known: ci, medium, paper, small"),
        (Selection(params=(("step_s", "long"),)), "step_s='long' is not a number"),
        (Selection(params=(("mode", "fency"),)), "unknown value .* 'fency'; did you mean fancy"),
    ],
)
def test_an_unknown_name_or_value_is_named_with_its_nearest(
    fakes: Registry, selection: Selection, message: str
) -> None:
    with pytest.raises(AssayError, match=message):
        plan(fakes, selection)


@pytest.mark.parametrize("text", ["nan()", "1e999x", "", "True"])
def test_a_value_of_the_wrong_type_names_the_parameter(fakes: Registry, text: str) -> None:
    with pytest.raises(AssayError, match="parameter step_s="):
        plan(fakes, Selection(params=(("step_s", text),)))


def test_the_estimate_is_set_up_and_sampling_of_what_runs(fakes: Registry) -> None:
    planned = plan(fakes, Selection(variants=("exact", "needs-unicorn"), size="small"))
    process_s = DEFAULT_ESTIMATE_S + SAMPLING_S["small"] * 4 / 3
    assert planned.cases[0].process_s == pytest.approx(process_s)
    assert planned.estimate_s == pytest.approx(CASE_S["small"])


def test_the_estimate_of_so_many_processes_is_theirs(fakes: Registry) -> None:
    planned = plan(fakes, Selection(variants=("exact",), size="small", processes=3))
    assert planned.estimate_s == pytest.approx(3 * planned.cases[0].process_s)


def test_a_budget_shortens_the_samplings_until_a_pilot_fits(fakes: Registry) -> None:
    planned = plan(fakes, Selection(variants=("exact", "half"), budget_s=64.0))
    assert PILOT * sum(one.process_s for one in planned.cases) == pytest.approx(64.0)


def test_a_budget_never_lengthens_a_sampling(fakes: Registry) -> None:
    planned = plan(fakes, Selection(variants=("exact",), budget_s=1e4))
    assert {one.sampling.budget_s for one in planned.cases} == {SAMPLING_S["ci"]}


def test_a_budget_too_short_for_one_sample_is_refused(fakes: Registry) -> None:
    with pytest.raises(AssayError, match=r"budget of 5 s is too short .* raise --budget"):
        plan(fakes, Selection(variants=("exact",), budget_s=5.0))


def test_a_time_out_is_never_below_what_the_case_is_expected_to_take(fakes: Registry) -> None:
    [one] = plan(fakes, Selection(variants=("exact",), size="small", budget_s=1e4)).cases
    assert one.timeout_s > 4 * one.process_s
    given = Selection(variants=("exact",), size="small", timeout_s=7.0)
    assert plan(fakes, given).cases[0].timeout_s == 7.0


def test_a_plug_in_that_does_not_load_is_told_and_left_out(fakes: Registry) -> None:
    broken = replace(
        fakes,
        workloads={**fakes.workloads, "gone": "gone_package:WORKLOAD"},
        backends={**fakes.backends, "lost": "gone_package:BACKEND"},
    )
    planned = plan(broken, Selection(variants=("exact",)))
    assert {one.case.workload for one in planned.cases} == {"fake"}
    assert len(planned.broken) == 2
    with pytest.raises(AssayError, match="workload 'gone' does not load"):
        plan(broken, Selection(workloads=("gone",)))


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_a_number_must_be_finite(fakes: Registry, text: str) -> None:
    with pytest.raises(AssayError, match="is not a number"):
        plan(fakes, Selection(params=(("step_s", text),)))


def test_true_and_false_are_words() -> None:
    assert parse_value("flag", Parameter(False, ""), "yes") is True
    assert parse_value("flag", Parameter(True, ""), "false") is False
    with pytest.raises(AssayError, match="is not true or false"):
        parse_value("flag", Parameter(True, ""), "perhaps")


def test_a_budget_bounds_the_estimate_of_the_whole_run(fakes: Registry) -> None:
    selection = Selection(variants=("exact", "half"), processes=2)
    free = plan(fakes, selection)
    assert free.estimate_s > 30.0
    assert plan(fakes, replace(selection, budget_s=30.0)).estimate_s == 30.0
    assert plan(fakes, replace(selection, budget_s=3600.0)).estimate_s == free.estimate_s
