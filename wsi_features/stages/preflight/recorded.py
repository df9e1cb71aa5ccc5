"""What the preflight of a run recorded of a slide, read back."""

from __future__ import annotations

from wsi_features.cohort.outputs import Outputs
from wsi_features.files import read_json
from wsi_features.geometry import Size

UNREADABLE = (OSError, ValueError, LookupError, TypeError)
"""What reading a record raises where it is absent or damaged."""


def recorded_size(out: Outputs, slide_id: str) -> Size:
    """The level-0 size of a slide. Raises what `UNREADABLE` names."""
    level = read_json(out.slide(slide_id, "preflight.json"))["levels"][0]
    return Size(level["width"], level["height"])
