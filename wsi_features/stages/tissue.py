"""Stage tissue: preflight, thumbnail, mask and its GeoJSON of one slide."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import SlideResult
from wsi_features.config import Config
from wsi_features.errors import ArtifactError, SlideFileError
from wsi_features.files import read_json, write_bytes, write_json
from wsi_features.geometry import Size
from wsi_features.slides import Slide, thumbnail
from wsi_features.slides.identity import file_sha256
from wsi_features.stages.annotated import check_drawn
from wsi_features.stages.isolation import Inspector
from wsi_features.stages.lineage import Lineage, lineage_of
from wsi_features.stages.opened import opened
from wsi_features.stages.segmenters import CLASSES, LearnedTissue, learned_tissue, tissue_recipe_json
from wsi_features.stages.staging import near
from wsi_features.tissue import (
    TissueMask,
    annotated_mask,
    found_tissue,
    mask_from_image,
    mask_from_png,
    mask_mpp,
    png_bytes,
    to_text,
)

_PICTURE_PX = 1024


def tissue_of(row: ManifestRow, config: Config, out: Outputs, inspector: Inspector) -> SlideResult:
    """Make the tissue artifacts of one slide, or find that they are right already.

    The slide is opened here only after `inspector` could open it.
    """
    lineage = lineage_of(row)
    check_drawn(row, lineage.drawn, config)
    wanted = lineage.tissue(config)
    try:
        _, about = read_tissue(row.slide_id, out, wanted)
    except ArtifactError:
        with near(row, config.tuning) as here:
            _verify(here)
            about = _make(here, config, out, lineage, inspector.checked(here))
    return SlideResult("ok", "tissue", fingerprint=wanted, facts=_facts(about))


def read_tissue(slide_id: str, out: Outputs, wanted: str) -> tuple[TissueMask, dict[str, Any]]:
    """The mask and the preflight of a slide, with the fingerprint `wanted`. Raises ArtifactError."""
    path = out.slide(slide_id, "preflight.json")
    if not path.is_file():
        raise ArtifactError.absent(slide_id, "preflight", str(path))
    try:
        about = read_json(path)
        found = str(about["fingerprint"])
        if found != wanted:
            raise ArtifactError.mismatch(slide_id, "preflight", str(path), found, wanted)
        size = Size(about["levels"][0]["width"], about["levels"][0]["height"])
        for file, wanted_digest in about["sha256"].items():
            if _sha256(out.slide(slide_id, file)) != wanted_digest:
                raise ArtifactError.damaged(slide_id, file, str(out.slide(slide_id, file)), "its SHA-256 has changed")
        png = out.slide(slide_id, "tissue.png")
        mask = mask_from_png(png.read_bytes(), slide_id=slide_id, source=str(png), slide=size)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError.damaged(slide_id, "preflight", str(path), str(error)) from error
    return mask, about


def _verify(row: ManifestRow) -> None:
    """Raise SlideFileError when the file is not the one whose SHA-256 the manifest gives."""
    if row.sha256 and Path(row.path).is_dir():
        raise SlideFileError.sha256_of_folder(row.slide_id, row.path)
    if row.sha256 and (found := file_sha256(Path(row.path))) != row.sha256.lower():
        raise SlideFileError.wrong_sha256(row.slide_id, row.path, found, row.sha256.lower())


def _make(
    row: ManifestRow, config: Config, out: Outputs, lineage: Lineage, preflight: dict[str, Any]
) -> dict[str, Any]:
    """Write the artifacts; preflight.json, which carries the fingerprint, comes last."""
    slide_id, fingerprint = row.slide_id, lineage.tissue(config)
    with opened(row) as slide:
        native = preflight["mpp"]["value"]
        size = slide.levels[0].size
        small = thumbnail(slide_id, slide, native, config.tissue.mpp)
        picture = _picture(slide_id, slide, native, small)
        source = _mask_source(row, config, lineage)
        learned = _learned(row, config, source, slide, Size(small.shape[1], small.shape[0]), native)
    mask = learned.mask if learned else _mask(row, config, source, small, size, native)
    extra = _about_mask(row, config, lineage)
    files = {
        "thumbnail.jpg": _jpeg(picture),
        "tissue.png": png_bytes(mask),
        "tissue.geojson": to_text(mask, mpp=native, class_name=config.tissue.annotation_class, extra=extra).encode(),
        **(learned.files() if learned else {}),
    }
    digests = {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}
    area = mask.area_mm2(native)
    about = preflight | {"tissue_mm2": area, "content": lineage.content, "fingerprint": fingerprint, "sha256": digests}
    about |= learned.facts() if learned else {}
    for file in ("preflight.json", CLASSES):
        out.slide(slide_id, file).unlink(missing_ok=True)
    for file, content in files.items():
        write_bytes(out.slide(slide_id, file), content)
    write_json(out.slide(slide_id, "preflight.json"), about)
    return about


def _about_mask(row: ManifestRow, config: Config, lineage: Lineage) -> dict[str, Any]:
    return {
        "fingerprint": lineage.tissue(config),
        "slide_id": row.slide_id,
        "source": _mask_source(row, config, lineage),
        "recipe": tissue_recipe_json(config.tissue),
    }


def _mask_source(row: ManifestRow, config: Config, lineage: Lineage) -> str:
    if row.mask:
        return "mask"
    return "annotations" if lineage.drawn.replaces_mask(config.tissue.annotation_class) else config.tissue.method


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _learned(
    row: ManifestRow, config: Config, source: str, slide: Slide, size: Size, native: float
) -> LearnedTissue | None:
    """What the recipe's model makes of the slide, where there is one and nobody has drawn the tissue."""
    if source != "model":
        return None
    return learned_tissue(row.slide_id, slide, native, size, config)


def _mask(
    row: ManifestRow, config: Config, source: str, small: npt.NDArray[np.uint8], size: Size, native: float
) -> TissueMask:
    """The mask that was given or drawn, else the segmented one, on the pixels of the thumbnail `small`."""
    covered = Size(small.shape[1], small.shape[0])
    if source == "mask":
        labels = config.tissue.mask_labels
        return mask_from_image(Path(row.mask), slide_id=row.slide_id, slide=size, size=covered, labels=labels)
    if source == "annotations":
        return annotated_mask(
            Path(row.annotations),
            slide_id=row.slide_id,
            slide=size,
            size=covered,
            annotation_class=config.tissue.annotation_class,
        )
    return TissueMask(found_tissue(row.slide_id, small, mask_mpp(size, covered, native), config.tissue), size)


def _picture(slide_id: str, slide: Slide, native: float, small: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A thumbnail for people; that of a small slide is read finer than its mask needs."""
    import cv2

    height, width = small.shape[:2]
    longest = max(height, width)
    if longest < _PICTURE_PX:
        whole = slide.levels[0].size
        return thumbnail(slide_id, slide, native, native * max(whole.width, whole.height) / _PICTURE_PX)
    fitted = (max(1, width * _PICTURE_PX // longest), max(1, height * _PICTURE_PX // longest))
    return np.asarray(cv2.resize(small, fitted, interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(picture: npt.NDArray[np.uint8]) -> bytes:
    import cv2

    encoded: bytes = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()
    return encoded


def _facts(about: dict[str, Any]) -> dict[str, Any]:
    return {
        "tissue_mm2": round(about["tissue_mm2"], 6),
        "mpp": about["mpp"]["value"],
        "mpp_source": about["mpp"]["source"],
        "reader": about["reader"],
        "warnings": about["warnings"],
    }
