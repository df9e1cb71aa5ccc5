"""Exports of a finished run: each slide in the layout of another program, complete or absent, and only once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wsi_features.cohort.cohort import Cohort
from wsi_features.cohort.exports.formats import FORMATS
from wsi_features.cohort.exports.labels import Labels, read_labels
from wsi_features.cohort.exports.ledger import Entry, append_entry, is_there, read_ledger, size_of
from wsi_features.cohort.exports.rows import SlideRows
from wsi_features.cohort.exports.target import Format, Target
from wsi_features.cohort.records import SlideResult
from wsi_features.errors import ExportError
from wsi_features.recipe import digest
from wsi_features.stages.boundary import guarded

EXPORT_VERSION = 1
"""Raised when a layout is written in another way, so that earlier exports are made anew."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What `wsi-features export` is asked for; `slides` are all where none is named.

    `name` is what the other program calls the encoder, `pool` asks for one vector a slide.
    """

    to: str
    folder: Path
    labels: Path | None = None
    slides: tuple[str, ...] = ()
    feature_set: str | None = None
    kept: bool = False
    name: str | None = None
    pool: str | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """How one slide ended: `said` is one line for a person, `failed` whether it has no export."""

    said: str
    failed: bool = False


def exported(out: Path, asked: ExportRequest) -> Iterator[Exported]:
    """Export slide by slide, then write what the format keeps for the cohort. Raises UsageError before anything starts."""
    layout = FORMATS[asked.to]
    if asked.pool and layout.pooled is None:
        raise ExportError.no_pooling(asked.to, [name for name, other in FORMATS.items() if other.pooled])
    if asked.folder.resolve().is_relative_to(out.resolve()):
        raise ExportError.inside(str(asked.folder), str(out))
    labels = read_labels(asked.labels) if asked.labels else Labels()
    cohort = Cohort.open(out, asked.feature_set)
    chosen = _slides(cohort, asked)
    try:
        asked.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError.unwritable(str(asked.folder), error.strerror or str(error)) from error
    encoder = asked.name or cohort.feature_set.partition("__")[0]
    target = Target(asked.folder, encoder, labels, pooled=bool(asked.pool))
    yield from _slide_by_slide(cohort, asked, target, chosen)
    yield from _finished(layout, asked, target, chosen)


def tile_table_written(
    out: Path, file: Path, feature_set: str | None, *, keep: str | None, marks: Sequence[str], listed: bool
) -> str:
    """Write the table of all tiles, and say what it holds. Raises ExportError, OutputError, StoreError, ArtifactError."""
    if file.suffix.lower() != ".parquet":
        raise ExportError.no_parquet(str(file))
    table = Cohort.open(out, feature_set).tile_table(keep, marks=marks, listed=listed)
    try:
        rows = table.write(file)
    except OSError as error:
        raise ExportError.unwritable(str(file), error.strerror or str(error)) from error
    return f"{rows} tiles of {len(table.slides)} slides in {file}: {', '.join(table.schema().names)}"


def _slides(cohort: Cohort, asked: ExportRequest) -> list[str]:
    every = [row.slide_id for row in cohort.manifest]
    for slide_id in asked.slides:
        if slide_id not in every:
            raise ExportError.no_slide(str(cohort.out.root), slide_id)
    return list(dict.fromkeys(asked.slides)) or every


def _slide_by_slide(cohort: Cohort, asked: ExportRequest, target: Target, chosen: Sequence[str]) -> Iterator[Exported]:
    ledger = read_ledger(target.folder)
    for slide_id in chosen:
        if not cohort.has(slide_id):
            yield Exported(f"{slide_id}: has no features, see status.tsv")
            continue
        result = guarded(slide_id, "export", partial(_one, cohort, asked, target, ledger, slide_id))
        yield Exported(result.message, result.status == "failed")


def _one(
    cohort: Cohort, asked: ExportRequest, target: Target, ledger: dict[tuple[str, str], Entry], slide_id: str
) -> SlideResult:
    """Write one slide, unless the same export of it is there."""
    slide = SlideRows.of(cohort.store(slide_id), cohort.kept(slide_id) if asked.kept else None)
    layout = FORMATS[asked.to]
    if not len(slide) and (not layout.empty or target.pooled):
        return _told(slide, "no tiles, left out")
    source = digest([EXPORT_VERSION, asked.to, target.encoder, target.pooled, slide.digest()])
    before = ledger.get((_kind(asked), slide_id))
    if before is not None and before.source == source and is_there(target.folder, before):
        return _told(slide, "is there already")
    try:
        paths = (layout.pooled if target.pooled and layout.pooled else layout.write)(slide, target)
    except OSError as error:
        raise ExportError.unwritable(str(target.folder), error.strerror or str(error)) from error
    files = {path.relative_to(target.folder).as_posix(): size_of(path) for path in paths}
    about = {"feature_set": cohort.feature_set, **slide.about()}
    append_entry(target.folder, Entry(slide_id, _kind(asked), source, len(slide), files, about))
    return _told(slide, f"{len(slide)} tiles")


def _kind(asked: ExportRequest) -> str:
    return f"{asked.to}:{asked.pool}" if asked.pool else asked.to


def _told(slide: SlideRows, what: str) -> SlideResult:
    counts = zip(slide.left_out, ("could not be read", "are not kept"), strict=True)
    missing = "".join(f"; {count} {why} and are left out" for count, why in counts if count)
    return SlideResult("ok", "export", message=f"{slide.slide_id}: {what}{missing}")


def _finished(layout: Format, asked: ExportRequest, target: Target, chosen: Sequence[str]) -> Iterator[Exported]:
    """Tables of all slides in the folder, also of those that an earlier export left there."""
    ledger = read_ledger(target.folder)
    there = [entry for (kind, _), entry in ledger.items() if kind == _kind(asked) and is_there(target.folder, entry)]
    there.sort(key=lambda entry: entry.slide_id)
    if layout.finish is not None and not asked.pool:
        for warning in layout.finish(there, target):
            yield Exported(f"note: {warning}")
    if asked.labels:
        without = target.labels.unlabelled(entry.slide_id for entry in there)
        if without:
            yield Exported(f"note: {len(without)} slides have no label in {asked.labels}: {', '.join(without[:5])}")
        strangers = sorted(set(target.labels.of_slide) - set(chosen))
        if strangers:
            yield Exported(f"note: {len(strangers)} labels are of no exported slide: {', '.join(strangers[:5])}")
    slides = "1 slide lies" if len(there) == 1 else f"{len(there)} slides lie"
    yield Exported(f"{slides} in {target.folder} as {_kind(asked)}")
