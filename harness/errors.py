"""The one exception that is the user's to mend; anything else is a bug and shows its traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AssayError(Exception):
    """Wrong usage or bad input: one line that names the thing and the fix.

    The command line prints it as it is and exits with status 2. Raised inside a worker it reaches
    the command line the same way, so a workload raises it for an input file it cannot accept.
    """


class UnknownNameError(AssayError):
    """A name that is not among the known ones."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Return the error for a `name` not among the `known` ones, with the nearest of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif names:
        hint = f"known: {', '.join(names)}"
    else:
        hint = "none is registered"
    return UnknownNameError(f"unknown {kind} {name!r}; {hint}")
