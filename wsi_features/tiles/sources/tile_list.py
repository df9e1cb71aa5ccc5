"""A tile list: positions on one slide as a file gives them, before anything is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Size

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TileList:
    """The rows of the file at `path`: `x` and `y` float64 (n,) in level-0 pixels, NaN where a row has none.

    They are centres where `centred`, corners where it is False, and what the recipe says where it is None. `sizes`
    (n,) is each tile's width in level-0 pixels, or in microns where `in_um`; None where the file has none.
    `overlap` is the width that neighbours share, in level-0 pixels, as the file states it. `columns` holds all others
    by name (n,), numbers or text. `lines` (n,) is where each row is in a text file, counted from 1; other files count
    rows from 0. `slide` is the level-0 size of the slide that the list was made on, where the file says so.
    """

    path: str
    x: F64
    y: F64
    sizes: F64 | None = None
    in_um: bool = False
    centred: bool | None = None
    overlap: float = 0.0
    columns: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    lines: npt.NDArray[np.int64] | None = None
    slide: Size | None = None

    def __len__(self) -> int:
        return len(self.x)

    def place(self, row: int) -> str:
        """Where row number `row` is, as a person finds it."""
        return f"row {row}" if self.lines is None else f"line {self.lines[row]}"
