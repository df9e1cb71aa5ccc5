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
    rows from 0, and `written` holds the texts of x, y and size. `slide` is the level-0 size of the slide that the list was made on, where the file says so.
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
    written: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    slide: Size | None = None

    def __len__(self) -> int:
        return len(self.x)

    def shown(self, row: int) -> str:
        """Where row number `row` is and what it says, as a person finds it."""
        numbers = {"x": self.x, "y": self.y} | ({} if self.sizes is None else {"size": self.sizes})
        cells = (self._cell(name, values, row) for name, values in numbers.items())
        return f"{f'row {row}' if self.lines is None else f'line {self.lines[row]}'}: {', '.join(cells)}"

    def _cell(self, name: str, values: F64, row: int) -> str:
        if name in self.written:
            return f"{name}={str(self.written[name][row]) or 'empty'}"
        return f"{name}={values[row]:.10g}"
