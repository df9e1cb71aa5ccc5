"""How much of each dye lies at each pixel of one block: textures, nuclei, edges and folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wsi_features.slides.synthetic import nuclei
from wsi_features.slides.synthetic.anatomy import OVERLAYS, label_of
from wsi_features.slides.synthetic.artefacts import FOLD_GAIN, fold_field
from wsi_features.slides.synthetic.noise import F32, F64, U8, hashed, key_of, uniform
from wsi_features.slides.synthetic.nuclei import Population
from wsi_features.slides.synthetic.scene import Area, Scene, enlarged
from wsi_features.slides.synthetic.texture import PERIOD_UM, patch, texel_um

# Coarse pixels known around a block, since nuclei just outside reach into it.
_MARGIN = 3

# Softness of the border between two types and of the tissue's edge, and how ragged both are, in microns.
_BORDER_UM, _EDGE_UM, _RAGGED_UM = 2.5, 2.0, 7.0

# Where the outline is farther than this, its raggedness cannot reach.
_CERTAIN_UM = 20.0

Course = tuple[F32, F32]
"""Where in a texture patch each level-0 pixel looks: its x and y in texture pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """A block with a margin of coarse pixels: their centres in microns, labels, and depth inside the tissue.

    `fibres` (x and y in microns, on the coarse pixels) runs along and across the fibres,
    which swirl; `plain` is the course of all other textures.
    """

    scene: Scene
    area: Area
    y: F64
    x: F64
    labels: U8
    depth: F32
    fibres: tuple[F32, F32]
    plain: Course

    def has(self, label: int) -> bool:
        """Whether the label occurs in or just around the block."""
        return bool((self.labels == label).any())

    def noise(self, name: str, pitch_um: float) -> F32:
        """Smooth noise on the coarse pixels."""
        return self.scene.anatomy.noise(name, self.y, self.x, pitch_um)


def densities(scene: Scene, area: Area) -> tuple[U8, U8] | None:
    """Haematoxylin and eosin bytes (h, w) of the level-0 pixels of `area`; None where all is glass."""
    labels = scene.window(area.padded(_MARGIN))
    if not labels.any():
        return None
    ground = _ground(scene, area, labels)
    haematoxylin, eosin, rough = _background(ground)
    return _adjusted(ground, _with_nuclei(ground, haematoxylin), eosin, rough)


def _ground(scene: Scene, area: Area, labels: U8) -> Ground:
    y, x = scene.centres(area.padded(_MARGIN))
    anatomy = scene.anatomy
    turn = np.pi * float(uniform(hashed(key_of(anatomy.seed, "fibres"), 0))[0])
    swirl = [95 * anatomy.noise(f"swirl-{k}", y, x, 230) + 9 * anatomy.noise(f"wave-{k}", y, x, 45) for k in "yx"]
    down, right = y[:, None] + swirl[0], x[None, :] + swirl[1]
    along = (np.cos(turn) * right + np.sin(turn) * down).astype(np.float32)
    across = (np.cos(turn) * down - np.sin(turn) * right).astype(np.float32)
    drift = [10 * anatomy.noise(f"drift-{k}", y, x, 90) for k in "yx"]
    plain = _course(scene, x[None, :] + drift[1], y[:, None] + drift[0])
    return Ground(scene, area, y, x, labels, anatomy.depth(y, x), (along, across), plain)


def _course(scene: Scene, right: F32 | F64, down: F32 | F64) -> Course:
    """Positions in microns as lookup maps; whole periods are taken off, since texture pixels count from 0."""
    texel = texel_um(scene.spec.scale)
    x, y = ((axis - np.floor(axis.min() / PERIOD_UM) * PERIOD_UM) / texel - 0.5 for axis in (right, down))
    return _fine(scene, x.astype(np.float32)), _fine(scene, y.astype(np.float32))


def _fine(scene: Scene, field: F32) -> F32:
    """A field on the coarse pixels with their margin, interpolated to the block's level-0 pixels."""
    extra = _MARGIN - 1
    return enlarged(field[extra:-extra, extra:-extra], scene.step)


def _background(ground: Ground) -> tuple[U8, U8, U8]:
    """Both dyes and the raggedness of the textures, each type laid softly over those before it."""
    import cv2

    first, *others = [kind for kind in ("stroma", *OVERLAYS) if ground.has(label_of(kind))]
    laid = _looked_up(ground, first, _course(ground.scene, *ground.fibres) if first == "stroma" else ground.plain)
    for kind in others:
        texture = _looked_up(ground, kind, ground.plain)
        spread = ground.scene.anatomy.spread(kind, ground.y, ground.x)
        share = _inside(ground, spread, _BORDER_UM, np.asarray(cv2.extractChannel(texture, 2), np.uint8))
        laid = np.asarray(cv2.blendLinear(texture, laid, share, 1 - share), np.uint8)
    haematoxylin, eosin, rough = cv2.split(laid)
    return np.asarray(haematoxylin, np.uint8), np.asarray(eosin, np.uint8), np.asarray(rough, np.uint8)


def _looked_up(ground: Ground, name: str, course: Course) -> U8:
    import cv2

    longest_um = max(ground.area.rows, ground.area.columns) * ground.scene.step_um
    texture = patch(name, ground.scene.spec.scale, 2 + int(longest_um // PERIOD_UM))
    return np.asarray(cv2.remap(texture, *course, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.uint8)


def _inside(ground: Ground, depth: F32, width_um: float, rough: U8) -> F32:
    """Share 0 to 1 that lies inside a ragged border, given the coarse depth behind it in microns."""
    import cv2

    gain = _RAGGED_UM / width_um
    smooth = _fine(ground.scene, depth / np.float32(width_um) + np.float32(0.5 - gain / 2))
    return np.clip(np.asarray(cv2.scaleAdd(rough.astype(np.float32), gain / 255, smooth), np.float32), 0, 1)


def _with_nuclei(ground: Ground, plane: U8) -> U8:
    """The haematoxylin plane with every nucleus laid on it whose centre has the right label."""
    import cv2

    shown = [p for p in nuclei.POPULATIONS if ground.has(label_of(p.tissue))]
    margin = max((nuclei.pictures(p.kind, ground.scene.spec.scale).shape[1] for p in shown), default=0)
    wide = np.asarray(cv2.copyMakeBorder(plane, margin, margin, margin, margin, cv2.BORDER_CONSTANT), np.uint8)
    across = ground.fibres[1]
    fibre = np.arctan2(-np.gradient(across, axis=1), np.gradient(across, axis=0))
    for population in shown:
        _lay(ground, wide, margin, population, fibre)
    return np.ascontiguousarray(wide[margin:-margin, margin:-margin]) if margin else plane


def _lay(ground: Ground, wide: U8, margin: int, population: Population, fibre: F32) -> None:
    """Stamp one population on a plane that has `margin` pixels more on every side than the block."""
    scale, step, area = ground.scene.spec.scale, ground.scene.step, ground.area
    ends = [(float(axis[0]), float(axis[-1])) for axis in (ground.y, ground.x)]
    found = nuclei.places(population, ground.scene.anatomy.seed, *ends)
    row = np.floor(found.y / ground.scene.step_um).astype(np.int64) - area.top + _MARGIN
    column = np.floor(found.x / ground.scene.step_um).astype(np.int64) - area.left + _MARGIN
    height, width = ground.labels.shape
    here = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    here[here] = ground.labels[row[here], column[here]] == label_of(population.tissue)
    found = found.keep(here)
    along = fibre[row[here], column[here]] if population.follows_fibres else None
    drawn = nuclei.pictures(population.kind, scale)
    corner = margin - drawn.shape[1] // 2
    tops = np.rint(found.y / scale).astype(np.int64) - area.top * step + corner
    lefts = np.rint(found.x / scale).astype(np.int64) - area.left * step + corner
    nuclei.stamp(wide, tops, lefts, drawn, nuclei.chosen(found, population.kind, along))


def _adjusted(ground: Ground, haematoxylin: U8, eosin: U8, rough: U8) -> tuple[U8, U8]:
    """Both dyes with the tissue's edge, slow changes of thickness and the fold."""
    import cv2

    gains = [1 + 0.1 * ground.noise(f"thick-{k}", 320) + 0.06 * ground.noise(f"thick-fine-{k}", 40) for k in "he"]
    # Sections dry and stain darker along their edge.
    rim = 1 + 0.4 * np.clip(1 - ground.depth / 18, 0, 1)
    shown = [_fine(ground.scene, (np.clip(gain, 0.5, 1.6) * rim).astype(np.float32)) for gain in gains]
    if ground.depth.min() < _CERTAIN_UM:
        edge = _inside(ground, ground.depth, _EDGE_UM, rough)
        shown = [gain * edge for gain in shown]
    if ground.scene.spec.fold:
        strength = _fine(ground.scene, fold_field(ground.scene.anatomy, ground.y, ground.x))
        doubled = 1 + FOLD_GAIN * np.clip(strength, 0, 1)
        shown = [gain * doubled for gain in shown]
    planes = [cv2.multiply(p, g, dtype=cv2.CV_8U) for p, g in zip((haematoxylin, eosin), shown, strict=True)]
    return np.asarray(planes[0], np.uint8), np.asarray(planes[1], np.uint8)
