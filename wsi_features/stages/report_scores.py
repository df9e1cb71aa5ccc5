"""The maps of prompt scores in the report: one colour means one class on every slide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.marks import Marks, marks_of
from wsi_features.cohort.outputs import Outputs
from wsi_features.geometry import Size, SlidePx
from wsi_features.report.figures import component_map
from wsi_features.report.model import ScoreMap
from wsi_features.report.scores import most_like, palette_places, score_colours
from wsi_features.store import FeatureStore


@dataclass(frozen=True, slots=True, eq=False)
class PromptScores:
    """The marks of one store, in the folder `name`, with the places of their classes in the palette."""

    name: str
    store: FeatureStore
    marks: Marks
    places: tuple[int | None, ...] = ()


def prompt_scores(out: Outputs, stores: Mapping[str, Mapping[str, FeatureStore]]) -> dict[str, list[PromptScores]]:
    """Prompt scores of each slide's stores, by slide; colours are given by what the tiles of all slides are most like."""
    found = {
        slide_id: [
            PromptScores(name, store, marks)
            for store in of_slide.values()
            for name, marks in marks_of(out, store)
            if marks.kind == "prompt"
        ]
        for slide_id, of_slide in stores.items()
    }
    places = _places([scores for of_slide in found.values() for scores in of_slide])
    return {
        slide_id: [PromptScores(s.name, s.store, s.marks, places[s.name]) for s in of_slide]
        for slide_id, of_slide in found.items()
    }


def score_map(scores: PromptScores, thumbnail: npt.NDArray[np.uint8], slide: Size) -> ScoreMap:
    """The scores drawn over the slide's thumbnail."""
    store, marks = scores.store, scores.marks
    painted = score_colours(marks.columns, marks.values, scores.places)
    span = SlidePx(store.provenance.span)
    image = component_map(thumbnail, store.coords.astype(np.int64), span, slide, painted.colours, painted.usable)
    name, missing = scores.name.partition("__")[0], int((~painted.usable).sum())
    return ScoreMap(name, store.provenance.encoder_name, image, painted.classes, missing)


def _places(every: Sequence[PromptScores]) -> dict[str, tuple[int | None, ...]]:
    counts: dict[str, npt.NDArray[np.int64]] = {}
    for scores in every:
        counts[scores.name] = counts.get(scores.name, 0) + most_like(scores.marks.values)
    return {name: palette_places(total) for name, total in counts.items()}
