"""Annotation marks: the share of each annotated class in every tile of a store, beside it.

They have a fingerprint of their own: an outline that is edited makes them anew and nothing else, as long
as it decides neither the mask nor the choice of tiles.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wsi_features.cohort.manifest import ManifestRow, manifest_of_output
from wsi_features.cohort.marks import Marks, marks_are_there, write_marks
from wsi_features.cohort.outputs import Outputs
from wsi_features.errors import CurationError
from wsi_features.geometry import Size
from wsi_features.recipe import Json, digest, fingerprint
from wsi_features.stages.annotated import areas_on, drawn_on
from wsi_features.stages.restriction import COLUMN
from wsi_features.store import FeatureStore, in_any_form
from wsi_features.tissue.shares import annotation_shares

ANNOTATION_MARKS_VERSION = 1
"""Method version of the shares."""

KIND = "annotation"


def write_annotation_marks(row: ManifestRow, out: Outputs, store: FeatureStore) -> Path | None:
    """The marks of one store, one column `annotation:<class>` for each class drawn on its slide; None where none is.

    Those that are there already and right are left as they are; where annotations were taken
    away, so are their marks. Raises AnnotationError when the file cannot be read.
    """
    path = out.marks_of_slide(_folder(store), row.slide_id)
    if not row.annotations:
        path.unlink(missing_ok=True)
        return None
    drawn = drawn_on(row)
    recipe: Json = {"classes": dict(drawn.classes)}
    upstream = [store.fingerprint]
    wanted = fingerprint(KIND, ANNOTATION_MARKS_VERSION, recipe, upstream, store.provenance.slide_fingerprint)
    if not marks_are_there(path, store, wanted):
        areas = areas_on(row, Size(*store.provenance.slide_size))
        names, shares = annotation_shares(areas, store.coords.astype(np.int64), store.provenance.span)
        columns = tuple(COLUMN + name for name in names)
        write_marks(path, Marks(KIND, wanted, store.fingerprint, columns, shares, recipe))
    return path


def annotated(out: Outputs) -> Iterator[str]:
    """Annotation marks of every store below `out`; one line for each feature set. Raises UsageError."""
    manifest, _ = manifest_of_output(out.root)
    sets = [path for path in sorted(out.features.glob("*")) if path.is_dir()]
    if not sets:
        raise CurationError.nothing(str(out.root), "feature stores")
    for folder in sets:
        stores = [(row, in_any_form(out.store(folder.name, row.slide_id))) for row in manifest]
        found = [(row, FeatureStore.open(path)) for row, path in stores if path.exists()]
        made = [path for row, store in found if (path := write_annotation_marks(row, out, store)) is not None]
        yield f"{folder.name}: {len(found)} slides with features, {len(made)} of them with annotations"


def _folder(store: FeatureStore) -> str:
    """`annotation__<hash8>`: no two feature sets share one."""
    about = {"feature_set": store.path.parent.name, "version": ANNOTATION_MARKS_VERSION}
    return f"{KIND}__{digest(about)[:8]}"
