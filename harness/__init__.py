"""Plan, isolate, measure, record, compare. Importing this package never imports torch."""

from harness.errors import AssayError
from harness.records import (
    Case,
    Measurement,
    Outcome,
    Parameter,
    Params,
    Quality,
    Result,
    Variant,
    Verification,
    Work,
    verified,
)

__all__ = [
    "AssayError",
    "Case",
    "Measurement",
    "Outcome",
    "Parameter",
    "Params",
    "Quality",
    "Result",
    "Variant",
    "Verification",
    "Work",
    "verified",
]
