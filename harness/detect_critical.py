"""Limits of the step detector."""
from __future__ import annotations
FALSE_ALARMS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
REFERENCES = (9, 12, 17, 25, 38, 60, 96, 160)
def limit(reference: int, false_alarms: float) -> float:
    return 3.5
