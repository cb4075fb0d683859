"""Tables say what is known and why the rest is not, and hostile names stay text."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

from rich.console import Console

from harness.case_run import CaseRun
from harness.records import Case, Measurement, Outcome, Result, Status, Work
from harness.rows import Row, rows
from harness.statistics import Interval
from harness.tables import as_csv, as_markdown, print_rows, spread

CASE = Case("spmv", "1", "slow", "cpu", {"matrix": "road", "rows": 10})


def result_of(variant: str, time_s: float, matrix: str = "road") -> Result:
    return Result(
        case=replace(CASE, variant=variant, params={"matrix": matrix, "rows": 10}),
        outcome=Outcome.OK,
        work=Work(item="product", flops={"float64": 2e9}),
        measurements=(
            Measurement("time", "s", "process", "clock", values=(time_s,) * 6),
            Measurement("peak_memory", "B", "process", "vmhwm", values=(1 << 20,)),
            Measurement(
                "energy", "J", "package", "rapl", status=Status.UNAVAILABLE, reason="no counter"
            ),
        ),
    )


def rows_of(results: list[Result], baselines: list[tuple[str, str]]) -> list[Row]:
    """Two processes each, which agree."""
    return rows(
        [CaseRun("run", (result, replace(result, process=1))) for result in results], baselines
    )


def printed(found: list[Row]) -> str:
    out = io.StringIO()
    print_rows(found, Console(file=out))
    return out.getvalue()


def test_the_table_shows_every_headline() -> None:
    text = printed(rows_of([result_of("slow", 2e-3), result_of("fast", 1e-3)], [("spmv", "slow")]))
    for part in (
        "spmv (version 1) on cpu matrix=road rows=10",
        "time per product",
        "2.00 ms +0.0/+0.0%",
        "1.00 MiB",
        "2.00x [2.00, 2.00]",
        "2e+03 GFLOP/s",
        "detects",
        "unavailable",
        "energy unavailable: no counter",
    ):
        assert part in text, part


def test_a_parameter_that_varies_is_a_column() -> None:
    text = printed(rows_of([result_of("slow", 1.0), result_of("slow", 1.0, matrix="rmat")], []))
    assert "spmv (version 1) on cpu rows=10" in text
    assert "rmat" in text


def test_a_failed_case_shows_its_outcome_and_reason() -> None:
    failed = Result(case=CASE, outcome=Outcome.CRASHED, reason="killed by SIGSEGV in phase time")
    text = printed(rows_of([failed, result_of("fast", 1.0)], []))
    assert "crashed" in text
    assert "slow: crashed: killed by SIGSEGV in phase time" in text


def test_markup_in_a_name_stays_text() -> None:
    hostile = replace(CASE, variant="[red]x[/red] [link=http://x]y")
    text = printed(rows_of([replace(result_of("slow", 1.0), case=hostile)], []))
    assert "[red]x[/red]" in text


def test_markdown_is_escaped_for_a_pull_request() -> None:
    hostile = replace(CASE, variant="a|b <img src=x> @someone [x](http://y) `c`")
    text = as_markdown(rows_of([replace(result_of("slow", 1.0), case=hostile)], []))
    assert "<img" not in text
    assert r"a\|b &lt;img" in text
    assert r"\@someone \[x\](http://y) \`c\`" in text
    assert "| variant |" in text


def test_what_would_steer_a_terminal_is_replaced_in_every_form() -> None:
    steering = "\x1b]0;title\x07"
    skipped = Result(
        case=replace(CASE, workload=f"w{steering}", variant=f"v{steering}", params={"p": steering}),
        outcome=Outcome.SKIPPED,
        reason=f"no device{steering}\nsecond line",
    )
    found = rows_of([skipped, replace(skipped, case=replace(CASE, variant=steering))], [])
    for text in (printed(found), as_markdown(found), as_csv(found)):
        assert "?]0;title?" in text.replace("\\", "")
        assert text.replace("\n", "").isprintable()
    assert "no device?]0;title? second line" in printed(found)


def test_csv_has_unrounded_numbers_under_one_header() -> None:
    skipped = Result(case=CASE, outcome=Outcome.SKIPPED, reason="no device")
    lines = list(csv.DictReader(io.StringIO(as_csv(rows_of([result_of("a", 1 / 3), skipped], [])))))
    assert float(lines[0]["time_s.median"]) == 1 / 3
    assert lines[1]["time_s.median"] == ""
    assert lines[1]["reason"] == "no device"


def test_an_interval_beyond_half_or_twice_the_estimate_only_says_so() -> None:
    assert spread(Interval(1.0, 0.97, 1.04, 0.95)) == " -3.0/+4.0%"
    assert spread(Interval(1.0, 0.5, 2.0, 0.95)) == " -50.0/+100.0%"
    assert spread(Interval(1.0, 0.002, 444.0, 0.95)) == " ±>100%"


def test_processes_far_apart_print_no_absurd_figures() -> None:
    apart = [replace(result_of("slow", 10.0**at), process=at) for at in range(2)]
    [row] = rows([CaseRun("run", tuple(apart))], [])
    text = printed([row])
    assert "3.16 s ±>100%" in text
    assert ">100%" in text
    assert "000" not in text


def test_a_large_slowdown_keeps_its_digits() -> None:
    found = rows_of([result_of("slow", 1e-6), result_of("fast", 1e-3)], [("spmv", "slow")])
    assert "0.001x [0.001, 0.001]" in printed(found)


def test_the_table_says_why_a_time_is_no_number() -> None:
    why = Measurement(
        "time", "s", "p", "clock", status=Status.UNRESOLVABLE, reason="a step is too short"
    )
    text = printed(rows_of([replace(result_of("slow", 1.0), measurements=(why,))], []))
    assert "time unresolvable: a step is too short" in text


def test_csv_holds_no_list_of_objects() -> None:
    assert "ceilings" not in as_csv(rows_of([result_of("a", 1.0)], []))
