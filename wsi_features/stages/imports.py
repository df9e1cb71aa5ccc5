"""Imports of other programs' features: one store a slide, in an output folder that opens as that of a run does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from wsi_features.cohort.imports.content import Declared, Imported, Known, imported_content, rows_in_float32
from wsi_features.cohort.imports.foreign import Foreign, in_order
from wsi_features.cohort.imports.sources import digest_of, files_by_slide, foreign_features
from wsi_features.cohort.manifest import Manifest, ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import SlideResult, read_record, write_record
from wsi_features.cohort.sheets import read_sheet
from wsi_features.cohort.status import statuses, write_status
from wsi_features.errors import ImportedError
from wsi_features.files import read_json, write_json, write_text
from wsi_features.recipe import digest
from wsi_features.slides import content_fingerprint, resolution
from wsi_features.slides.remote import is_remote
from wsi_features.stages.boundary import guarded
from wsi_features.stages.opened import opened
from wsi_features.stages.result_folder import writing_to
from wsi_features.store import StoreWriter, is_complete

_SLIDES_PER_SHARD = 64
_NOT_FINITE = "not finite in the imported file"


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What `wsi-features import` is asked for; `mpp` is of level 0, `tile_mpp` of the tiles, `span` level-0 pixels."""

    tool: str
    sources: tuple[Path, ...]
    slide_manifest: Path | None = None
    mpp: float | None = None
    tile_mpp: float | None = None
    span: int | None = None
    encoder: str = ""
    licence: str = ""
    patches: Path | None = None


def imported(out: Outputs, asked: ImportRequest) -> Iterator[SlideResult]:
    """Import slide by slide, then write manifest, records and status. Raises UsageError before anything starts."""
    if out.manifest.exists() and not _marker(out).exists():
        raise ImportedError.occupied(str(out.root))
    files = files_by_slide(asked.tool, asked.sources)
    rows = {row.slide_id: row for row in read_sheet(asked.slide_manifest)} if asked.slide_manifest else {}
    with writing_to(out.root):
        out.features.mkdir(parents=True, exist_ok=True)
    results = {}
    for slide_id, path in files.items():
        row = rows.get(slide_id)
        results[slide_id] = guarded(slide_id, "embed", partial(_one, out, asked, slide_id, path, row))
        yield results[slide_id]
    own = {
        slide_id: rows.get(slide_id, ManifestRow(slide_id=slide_id, path=str(p.resolve())))
        for slide_id, p in files.items()
    }
    _write_records(out, own, results)


def _one(out: Outputs, asked: ImportRequest, slide_id: str, path: Path, row: ManifestRow | None) -> SlideResult:
    declared = Declared(asked.tool, asked.encoder, asked.licence, asked.span)
    with foreign_features(
        asked.tool, slide_id, path, encoder=asked.encoder, tile_mpp=asked.tile_mpp, patches=asked.patches
    ) as foreign:
        digests = tuple(digest_of(file) for file in foreign.files)
        made = imported_content(slide_id, foreign, _known(asked, row), declared, digests)
        provenance = made.content.provenance
        target = out.store(_feature_set(asked, provenance.encoder_name), slide_id)
        there = is_complete(target, provenance.fingerprint)
        invalid = 0 if there else _write(target, foreign, made)
    facts = {"store": target.relative_to(out.root).as_posix(), "tiles": len(made.content), "reused": there}
    said = f"{slide_id}: " + ("is there already" if there else f"{len(made.content)} tiles")
    counts = ((made.repeated, "positions twice, left out"), (invalid, "not finite, marked as not valid"))
    said += "".join(f"; {count} {what}" for count, what in counts if count)
    stores = {"stores": {target.parent.name: facts}} | (
        {"mpp": provenance.mpp_native, "mpp_source": provenance.mpp_source} if provenance.knows("mpp_native") else {}
    )
    return SlideResult(provenance.status, "embed", provenance.fingerprint, message=said, facts=stores)


def _write(target: Path, foreign: Foreign, made: Imported) -> int:
    """Write the store; returns how many rows are not valid."""
    slide_id, row = made.content.provenance.slide_id, 0
    problems: list[tuple[int, str]] = []
    with StoreWriter(target, made.content) as writer:
        blocks = in_order(foreign.features, made.order, target.parent)
        for block in rows_in_float32(slide_id, foreign.files[0], blocks):
            valid = np.asarray(np.isfinite(block).all(axis=1))
            writer.append(block, valid)
            problems += [(row + int(bad), _NOT_FINITE) for bad in np.flatnonzero(~valid)]
            row += len(block)
        writer.commit(problems)
    return len(problems)


def _known(asked: ImportRequest, row: ManifestRow | None) -> Known:
    """What the manifest and the slide file itself say; the file is opened where it is there."""
    declared = row.mpp if row is not None and row.mpp else None
    known = Known(asked.mpp, "--mpp" if asked.mpp else None)
    if declared:
        known = Known(declared, "manifest")
    if row is None or row.skip or is_remote(row.path) or not Path(row.path).exists():
        return known
    with opened(row) as slide:
        if known.mpp is None:
            found = resolution(row.slide_id, slide)
            known = Known(found.mpp, found.source)
        size = slide.levels[0].size
    return replace(known, size=size, fingerprint=content_fingerprint(Path(row.path)))


def _feature_set(asked: ImportRequest, encoder: str) -> str:
    """Named like that of a run: encoder, tiling, stain, hash."""
    slug = encoder.replace(":", ".").replace("+", "-").replace("/", "-").replace(" ", "-")
    said = [asked.tool, encoder, asked.licence, asked.span, asked.tile_mpp]
    return f"{slug}__imported__{asked.tool}__{digest(said)[:8]}"


def _marker(out: Outputs) -> Path:
    """The manifest of all imports into a folder, which tells it from that of a run."""
    return out.root / "records" / "import.json"


def _write_records(out: Outputs, rows: Mapping[str, ManifestRow], results: Mapping[str, SlideResult]) -> None:
    """Manifest, records and status of all slides imported so far; slides that came before keep their places."""
    before = read_json(_marker(out)) if _marker(out).exists() else {}
    slides = {slide_id: ManifestRow.model_validate(row) for slide_id, row in before.items()} | dict(rows)
    manifest = Manifest(tuple(slides.values()))
    for shard, members in manifest.shards(_SLIDES_PER_SHARD).items():
        path = out.record("embed", shard)
        found = read_record(path) | {row.slide_id: results[row.slide_id] for row in members if row.slide_id in results}
        kept = {row.slide_id: found[row.slide_id] for row in members if row.slide_id in found}
        write_record(path, "embed", shard, kept)
    write_json(_marker(out), {slide_id: row.model_dump() for slide_id, row in slides.items()})
    write_text(out.manifest, manifest.to_json(_SLIDES_PER_SHARD))
    write_text(out.status, write_status(statuses(manifest, _SLIDES_PER_SHARD, out)))
