"""The list of all runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashboards.pages.book import Book
from dashboards.pages.entries import Entry
from dashboards.pages.jsonfile import moment, text
from harness.records import Outcome


def runs_json(book: Book) -> dict[str, Any]:
    """Return the list of all runs, the newest first."""
    own: dict[str, list[Entry]] = {}
    for entry in book.entries:
        own.setdefault(entry.run, []).append(entry)
    found = [_listed(run, entries, book.files[run]) for run, entries in own.items()]
    return {"runs": sorted(found, key=lambda one: (-one["at"], one["id"], one["file"]))}


def _listed(run: str, own: Sequence[Entry], file: str) -> dict[str, Any]:
    skipped = sum(entry.outcome is Outcome.SKIPPED for entry in own)
    good = sum(entry.ok for entry in own)
    return {
        "id": text(run),
        "file": file,
        "at": moment(min(entry.seen.started_at for entry in own)),
        "machine": text(own[0].seen.machine),
        "commit": text(own[0].commit),
        "dirty": own[0].dirty,
        "cases": len(own),
        "ok": good,
        "failed": len(own) - good - skipped,
        "skipped": skipped,
    }
