"""A stain target measured of an image, of a slide, or of the fits of a run."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.sheets import manifest_from
from wsi_features.config import Config
from wsi_features.errors import ArtifactError
from wsi_features.files import read_json
from wsi_features.stages.isolation import Inspector
from wsi_features.stages.lineage import lineage_of
from wsi_features.stages.stain import stained_sample
from wsi_features.stages.tissue import read_tissue, tissue_of
from wsi_features.stain import StainTarget, StainTransform, load_target, transform_from_parameters
from wsi_features.stain.measured import median_target, target_of_pixels
from wsi_features.stain.target import IMAGES

_LARGEST_IMAGE = 100 * 2**20
"""Bytes of a reference image; a larger TIFF is sampled as a slide."""


def measured(source: Path, *, median: bool) -> StainTarget:
    """The target of an image or slide, or with `median` that of the run in the folder `source`.

    Raises StainTargetError, and SlideError where the slide cannot be read.
    """
    if median:
        return median_target(str(source), good_fits(Outputs(source)))
    if source.suffix.lower() in IMAGES and source.stat().st_size <= _LARGEST_IMAGE:
        return load_target(str(source))
    return _of_slide(source)


def good_fits(out: Outputs) -> list[StainTransform]:
    """The transforms of all slides of OUT whose fit is good, in the order of their ids. Raises ArtifactError."""
    found = []
    for path in sorted((out.root / "stain").glob("*/*.json")):
        try:
            document = read_json(path)
            if document.get("fit", {}).get("status") == "good":
                found.append(transform_from_parameters(document["transform"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError.damaged(path.stem, "stain parameters", str(path), str(error)) from error
    return found


def _of_slide(source: Path) -> StainTarget:
    """The same sample of tissue that a slide is fitted on; nothing is left on disk."""
    (row,) = manifest_from([str(source)]).rows
    config = Config()
    with TemporaryDirectory() as folder, Inspector(config.tuning.inspect_seconds, config.tuning.inspect_mib) as looks:
        out = Outputs(Path(folder))
        tissue_of(row, config, out, looks)
        mask, about = read_tissue(row.slide_id, out, lineage_of(row).tissue(config))
        patches = stained_sample(row, config, mask, about)
    return target_of_pixels(str(source), patches, f"Measured of the slide {source.name}")
