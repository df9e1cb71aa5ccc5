"""From foreign features to the content of a store: level-0 pixels, raster order, and an honest provenance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.imports.foreign import Foreign
from wsi_features.errors import ImportedFileError
from wsi_features.geometry import Size, SlidePx
from wsi_features.recipe import Json, fingerprint
from wsi_features.store import Provenance, StoreContent
from wsi_features.store.layout import IMPORTED_VERSION, FeatureDtype
from wsi_features.tiles.sources.positions import grid_at

IMPORT_VERSION = 1
"""Method version of imported stores."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a slide besides its features' file; None where it is not."""

    mpp: float | None = None
    mpp_source: str | None = None
    size: Size | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Declared:
    """What the user says of all files of an import; empty or None where nothing."""

    tool: str
    encoder: str = ""
    licence: str = ""
    span: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Imported:
    """A store's content, the row of the file that each of its rows is, and how many tiles the file repeats."""

    content: StoreContent
    order: npt.NDArray[np.int64]
    repeated: int


def imported_content(
    slide_id: str, foreign: Foreign, known: Known, declared: Declared, digests: tuple[str, ...]
) -> Imported:
    """The content of the store of one slide; `digests` are the SHA-256 of what was read.

    A position that occurs again is left out. Raises ImportedFileError where the file does not fit together, or does
    not say what positions or encoder are.
    """
    path = str(foreign.files[0])
    refuse_shapes(slide_id, path, foreign)
    if known.size and foreign.slide and known.size != foreign.slide:
        raise ImportedFileError.other_slide(slide_id, path, astuple(foreign.slide), astuple(known.size))
    mpp, source = (known.mpp, known.mpp_source) if known.mpp else (foreign.native_mpp, "imported file")
    scale = level0_scale(slide_id, path, foreign, mpp)
    span = declared.span or (round(foreign.span * scale) if foreign.span else None)
    if not span:
        raise ImportedFileError.needs(slide_id, path, "how wide its tiles are in level-0 pixels", "--span")
    origins = np.rint(foreign.corners * scale).astype(np.int64)
    first = np.sort(np.unique(origins, axis=0, return_index=True)[1]) if len(origins) else np.empty(0, np.int64)
    grid, order = grid_at(origins[first], span, foreign.tile_px or span)
    facts = _facts(foreign, known, span, mpp, source if mpp else None)
    facts |= {
        "slide_id": slide_id,
        "span": SlidePx(span),
        "step": _step(grid.origins),
        "status": "ok" if len(grid) else "empty",
    }
    made = _provenance(slide_id, path, facts, foreign, declared, digests)
    rows = first[order].astype(np.int64)
    dtype: FeatureDtype = "float16" if np.dtype(foreign.features.dtype) == np.float16 else "float32"
    columns = rows.astype(np.float32)[:, np.newaxis]
    content = StoreContent(
        grid.origins, grid.index, columns, ("list_row",), int(foreign.features.shape[1]), dtype, made
    )
    return Imported(content, rows, len(origins) - len(first))


def rows_in_float32(slide_id: str, path: Path, blocks: Iterator[npt.NDArray[Any]]) -> Iterator[npt.NDArray[np.float32]]:
    """The blocks in single precision, which must hold every number as it is. Raises ImportedFileError."""
    for block in blocks:
        with np.errstate(over="ignore"):
            cast = block.astype(np.float32)
        if block.dtype not in (np.float16, np.float32) and not np.array_equal(cast, block, equal_nan=True):
            raise ImportedFileError.unreadable(slide_id, str(path), f"{block.dtype} holds more than float32 can")
        yield cast


def refuse_shapes(slide_id: str, path: str, foreign: Foreign) -> None:
    """Features and positions that do not fit together are no tiles. Raises ImportedFileError."""
    shape, corners = foreign.features.shape, foreign.corners.shape
    if len(shape) != 2 or not shape[1]:
        raise ImportedFileError.unreadable(slide_id, path, f"features have the shape {shape}, wanted (n, d)")
    if shape[0] != corners[0]:
        raise ImportedFileError.unreadable(slide_id, path, f"there are {shape[0]} features at {corners[0]} positions")
    if not np.isfinite(foreign.corners).all() or (foreign.corners < 0).any():
        raise ImportedFileError.unreadable(slide_id, path, "a position is negative or no number")


def level0_scale(slide_id: str, path: str, foreign: Foreign, mpp: float | None) -> float:
    """Level-0 pixels per unit of the positions. Raises ImportedFileError where `mpp` is wanted and not known."""
    if foreign.unit == "px":
        return 1.0
    if not mpp:
        raise ImportedFileError.needs(slide_id, path, "level-0 pixels", "--mpp, or a --slide-manifest with the slide")
    return 1 / mpp if foreign.unit == "um" else float(foreign.tile_mpp or 0) / mpp


def _facts(foreign: Foreign, known: Known, span: int, mpp: float | None, source: str | None) -> Json:
    px, size = foreign.tile_px, known.size or foreign.slide
    return {
        "slide_fingerprint": known.fingerprint,
        "mpp_native": mpp,
        "mpp_source": source,
        "mpp_asked": foreign.tile_mpp,
        "mpp_effective": span * mpp / px if mpp and px else None,
        "tile_px": px,
        "slide_size": (size.width, size.height) if size else None,
    }


def _step(origins: npt.NDArray[np.int64]) -> int | None:
    """The smallest distance of two tiles in a line or of two lines: what the positions show; None of one tile."""
    right = np.diff(origins[:, 0])[np.diff(origins[:, 1]) == 0]
    found = np.concatenate([right, np.diff(np.unique(origins[:, 1]))])
    return int(found.min()) if len(found) else None


def _provenance(
    slide_id: str, path: str, facts: Json, foreign: Foreign, declared: Declared, digests: tuple[str, ...]
) -> Provenance:
    encoder = declared.encoder or foreign.encoder
    if not encoder:
        raise ImportedFileError.needs(slide_id, path, "which encoder made the features", "--encoder NAME")
    recipe: Json = {"tool": declared.tool, "encoder": encoder, "licence": declared.licence, **facts}
    mark = fingerprint("import", IMPORT_VERSION, recipe, list(digests), facts["slide_fingerprint"] or "")
    fields = facts | {
        "format_version": IMPORTED_VERSION,
        "fingerprint": mark,
        "encoder": {"name": encoder, "dim": int(foreign.features.shape[1])},
        "licence": declared.licence or None,
        "recipes": {},
        "fingerprints": {},
        "versions": {},
        "slide_properties": {},
        "imported": {"tool": declared.tool, "sha256": list(digests), "said": foreign.said},
    }
    return Provenance(**{name: value for name, value in fields.items() if value is not None})
