"""Nuclei of one tile, found as dark haematoxylin blobs: how many, how large, how spaced.

The blobs stand for nuclei only statistically: touching nuclei count as one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.encode.histo_texture.planes import Feature, Image, Planes, Values, halved, opencv

AREA_EDGES = (16, 40, 100)
"""Class edges of nuclear area in half-resolution pixels; at 0.5 um/px these are um2."""
SURROUND = 31
"""Width of the window that gives the local background, in half-resolution pixels."""
ABOVE_SURROUND = 12
"""A nucleus is that many levels (0.09 OD) above its surroundings ..."""
LEAST_LEVEL = 40
"""... and reaches that level (0.31 OD)."""
LEAST_AREA = 6
PAIRWISE = 150
"""So many nuclei are compared with each other as fast as a tree finds the nearest (measured)."""
FEW = 12
"""With that many nuclei their statistics count half: one nucleus more or less must not turn a feature round."""

FEATURES = (
    Feature("surround_h_mean", 26, 11),
    Feature("nuclei_density", 2.1, 0.4),
    Feature("nuclei_area_share", 0.17, 0.09),
    Feature("nuclei_area_mean", 3.9, 0.35),
    Feature("nuclei_area_std", 3.8, 0.6),
    Feature("nuclei_tiny_share", 0.17, 0.2),
    Feature("nuclei_small_share", 0.4, 0.2),
    Feature("nuclei_medium_share", 0.3, 0.18),
    Feature("nuclei_large_share", 0.12, 0.12),
    Feature("nuclei_eccentricity_mean", 0.76, 0.07),
    Feature("nuclei_eccentricity_std", 0.18, 0.08),
    Feature("nuclei_extent_mean", 0.63, 0.05),
    Feature("nuclei_alignment", 0.3, 0.2),
    Feature("nuclei_spacing_mean", 2.6, 0.16),
    Feature("nuclei_spacing_std", 1.6, 0.4),
    Feature("nuclei_spacing_ratio", 1.3, 0.2),
    Feature("nuclei_clumping", 0.65, 0.3),
    Feature("nuclei_h_mean", 92, 19),
    Feature("nuclei_h_std", 15, 9),
    Feature("nuclei_e_mean", 26, 22),
)
_ALWAYS_DEFINED = 3
"""So many of them mean something in a tile without nuclei."""


@dataclass(frozen=True, slots=True, eq=False)
class Nuclei:
    """The blobs of one tile, in half-resolution pixels, ordered by position.

    `centres` (n, 2) holds x, y; `areas`, `boxes` (area of the bounding box) and `darkness`
    (mean haematoxylin level) are (n,); `moments` (n, 3) the central second moments xx, yy, xy.
    """

    centres: Values
    areas: Values
    boxes: Values
    moments: Values
    darkness: Values

    def __len__(self) -> int:
        return len(self.areas)


def nuclei_features(planes: Planes) -> Values:
    """The values of `FEATURES`, float64: counts, areas and distances as log1p.

    Lengths and areas are in pixels, and the encoder's card says how large a pixel is. What
    few nuclei say is drawn towards the typical value, so none at all say nothing.
    """
    haematoxylin, eosin = halved(planes.haematoxylin), halved(planes.eosin)
    mask = nuclear_mask(haematoxylin)
    nuclei = labelled(mask, haematoxylin)
    count = len(nuclei)
    density = np.log1p(count / planes.luminance.size * 1e4)
    known = [_mean_level(haematoxylin, ~mask), density, nuclei.areas.sum() / mask.size]
    typical = np.array([feature.typical for feature in FEATURES[_ALWAYS_DEFINED:]])
    if count == 0:
        return np.concatenate([known, typical])
    stain = [nuclei.darkness.mean(), nuclei.darkness.std(), _mean_level(eosin, mask)]
    found = np.array([*_sizes(nuclei), *_shapes(nuclei), *_spacing(nuclei, mask.size), _clumping(mask), *stain])
    return np.concatenate([known, typical + (found - typical) * count / (count + FEW)])


def nuclear_mask(haematoxylin: Image) -> Image:
    """255 where haematoxylin stands out from its surroundings, uint8 like the input.

    A local threshold, because one value for the tile merges the nuclei of a dark
    epithelium and loses those of a pale stroma.
    """
    cv2 = opencv()
    smooth = cv2.GaussianBlur(haematoxylin, (3, 3), 0)
    surround = cv2.blur(haematoxylin, (SURROUND, SURROUND))
    floor = cv2.max(cv2.add(surround, float(ABOVE_SURROUND)), float(LEAST_LEVEL))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    mask: Image = cv2.morphologyEx(cv2.compare(smooth, floor, cv2.CMP_GT), cv2.MORPH_OPEN, disk)
    return mask


def labelled(mask: Image, haematoxylin: Image) -> Nuclei:
    """The connected blobs of `mask` with at least `LEAST_AREA` pixels."""
    cv2 = opencv()
    count, labels, boxes, centres = cv2.connectedComponentsWithStats(mask)
    inside = np.flatnonzero(mask)
    label = labels.ravel()[inside]
    y, x = np.divmod(inside, mask.shape[1])
    level = haematoxylin.ravel()[inside]
    sums = np.stack([np.bincount(label, of, minlength=count) for of in (x * x, y * y, x * y, level)], axis=1)
    areas = boxes[:, cv2.CC_STAT_AREA].astype(np.float64)
    large = np.flatnonzero(areas >= LEAST_AREA)
    large = large[large > 0]  # label 0 is the background
    # OpenCV numbers the blobs in another order when it works with several threads.
    order = large[np.lexsort((areas[large], centres[large, 0], centres[large, 1]))]
    means = sums[order] / areas[order, None]
    centre = centres[order]
    moments = means[:, :3] - np.column_stack([centre**2, centre[:, 0] * centre[:, 1]])
    box = boxes[order, cv2.CC_STAT_WIDTH] * boxes[order, cv2.CC_STAT_HEIGHT]
    return Nuclei(centre, areas[order], box.astype(np.float64), moments, means[:, 3])


def _sizes(nuclei: Nuclei) -> list[float]:
    """Area mean and spread, and the shares of the four classes."""
    classes = np.bincount(np.searchsorted(AREA_EDGES, nuclei.areas, side="right"), minlength=4) / len(nuclei)
    return [np.log1p(nuclei.areas.mean()), np.log1p(nuclei.areas.std()), *classes]


def _shapes(nuclei: Nuclei) -> list[float]:
    """Eccentricity mean and spread, filled share of the bounding box, common orientation."""
    xx, yy, xy = nuclei.moments.T
    across = xx + yy + 1 / 6  # a pixel is a square, not a point: 1/12 along each axis
    along = np.hypot(xx - yy, 2 * xy)
    eccentricity = np.sqrt(2 * along / (across + along))
    turn = np.array([(xx - yy).sum(), 2 * xy.sum()]) / across.sum()
    return [eccentricity.mean(), eccentricity.std(), (nuclei.areas / nuclei.boxes).mean(), float(np.hypot(*turn))]


def _spacing(nuclei: Nuclei, pixels: int) -> list[float]:
    """Distance to the nearest neighbour, mean and spread, and its ratio to that of a random scatter.

    The ratio is that of Clark and Evans 1954, Ecology 35:445: 1 for random, 2.15 for a
    hexagonal lattice, less than 1 for clusters.
    """
    if len(nuclei) < 2:
        return [0.0, 0.0, 0.0]
    nearest = nearest_distances(nuclei.centres)
    random = 0.5 / np.sqrt(len(nuclei) / pixels)
    return [np.log1p(nearest.mean()), np.log1p(nearest.std()), nearest.mean() / random]


def nearest_distances(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Distance of each of two or more points (n, 2) to the nearest other, (n,).

    Few points are compared with each other, which takes less time than a tree, and spares importing one.
    """
    if len(points) > PAIRWISE:
        from scipy.spatial import cKDTree

        tree: npt.NDArray[np.float64] = cKDTree(points).query(points, k=2)[0][:, 1]
        return tree
    squares = sum(np.square(axis[:, None] - axis) for axis in points.T)
    np.fill_diagonal(squares, np.inf)
    return np.asarray(np.sqrt(squares.min(axis=1)))


def _clumping(mask: Image) -> float:
    """Spread of the nuclear area over a 4 x 4 grid, over its mean: 0 when even, at most 3.9."""
    cv2 = opencv()
    cells = cv2.resize(mask.astype(np.float32), (4, 4), interpolation=cv2.INTER_AREA)
    return float(cells.std() / cells.mean())


def _mean_level(plane: Image, mask: npt.NDArray[np.uint8]) -> float:
    """Mean of the plane where `mask` is set; 0 when it is nowhere set."""
    cv2 = opencv()
    return float(cv2.mean(plane, mask)[0])
