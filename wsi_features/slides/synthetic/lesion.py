"""A lesion: one blob in the tissue whose nuclei are larger and darker and lie closer, over whatever type of tissue.

It is where the label of a slide lies when a study plants one, and imitates no diagnosis. As everything on a slide
it is a field in microns that can be computed anywhere alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.slides.synthetic.anatomy import Anatomy
from wsi_features.slides.synthetic.noise import F32, F64, hashed, key_of, uniform

_INSIDE_UM = 10.0
"""How far a lesion keeps from the tissue's edge."""

_DEEP = 0.5
"""A lesion's middle lies where the tissue is at least this share of its greatest depth."""


@dataclass(frozen=True, slots=True)
class Lesion:
    """An ellipse with an uneven rim, of any direction: its middle, mean radius and how far it reaches, in microns."""

    x: float
    y: float
    radius: float
    longer: float
    angle: float
    reach: float = 0.0

    def depth(self, anatomy: Anatomy, y: F64, x: F64) -> F32:
        """Signed distance to the lesion's edge, about in microns, positive inside; rows `y`, columns `x`."""
        around = self.level(anatomy, y, x) + self.reach + 5 * anatomy.noise("lesion-edge", y, x, 22)
        return np.asarray(np.minimum(around, anatomy.depth(y, x) - _INSIDE_UM), dtype=np.float32)

    def level(self, anatomy: Anatomy, y: F64, x: F64) -> F32:
        """Falls with the distance from the middle, about in microns; 0 there but for the unevenness."""
        down, right = y[:, None] - self.y, x[None, :] - self.x
        along = (np.cos(self.angle) * right + np.sin(self.angle) * down) / self.longer
        across = (np.cos(self.angle) * down - np.sin(self.angle) * right) * self.longer
        rough = 0.22 * self.radius * anatomy.noise("lesion", y, x, 0.55 * self.radius)
        return np.asarray(rough - np.hypot(along, across), dtype=np.float32)


def lesion_of(anatomy: Anatomy, share: float, y: F64, x: F64) -> Lesion | None:
    """A lesion that takes `share` of the tissue at the rows `y` and columns `x`, which are evenly spaced; None without tissue.

    Its place is drawn from the slide's seed among all that lie deep enough.
    """
    depth = anatomy.depth(y, x)
    tissue = depth > 0
    if not tissue.any():
        return None
    rows, columns = np.nonzero(depth >= _DEEP * depth.max())
    draw = uniform(hashed(key_of(anatomy.seed, "lesion"), np.arange(3)))
    middle = int(draw[0] * len(rows))
    radius = float(np.sqrt(share * tissue.sum() * (y[1] - y[0]) * (x[1] - x[0]) / np.pi))
    plain = Lesion(x[columns[middle]], y[rows[middle]], radius, 1 + 0.25 * draw[1], np.pi * draw[2])
    return _reaching(plain, anatomy, (y, x), depth > _INSIDE_UM, share * float(tissue.sum()))


def _reaching(
    plain: Lesion, anatomy: Anatomy, at: tuple[F64, F64], room: npt.NDArray[np.bool_], wanted: float
) -> Lesion:
    """The lesion grown until it takes `wanted` of the positions where there is room, or all of them."""
    levels = np.sort(plain.level(anatomy, *at)[room])
    reach = -float(levels[max(0, len(levels) - round(wanted))]) if len(levels) else 0.0
    return Lesion(plain.x, plain.y, plain.radius, plain.longer, plain.angle, reach)
