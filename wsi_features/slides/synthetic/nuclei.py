"""Nuclei: small pictures of each kind, and where they lie.

A nucleus belongs to one cell of a jittered lattice in microns and is drawn from that cell's
own random numbers, so any window of a slide shows the same nuclei, and none is cut at a
window's edge. Pictures are haematoxylin density in bytes of `colour.HAEMATOXYLIN_MAX`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from wsi_features.slides.synthetic.colour import HAEMATOXYLIN_MAX
from wsi_features.slides.synthetic.noise import F32, F64, I64, U8, hashed, key_of, smooth_noise, uniform

ANGLES = 16
"""Pictures are drawn at this many directions over half a turn."""


@dataclass(frozen=True, slots=True)
class NucleusKind:
    """One kind of nucleus. Lengths in microns, densities as optical density of haematoxylin.

    `swing` is how far the outline departs from an ellipse, `clumps` how uneven the
    chromatin is, and `rim` how much darker its border.
    """

    long_um: tuple[float, float]
    short_um: tuple[float, float]
    density: tuple[float, float]
    swing: float
    clumps: float
    rim: float
    nucleolus: float
    variants: int


@dataclass(frozen=True, slots=True)
class Population:
    """Nuclei of one kind inside one tissue type: a lattice of `pitch_um`, of which a share `kept` is filled."""

    kind: str
    tissue: str
    pitch_um: float
    kept: float
    follows_fibres: bool = False


KINDS: dict[str, NucleusKind] = {
    "tumour": NucleusKind((7.5, 11), (6.2, 8.2), (0.95, 1.45), 0.05, 0.3, 0.45, 0.7, 12),
    "lymphocyte": NucleusKind((5.8, 7), (5.2, 6.4), (1.75, 2.2), 0.03, 0.22, 0.15, 0.0, 6),
    "spindle": NucleusKind((9, 15), (2.2, 3.6), (1.3, 1.8), 0.05, 0.2, 0.1, 0.0, 6),
    "atypical": NucleusKind((8.7, 12.5), (7.0, 9.6), (1.1, 1.65), 0.06, 0.38, 0.45, 0.8, 12),
    "debris": NucleusKind((1.8, 4.5), (1.4, 3.4), (0.7, 2.0), 0.12, 0.3, 0.0, 0.0, 8),
}

POPULATIONS: tuple[Population, ...] = (
    Population("tumour", "tumour", 10.6, 0.95),
    Population("lymphocyte", "tumour", 44, 0.35),
    Population("spindle", "stroma", 21, 0.8, follows_fibres=True),
    Population("lymphocyte", "stroma", 38, 0.3),
    Population("lymphocyte", "lymphocytes", 7.3, 0.94),
    Population("debris", "necrosis", 9.5, 0.45),
    Population("lymphocyte", "necrosis", 45, 0.3),
)

OF_LESIONS: tuple[Population, ...] = (
    Population("atypical", "lesion", 10.9, 0.95),
    Population("lymphocyte", "lesion", 40, 0.3),
)
"""What lies in a lesion instead of the nuclei of the tissue that it is in."""

_MASTER_UM = 0.125
_HARMONICS = np.arange(2, 7)


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Nuclei of one population: centres in microns (n,), the direction drawn (radians, n) and a random number each."""

    x: F64
    y: F64
    angle: F64
    pick: F64

    def keep(self, wanted: I64) -> Places:
        """Only the nuclei with the numbers `wanted`, in that order."""
        return Places(self.x[wanted], self.y[wanted], self.angle[wanted], self.pick[wanted])


def places(population: Population, seed: int, y: tuple[float, float], x: tuple[float, float]) -> Places:
    """Every nucleus whose lattice cell may reach into the rows `y` and columns `x`, in microns."""
    pitch, key = population.pitch_um, key_of(seed, "nuclei", population.kind, population.tissue)
    rows = np.arange(np.floor(y[0] / pitch) - 1, np.ceil(y[1] / pitch) + 1).astype(np.int64)
    columns = np.arange(np.floor(x[0] / pitch) - 2, np.ceil(x[1] / pitch) + 1).astype(np.int64)
    bits = hashed(key, rows[:, None], columns[None, :]).view(np.int64)
    draw = [uniform(hashed(k, bits)) for k in range(5)]
    # Each row is shifted by its own random part of a pitch: columns of nuclei would show from afar.
    shift = uniform(hashed(key, rows))[:, None]
    taken = draw[0] < population.kept
    down = ((rows[:, None] + 0.5 + 0.85 * (draw[1] - 0.5)) * pitch)[taken]
    right = ((columns[None, :] + shift + 0.5 + 0.7 * (draw[2] - 0.5)) * pitch)[taken]
    return Places(right, down, draw[3][taken] * np.pi, draw[4][taken])


def chosen(found: Places, kind: str, fibre: F32 | None) -> I64:
    """The picture of each nucleus, as its index in `pictures`; along `fibre` (radians, n) where given."""
    angle = found.angle if fibre is None else fibre + 0.35 * (found.angle - np.pi / 2) / np.pi
    turn = np.rint(angle / np.pi * ANGLES).astype(np.int64) % ANGLES
    variants = KINDS[kind].variants
    return turn * variants + (found.pick * variants).astype(np.int64)


def stamp(plane: U8, tops: I64, lefts: I64, drawn: U8, which: I64) -> None:
    """Lay pictures on a plane where they are denser than it. Those that leave it are not laid."""
    size = drawn.shape[1]
    fits = (tops >= 0) & (tops <= plane.shape[0] - size) & (lefts >= 0) & (lefts <= plane.shape[1] - size)
    for top, left, index in zip(tops[fits].tolist(), lefts[fits].tolist(), which[fits].tolist(), strict=True):
        window = plane[top : top + size, left : left + size]
        np.maximum(window, drawn[index], out=window)


def reach_um(kind: str) -> float:
    """How far a nucleus of this kind reaches from its centre, in microns."""
    return KINDS[kind].long_um[1] * 0.65 + 0.5


@lru_cache(maxsize=16)
def pictures(kind: str, mpp: float) -> U8:
    """Pictures of one kind at `mpp`: uint8 (angles * variants, s, s), s odd, zero outside the nucleus."""
    size = 2 * int(np.ceil(reach_um(kind) / mpp)) + 1
    masters = [_master(kind, variant) for variant in range(KINDS[kind].variants)]
    stack = np.stack([_turned(master, k * np.pi / ANGLES, mpp, size) for k in range(ANGLES) for master in masters])
    stack.flags.writeable = False
    return stack


def _turned(master: F32, angle: float, mpp: float, size: int) -> U8:
    """A master picture at another angle and `mpp`, in a square of `size` pixels."""
    import cv2

    # Drawn at no less than 4 pixels per pixel, then averaged: a thin nucleus keeps its density at any scale.
    fine = max(1, round(mpp / _MASTER_UM / 2))
    step = mpp / fine / _MASTER_UM
    centre, middle = (len(master) - 1) / 2, (size * fine - 1) / 2
    c, s = np.cos(angle) * step, np.sin(angle) * step
    back = np.array([[c, s, centre - (c + s) * middle], [-s, c, centre - (c - s) * middle]])
    sides = (size * fine, size * fine)
    drawn = cv2.warpAffine(master, back, sides, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.rint(np.asarray(cv2.resize(drawn, (size, size), interpolation=cv2.INTER_AREA))).astype(np.uint8)


@lru_cache(maxsize=128)
def _master(name: str, variant: int) -> F32:
    """One nucleus lying along x, finely drawn, in bytes of density."""
    kind = KINDS[name]
    draw = uniform(hashed(key_of("nucleus", name), variant, np.arange(16)))
    reach = int(np.ceil(reach_um(name) / _MASTER_UM))
    at: F64 = np.asarray(np.arange(-reach, reach + 1) * _MASTER_UM, dtype=np.float64)
    depth = _depth_um(kind, at, draw)
    density = _between(kind.density, draw[2]) + kind.clumps * _chromatin(key_of(name, variant), at)
    density += kind.rim * np.exp(-(((depth - 0.5) / 0.45) ** 2))
    if kind.nucleolus:
        spot_y, spot_x = (draw[3:5] - 0.5) * _between(kind.short_um, draw[1]) * 0.5
        density += kind.nucleolus * np.exp(-((at[:, None] - spot_y) ** 2 + (at[None, :] - spot_x) ** 2) / 0.7)
    inside = np.clip(depth / 0.5 + 0.5, 0, 1)
    return (np.clip(density * inside, 0, HAEMATOXYLIN_MAX) * (255 / HAEMATOXYLIN_MAX)).astype(np.float32)


def _depth_um(kind: NucleusKind, at: F64, draw: F64) -> F64:
    """Distance inside the outline at each position of a square grid, in microns."""
    half_long, half_short = _between(kind.long_um, draw[0]) / 2, _between(kind.short_um, draw[1]) / 2
    along, across = at[None, :] / half_long, at[:, None] / half_short
    turn = np.arctan2(across, along)
    phases = draw[5 : 5 + len(_HARMONICS)] * 2 * np.pi
    rim = 1 + kind.swing * sum(np.cos(k * turn + p) / k**0.5 for k, p in zip(_HARMONICS, phases, strict=True))
    return np.asarray((rim - np.hypot(along, across)) * half_short)


def _chromatin(key: int, at: F64) -> F32:
    return 0.7 * smooth_noise(key, at, at, 0.9) + 0.5 * smooth_noise(key + 1, at, at, 0.45)


def _between(limits: tuple[float, float], share: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * share
