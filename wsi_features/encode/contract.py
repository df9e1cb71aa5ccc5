"""The contract of encoders, tried on a loaded one: the same trials for those that ship and for a user's own.

A trial embeds made tiles and looks at the numbers. None needs to know what the encoder is
good for; each is about a way in which features are wrong without any error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from wsi_features.encode.card import Precision
from wsi_features.encode.encoder import Encoder
from wsi_features.tiles.grid import TileBatch

Features = npt.NDArray[np.float32]

TILES = 7
"""Not a multiple of what any device computes at once."""

TOLERANCE: dict[Precision, float] = {"fp32": 1e-5, "fp16": 1e-2, "bf16": 5e-2}
"""Greatest difference of two features that should be equal; of features beyond 1, in units of the greatest one."""

BETWEEN_DEVICES: dict[Precision, float] = {"fp32": 1e-3, "fp16": 2e-2, "bf16": 1e-1}
"""The same for a CPU against a GPU, which sum in other orders."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one trial found."""

    ok: bool
    subject: str
    text: str


def made_tiles(size: int, count: int = TILES, seed: int = 1) -> TileBatch:
    """Tiles of different colours, each darker towards its right side, with grain and a few dark discs."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[:size, :size] / size
    pixels = np.empty((count, size, size, 3), np.uint8)
    for tile in pixels:
        plain = rng.integers(120, 240, 3) - 60 * across[..., None] + rng.normal(0, 8, (size, size, 3))
        for x, y, radius in rng.uniform((0, 0, 0.02), (1, 1, 0.1), (12, 3)):
            plain[(across - x) ** 2 + (down - y) ** 2 < radius**2] -= (70, 90, 40)
        tile[:] = plain.clip(0, 255)
    return _batch(pixels)


def findings(encoder: Encoder, tiles: TileBatch) -> Iterator[Finding]:
    """Every trial on `tiles`; at least three of them, all different."""
    given = replace(tiles, pixels=tiles.pixels.copy())
    features = _rows(encoder, given)
    same = np.array_equal(given.pixels, tiles.pixels)
    yield Finding(same, "input", "the tiles are " + ("left as they are" if same else "changed"))
    wrong = _shape_fault(encoder, features, len(tiles.pixels))
    if wrong:
        yield Finding(ok=False, subject="output", text=wrong)
        return
    yield Finding(ok=True, subject="output", text=f"{features.shape[1]} finite float32 values a tile")
    for trial in TRIALS:
        yield trial(encoder, tiles, features)


def agreement(subject: str, found: Features, wanted: Features, tolerance: float) -> Finding:
    """Whether two arrays of features (b, dim) that should be equal are."""
    apart = float(np.abs(found - wanted).max(initial=0.0))
    most = tolerance * max(1.0, float(np.abs(wanted).max(initial=0.0)))
    words = "equal" if apart == 0 else f"off by {apart:.2g} at most; {most:.2g} is allowed"
    return Finding(apart <= most, subject, f"features are {words}")


def _repetition(encoder: Encoder, tiles: TileBatch, features: Features) -> Finding:
    same = _rows(encoder, tiles).tobytes() == features.tobytes()
    return Finding(
        same, "repetition", "the same batch gives " + ("the same bytes" if same else "other bytes each time")
    )


def _batch_size(encoder: Encoder, tiles: TileBatch, features: Features) -> Finding:
    alone = [_rows(encoder, _batch(tiles.pixels[i : i + 1])) for i in range(len(tiles.pixels))]
    return agreement("batch size", np.concatenate(alone), features, TOLERANCE[encoder.precision])


def _order(encoder: Encoder, tiles: TileBatch, features: Features) -> Finding:
    turned = _rows(encoder, _batch(np.ascontiguousarray(tiles.pixels[::-1])))
    return agreement("order", turned[::-1], features, TOLERANCE[encoder.precision])


def _empty(encoder: Encoder, tiles: TileBatch, features: Features) -> Finding:
    found = _rows(encoder, _batch(tiles.pixels[:0])).shape
    return Finding(found == (0, features.shape[1]), "empty batch", f"no tiles give an array of shape {found}")


def _blank(encoder: Encoder, tiles: TileBatch, _: Features) -> Finding:
    size = tiles.pixels.shape[1]
    pixels = np.stack([np.full((size, size, 3), level, np.uint8) for level in (0, 243, 255)])
    finite = bool(np.isfinite(_rows(encoder, _batch(pixels))).all())
    return Finding(finite, "blank tiles", "features are " + ("finite" if finite else "not finite"))


def _difference(_: Encoder, tiles: TileBatch, features: Features) -> Finding:
    """A network that ignores its input, or one of which only constants arrive."""
    kinds = len(np.unique(features, axis=0))
    return Finding(
        kinds == len(tiles.pixels), "difference", f"{len(tiles.pixels)} different tiles give {kinds} different rows"
    )


def _colours(encoder: Encoder, tiles: TileBatch, features: Features) -> Finding:
    """Red and blue exchanged must matter: it does not where an encoder sees gray, or one channel."""
    exchanged = _rows(encoder, _batch(np.ascontiguousarray(tiles.pixels[..., ::-1])))
    matters = not np.allclose(exchanged, features, atol=TOLERANCE["fp32"])
    return Finding(matters, "colours", "red and blue " + ("are told apart" if matters else "make no difference"))


def _flight(encoder: Encoder, tiles: TileBatch, features: Features) -> Finding:
    first, second = encoder.submit(tiles), encoder.submit(_batch(tiles.pixels[:3]))
    later, earlier = second.rows(), first.rows()
    together = np.concatenate([earlier, later])
    return agreement("two at once", together, np.concatenate([features, features[:3]]), TOLERANCE[encoder.precision])


TRIALS: tuple[Callable[[Encoder, TileBatch, Features], Finding], ...] = (
    *(_repetition, _batch_size, _order, _empty, _blank, _difference, _colours, _flight),
)
"""Each takes an encoder, tiles and their features."""


def _shape_fault(encoder: Encoder, features: Features, count: int) -> str:
    wanted = (count, encoder.card.dim)
    if features.shape != wanted:
        return f"{count} tiles give an array of shape {features.shape}, the card says {wanted}"
    if features.dtype != np.float32:
        return f"features are {features.dtype}, wanted is float32"
    broken = int((~np.isfinite(features)).any(axis=1).sum())
    return f"{broken} of {count} tiles have NaN or infinity among their features" if broken else ""


def _batch(pixels: npt.NDArray[np.uint8]) -> TileBatch:
    return TileBatch(pixels, np.arange(len(pixels), dtype=np.int64), np.ones(len(pixels), np.bool_))


def _rows(encoder: Encoder, tiles: TileBatch) -> Features:
    return encoder.submit(tiles).rows()
