"""The picture of a heat map: over the slide where that can be read, with a scale of its colours, as PNG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Mpp
from wsi_features.report.figures import encoded
from wsi_features.report.heat import HeatMap
from wsi_features.report.heat_colours import Ramp

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rgb = npt.NDArray[np.uint8]

_DPI = 100
_TEXT, _FAINT, _LINE = "#222222", "#666666", "#bbbbbb"


@dataclass(frozen=True, slots=True)
class Words:
    """What stands around the picture: a title, a line below it, the name of the scale and what its ends are called.

    `mpp` is of a pixel of the picture, for a bar of length; None where nobody knows it.
    """

    title: str
    below: str
    scale: str
    ticks: Sequence[tuple[float, str]]
    mpp: Mpp | None = None


def blended(thumbnail: Rgb, heat: HeatMap, ramp: Ramp, opacity: float) -> Rgb:
    """The heat map over a thumbnail (h, w, 3) of its slide, which shows through by 1 - `opacity`, and wholly where no
    tile is. Each pixel takes the value of the map below its centre.
    """
    height, width = thumbnail.shape[:2]
    rows = _under(height, heat.slide.height, heat.downsample)
    columns = _under(width, heat.slide.width, heat.downsample)
    values = heat.values[rows[:, None], columns]
    share = np.where(np.isnan(values), 0, opacity).astype(np.float32)[:, :, None]
    return np.rint(thumbnail * (1 - share) + ramp.colours(values) * share).astype(np.uint8)


def framed(picture: Rgb, ramp: Ramp, words: Words) -> bytes:
    """PNG bytes of the picture, pixel for pixel, with the words above it and the colours beside it."""
    height, width = picture.shape[:2]
    unit = float(np.clip(max(height, width) / 1100, 0.75, 2))
    margin, top, side = round(24 * unit), round(78 * unit), round(190 * unit)
    tall = max(height, round(330 * unit))
    size = (max(margin + width + side, round(480 * unit)), top + tall + margin)
    figure = _figure(size)
    y = size[1] - margin
    _text(figure, (margin, size[1] - round(30 * unit)), words.title, 13 * unit, weight="bold")
    _text(figure, (margin, size[1] - round(54 * unit)), words.below, 9.5 * unit, color=_FAINT)
    left = margin + width + round(26 * unit)
    bar = (left, y - (top - margin) - round(290 * unit), round(20 * unit), round(250 * unit))
    _text(figure, (left, bar[1] + bar[3] + round(14 * unit)), words.scale, 10 * unit)
    _colour_bar(figure, bar, ramp, words.ticks, unit)
    if words.mpp:
        _length_bar(figure, (left, bar[1] - round(22 * unit)), words.mpp, unit)
    canvas = _drawn(figure)
    canvas[top : top + height, margin : margin + width] = picture
    return encoded(canvas, "png")


def length_bar(longest: float, mpp: float) -> tuple[float, str]:
    """A round length (1, 2 or 5 of a unit) of at most `longest` pixels: in pixels, and what to call it."""
    most = longest * mpp
    power = 10.0 ** math.floor(math.log10(most))
    microns = max(step * power for step in (1, 2, 5) if step * power <= most * (1 + 1e-9))
    return microns / mpp, f"{microns / 1000:g} mm" if microns >= 1000 else f"{microns:g} µm"


def _under(count: int, whole: int, downsample: int) -> npt.NDArray[np.int64]:
    """The pixel of the map below the centre of each of `count` pixels that span `whole` level-0 pixels."""
    centres = (np.arange(count) + 0.5) * whole / count
    return (centres // downsample).astype(np.int64)


def _figure(size: tuple[int, int]) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(size[0] / _DPI, size[1] / _DPI), dpi=_DPI, facecolor="white")


def _box(figure: Figure, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """A box in pixels from the bottom left as shares of the figure."""
    width, height = figure.bbox.width, figure.bbox.height
    return box[0] / width, box[1] / height, box[2] / width, box[3] / height


def _text(figure: Figure, at: tuple[float, float], text: str, size: float, **style: Any) -> None:
    x, y, _, _ = _box(figure, (*at, 0, 0))
    style.setdefault("color", _TEXT)
    figure.text(x, y, text, fontsize=size * 72 / _DPI, parse_math=False, **style)


def _colour_bar(
    figure: Figure, box: tuple[float, float, float, float], ramp: Ramp, ticks: Sequence[tuple[float, str]], unit: float
) -> None:
    axes = figure.add_axes(_box(figure, box))
    axes.imshow(ramp.table[:, None], origin="lower", aspect="auto", extent=(0, 1, 0, 1), interpolation="nearest")
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.set_yticks([share for share, _ in ticks], [text for _, text in ticks])
    axes.tick_params(length=3 * unit, width=0.8, labelsize=9 * unit * 72 / _DPI, labelcolor=_TEXT, color=_LINE)
    for spine in axes.spines.values():
        spine.set_color(_LINE)


def _length_bar(figure: Figure, at: tuple[float, float], mpp: float, unit: float) -> None:
    length, text = length_bar(140 * unit, mpp)
    axes = figure.add_axes(_box(figure, (at[0], at[1] - 3 * unit, length, 3 * unit)))
    axes.set_facecolor(_TEXT)
    axes.set_xticks([])
    axes.set_yticks([])
    _text(figure, (at[0], at[1] - 20 * unit), text, 9 * unit)


def _drawn(figure: Figure) -> Rgb:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba(), dtype=np.uint8)[:, :, :3]
