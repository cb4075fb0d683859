"""Makes text that others chose safe to print: it may hold what would steer the terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return the text on one line, fit for every terminal and encodable as UTF-8.

    White space other than a blank becomes a blank, so that a line stays a line. Any other character
    that is not printable becomes "?": escape sequences, marks that reverse the direction of
    writing, and the halves of a character that stand for the bytes of a badly encoded name.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else " " if character.isspace() else "?"
        for character in text
    )
