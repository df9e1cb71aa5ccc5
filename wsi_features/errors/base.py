"""The root of the error tree, and the form that every message has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


def one_line(text: object) -> str:
    """A text for a message, whatever a file or a foreign library put into it: no line breaks, no control bytes."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def some_of(names: Sequence[str], most: int = 5) -> str:
    """The first names for a message, and how many more there are."""
    shown = ", ".join(map(repr, names[:most])) or "none"
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


class WsiFeaturesError(Exception):
    """Every error that the project raises on purpose.

    The message is one line for a person: what was found, what was wanted, what to do.
    `reason` is the short code that status tables and records carry.
    """

    reason: ClassVar[str] = "error"


class SlideError(WsiFeaturesError):
    """One slide cannot be processed; the others go on and this one is recorded as failed."""

    reason: ClassVar[str] = "slide"


class UsageError(WsiFeaturesError):
    """Nothing was started: command line, config or manifest are wrong (exit code 2)."""

    reason: ClassVar[str] = "usage"
