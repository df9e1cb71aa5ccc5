"""Tissue files: the mask as a PNG image, and annotations read with a bound on their size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wsi_features.errors import AnnotationError, ArtifactError
from wsi_features.geometry import Size
from wsi_features.tissue.geojson import mask_from_geojson
from wsi_features.tissue.mask import TissueMask

_LARGEST_ANNOTATIONS = 128 * 1024 * 1024
"""Bytes. A traced mask of a big slide has a few; more are cells, and parsing them takes gigabytes."""


def png_bytes(tissue: TissueMask) -> bytes:
    """The mask as a PNG of one bit per pixel, tissue white; equal masks give equal bytes."""
    import cv2

    image = tissue.mask.astype(np.uint8) * 255
    _, encoded = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_BILEVEL, 1])
    return encoded.tobytes()


def mask_from_png(data: bytes, *, slide_id: str, source: str, slide: Size) -> TissueMask:
    """The mask of a PNG that `png_bytes` made, over a slide of `slide` level-0 pixels.

    Raises ArtifactError for anything but black and white pixels; `source` names the file.
    """
    import cv2

    image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
    if image is None:
        raise ArtifactError.damaged(slide_id, "tissue mask", source, "not a whole PNG image")
    if not np.isin(image, (0, 255)).all():
        raise ArtifactError.damaged(slide_id, "tissue mask", source, "it has pixels that are neither black nor white")
    return TissueMask(image == 255, slide)


def annotated_mask(path: Path, *, slide_id: str, slide: Size, size: Size, annotation_class: str) -> TissueMask:
    """The tissue that someone drew on a slide: `mask_from_geojson` of a file.

    Raises AnnotationError, also when the file is absent, not UTF-8 text or above 128 MiB.
    """
    return mask_from_geojson(
        annotation_text(slide_id, path),
        slide_id=slide_id,
        source=str(path),
        slide=slide,
        size=size,
        annotation_class=annotation_class,
    )


def annotation_text(slide_id: str, path: Path) -> str:
    """The text of a file of annotations. Raises AnnotationError when it is absent, not UTF-8 text or above 128 MiB."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_ANNOTATIONS + 1)
        if len(data) > _LARGEST_ANNOTATIONS:
            limit = _LARGEST_ANNOTATIONS >> 20
            raise AnnotationError.unreadable(slide_id, str(path), f"more than {limit} MiB; export the tissue only")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise AnnotationError.unreadable(slide_id, str(path), error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise AnnotationError.unreadable(slide_id, str(path), "not UTF-8 text") from error
