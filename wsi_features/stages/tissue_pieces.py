"""The tissue of an exported slide: the outlines that its tiles were chosen by."""

from __future__ import annotations

from dataclasses import replace

from wsi_features.cohort.exports.rows import ExportedSlide, Tissues
from wsi_features.cohort.outputs import Outputs
from wsi_features.tissue.io import annotation_text
from wsi_features.tissue.pieces import pieces_of_tiles

_HEAD = 1 << 16
"""Bytes that hold the first line of a tissue.geojson, which says what it is of."""


def has_tissue(out: Outputs, slide: ExportedSlide) -> bool:
    """Whether the slide's tissue.geojson is there, and that which the tiles of the store were chosen by.

    One of another recipe, or edited in the meantime, is not.
    """
    wanted, path = slide.made.fingerprints.get("tissue"), out.slide(slide.slide_id, "tissue.geojson")
    if not wanted or not path.is_file():
        return False
    with path.open("rb") as file:
        return f'"fingerprint":"{wanted}"'.encode() in file.readline(_HEAD)


def with_tissue(out: Outputs, slide: ExportedSlide) -> ExportedSlide:
    """The slide with its tissue, where `has_tissue`. Raises AnnotationError where the file is damaged."""
    path = out.slide(slide.slide_id, "tissue.geojson")
    text = annotation_text(slide.slide_id, path)
    pieces = pieces_of_tiles(text, slide.origins, int(slide.made.span), slide_id=slide.slide_id, source=str(path))
    return replace(slide, tissues=Tissues(pieces.outlines, pieces.of_tile)) if pieces.outlines else slide
