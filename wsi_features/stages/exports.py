"""Exports of a finished run: each slide in the layout of another program, complete or absent, and only once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from wsi_features.cohort.cohort import Cohort
from wsi_features.cohort.exports.formats import FORMATS
from wsi_features.cohort.exports.labels import Labels, read_labels
from wsi_features.cohort.exports.ledger import Entry, append_entry, is_there, read_ledger, size_of
from wsi_features.cohort.exports.leftovers import Leftovers
from wsi_features.cohort.exports.rows import ExportedSlide
from wsi_features.cohort.exports.sheets import write_sheet
from wsi_features.cohort.exports.target import Format, Target
from wsi_features.cohort.manifest import ManifestRow, rows_named
from wsi_features.cohort.marks import refuse_unknown_marks
from wsi_features.cohort.records import SlideResult
from wsi_features.errors import ExportError
from wsi_features.recipe import digest
from wsi_features.stages.boundary import Told, guarded
from wsi_features.stages.result_folder import made_folder, refuse_place, writing_to
from wsi_features.stages.tissue_pieces import has_tissue, with_tissue

_WHOSE = ("patient_id", "stain", "block")
_SLIDES = "slides.tsv"
"""No slide's own file ends so, whatever the slide is called."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What `wsi-features export` is asked for; `slides` are all where none is named.

    `label` is the column of `labels` with the labels. `kept` takes the tiles that the marks of the last run keep, `keep`
    those of the marks it names. `name` is what the other program calls the encoder, `pool` asks for one vector a slide.
    """

    to: str
    folder: Path
    labels: Path | None = None
    label: str | None = None
    slides: tuple[str, ...] = ()
    feature_set: str | None = None
    kept: bool = False
    keep: str | None = None
    name: str | None = None
    pool: str | None = None


def exported(out: Path, asked: ExportRequest) -> Iterator[Told]:
    """Export slide by slide, then write what the format keeps for the cohort. Raises UsageError before anything starts."""
    layout = FORMATS[asked.to]
    if asked.pool and layout.pooled is None:
        raise ExportError.no_pooling(asked.to, [name for name, other in FORMATS.items() if other.pooled])
    refuse_place(asked.folder, out)
    labels = read_labels(asked.labels, asked.label) if asked.labels else Labels()
    cohort = Cohort.open(out, asked.feature_set)
    refuse_unknown_marks(cohort.out, [asked.keep])
    labels = replace(labels, patients={row.slide_id: row.patient_id for row in cohort.manifest if row.patient_id})
    chosen = [row.slide_id for row in rows_named(cohort.manifest, asked.slides, out)]
    made_folder(asked.folder)
    encoder = asked.name or cohort.feature_set.partition("__")[0]
    target = Target(asked.folder, encoder, labels, pooled=bool(asked.pool))
    left = Leftovers.below(asked.folder)
    yield from _slide_by_slide(cohort, asked, target, chosen, left)
    yield from _finished(cohort, asked, target, chosen)
    left.sweep(asked.folder / name for name in (*layout.tables, _SLIDES))


def tile_table_written(
    out: Path, file: Path, feature_set: str | None, *, keep: str | None, marks: Sequence[str], listed: bool
) -> str:
    """Write the table of all tiles, and say what it holds. Raises ExportError, OutputError, MarksError,
    StoreError, ArtifactError.
    """
    if file.suffix.lower() != ".parquet":
        raise ExportError.no_parquet(str(file))
    cohort = Cohort.open(out, feature_set)
    refuse_unknown_marks(cohort.out, [keep, *marks])
    table = cohort.tile_table(keep, marks=marks, listed=listed)
    with writing_to(file):
        rows = table.write(file)
    return f"{rows} tiles of {len(table.slides)} slides in {file}: {', '.join(table.schema().names)}"


def _slide_by_slide(
    cohort: Cohort, asked: ExportRequest, target: Target, chosen: Sequence[str], left: Leftovers
) -> Iterator[Told]:
    ledger, whose = read_ledger(target.folder), {row.slide_id: _whose(row) for row in cohort.manifest}
    for slide_id in chosen:
        if not cohort.has(slide_id):
            yield Told(f"{slide_id}: has no features, see status.tsv")
            continue
        before = ledger.get((_kind(asked), slide_id))
        result = guarded(slide_id, "export", partial(_one, cohort, asked, target, before, slide_id, whose[slide_id]))
        left.sweep(target.folder / name for name in result.facts.get("files", ()))
        yield Told(result.message, result.status == "failed")


def _one(
    cohort: Cohort, asked: ExportRequest, target: Target, before: Entry | None, slide_id: str, whose: dict[str, str]
) -> SlideResult:
    """Write one slide, unless the same export of it is there."""
    layout = FORMATS[asked.to]
    kept = cohort.kept(slide_id, asked.keep) if asked.kept or asked.keep else None
    slide = ExportedSlide.of(cohort.store(slide_id), kept, whose if layout.tells_whose else {})
    if not len(slide) and (not layout.empty or target.pooled):
        return _told(slide, "no tiles, left out")
    tissue = layout.tissues and has_tissue(cohort.out, slide)
    source = [layout.version, asked.to, target.encoder, target.pooled, slide.digest()]
    source += [slide.whose] if slide.whose else []
    source += [slide.made.fingerprints["tissue"]] if tissue else []
    if before is not None and before.source == digest(source) and is_there(target.folder, before):
        return _told(slide, "is there already", before.files)
    with writing_to(target.folder):
        files = _written(layout, with_tissue(cohort.out, slide) if tissue else slide, target)
    about = {"feature_set": cohort.feature_set, **slide.about()}
    append_entry(target.folder, Entry(slide_id, _kind(asked), digest(source), len(slide), files, about))
    return _told(slide, f"{len(slide)} tiles", files)


def _written(layout: Format, slide: ExportedSlide, target: Target) -> dict[str, int]:
    """Write the files of one slide; their paths in the folder, with their sizes."""
    paths = (layout.pooled if target.pooled and layout.pooled else layout.write)(slide, target)
    return {path.relative_to(target.folder).as_posix(): size_of(path) for path in paths}


def _whose(row: ManifestRow) -> dict[str, str]:
    return {name: getattr(row, name) for name in _WHOSE if getattr(row, name)}


def _kind(asked: ExportRequest) -> str:
    return f"{asked.to}:{asked.pool}" if asked.pool else asked.to


def _told(slide: ExportedSlide, what: str, files: Collection[str] = ()) -> SlideResult:
    counts = zip(slide.left_out, ("could not be read", "are not kept"), strict=True)
    missing = "".join(f"; {count} {why} and are left out" for count, why in counts if count)
    return SlideResult("ok", "export", message=f"{slide.slide_id}: {what}{missing}", facts={"files": list(files)})


def _finished(cohort: Cohort, asked: ExportRequest, target: Target, chosen: Sequence[str]) -> Iterator[Told]:
    """Tables of all slides in the folder, also of those that an earlier export left there."""
    layout, ledger = FORMATS[asked.to], read_ledger(target.folder)
    every = sorted((e for e in ledger.values() if is_there(target.folder, e)), key=lambda entry: entry.slide_id)
    there = [entry for entry in every if entry.format == _kind(asked)]
    if layout.finish is not None and not asked.pool:
        for warning in layout.finish(there, target):
            yield Told(f"note: {warning}")
    _write_slides(cohort, target, {entry.slide_id: entry.rows for entry in every})
    yield from (Told(f"note: {note}") for note in _label_notes(asked, target, chosen, there))
    slides = "1 slide lies" if len(there) == 1 else f"{len(there)} slides lie"
    yield Told(f"{slides} in {target.folder} as {_kind(asked)}")


def _write_slides(cohort: Cohort, target: Target, tiles: dict[str, int]) -> None:
    """Whose the exported slides are, as far as the manifest says it."""
    whose = {row.slide_id: row for row in cohort.manifest if _whose(row)}
    rows = [
        (slide_id, *(getattr(whose[slide_id], name) for name in _WHOSE), count)
        for slide_id, count in tiles.items()
        if slide_id in whose
    ]
    if rows:
        write_sheet(target.folder / _SLIDES, ("slide_id", *_WHOSE, "tiles"), rows)


def _label_notes(asked: ExportRequest, target: Target, chosen: Sequence[str], there: Sequence[Entry]) -> Iterator[str]:
    """Where labels and slides do not fit together."""
    if not asked.labels:
        return
    if without := target.labels.unlabelled(entry.slide_id for entry in there):
        yield f"{len(without)} slides have no label in {asked.labels}: {', '.join(without[:5])}"
    if strangers := sorted(set(target.labels.of_slide) - set(chosen)):
        yield f"{len(strangers)} labels are of no exported slide: {', '.join(strangers[:5])}"
    if others := target.labels.other_patients():
        yield (
            f"{len(others)} slides are of another patient in {asked.labels} than in the manifest, and are written as "
            f"those of the labels: {', '.join(others[:5])}"
        )
