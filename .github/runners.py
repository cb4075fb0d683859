"""Says which self-hosted runners a night has: labels for the matrix, a line for each absent one.

ASSAY_RUNNERS, a variable of the repository, names the labels that have a runner: "cpu cuda".
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

LABELS = ("cpu", "arm", "cuda", "gaudi")

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def main() -> int:
    """Write the output `labels` and the summary; return 2 where the variable is not readable."""
    named = os.environ.get("ASSAY_RUNNERS", "").replace(",", " ").split()
    for label in named:
        if not _LABEL.fullmatch(label):
            print(f"ASSAY_RUNNERS: {label!r} is no label; write it as `cpu cuda`", file=sys.stderr)
            return 2
    present = list(dict.fromkeys(named))
    lines = ["| runner | tonight |", "| --- | --- |"]
    lines += [f"| {label} | measures |" for label in present]
    lines += [
        f"| {label} | skipped: no runner; add one and name it in the variable ASSAY_RUNNERS |"
        for label in LABELS
        if label not in present
    ]
    _append("GITHUB_STEP_SUMMARY", "\n".join(lines) + "\n")
    _append("GITHUB_OUTPUT", f"labels={json.dumps(present)}\n")
    for label in LABELS:
        if label not in present:
            print(f"::notice title=skipped::no runner with the label {label}")
    return 0


def _append(variable: str, text: str) -> None:
    path = os.environ.get(variable)
    if path is None:
        print(text, end="")
        return
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    sys.exit(main())
