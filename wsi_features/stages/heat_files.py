"""The files of one slide's scores: a picture, objects for QuPath, and OME-TIFF heat maps. Bytes and lines, no names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.errors import ScoreError
from wsi_features.geometry import Mpp, SlidePx
from wsi_features.recipe import Json
from wsi_features.report.figures import tissue_outlined
from wsi_features.report.heat import MOST_PIXELS, HeatMap, chosen_downsample, heat_levels, heat_map, heat_size
from wsi_features.report.heat_colours import Ramp
from wsi_features.report.heat_picture import Words, blended, framed
from wsi_features.report.heat_scale import Scaling, Spread
from wsi_features.slides.heat_tiff import HeatImage, write_heat_tiff
from wsi_features.stages.heat_ground import PICTURE_PX, Ground, GroundPicture
from wsi_features.store import FeatureStore
from wsi_features.tissue.tile_objects import ObjectType, tiles_text

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class ScoredSlide:
    """A slide's `raw` scores (n,) of the store's rows and the same on their scale, with the colours of that.

    `spread` is what they are compared with: the slide's own scores, or those of the cohort (`over`).
    """

    store: FeatureStore
    ground: Ground
    column: str
    raw: Floats
    scores: Floats
    spread: Spread
    scaling: Scaling
    over: str
    ramp: Ramp

    @property
    def slide_id(self) -> str:
        """Of the slide."""
        return self.store.provenance.slide_id

    def painted(self, values: Floats, downsample: int) -> HeatMap:
        """The tiles with these values (n,) as a heat map."""
        origins = self.store.coords.astype(np.int64)
        return heat_map(origins, SlidePx(self.store.provenance.span), values, self.ground.size, downsample)

    def about(self) -> Json:
        """What the files say of themselves."""
        return {
            "slide_id": self.slide_id,
            "store": self.store.fingerprint,
            "feature_set": self.store.path.parent.name,
            "score": self.column,
            "scale": self.scaling,
            "over": self.over,
        }

    def scale_words(self) -> str:
        """How the scores were scaled, for people."""
        return {
            "raw": "raw scores",
            "min-max": f"from least to greatest of the {self.over}",
            "rank": f"percentile rank in the {self.over}",
        }[self.scaling]


def picture(slide: ScoredSlide, ground: GroundPicture, opacity: float) -> bytes:
    """PNG bytes: the heat map over the slide, or alone where that could not be read."""
    size = slide.ground.size
    heat = slide.painted(slide.scores, max(1, max(size.width, size.height) // PICTURE_PX))
    image = blended(ground.rgb, heat, slide.ramp, 1.0 if ground.bare else opacity)
    if ground.tissue is not None:
        image = tissue_outlined(image, ground.tissue, size)
    per_pixel = size.width / image.shape[1]
    scored = f"{np.count_nonzero(np.isfinite(slide.raw)):,} of {len(slide.raw):,} tiles"
    words = Words(
        title=slide.slide_id,
        below=f"{slide.column}, {slide.scale_words()}, {scored}",
        scale="percentile" if slide.scaling == "rank" else "score",
        ticks=_ticks(slide),
        mpp=Mpp(slide.ground.mpp * per_pixel) if slide.ground.mpp else None,
    )
    return framed(image, slide.ramp, words)


def _ticks(slide: ScoredSlide) -> list[tuple[float, str]]:
    """Five places on the bar of colours, 0 to 1, and their scores."""
    places = [k / 4 for k in range(5)]
    values = [slide.ramp.low + place * (slide.ramp.high - slide.ramp.low) for place in places]
    if slide.scaling == "rank":
        return [(place, f"{100 * value:g}") for place, value in zip(places, values, strict=True)]
    return [(place, f"{value:.3g}") for place, value in zip(places, values, strict=True)]


def downsample_of(slide: ScoredSlide, downsample: int | None, mpp: float | None) -> int:
    """Level-0 pixels per pixel of the OME-TIFF, as asked for or chosen. Raises ScoreError for a map too large for memory.

    A resolution is met as well as a whole number can; it needs that of the slide (StoreError).
    """
    chosen = downsample or chosen_downsample(SlidePx(slide.store.provenance.span), slide.ground.size)
    if mpp is not None:
        chosen = max(1, round(mpp / slide.store.provenance.mpp_native))
    pixels = heat_size(slide.ground.size, chosen).area
    if pixels > MOST_PIXELS:
        enough = int(chosen * (pixels / MOST_PIXELS) ** 0.5) + 1
        raise ScoreError.too_fine(slide.slide_id, chosen, pixels, MOST_PIXELS, enough)
    return chosen


def write_colour_tiff(path: Path, slide: ScoredSlide, downsample: int) -> None:
    """The scores in their colours, for every viewer."""
    levels = heat_levels(slide.painted(slide.scores, downsample))
    image = _image(slide, downsample, slide.scale_words())
    write_heat_tiff(path, [slide.ramp.colours(level) for level in levels], image)


def write_value_tiff(path: Path, slide: ScoredSlide, downsample: int) -> None:
    """The raw scores as float32, NaN where no tile is."""
    write_heat_tiff(path, heat_levels(slide.painted(slide.raw, downsample)), _image(slide, downsample, "raw scores"))


def _image(slide: ScoredSlide, downsample: int, words: str) -> HeatImage:
    mpp = Mpp(slide.ground.mpp * downsample) if slide.ground.mpp else None
    made = f"{downsample} x {downsample} level-0 pixels a pixel; features {slide.store.fingerprint[:8]}"
    note = f"{slide.column}, {words}; {made}"
    return HeatImage(slide.slide_id, mpp, note)


def geojson_lines(
    slide: ScoredSlide, cuts: Sequence[float], kind: ObjectType, *, shares: bool, columns: bool
) -> Iterator[str]:
    """Every tile that has a score as a square, with the score as measurement and in a class between `cuts`.

    The cuts are scores, and a tile that has just that score is above; or, as `shares`, quantiles, of which a tile is
    above when its score is greater. `columns` adds what was measured on the tiles.
    """
    known = np.flatnonzero(np.isfinite(slide.raw))
    measured: dict[str, npt.NDArray[Any]] = {"row": known, slide.column: slide.raw[known]}
    if slide.scaling != "raw":
        measured[f"{slide.column} ({slide.scaling})"] = slide.scores[known]
    if columns:
        measured |= {n: v[known] for n, v in slide.store.columns.items() if n not in measured}
    names = class_names(slide.column, cuts, shares=shares)
    places = np.zeros(len(known), np.int64)
    if shares:
        places = np.searchsorted([slide.spread.quantile(cut) for cut in cuts], slide.raw[known], "left")
    elif cuts:
        places = np.searchsorted(np.array(cuts, np.float32), slide.raw[known], "right")
    colours = slide.ramp.table[np.linspace(0, 255, max(2, len(names))).astype(np.int64)].tolist()
    return tiles_text(
        slide.store.coords[known].astype(np.int64),
        slide.store.provenance.span,
        measured,
        classes=[names[place] for place in places],
        kind=kind,
        colours={name: (r, g, b) for name, (r, g, b) in zip(names, colours, strict=False) if name},
        extra=slide.about(),
    )


def class_names(column: str, cuts: Sequence[float], *, shares: bool) -> list[str]:
    """From below the first cut to above the last one; one empty name without cuts. A colon would nest QuPath's classes."""
    if not cuts:
        return [""]
    column = column.replace(":", " ")
    texts = [f"{100 * cut:g}" if shares else f"{cut:g}" for cut in cuts]
    between = [f"{column} {a} to {b}{' %' * shares}" for a, b in pairwise(texts)]
    if shares:
        return [f"{column} lowest {texts[0]} %", *between, f"{column} top {100 * (1 - cuts[-1]):g} %"]
    return [f"{column} < {texts[0]}", *between, f"{column} >= {texts[-1]}"]
