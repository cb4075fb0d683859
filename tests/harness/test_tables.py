"""Tables say what is known and why the rest is not, and hostile names stay text."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

from rich.console import Console

from harness.case_run import CaseRun
from harness.records import Case, Measurement, Outcome, Result, Status, Work
from harness.rows import Row, rows
from harness.tables import as_csv, as_markdown, print_rows

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
