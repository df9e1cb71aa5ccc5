"""Comparisons of features: two stores, files or cohorts, slide by slide, with a page, a score table and tiles as pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from wsi_features.cohort.compare.collections import Collection, collection
from wsi_features.cohort.compare.sides import Reading, Side, native_mpp, opened_side
from wsi_features.cohort.compare.slide import Compared, compared
from wsi_features.cohort.compare.summary import SCORES, FarTile, SlideSummary, farthest_tiles, scores, summary
from wsi_features.cohort.compare.verdict import NOTHING, farthest
from wsi_features.cohort.records import SlideResult
from wsi_features.cohort.scores import SlideScores, write_scores
from wsi_features.encode.histo_texture import FEATURE_NAMES
from wsi_features.errors import CompareRequestError
from wsi_features.files import write_json, write_text
from wsi_features.recipe import Json
from wsi_features.report.compare_page import ComparePage, render_comparison
from wsi_features.stages.boundary import slide_boundary
from wsi_features.stages.comparison_tiles import pictured
from wsi_features.stages.result_folder import made_folder, refuse_place, writing_to

_SHOWN = 12
_NAMED = {"histo-texture": FEATURE_NAMES}
"""Encoders whose features have names."""


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """What `wsi-features compare` is asked for; `slides` are all that both have where none is named.

    `tolerance` is in level-0 pixels. `same_slide` says that two files are of one slide though their names differ.
    """

    one: Path
    two: Path
    feature_set_a: str | None = None
    feature_set_b: str | None = None
    slides: tuple[str, ...] = ()
    tolerance: float = 1.0
    reading: Reading = field(default_factory=Reading)
    same_slide: bool = False
    folder: Path | None = None
    slide_file: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """How a comparison ended. `failed` are slides that could not be compared, with the reason; `empty` ones have no tiles on both sides; others are of one side only."""

    one: Collection
    two: Collection
    slides: tuple[SlideSummary, ...]
    failed: dict[str, str]
    empty: tuple[str, ...]
    only_one: tuple[str, ...]
    only_two: tuple[str, ...]
    farthest: tuple[FarTile, ...]
    verdict: str

    @property
    def lowest_cosine(self) -> float | None:
        """Of all tiles of all slides; None where none has one."""
        return min((slide.cosine["p0"] for slide in self.slides if slide.cosine), default=None)

    def to_json(self) -> Json:
        """Everything but the tiles."""
        return {
            "verdict": self.verdict,
            "a": _described(self.one),
            "b": _described(self.two),
            "lowest_cosine": self.lowest_cosine,
            "only_a": list(self.only_one),
            "only_b": list(self.only_two),
            "empty": list(self.empty),
            "failed": self.failed,
            "slides": [slide.to_json() for slide in self.slides],
        }


def comparison(asked: CompareRequest, tell: Callable[[SlideSummary], None] = lambda _: None) -> Comparison:
    """Compare slide by slide; `tell` hears of each. Writes the page and tables where a folder is asked for.

    Raises UsageError before anything is read that cannot be compared at all.
    """
    one, two = collection(asked.one, asked.feature_set_a), collection(asked.two, asked.feature_set_b)
    pairs = _common(one, two, asked)
    _refuse_folder(asked, len(pairs))
    work = _Work(asked, one, two, tell)
    if asked.folder is None:
        for _ in work.through(pairs):
            pass
    else:
        made_folder(asked.folder)
        with writing_to(asked.folder):
            about = {"what": "comparison", "a": _described(one), "b": _described(two)}
            write_scores(asked.folder / "tiles.parquet", SCORES, work.through(pairs), about)
    made = work.ended(pairs)
    if asked.folder is not None:
        _write(asked.folder, made, asked)
    return made


@dataclass(slots=True, eq=False)
class _Work:
    """What has been found so far: summaries, and the farthest tiles of all slides."""

    asked: CompareRequest
    one: Collection
    two: Collection
    tell: Callable[[SlideSummary], None]
    slides: list[SlideSummary] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    far: list[FarTile] = field(default_factory=list)

    def through(self, pairs: Sequence[tuple[str, Path, Path]]) -> Iterator[SlideScores]:
        """Compare every slide; gives the scores of those that have some."""
        for slide_id, first, second in pairs:
            found: list[SlideScores] = []

            def fail(result: SlideResult, slide_id: str = slide_id) -> None:
                self.failed[slide_id] = result.message

            with slide_boundary(slide_id, "compare", fail):
                found += self._slide(slide_id, first, second)
            yield from found

    def ended(self, pairs: Sequence[tuple[str, Path, Path]]) -> Comparison:
        """The whole, once all slides are through."""
        common = {path for _, *both in pairs for path in both}
        only_one, only_two = (
            ()
            if self.asked.slides
            else (*(name for name, path in side.paths.items() if path not in common), *side.lacking)
            for side in (self.one, self.two)
        )
        said = farthest(slide.verdict for slide in self.slides) if self.slides else NOTHING
        return Comparison(
            self.one,
            self.two,
            tuple(self.slides),
            self.failed,
            tuple(self.empty),
            only_one,
            only_two,
            tuple(self.far),
            said,
        )

    def _slide(self, slide_id: str, first: Path, second: Path) -> list[SlideScores]:
        reading = self.asked.reading
        with ExitStack() as opened:
            mpp = reading.mpp or native_mpp(first) or native_mpp(second)
            one, two = (
                opened.enter_context(opened_side(slide_id, path, replace(reading, mpp=mpp))) for path in (first, second)
            )
            if not len(one) and not len(two):
                self.empty.append(slide_id)
                return []
            found = compared(slide_id, one, two, self.asked.tolerance, _names(one, two))
            self._note(slide_id, one, two, found)
            scored = scores(slide_id, one, two, found)
        return [scored] if scored is not None else []

    def _note(self, slide_id: str, one: Side, two: Side, found: Compared) -> None:
        made = summary(slide_id, one, two, found)
        self.slides.append(made)
        self.far += farthest_tiles(slide_id, one, two, found, _SHOWN)
        self.far = sorted(self.far, key=lambda tile: (tile.cosine, -tile.max_abs))[:_SHOWN]
        self.tell(made)


def _names(one: Side, two: Side) -> Sequence[str]:
    """Names of the features, where either side says which encoder made them and both have as many as it makes."""
    names = next((_NAMED[side.encoder] for side in (one, two) if side.encoder in _NAMED), ())
    return names if len(names) == one.dim == two.dim else ()


def _common(one: Collection, two: Collection, asked: CompareRequest) -> list[tuple[str, Path, Path]]:
    """The slides of both sides, in A's order. Raises CompareRequestError where there is none."""
    if one.single and two.single:
        (first, a), (second, b) = *one.paths.items(), *two.paths.items()
        if first != second and not asked.same_slide:
            raise CompareRequestError.other_slides(first, second)
        return [(first, a, b)]
    common = [name for name in one.paths if name in two.paths]
    for name in asked.slides:
        if name not in common:
            raise CompareRequestError.no_slide(name, common)
    wanted = [name for name in common if not asked.slides or name in asked.slides]
    if not wanted:
        raise CompareRequestError.none_in_common(str(one.path), str(two.path), list(one.paths), list(two.paths))
    return [(name, one.paths[name], two.paths[name]) for name in wanted]


def _refuse_folder(asked: CompareRequest, slides: int) -> None:
    if asked.slide_file is not None and slides != 1:
        raise CompareRequestError.one_slide_file(slides)
    if asked.folder is not None:
        refuse_place(asked.folder, *(path for path in (asked.one, asked.two) if path.is_dir()))


def _described(side: Collection) -> Json:
    return {"path": str(side.path), "feature_set": side.feature_set, "slides": len(side.paths)}


def _write(folder: Path, made: Comparison, asked: CompareRequest) -> None:
    pictures, why = pictured(made.farthest, (made.one, made.two), asked.slide_file)
    page = ComparePage(
        one=str(made.one.path),
        two=str(made.two.path),
        feature_sets=(made.one.feature_set, made.two.feature_set),
        verdict=made.verdict,
        slides=made.slides,
        failed=made.failed,
        empty=made.empty,
        only_one=made.only_one,
        only_two=made.only_two,
        farthest=made.farthest,
        pictures=pictures,
        why_no_pictures=why,
    )
    write_json(folder / "compare.json", made.to_json())
    write_text(folder / "compare.html", render_comparison(page))
