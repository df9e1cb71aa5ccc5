"""What a whole row of blocks is made from, on coarse pixels: fields in microns, and the nuclei that lie in it.

A row at a time, since so many small arrays per block would cost more than the pixels,
and two threads would only wait for each other's interpreter lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from wsi_features.slides.synthetic import artefacts, nuclei
from wsi_features.slides.synthetic.anatomy import OVERLAYS, TISSUE_TYPES, label_of
from wsi_features.slides.synthetic.noise import F32, F64, I64, U8, hashed, key_of, uniform
from wsi_features.slides.synthetic.scene import Area, Scene

MARGIN = 3
"""Coarse pixels known around a block, since nuclei just outside reach into it."""
SIGHT = 2
"""Coarse pixels that a blurred or displaced copy of a block may look beyond it."""


_STRIP_UM, _STEP = 1000.0, 4.0
"""Width of a scanner's strip, and how far two may differ in light, to both sides."""


@dataclass(frozen=True, slots=True, eq=False)
class Nuclei:
    """Nuclei of one kind as pictures to lay, from left to right.

    `tops` and `lefts` are the level-0 pixels of their corners; `which` counts in `nuclei.pictures`.
    """

    kind: str
    tissue: str
    tops: I64
    lefts: I64
    which: I64

    def between(self, left: int, right: int) -> Nuclei:
        """Only those whose corner lies in the level-0 columns `left` to `right`."""
        first, last = np.searchsorted(self.lefts, (left, right))
        return Nuclei(self.kind, self.tissue, self.tops[first:last], self.lefts[first:last], self.which[first:last])


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """Labels and named fields of an area with `MARGIN` coarse pixels around it, and its nuclei.

    Every slide has "light"; where there is tissue: "depth" and "spread-<type>" (microns inside
    the edge), "along" and "across" (course of the fibres), "right" and "down" (course of
    other textures), "thick-h" and "thick-e" (gain of each dye); where the slide has a lesion, "lesion" (microns
    inside it). Artefacts stand under their names.
    """

    area: Area
    labels: U8
    fields: dict[str, F32]
    nuclei: tuple[Nuclei, ...]

    def has(self, kind: str) -> bool:
        """Whether a tissue type occurs in or just around the area."""
        return bool((self.labels == label_of(kind)).any())

    def cut(self, scene: Scene, left: int, columns: int) -> Ground:
        """The part from coarse column `left` on."""
        start = left - self.area.left
        part = slice(start, start + columns + 2 * MARGIN)
        labels, fields = self.labels[:, part], {name: field[:, part] for name, field in self.fields.items()}
        cells = _cells(labels, fields)
        shown = [laid for laid in self.nuclei if (cells == _cell_label(laid.tissue)).any()]
        ends = (left - MARGIN) * scene.step, (left + columns) * scene.step
        return Ground(
            Area(self.area.top, left, self.area.rows, columns),
            labels,
            fields,
            tuple(laid.between(*ends) for laid in shown),
        )


def ground_of(scene: Scene, area: Area) -> Ground:
    """The ground of one block, or of a block with up to `SIGHT` coarse pixels more on each side."""
    return _row(scene, area.top, area.rows).cut(scene, area.left, area.columns)


@lru_cache(maxsize=4)
def _row(scene: Scene, top: int, rows: int) -> Ground:
    columns = scene.block(0, 0).columns
    across = -(-scene.labels.shape[1] // columns) * columns
    area = Area(top, -SIGHT, rows, across + 2 * SIGHT)
    around = area.padded(MARGIN)
    y, x = scene.centres(around)
    labels = scene.window(around)
    fields = {"light": _light(scene, y, x), **_artefacts(scene, y, x)}
    if not labels.any():
        return Ground(area, labels, fields, ())
    fields |= _tissue(scene, labels, y, x)
    if scene.lesion:
        fields["lesion"] = scene.lesion.depth(scene.anatomy, y, x)
    cells = _cells(labels, fields)
    populations = (*nuclei.POPULATIONS, *nuclei.OF_LESIONS) if scene.lesion else nuclei.POPULATIONS
    laid = [_laid(scene, population, area, cells, fields["across"]) for population in populations]
    return Ground(area, labels, fields, tuple(laid))


def _light(scene: Scene, y: F64, x: F64) -> F32:
    """Uneven light, of standard deviation 1; scanners that join strips add a step of its own to each."""
    light = scene.anatomy.noise("light", y, x, 1500.0)
    if not scene.spec.seams:
        return light
    steps = uniform(hashed(key_of(scene.spec.seed, "seams"), np.floor(x / _STRIP_UM).astype(np.int64)))
    return np.asarray(light + _STEP * (2 * steps[None, :] - 1), dtype=np.float32)


def _artefacts(scene: Scene, y: F64, x: F64) -> dict[str, F32]:
    """The fields of the artefacts that the slide has."""
    asked = {name: field for name, field in artefacts.FIELDS.items() if getattr(scene.spec, name)}
    return {name: field(scene.anatomy, y, x) for name, field in asked.items()}


def _tissue(scene: Scene, labels: U8, y: F64, x: F64) -> dict[str, F32]:
    anatomy = scene.anatomy
    turn = np.pi * float(uniform(hashed(key_of(anatomy.seed, "fibres"), 0))[0])
    swirl = {k: 95 * anatomy.noise(f"swirl-{k}", y, x, 230) + 9 * anatomy.noise(f"wave-{k}", y, x, 45) for k in "yx"}
    drift = {k: 10 * anatomy.noise(f"drift-{k}", y, x, 90) for k in "yx"}
    down, right = y[:, None] + swirl["y"], x[None, :] + swirl["x"]
    depth = anatomy.depth(y, x)
    # Sections dry and stain darker along their edge.
    rim = 1 + 0.4 * np.clip(1 - depth / 18, 0, 1)
    thick = {k: 1 + 0.1 * anatomy.noise(f"{k}", y, x, 320) + 0.06 * anatomy.noise(f"{k}-fine", y, x, 40) for k in "he"}
    fields = {
        "depth": depth,
        "along": np.cos(turn) * right + np.sin(turn) * down,
        "across": np.cos(turn) * down - np.sin(turn) * right,
        "right": x[None, :] + drift["x"],
        "down": y[:, None] + drift["y"],
        "thick-h": np.clip(thick["h"], 0.5, 1.6) * rim,
        "thick-e": np.clip(thick["e"], 0.5, 1.6) * rim,
    }
    present = [kind for kind in OVERLAYS if (labels == label_of(kind)).any()]
    fields |= {f"spread-{kind}": anatomy.spread(kind, y, x) for kind in present}
    return {name: field.astype(np.float32) for name, field in fields.items()}


def _cells(labels: U8, fields: dict[str, F32]) -> U8:
    """Whose nuclei lie at each coarse pixel: those of the tissue type, or a lesion's in its place."""
    lesion = fields.get("lesion")
    return labels if lesion is None else np.where(lesion > 0, _cell_label("lesion"), labels).astype(np.uint8)


def _cell_label(tissue: str) -> int:
    return len(TISSUE_TYPES) + 1 if tissue == "lesion" else label_of(tissue)


def _laid(scene: Scene, population: nuclei.Population, area: Area, labels: U8, across: F32) -> Nuclei:
    """The nuclei of one population whose centre has the right label."""
    step_um, scale = scene.step_um, scene.spec.scale
    y, x = scene.centres(area.padded(MARGIN))
    found = nuclei.places(population, scene.anatomy.seed, (y[0], y[-1]), (x[0], x[-1]))
    row = np.floor(found.y / step_um).astype(np.int64) - area.top + MARGIN
    column = np.floor(found.x / step_um).astype(np.int64) - area.left + MARGIN
    here = (row >= 0) & (row < len(y)) & (column >= 0) & (column < len(x))
    here[here] = labels[row[here], column[here]] == _cell_label(population.tissue)
    order = np.flatnonzero(here)[np.argsort(found.x[here], kind="stable")]
    found, row, column = found.keep(order), row[order], column[order]
    fibre = np.arctan2(-np.gradient(across, axis=1), np.gradient(across, axis=0))[row, column]
    which = nuclei.chosen(found, population.kind, fibre if population.follows_fibres else None)
    half = nuclei.pictures(population.kind, scale).shape[1] // 2
    tops, lefts = (np.rint(at / scale).astype(np.int64) - half for at in (found.y, found.x))
    return Nuclei(population.kind, population.tissue, tops, lefts, which)
