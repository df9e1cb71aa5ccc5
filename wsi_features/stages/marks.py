"""Stage marks: what follows from a slide's finished stores without embedding anything anew, beside them."""

from __future__ import annotations

from typing import Any

from wsi_features.cohort.keep import write_keep_marks
from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import Record, SlideResult
from wsi_features.config import Config
from wsi_features.errors import ArtifactError
from wsi_features.stages.annotation_marks import write_annotation_marks
from wsi_features.store import FeatureStore


def marked(row: ManifestRow, config: Config, embedded: Record, out: Outputs) -> SlideResult:
    """Write the marks of every store that the embed stage has recorded for a slide, or find that they are right already."""
    result = embedded.get(row.slide_id)
    if result is None:
        raise ArtifactError.absent(row.slide_id, "record of the embed stage", str(out.root / "records" / "embed"))
    limits = config.quality.thresholds_json()
    found: dict[str, dict[str, Any]] = {}
    for feature_set, facts in result.facts.get("stores", {}).items():
        store = FeatureStore.open(out.root / facts["store"])
        found[feature_set] = write_keep_marks(out, store, limits)
        if (path := write_annotation_marks(row, out, store)) is not None:
            found[feature_set] |= {"annotations": path.parent.name}
    fingerprint = next((marks["fingerprint"] for marks in found.values()), "")
    return SlideResult(result.status, "marks", fingerprint=fingerprint, facts={"marks": found})
