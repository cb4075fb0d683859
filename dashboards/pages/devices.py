"""The same cases side by side on every device: speed, energy, and what the device allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from dashboards.pages.book import Book, Device, Workload, group_label
from dashboards.pages.entries import Entry, Evidence, evidence_of
from dashboards.pages.headline import Headline, headline_of
from dashboards.pages.jsonfile import MAX_REASON, interval, moment, number, text
from dashboards.pages.names import digest
from harness.ceilings import shares_at, upper_end
from harness.records import Ceiling, Status
from harness.statistics import Interval
from harness.verdict import ratio_of_groups

_MAX_GROUPS = 2_000
_MAX_DEVICES = 16
"""The newest; machines of one night, such as hired ones, would fill the page with columns."""


@dataclass(frozen=True, slots=True)
class _Cell:
    """A case's newest run on one device."""

    entry: Entry
    device: str
    time: Headline | None
    energy: Headline | None
    evidence: Evidence

    @property
    def time_s(self) -> float | None:
        """Seconds an item; None where there are none."""
        found = self.time.interval if self.time is not None else None
        return None if found is None else found.estimate


def device_json(device: Device) -> dict[str, Any]:
    """Return what every page knows of a device."""
    machine, backend, index = device.place
    return {
        "id": device.id,
        "machine": text(machine),
        "backend": text(backend),
        "index": index,
        "model": text(device.model),
        "last": moment(device.newest.at),
    }


def devices_json(book: Book) -> dict[str, Any]:
    """Return the Devices page's data: each case's newest run on every device, dirty ones too."""
    newest = sorted(book.devices.values(), key=lambda device: (-device.newest.at, device.id))
    shown = {device.place for device in newest[:_MAX_DEVICES]}
    last = [own[-1] for own in book.series.values()]
    cells = [_cell(entry, book) for entry in last if entry.device in shown]
    groups: dict[tuple[str, str], list[_Cell]] = {}
    for cell in cells:
        case = cell.entry.case
        group = digest(case.workload, dict(case.params), case.seed, cell.entry.seen.scene.settings)
        groups.setdefault((case.workload, group), []).append(cell)
    found = [
        _group(book.workloads[name], group, own) for (name, group), own in sorted(groups.items())
    ]
    found.sort(key=lambda group: (group["workload"], group["label"], group["id"]))
    return {
        "devices": [
            {
                **device_json(device),
                "ceilings": _ceilings([cell for cell in cells if cell.device == device.id]),
                "energy": _energy([cell for cell in cells if cell.device == device.id]),
            }
            for device in book.devices.values()
            if device.place in shown
        ],
        "more_devices": len(book.devices) - len(shown),
        "groups": found[:_MAX_GROUPS],
        "more": max(0, len(found) - _MAX_GROUPS),
    }


def _cell(entry: Entry, book: Book) -> _Cell:
    return _Cell(
        entry,
        book.devices[entry.device].id,
        headline_of(entry, "time"),
        headline_of(entry, "energy"),
        evidence_of(entry) if entry.ending.ok else Evidence(None, (), {}),
    )


def _group(workload: Workload, group: str, cells: Sequence[_Cell]) -> dict[str, Any]:
    variants: dict[str, dict[str, _Cell]] = {}
    for cell in sorted(cells, key=lambda cell: cell.entry.at):
        variants.setdefault(cell.entry.case.variant, {})[cell.device] = cell
    first = cells[0].entry
    best = {device: one for device in sorted({cell.device for cell in cells})
            if (one := _fastest(device, variants)) is not None}  # fmt: skip
    rows = [{"variant": "", "best": True, "cells": _row(best)}]
    rows += [
        {"variant": text(variant), "best": False, "cells": _row(variants[variant])}
        for variant in sorted(variants)
    ]
    return {
        "id": group,
        "workload": workload.slug,
        "label": group_label(first.case, workload.varying, first.seen.scene.settings),
        "item": text(workload.item),
        "rows": rows,
    }


def _fastest(device: str, variants: Mapping[str, Mapping[str, _Cell]]) -> _Cell | None:
    timed = [
        (cell.time_s, name, cell)
        for name, cells in sorted(variants.items())
        if (cell := cells.get(device)) is not None and cell.time_s is not None
    ]
    return min(timed, key=lambda one: one[:2])[2] if timed else None


def _row(cells: Mapping[str, _Cell]) -> dict[str, Any]:
    return {device: _cell_json(cell, cells) for device, cell in cells.items()}


def _cell_json(cell: _Cell, row: Mapping[str, _Cell]) -> dict[str, Any]:
    entry = cell.entry
    return {
        "variant": text(entry.case.variant),
        "time": None if cell.time is None else interval(cell.time.interval),
        "time_status": "" if cell.time is None else cell.time.status,
        "energy": None if cell.energy is None else interval(cell.energy.interval),
        "energy_status": "" if cell.energy is None else cell.energy.status,
        "energy_reason": "" if cell.energy is None else text(cell.energy.reason, MAX_REASON),
        "outcome": str(entry.ending.outcome),
        "reason": entry.ending.reason,
        "run": text(entry.run),
        "case": entry.key,
        "commit": text(entry.seen.scene.commit),
        "dirty": entry.ending.dirty,
        "speedup": {
            device: ratio
            for device, other in row.items()
            if device != cell.device and (ratio := _speedup(cell, other)) is not None
        },
        "roof": _roof(cell),
    }


def _speedup(here: _Cell, there: _Cell) -> list[float | None] | None:
    """Return the time there over the time here; None where the two did not do the same."""
    above, below = there.time, here.time
    if above is None or below is None:
        return None
    if min((0.0, *above.middles, *below.middles)) < 0 or not (above.middles and below.middles):
        return None
    if min((*above.middles, *below.middles)) <= 0:
        return None
    if here.evidence.inputs != there.evidence.inputs:
        return None
    if here.entry.ending.item != there.entry.ending.item:
        return None
    return interval(
        ratio_of_groups(
            base=[[middle] for middle in below.middles],
            candidate=[[middle] for middle in above.middles],
        )
    )


def _roof(cell: _Cell) -> dict[str, Any] | None:
    """Return where the case stands under its device's ceilings; None without declared FLOP."""
    work, time = cell.evidence.work, cell.time
    if work is None or time is None or time.interval is None or time.interval.estimate <= 0:
        return None
    flops = {dtype: count for dtype, count in work.flops.items() if count > 0}
    if not flops:
        return None
    step_s = time.interval.scaled(work.items)
    dtype = max(sorted(flops), key=lambda name: flops[name])
    moved = work.bytes.get("memory", 0.0)
    shares = shares_at(cell.evidence.ceilings, work, step_s)
    levels = [one.ceiling.level for one in shares if one.ceiling.quantity == "memory_rate"]
    return {
        "flop_rate": interval(_rate(flops[dtype], step_s)),
        "dtype": text(dtype),
        "intensity": number(flops[dtype] / moved) if moved > 0 else None,
        "level": text(levels[0]) if levels else None,
        "share": number(shares[0].share) if shares else None,
        "byte_rate": interval(_rate(moved, step_s)) if moved > 0 else None,
    }


def _rate(amount: float, step_s: Interval) -> Interval:
    return Interval(
        amount / step_s.estimate,
        None if step_s.high is None else amount / step_s.high,
        None if not step_s.low else amount / step_s.low,
        step_s.confidence,
    )


def _ceilings(cells: Sequence[_Cell]) -> list[dict[str, Any]]:
    """Return each ceiling once, from the newest result that was held against it."""
    newest: dict[tuple[str, str, str, float], Ceiling] = {}
    for cell in sorted(cells, key=lambda cell: (cell.entry.at, cell.entry.key)):
        for ceiling in cell.evidence.ceilings:
            if ceiling.values:
                at = (ceiling.quantity, ceiling.level, ceiling.method, ceiling.size_bytes or 0.0)
                newest[at] = ceiling
    return [
        {
            "quantity": text(ceiling.quantity),
            "level": text(ceiling.level),
            "unit": text(ceiling.unit),
            "method": text(ceiling.method),
            "size": number(ceiling.size_bytes),
            "rate": [
                number(max(ceiling.values)),
                number(median(ceiling.values)),
                number(upper_end(ceiling)),
            ],
        }
        for _, ceiling in sorted(newest.items(), key=lambda item: item[0])
    ]


def _energy(cells: Sequence[_Cell]) -> str:
    """Return "measured", or the newest reason why energy is not."""
    told = [cell for cell in cells if cell.energy is not None]
    if any(cell.energy.interval is not None for cell in told if cell.energy is not None):
        return str(Status.MEASURED)
    newest = max(told, key=lambda cell: (cell.entry.at, cell.entry.key), default=None)
    if newest is None or newest.energy is None:
        return "not asked for"
    return text(newest.energy.reason or newest.energy.status, MAX_REASON)
