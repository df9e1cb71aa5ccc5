"""Tables for the terminal: columns as wide as they must be, the whole no wider than a line."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

LINE = 100
"""Columns that a table may take: two panes fit a screen, and a page of a manual."""


def table(rows: Sequence[Sequence[str]], *, elastic: int, numbers: Collection[int] = (), line: int = LINE) -> str:
    """Rows in columns, the first row being the heading; columns of `numbers` stand at the right.

    What is too long in column `elastic` is cut and ends in `…`.
    """
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    others = sum(widths) - widths[elastic] + 2 * (len(widths) - 1)
    widths[elastic] = max(min(widths[elastic], line - others), len(rows[0][elastic]))
    return "\n".join("  ".join(_cells(row, widths, numbers)).rstrip() for row in rows)


def _cells(row: Sequence[str], widths: Sequence[int], numbers: Collection[int]) -> Iterator[str]:
    for k, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield _cut(cell, width).rjust(width) if k in numbers else _cut(cell, width).ljust(width)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def size_text(size: int) -> str:
    """Bytes for people: 3 digits and a decimal unit."""
    value, units = float(size), iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while value >= 999.5 and unit != "TB":
        value, unit = value / 1000, next(units)
    return f"{value:.3g} {unit}"
