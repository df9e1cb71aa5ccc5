"""What lies where on a synthetic slide, in microns: pieces of tissue and the regions inside them.

Nothing here knows pixels. Every field can be computed for any rows and columns alone,
so a slide of any size needs no map in memory, and two scans of one anatomy agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from wsi_features.slides.synthetic.noise import F32, F64, U8, hashed, key_of, smooth_noise, uniform
from wsi_features.slides.synthetic.spec import Layout, SlideSpec

TISSUE_TYPES: tuple[str, ...] = ("tumour", "stroma", "lymphocytes", "necrosis", "fat")
"""Names of the labels 1, 2, ...; label 0 is glass."""

# Types that are laid over stroma, each over those before it; of these two the share of the tissue never changes.
OVERLAYS: tuple[str, ...] = ("tumour", "lymphocytes", "necrosis", "fat")
_SHARES = {"necrosis": 0.1, "fat": 0.022}

_HARMONICS = 6
_CALIBRATION_GRID = (72, 96)


def label_of(kind: str) -> int:
    """The label of a tissue type."""
    return TISSUE_TYPES.index(kind) + 1


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """One piece of tissue: an ellipse whose radius swings with the angle. Lengths in microns."""

    x: float
    y: float
    rx: float
    ry: float
    swing: F64
    phase: F64

    @property
    def radius(self) -> float:
        """The smaller radius."""
        return min(self.rx, self.ry)

    def depth(self, y: F64, x: F64) -> F32:
        """How far inside the smooth outline each position lies, about in microns; negative outside."""
        down, right = (y[:, None] - self.y) / self.ry, (x[None, :] - self.x) / self.rx
        rim = _rim(self.swing, self.phase, np.arctan2(down, right))
        return ((rim - np.hypot(down, right)) * self.radius).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """The layout of one slide: its pieces, and how far each overlay spreads inside them.

    Without `tissue` the pieces only say where artefacts lie, and all is glass.
    """

    seed: int
    tissue: bool
    pieces: tuple[Piece, ...]
    region_um: float
    thresholds: dict[str, float]
    many: bool = False
    holes: bool = False

    def depth(self, y: F64, x: F64) -> F32:
        """Signed distance to the tissue's edge, about in microns, positive inside; rows `y`, columns `x`."""
        if not self.tissue:
            return np.full((len(y), len(x)), -1e6, np.float32)
        smooth = _nearest(self.pieces, y, x) if self.many else np.max([p.depth(y, x) for p in self.pieces], axis=0)
        radius = self.pieces[0].radius
        rough = 0.07 * radius * self.noise("outline", y, x, 0.4 * radius)
        rough += 0.03 * radius * self.noise("outline-fine", y, x, 0.12 * radius)
        rough += min(9, 0.035 * radius) * self.noise("outline-cells", y, x, 28)
        hole = (self.noise("hole", y, x, 0.22 * radius) - 2.25) * 0.2 * radius
        if self.holes:
            lumen = (self.noise("lumen", y, x, 0.3 * radius) - 1.35) * 0.25 * radius
            hole = np.maximum(hole, lumen)
        return np.asarray(np.minimum(smooth + rough, -hole), dtype=np.float32)

    def spread(self, kind: str, y: F64, x: F64) -> F32:
        """Signed distance to the edge of an overlay, about in microns, positive where it lies."""
        edge = 7 * self.noise(f"{kind}-edge", y, x, 22)
        region = (self._level(kind, y, x) - self.thresholds[kind]) * 0.6 * self.region_um + edge
        if kind != "tumour":
            return np.asarray(region, dtype=np.float32)
        nests = 0.85 * self.noise("nests", y, x, 70) + 0.4 * self.noise("nests-fine", y, x, 30)
        return np.asarray(np.minimum(region, (nests + 0.55) * 34 + edge * 0.5), dtype=np.float32)

    def labels(self, y: F64, x: F64) -> U8:
        """The label at every position, uint8 (len(y), len(x)); 0 is glass."""
        depth = self.depth(y, x)
        labels = np.where(depth > 0, label_of("stroma"), 0).astype(np.uint8)
        if labels.any():
            for kind in OVERLAYS:
                labels[(depth > 0) & (self.spread(kind, y, x) > 0)] = label_of(kind)
        return labels

    def _level(self, kind: str, y: F64, x: F64) -> F32:
        broad = self.noise(kind, y, x, self.region_um)
        return np.asarray(0.92 * broad + 0.4 * self.noise(f"{kind}-fine", y, x, self.region_um / 3), dtype=np.float32)

    def noise(self, name: str, y: F64, x: F64, pitch: float) -> F32:
        """Smooth noise of this slide, of mean 0 and standard deviation 1."""
        return smooth_noise(key_of(self.seed, name), y, x, pitch)

    def calibrated(self, shares: dict[str, float], y: F64, x: F64) -> Anatomy:
        """The same anatomy with thresholds that give each overlay its share of the tissue at these positions."""
        inside = self.depth(y, x) > 0
        if not inside.any():
            return self
        thresholds = {k: float(np.quantile(self._level(k, y, x)[inside], 1 - shares[k])) for k in OVERLAYS}
        return replace(self, thresholds=thresholds)


def anatomy_of(spec: SlideSpec) -> Anatomy:
    """The layout of a slide: two to four pieces along its longer side, or many small ones on a lattice."""
    width, height = spec.width * spec.scale, spec.height * spec.scale
    region = float(np.clip(np.sqrt(width * height) / 8, 60, 700))
    many = spec.layout != "sections"
    pieces = _small_pieces(spec.seed, width, height, spec.layout) if many else _pieces(spec.seed, width, height)
    plain = Anatomy(spec.seed, spec.tissue, pieces, region, dict.fromkeys(OVERLAYS, 0.0), many, spec.holes)
    shares = {"tumour": spec.tumour, "lymphocytes": spec.lymphocytes, **_SHARES}
    return plain.calibrated(shares, *calibration_positions(spec))


def calibration_positions(spec: SlideSpec) -> tuple[F64, F64]:
    """Rows and columns in microns, evenly over the slide, at which shares of the tissue are measured."""
    rows, columns = _CALIBRATION_GRID
    height, width = spec.height * spec.scale, spec.width * spec.scale
    down, right = (np.arange(rows) + 0.5) * height / rows, (np.arange(columns) + 0.5) * width / columns
    return np.asarray(down, dtype=np.float64), np.asarray(right, dtype=np.float64)


def _pieces(seed: int, width: float, height: float) -> tuple[Piece, ...]:
    count = int(np.clip(round(1.4 * max(width, height) / min(width, height)), 2, 4))
    return tuple(_piece(seed, i, count, width, height) for i in range(count))


def _piece(seed: int, i: int, count: int, width: float, height: float) -> Piece:
    draw = uniform(hashed(key_of(seed, "piece"), i, np.arange(6 + 2 * _HARMONICS)))
    across, along = (1, count) if height > width else (count, 1)
    x = (min(i, across - 1) + 0.5 + 0.04 * (draw[0] - 0.5)) * width / across
    y = (min(i, along - 1) + 0.5 + 0.04 * (draw[1] - 0.5)) * height / along
    swing = 0.2 * (draw[6 : 6 + _HARMONICS] - 0.3) / np.arange(2, 2 + _HARMONICS) ** 0.7
    phase = draw[-_HARMONICS:] * 2 * np.pi
    # However the radius swings, the piece keeps off the slide's edge and its neighbours.
    farthest = float(_rim(swing, phase, np.linspace(-np.pi, np.pi, 180)).max())
    rx, ry = (0.41 + 0.03 * draw[2]) * width / across / farthest, (0.41 + 0.03 * draw[3]) * height / along / farthest
    return Piece(x, y, rx, ry, swing, phase)


_CORE_UM, _CORE_PITCH_UM = 300.0, 1000.0
_FRAGMENT_UM, _FRAGMENT_PITCH_UM = (150.0, 650.0), 1500.0


def _small_pieces(seed: int, width: float, height: float, layout: Layout) -> tuple[Piece, ...]:
    """Cores of 0.6 mm or fragments of 0.3 to 1.3 mm, one near each point of a lattice; the first is the largest place."""
    pitch = _CORE_PITCH_UM if layout == "cores" else _FRAGMENT_PITCH_UM
    across, down = max(1, int(width // pitch)), max(1, int(height // pitch))
    places = [((i + 0.5) * width / across, (j + 0.5) * height / down) for j in range(down) for i in range(across)]
    return tuple(_small_piece(seed, i, place, layout) for i, place in enumerate(places))


def _small_piece(seed: int, i: int, place: tuple[float, float], layout: Layout) -> Piece:
    draw = uniform(hashed(key_of(seed, layout), i, np.arange(5 + 2 * _HARMONICS)))
    x, y = (at + 60 * (shift - 0.5) for at, shift in zip(place, draw[:2], strict=True))
    low, high = _FRAGMENT_UM
    rx, ry = (_CORE_UM, _CORE_UM) if layout == "cores" else (low + (high - low) * d for d in draw[2:4])
    raggedness = 0.05 if layout == "cores" else 0.16
    swing = raggedness * (draw[5 : 5 + _HARMONICS] - 0.5) / np.arange(2, 2 + _HARMONICS) ** 0.7
    return Piece(float(x), float(y), rx, ry, swing, draw[-_HARMONICS:] * 2 * np.pi)


_BEYOND = 1.6
"""How many radii from its centre a small piece may reach."""


def _nearest(pieces: tuple[Piece, ...], y: F64, x: F64) -> F32:
    """The greatest depth among many pieces, each worked out near itself only; far from all, deep outside."""
    depth = np.full((len(y), len(x)), -1e3, np.float32)
    for piece in pieces:
        rows = slice(*np.searchsorted(y, (piece.y - _BEYOND * piece.ry, piece.y + _BEYOND * piece.ry)))
        columns = slice(*np.searchsorted(x, (piece.x - _BEYOND * piece.rx, piece.x + _BEYOND * piece.rx)))
        if rows.start < rows.stop and columns.start < columns.stop:
            depth[rows, columns] = np.maximum(depth[rows, columns], piece.depth(y[rows], x[columns]))
    return depth


def _rim(swing: F64, phase: F64, angle: F64) -> F64:
    """The radius of an outline at each angle, as a multiple of the ellipse's."""
    rim = np.ones_like(angle)
    for k, (size, start) in enumerate(zip(swing, phase, strict=True), start=2):
        rim += size * np.cos(k * angle + start)
    return rim
