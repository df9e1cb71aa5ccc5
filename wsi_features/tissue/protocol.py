"""What every method that finds tissue looks like from outside."""

from __future__ import annotations

from typing import Protocol

from wsi_features.tissue.background import Image, Mask


class Segmenter(Protocol):
    """A method that finds tissue on a thumbnail. One that needs more of the slide is a protocol of its own."""

    def __call__(self, thumbnail: Image, mpp: float) -> Mask:
        """Tissue of `thumbnail` uint8 RGB (h, w, 3) at `mpp` microns per pixel, bool (h, w).

        The thumbnail is composed on white and is not changed. No tissue is a mask without any.
        """
