"""The tile table: one slide's kept tiles as a Parquet file with everything needed to read them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.errors import ArtifactError, one_line
from wsi_features.geometry import Region, Size
from wsi_features.tiles.grid import TileGrid, TileScale

_KEY = b"wsi_features"

_EXTRA = "extra:"
"""What the names of further columns begin with in the file, so that none is taken for a tile's own."""

_LARGEST_WHOLE = 2**24
"""Up to it every whole number is a float32."""


@dataclass(frozen=True, slots=True, eq=False)
class TileTable:
    """The kept tiles of a slide: where, at which scale, and what was measured of each.

    `tissue_share` is float32 (n,), 0 to 1. `fingerprint` is that of the tiles stage;
    `candidates` counts the tiles of the full grid. `bounds` is the scanned area in level-0
    pixels that the grid covers, None where it covers the whole slide. `extra` holds further
    columns (n,) by name, of numbers or text, which come with the tiles' source. `dropped` counts, by reason,
    the tiles that the source names and the table does not hold.
    """

    grid: TileGrid
    scale: TileScale
    slide_size: Size
    tissue_share: npt.NDArray[np.float32]
    candidates: int
    fingerprint: str
    bounds: Region | None = None
    extra: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.grid)

    def keep(self, wanted: npt.NDArray[np.bool_]) -> TileTable:
        """The table with only the tiles marked in `wanted` (n,), in the same order."""
        extra = {name: values[wanted] for name, values in self.extra.items()}
        return replace(self, grid=self.grid.keep(wanted), tissue_share=self.tissue_share[wanted], extra=extra)

    def numbers(self) -> dict[str, npt.NDArray[np.float32]]:
        """The further columns that fit into a feature store, float32 (n,) by name.

        Measurements are rounded to it; a column of whole numbers, which may name something, is left out where one of
        them would change. Text and what is left out stay in the table, whose rows are the store's.
        """
        return {name: values.astype(np.float32) for name, values in self.extra.items() if _fits(values)}


def _fits(values: npt.NDArray[Any]) -> bool:
    if values.dtype.kind not in "biuf":
        return False
    if values.dtype == np.float32 or not len(values):
        return True
    numbers = values.astype(np.float64)
    known = numbers[~np.isnan(numbers)]
    whole = bool((known == np.rint(known)).all())
    return not whole or bool((np.abs(known) <= _LARGEST_WHOLE).all())


def write_tiles(path: Path, table: TileTable) -> None:
    """Write the table to `path`; the caller gives a temporary name and renames it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, npt.NDArray[Any]] = {
        "x": table.grid.origins[:, 0],
        "y": table.grid.origins[:, 1],
        "column": table.grid.index[:, 0],
        "row": table.grid.index[:, 1],
        "tissue_share": table.tissue_share,
    }
    columns |= {_EXTRA + name: values for name, values in table.extra.items()}
    about = {
        "fingerprint": table.fingerprint,
        "scale": asdict(table.scale),
        "slide_size": asdict(table.slide_size),
        "candidates": table.candidates,
        "bounds": asdict(table.bounds) if table.bounds else None,
    }
    about |= {"dropped": dict(table.dropped)} if table.dropped else {}
    arrow = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(about, sort_keys=True)})
    pq.write_table(arrow, path)


def read_tiles(slide_id: str, path: Path) -> TileTable:
    """Read what `write_tiles` wrote. Raises ArtifactError when it is absent or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise ArtifactError.absent(slide_id, "tile table", str(path))
    try:
        arrow = pq.ParquetFile(path).read()
        about = json.loads(arrow.schema.metadata[_KEY])
        return _table(arrow, about)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError.damaged(slide_id, "tile table", str(path), one_line(error)) from error


def tile_count(path: Path) -> int:
    """How many tiles a table holds; 0 where there is none that can be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError):
        return 0


def _table(arrow: Any, about: dict[str, Any]) -> TileTable:
    scale = _scale(about["scale"])
    bounds = about.get("bounds")
    origins = np.stack([_column(arrow, "x"), _column(arrow, "y")], axis=1).astype(np.int64)
    index = np.stack([_column(arrow, "column"), _column(arrow, "row")], axis=1).astype(np.int32)
    return TileTable(
        TileGrid(origins, index, scale.span, scale.size),
        scale,
        Size(**about["slide_size"]),
        _column(arrow, "tissue_share").astype(np.float32),
        about["candidates"],
        about["fingerprint"],
        Region(**bounds) if bounds else None,
        {name.removeprefix(_EXTRA): _any_column(arrow, name) for name in arrow.column_names if name.startswith(_EXTRA)},
        about.get("dropped", {}),
    )


def _column(arrow: Any, name: str) -> npt.NDArray[Any]:
    """A column by way of DLPack: pyarrow's own `to_numpy` imports pandas, which takes half a second."""
    chunks = [np.from_dlpack(chunk) for chunk in arrow[name].chunks]
    return np.concatenate(chunks) if chunks else np.empty(0)


def _any_column(arrow: Any, name: str) -> npt.NDArray[Any]:
    """A column of numbers, or of text, which has no DLPack."""
    import pyarrow as pa

    text = pa.types.is_string(arrow[name].type) or pa.types.is_large_string(arrow[name].type)
    return np.array(arrow[name].to_pylist(), dtype=np.str_) if text else _column(arrow, name)


def _scale(written: dict[str, Any]) -> TileScale:
    """Tables of earlier releases hold one `downsample` for both axes."""
    earlier = written.get("downsample")
    if earlier is None:
        return TileScale(**written)
    kept = {name: value for name, value in written.items() if name != "downsample"}
    return TileScale(**kept, downsample_x=earlier, downsample_y=earlier)
