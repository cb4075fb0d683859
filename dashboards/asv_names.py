"""Makes names harmless: as file names, and as text that asv's pages insert as HTML."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

from harness.records import Scalar

MAX_NAME = 100
"""asv composes file names of `<name>-<value>`; file systems end at 255 bytes."""

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_LOOKALIKES = str.maketrans(
    {"<": "\u2039", ">": "\u203a", "&": "+", '"': "\u201d", "'": "\u2019", "`": "\u2019"}
)


def safe_name(name: str) -> str:
    """Return `name` in characters of [A-Za-z0-9._-], unlike for unlike names.

    A name that has to change gets six digits of its own digest, so that `a b` and `a/b` do not
    become one machine.
    """
    if _SAFE.fullmatch(name) and len(name) <= MAX_NAME and not name.endswith(".json"):
        return name
    cleaned = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[: MAX_NAME - 8].lstrip("-")
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:6]
    return f"{cleaned or '_'}-{digest}"


@lru_cache(maxsize=1024)  # a long history asks for the same few texts over and over
def inert(text: str, limit: int = MAX_NAME) -> str:
    """Return `text` on one line of at most `limit` characters, without what HTML would read."""
    printable = "".join(c if c.isprintable() else " " for c in text.translate(_LOOKALIKES))
    line = " ".join(printable.split())
    return line if len(line) <= limit else line[: limit - 1] + "\u2026"


def literal(value: Scalar | None) -> str:
    r"""Return the Python literal of a parameter's value, as asv stores it.

    In strings the characters that HTML reads become escapes (`'a\x3cb'`), which is the same value.
    """
    if not isinstance(value, str):
        return repr(value)
    escaped = repr(value)
    for character in "<>&":
        escaped = escaped.replace(character, f"\\x{ord(character):02x}")
    return escaped
