"""Where in one tile the stain lies: the only features that know position."""

from __future__ import annotations

import numpy as np

from wsi_features.encode.histo_texture.planes import Feature, Image, Planes, Values, halved, opencv

GRID = 4

# Twice the spread that tissue has, so that these 32 dimensions weigh half of any others.
_WEIGHT_SPREAD = {"h": 32, "e": 26}
FEATURES = tuple(
    Feature(f"layout_{plane}_row{row}_column{column}", 0, spread)
    for plane, spread in _WEIGHT_SPREAD.items()
    for row in range(GRID)
    for column in range(GRID)
)


def layout_features(planes: Planes) -> Values:
    """The values of `FEATURES`, float64: each cell's mean level less the tile's, row by row from the top left."""
    return np.concatenate([_cells(planes.haematoxylin), _cells(planes.eosin)])


def _cells(plane: Image) -> Values:
    cv2 = opencv()
    # Means as floats: in 8 bits a small shift of the tile would vanish in the rounding.
    means = cv2.resize(halved(plane).astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA).ravel()
    return np.asarray(means - cv2.mean(plane)[0], dtype=np.float64)
