"""Where the score of each tile comes from: a score table, marks beside the stores, or a measured column of the stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.cohort import Cohort
from wsi_features.cohort.marks import marks_of
from wsi_features.cohort.outputs import meant
from wsi_features.cohort.scores import read_scores
from wsi_features.errors import HeatMapError, SlideError
from wsi_features.store import FeatureStore

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ScoreSource:
    """One score a tile: `of` gives those of a store (n,), NaN where a tile has none, or None where the slide has none.

    `column` names it, `where` says for people where it stands, `strangers` are slides in it that the cohort lacks.
    """

    column: str
    where: str
    of: Callable[[FeatureStore], Floats | None]
    strangers: tuple[str, ...] = ()


def score_source(cohort: Cohort, scores: Path | None, marks: str | None, column: str | None) -> ScoreSource:
    """The table `scores`, the `marks` of that name, or else the stores' own `column`. Raises UsageError.

    A column must be named where there are several.
    """
    if scores is not None and marks is not None:
        raise HeatMapError.two_of("--scores", "--marks")
    if scores is not None:
        return _of_table(cohort, scores, column)
    return _of_marks(cohort, marks, column) if marks is not None else _of_stores(cohort, column)


def _of_table(cohort: Cohort, path: Path, column: str | None) -> ScoreSource:
    where = f"score table {str(path)!r}"
    table = read_scores(path, [column] if column else [])
    name = _one(where, table.columns, column)
    place = table.columns.index(name)
    known = {row.slide_id for row in cohort.manifest}
    scored = set(table.slide_ids)

    def of(store: FeatureStore) -> Floats | None:
        slide_id = store.provenance.slide_id
        return table.of(slide_id).joined(store)[:, place] if slide_id in scored else None

    return ScoreSource(name, where, of, tuple(slide for slide in table.slide_ids if slide not in known))


def _of_marks(cohort: Cohort, name: str, column: str | None) -> ScoreSource:
    """Of the one folder of that name, or whose name begins so, which has marks of the feature set."""
    folders: dict[str, tuple[str, ...]] = {}
    for store in _readable(cohort):
        folders |= {folder: marks.columns for folder, marks in marks_of(cohort.out, store)}
        if any(folder.startswith(name) for folder in folders):
            break
    found = meant(list(folders), name)
    if len(found) != 1:
        raise HeatMapError.no_marks(str(cohort.out.root), name, found or sorted(folders))
    where = f"marks {found[0]!r}"
    chosen = _one(where, folders[found[0]], column)

    def of(store: FeatureStore) -> Floats | None:
        marks = dict(marks_of(cohort.out, store, found[0])).get(found[0])
        if marks is None or chosen not in marks.columns:
            return None
        return marks.values[:, marks.columns.index(chosen)]

    return ScoreSource(chosen, where, of)


def _of_stores(cohort: Cohort, column: str | None) -> ScoreSource:
    where = f"feature set {cohort.feature_set!r}"
    names = next((list(store.columns) for store in _readable(cohort) if store.columns), [])
    chosen = _one(where, names, column)
    return ScoreSource(chosen, where, lambda store: store.columns.get(chosen))


def _readable(cohort: Cohort) -> Iterator[FeatureStore]:
    """The stores one after the other; one that is not whole is told of when it is its turn."""
    for row in cohort.manifest:
        with suppress(SlideError):
            if cohort.has(row.slide_id):
                yield cohort.store(row.slide_id)


def _one(where: str, columns: Sequence[str], wanted: str | None) -> str:
    if wanted is None and len(columns) == 1:
        return columns[0]
    if wanted is None:
        raise HeatMapError.which_column(where, columns)
    if wanted not in columns:
        raise HeatMapError.no_column(where, wanted, columns)
    return wanted


def scores_of_cohort(cohort: Cohort, source: ScoreSource) -> Iterator[Floats]:
    """The scores of every slide that has some, one after the other; what is wrong with one is told when it is its turn."""
    for store in _readable(cohort):
        with suppress(SlideError):
            if (scores := source.of(store)) is not None:
                yield scores
