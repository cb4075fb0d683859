"""The list of all runs."""

from __future__ import annotations

from typing import Any

from dashboards.pages.book import Book
from dashboards.pages.jsonfile import moment, text
from harness.columns import grouped, numbered
from harness.records import Outcome


def runs_json(book: Book) -> dict[str, Any]:
    """Return the list of all runs, the newest first."""
    seen, endings = book.entries.seen, book.entries.endings
    skipped = book.entries.which(lambda one: one.outcome is Outcome.SKIPPED)
    good = book.entries.which(lambda one: one.ok)
    runs = numbered(scene.run for scene in seen.scenes.values)[seen.scenes.codes]
    found = [
        {
            "id": text(seen.scenes[rows[0]].run),
            "file": book.files[seen.scenes[rows[0]].run],
            "at": moment(float(seen.started_at[rows].min())),
            "machine": text(seen.scenes[rows[0]].machine),
            "commit": text(seen.scenes[rows[0]].commit),
            "dirty": endings[rows[0]].dirty,
            "cases": len(rows),
            "ok": int(good[rows].sum()),
            "failed": int((~good & ~skipped)[rows].sum()),
            "skipped": int(skipped[rows].sum()),
        }
        for rows in grouped(runs)
    ]
    return {"runs": sorted(found, key=lambda one: (-one["at"], one["id"], one["file"]))}
