"""Noise that any part of a slide can compute alone: a value depends on its position and a key, never on order."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

# Standard deviation of a cubic B-spline through uniform values in -1 to 1, over the plane.
_SPLINE_STD = 0.2766


def key_of(*parts: object) -> int:
    """A 64-bit key for `parts`, the same on every machine and in every process."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def hashed(key: int, *counters: npt.NDArray[np.int64] | int) -> U64:
    """Mix a key with broadcast integer counters (splitmix64, Steele et al., OOPSLA 2014)."""
    state = np.full(1, key, np.uint64)
    for counter in counters:
        state = _mixed(state + _GOLDEN * (np.atleast_1d(np.asarray(counter)).astype(np.uint64) + np.uint64(1)))
    return state


def uniform(bits: U64) -> F64:
    """Numbers in 0 to 1 from hashed bits."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def smooth_noise(key: int, y: F64, x: F64, pitch: float | tuple[float, float], period: float | None = None) -> F32:
    """Noise of mean 0 and standard deviation 1 at the rows `y` and columns `x`, float32 (len(y), len(x)).

    A cubic B-spline over one random value every `pitch` (y, x when two are given), so details are
    about two pitches wide. With `period` it repeats without a seam; pitches then divide the period.
    """
    pitch_y, pitch_x = pitch if isinstance(pitch, tuple) else (pitch, pitch)
    rows, taps_y, weights_y = _spline(y / pitch_y)
    columns, taps_x, weights_x = _spline(x / pitch_x)
    if period is not None:
        rows, columns = rows % round(period / pitch_y), columns % round(period / pitch_x)
    lattice = (uniform(hashed(key, rows[:, None], columns[None, :])) * (2 / _SPLINE_STD) - 1 / _SPLINE_STD).astype("f4")
    along_y = np.einsum("tk,tkm->tm", weights_y, lattice[taps_y])
    return np.ascontiguousarray(np.einsum("tk,tkm->tm", weights_x, along_y.T[taps_x]).T, dtype=np.float32)


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mixed(z: U64) -> U64:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _spline(t: F64) -> tuple[I64, I64, F32]:
    """Lattice points under the positions `t`, and the four among them that weigh on each position, with the weights.

    Sums of four, and no matrix product: a threaded matrix library would fight with the caller's threads.
    """
    base = np.floor(t).astype(np.int64)
    f = t - base
    weights = np.stack([(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3], axis=1) / 6
    first, last = int(base.min()) - 1, int(base.max()) + 2
    return np.arange(first, last + 1), base[:, None] + np.arange(-1 - first, 3 - first), weights.astype(np.float32)
