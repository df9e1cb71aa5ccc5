"""Which pixels of a slide the stain fit is made on: patch positions, and the stained pixels in the patches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Size, SlidePx
from wsi_features.stain.recipe import StainRecipe


def patch_origins(
    tissue: npt.NDArray[np.bool_],
    *,
    scale: tuple[float, float],
    slide: Size,
    span: SlidePx,
    recipe: StainRecipe,
) -> npt.NDArray[np.int64]:
    """Top-left corners of the patches to read, int64 (m, 2), x then y in level-0 pixels, row by row.

    `tissue` (h, w) covers the slide with `scale` level-0 pixels per mask pixel along
    x and y; `slide` and `span`, the patch's width, are in level-0 pixels. The tissue pixels, counted
    row by row, are cut into `recipe.patches` equal runs, and each gives one patch centred on
    a pixel drawn with `recipe.seed`, so large and small pieces get their share. Patches at the
    border are moved inside; there are none without tissue or on a slide narrower than a patch.
    """
    rows, columns = np.nonzero(tissue)
    if not len(rows) or span > min(slide.width, slide.height):
        return np.empty((0, 2), dtype=np.int64)
    count = min(recipe.patches, len(rows))
    edges = np.arange(count + 1) * len(rows) // count
    # The stream of a named bit generator is fixed for good, that of `default_rng` is not.
    jitter = np.random.Generator(np.random.PCG64(recipe.seed)).random(count)
    chosen = edges[:-1] + (jitter * np.diff(edges)).astype(np.int64)
    centres = (np.stack([columns[chosen], rows[chosen]], axis=1) + 0.5) * scale
    corners = np.floor(centres - span / 2).astype(np.int64)
    corners = np.clip(corners, 0, (slide.width - span, slide.height - span))
    # Sorted by y, then x, each once: neighbours at a border may have been moved onto each other.
    return np.unique(corners[:, ::-1], axis=0)[:, ::-1]


def stained_pixels(patches: npt.NDArray[np.uint8], max_pixels: int, luminosity: float) -> npt.NDArray[np.uint8]:
    """The pixels of uint8 (m, h, w, 3) that are not glass, uint8 (n, 3), n at most `max_pixels`.

    Contrast is stretched over all patches together, from the 2nd to the 98th percentile;
    pixels whose lightness is then `luminosity` (1 is white) or more are glass. What is left is thinned evenly.
    """
    import cv2

    flat = patches.reshape(1, -1, 3)
    if not flat.size:
        return np.empty((0, 3), dtype=np.uint8)
    lightness = cv2.cvtColor(cv2.LUT(flat, _contrast_table(flat)), cv2.COLOR_RGB2LAB)[0, :, 0]
    stained = np.flatnonzero(lightness < luminosity * 255)
    if len(stained) > max_pixels:
        stained = stained[np.arange(max_pixels) * len(stained) // max_pixels]
    return np.asarray(flat[0, stained], dtype=np.uint8)


def _contrast_table(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    low, high = np.percentile(pixels, (2, 98))
    if low >= high:
        low, high = float(pixels.min()), float(pixels.max())
    if low >= high:
        return np.arange(256, dtype=np.uint8)
    stretched = (np.clip(np.arange(256), low, high) - low) / (high - low) * 255
    return np.asarray(stretched, dtype=np.uint8)
