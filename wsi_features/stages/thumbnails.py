"""The thumbnail that the tissue stage left of a slide, as one that is known to be of the store's slide."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.outputs import Outputs
from wsi_features.errors import ArtifactError
from wsi_features.files import read_json
from wsi_features.store import FeatureStore


def thumbnail_of(out: Outputs, store: FeatureStore) -> npt.NDArray[np.uint8]:
    """The thumbnail (h, w, 3) of a store's slide. Raises ArtifactError when it is absent, damaged or of another file."""
    import cv2

    slide_id = store.provenance.slide_id
    picture, preflight = out.slide(slide_id, "thumbnail.jpg"), out.slide(slide_id, "preflight.json")
    try:
        about, content = read_json(preflight), picture.read_bytes()
        found, wanted = str(about["content"]), store.provenance.slide_fingerprint
        whole = hashlib.sha256(content).hexdigest() == about["sha256"][picture.name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError.damaged(slide_id, "thumbnail", str(picture), str(error)) from error
    if found != wanted:
        raise ArtifactError.mismatch(slide_id, "thumbnail", str(picture), found, wanted)
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if whole else None
    if decoded is None:
        raise ArtifactError.damaged(slide_id, "thumbnail", str(picture), "its SHA-256 has changed")
    return np.asarray(decoded[..., ::-1], np.uint8)
