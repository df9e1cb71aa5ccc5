"""Plots for a page, as the numbers that its template draws in SVG: ticks, lines and dots in pixels.

A template draws them in the page's own colours, in light, dark and print; a line's style is a colour and a pattern of
dashes, so that no line is told by its colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEFT, RIGHT, TOP, BOTTOM = 58, 16, 14, 46
"""Pixels around the area of a plot: numbers and the name of an axis stand there."""


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis is of, and from where to where it goes."""

    label: str
    low: float
    high: float

    def share(self, value: float) -> float:
        """The place of a value along the axis, 0 to 1; what lies beyond stands at its end."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One line through points; without a name it is not in the legend."""

    style: str
    x: Floats
    y: Floats
    name: str = ""
    steps: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """One mark; `said` is shown when a pointer rests on it."""

    style: str
    x: float
    y: float
    said: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """A number at its place in pixels."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A curve or a mark in pixels: `path` of a line, or the place of a dot."""

    style: str
    path: str = ""
    x: float = 0.0
    y: float = 0.0
    said: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """A finished plot of `width` x `height` pixels; `described` says in words what it shows, to who cannot see it."""

    title: str
    described: str
    width: int
    height: int
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Drawn, ...]
    dots: tuple[Drawn, ...]
    legend: tuple[tuple[str, str], ...]
    note: str = ""

    @property
    def area(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of what the axes enclose."""
        return LEFT, TOP, self.width - RIGHT, self.height - BOTTOM


@dataclass(frozen=True, slots=True)
class Caption:
    """The words of a plot: heading, description for who cannot see it, and what to know when reading it."""

    title: str
    described: str
    note: str = ""


def plotted(
    caption: Caption,
    axes: tuple[Axis, Axis],
    curves: Sequence[Curve],
    points: Sequence[Point] = (),
    size: tuple[int, int] = (460, 360),
) -> Plot:
    """Lay a plot out: `axes` are x and y, y rises upwards. Equal data give equal plots."""
    (width, height), (x, y) = size, axes
    across, up = width - LEFT - RIGHT, height - TOP - BOTTOM

    def place(u: float, v: float) -> tuple[float, float]:
        return round(LEFT + across * x.share(u), 1), round(TOP + up * (1 - y.share(v)), 1)

    def path(curve: Curve) -> str:
        pairs = [place(float(u), float(v)) for u, v in zip(*_stepped(curve), strict=True) if math.isfinite(v)]
        return " ".join(f"{u:g},{v:g}" for u, v in pairs)

    return Plot(
        title=caption.title,
        described=caption.described,
        width=width,
        height=height,
        x_label=x.label,
        y_label=y.label,
        x_ticks=tuple(Tick(place(value, y.low)[0], text) for value, text in ticks(x.low, x.high, across // 75)),
        y_ticks=tuple(Tick(place(x.low, value)[1], text) for value, text in ticks(y.low, y.high, up // 50)),
        lines=tuple(Drawn(curve.style, path(curve)) for curve in curves),
        dots=tuple(Drawn(p.style, "", *place(p.x, p.y), p.said) for p in points if math.isfinite(p.y)),
        legend=tuple((curve.style, curve.name) for curve in curves if curve.name),
        note=caption.note,
    )


def ticks(low: float, high: float, about: int) -> list[tuple[float, str]]:
    """Some `about` round numbers from `low` to `high`, with their text."""
    rough = (high - low) / max(1, about)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    places = max(0, -math.floor(math.log10(step) + 1e-9)) + (1 if f"{step / power:g}" == "2.5" and step < 10 else 0)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(k * step, f"{k * step + 0.0:,.{places}f}") for k in range(first, last + 1)]


def around(*values: Floats, room: float = 0.05) -> tuple[float, float]:
    """From where to where an axis shows all finite values with some room; a width of 1 where they are all equal."""
    every = np.concatenate([v[np.isfinite(v)].ravel() for v in values])
    if not len(every):
        return 0.0, 1.0
    low, high = float(every.min()), float(every.max())
    spare = (high - low) * room or 0.5
    return low - spare, high + spare


def _stepped(curve: Curve) -> tuple[Floats, Floats]:
    """The points of a line, or the corners of a line that keeps each value until the next point."""
    if not curve.steps:
        return curve.x, curve.y
    return np.repeat(curve.x, 2)[1:], np.repeat(curve.y, 2)[:-1]
