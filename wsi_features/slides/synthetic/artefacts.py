"""What goes wrong with glass and scanners: folds, pen marks, defocus, air bubbles, dust and unscanned borders.

Each artefact is a field that can be computed anywhere alone, in microns. Interpolated
between coarse pixels it is above 0 exactly where the artefact acts; it goes on falling
outside, so that the edge it crosses 0 at is smooth.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wsi_features.slides.synthetic.anatomy import Anatomy, Piece
from wsi_features.slides.synthetic.noise import F32, F64, U8, hashed, key_of, uniform
from wsi_features.slides.synthetic.spec import PenColour

FOLD_GAIN = 0.95
"""How much denser tissue is in a fold: two layers, almost."""
BLUR_UM = 3.5
"""Standard deviation of the defocus, in microns."""
BUBBLE_BLUR_UM = 0.6
"""Standard deviation of the defocus under an air bubble, in microns."""
BUBBLE_SHIFT_UM = 9.0
"""How far an air bubble displaces what lies below it."""

_PEN_DENSITY: dict[PenColour, tuple[float, float, float]] = {
    "blue": (2.0, 1.15, 0.3),
    "green": (1.7, 0.5, 1.35),
    "black": (2.5, 2.4, 2.3),
    "red": (0.25, 2.1, 1.7),
}


def fold_field(anatomy: Anatomy, y: F64, x: F64) -> F32:
    """Strength, full at 1, of a fold across the first piece, only where there is tissue."""
    piece = anatomy.pieces[0]
    tilt = 0.5 * (_draw(anatomy, "fold") - 0.5)
    along_x = piece.rx > piece.ry
    lean = (x[None, :] - piece.x, y[:, None] - piece.y)
    distance = lean[0] + tilt * lean[1] if along_x else lean[1] + tilt * lean[0]
    distance = distance + 0.06 * piece.radius * anatomy.noise("fold", y, x, 0.5 * piece.radius)
    half = float(np.clip(0.07 * piece.radius, 14, 70))
    band = np.minimum((half - np.abs(distance)) / 10, (piece.depth(y, x) + 0.3 * piece.radius) / 10)
    return np.asarray(np.minimum(band, anatomy.depth(y, x) / 12), dtype=np.float32)


def blur_field(anatomy: Anatomy, y: F64, x: F64) -> F32:
    """Strength, full at 1, of a defocused patch near one end of the last piece."""
    piece = anatomy.pieces[-1]
    radius = 0.75 * piece.radius
    depth = _disc(piece, -0.4, radius, y, x) + 0.2 * radius * anatomy.noise("blur", y, x, 0.6 * radius)
    return np.asarray(depth / (0.25 * radius), dtype=np.float32)


def bubble_field(anatomy: Anatomy, y: F64, x: F64) -> F32:
    """Depth in microns inside an air bubble at the other end of the last piece."""
    piece = anatomy.pieces[-1]
    radius = 0.6 * piece.radius
    wobble = 0.05 * radius * anatomy.noise("bubble", y, x, 0.8 * radius)
    return np.asarray(_disc(piece, 0.5, radius, y, x) + wobble, dtype=np.float32)


def pen_field(anatomy: Anatomy, y: F64, x: F64) -> F32:
    """Ink, full at 1, of a marker stroke, drawn as an arc round the first piece and partly over it."""
    piece = anatomy.pieces[0]
    down, right = (y[:, None] - piece.y) / piece.ry, (x[None, :] - piece.x) / piece.rx
    reach = np.hypot(down, right)
    turn = np.abs(np.angle(np.exp(1j * (np.arctan2(down, right) - 2 * np.pi * _draw(anatomy, "pen")))))
    beyond_end = np.maximum(turn - 1.0, 0) * reach
    wobble = 0.04 * anatomy.noise("pen", y, x, 0.7 * piece.radius)
    distance = np.hypot(reach - 1.12 + wobble, beyond_end) * piece.radius
    half = float(np.clip(0.1 * piece.radius, 20, 350))
    streaks = np.clip(0.85 + 0.1 * anatomy.noise("ink", y, x, 0.3 * half), 0.5, 1)
    return np.asarray(np.minimum((half - distance) / 12, streaks), dtype=np.float32)


def dust_field(anatomy: Anatomy, y: F64, x: F64) -> F32:
    """Depth in microns inside grains of dirt, some tens of microns wide."""
    return np.asarray((anatomy.noise("dust", y, x, 24.0) - 2.35) * 12, dtype=np.float32)


def border_field(anatomy: Anatomy, y: F64, x: F64) -> F32:
    """Depth in microns inside the black margin on the left and above, that a scanner did not look at."""
    wide = 0.12 * anatomy.pieces[0].radius
    return np.asarray(wide - np.minimum(x[None, :], y[:, None]), dtype=np.float32)


FIELDS: dict[str, Callable[[Anatomy, F64, F64], F32]] = {
    "pen": pen_field,
    "fold": fold_field,
    "blur": blur_field,
    "bubble": bubble_field,
    "dust": dust_field,
    "border": border_field,
}
"""The field of each artefact, by its name in the spec; called with rows and columns in microns."""


def marked(rgb: U8, ink: F32, colour: PenColour) -> U8:
    """The image seen through ink of strength `ink` (h, w)."""
    strength = np.clip(ink, 0, 1)[..., None]
    return np.rint(rgb * np.exp(-strength * np.array(_PEN_DENSITY[colour], np.float32))).astype(np.uint8)


def dusty(rgb: U8, depth: F32) -> U8:
    """The image with dull brown grains where `depth` (h, w), in microns, is above 0."""
    strength = np.clip(depth / 4, 0, 1)[..., None]
    return np.rint(rgb * np.exp(-strength * np.array((0.9, 1.0, 1.15), np.float32))).astype(np.uint8)


def filled_black(rgb: U8, depth: F32) -> U8:
    """The image, black where `depth` (h, w) is above 0."""
    return np.where(depth[..., None] > 0, np.uint8(3), rgb)


def defocused(rgb: U8, soft: U8, strength: F32) -> U8:
    """The image, replaced by its blurred copy `soft` in proportion to `strength` (h, w)."""
    share = np.clip(strength, 0, 1)[..., None]
    return np.rint(rgb + (soft.astype(np.float32) - rgb) * share).astype(np.uint8)


def under_bubble(rgb: U8, shifted: U8, depth: F32) -> U8:
    """The image with an air bubble: a dark and a bright rim, and `shifted` content of less contrast inside.

    `depth` (h, w) is in microns; where it is 0 or less the image stays as it is.
    """
    dark = 0.75 * np.exp(-(((depth - 8) / 4.5) ** 2)) + 0.3 * np.exp(-(((depth - 26) / 9) ** 2))
    glint = 0.5 * np.exp(-(((depth - 16) / 3) ** 2))
    inside = 205 + (shifted.astype(np.float32) - 205) * 0.8
    lit = np.clip((inside + (252 - inside) * glint[..., None]) * (1 - dark[..., None]), 0, 255)
    return np.where(depth[..., None] > 0, np.rint(lit).astype(np.uint8), rgb)


def _disc(piece: Piece, place: float, radius: float, y: F64, x: F64) -> F32:
    """Depth inside a disc whose centre lies at `place` of the way to the piece's far end."""
    off_x, off_y = (place * piece.rx, 0.0) if piece.rx > piece.ry else (0.0, place * piece.ry)
    distance = np.hypot(y[:, None] - piece.y - off_y, x[None, :] - piece.x - off_x)
    return np.asarray(radius - distance, dtype=np.float32)


def _draw(anatomy: Anatomy, name: str) -> float:
    return float(uniform(hashed(key_of(anatomy.seed, name), 0))[0])
