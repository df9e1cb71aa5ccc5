"""tiatoolbox's tissue maskers as segmenters; importing them takes seconds and reconfigures the root logger.

They only look at grey levels, so pen marks, shadows and black fill are tissue to them. Here a mask is only believed
where tissue is darker than the rest, since Otsu's threshold splits the noise of an empty slide too.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

import numpy as np

from wsi_features.tissue.background import Image, Mask
from wsi_features.tissue.cleanup import cleaned
from wsi_features.tissue.protocol import Segmenter
from wsi_features.tissue.recipe import TissueRecipe

_LEAST_CONTRAST = 12.0
"""Grey levels by which what is found must be darker than the rest; camera noise differs by fewer."""

_lock = RLock()


def otsu_masker(recipe: TissueRecipe) -> Segmenter:
    """`OtsuTissueMasker`: Otsu's threshold on the grey level."""
    return _segmenter(recipe, lambda module, _: module.OtsuTissueMasker())


def morphological_masker(recipe: TissueRecipe) -> Segmenter:
    """`MorphologicalMasker`: the same, without specks, then grown by a disc 32 um wide."""
    return _segmenter(recipe, lambda module, mpp: module.MorphologicalMasker(mpp=mpp))


def _segmenter(recipe: TissueRecipe, made: Callable[[Any, float], Any]) -> Segmenter:
    def tissue(thumbnail: Image, mpp: float) -> Mask:
        with maskers() as module:
            found = np.asarray(made(module, mpp).fit_transform(thumbnail[None])[0], np.bool_)
        return cleaned(found if _is_darker(thumbnail, found) else np.zeros_like(found), mpp, recipe)

    return tissue


def _is_darker(thumbnail: Image, found: Mask) -> bool:
    import cv2

    if found.all() or not found.any():
        return False
    grey = cv2.cvtColor(thumbnail, cv2.COLOR_RGB2GRAY)
    return float(grey[~found].mean() - grey[found].mean()) >= _LEAST_CONTRAST


@contextmanager
def maskers() -> Iterator[Any]:
    """The module `tiatoolbox.tools.tissuemask`; the root logger and the warning filters are as before afterwards."""
    root = logging.getLogger()
    with _lock, warnings.catch_warnings():
        level, handlers, shown = root.level, list(root.handlers), warnings.showwarning
        warnings.simplefilter("ignore")  # some of what it imports warns, and crashes when warnings are errors
        try:
            from tiatoolbox.tools import tissuemask

            yield tissuemask
        finally:
            for handler in [handler for handler in root.handlers if handler not in handlers]:
                root.removeHandler(handler)
            root.setLevel(level)
            if warnings.showwarning is not shown:
                logging.captureWarnings(capture=False)
