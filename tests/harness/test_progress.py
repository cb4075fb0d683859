"""What is printed while a run goes on can be believed."""

from __future__ import annotations

import re

import pytest

from harness.commands.progress import progress_for
from harness.plan import Selection, plan
from harness.records import Outcome, Result
from harness.registry import Registry


@pytest.mark.parametrize(("budget_s", "eta"), [(90.0, r"1 min (29|30) s|90 s"), (None, r".* h .*")])
def test_no_more_time_is_left_than_the_budget_has(
    fakes: Registry, capsys: pytest.CaptureFixture[str], budget_s: float | None, eta: str
) -> None:
    planned = plan(fakes, Selection(variants=("exact", "half"), budget_s=budget_s))
    first = planned.cases[0]
    with progress_for(planned) as observer:
        observer.process_done(first, Result(first.case, Outcome.OK, duration_s=3000.0), last=False)
    told = re.search(r"ETA (.*)\)", capsys.readouterr().err)
    assert told is not None
    assert re.fullmatch(eta, told[1]), told[1]
