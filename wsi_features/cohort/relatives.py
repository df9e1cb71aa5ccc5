"""What belongs to a store's tiles and lies beside it: the columns of its tile table, and tiles of other stores.

A row of a store is the same row of its tile table, which also holds what fits into no store, such as the names of
spots. Fingerprints tell whether two files are of the same tiles.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.outputs import Outputs
from wsi_features.errors import ArtifactError, StoreError
from wsi_features.store import FeatureStore
from wsi_features.tiles import read_tiles


def tile_columns(out: Outputs, store: FeatureStore) -> dict[str, npt.NDArray[Any]]:
    """All further columns of a store's tiles (n,) by name, numbers and text, in the store's rows.

    Raises ArtifactError where the tile table is not below `out` any more: the store's `list_row` then still says
    which row of the list each tile was.
    """
    slide_id, wanted = store.provenance.slide_id, store.provenance.fingerprints.get("tiles")
    for path in out.tile_tables(slide_id):
        table = read_tiles(slide_id, path)
        if table.fingerprint == wanted:
            return dict(table.extra)
    raise ArtifactError.absent(slide_id, "tile table", str(out.tiles("*", slide_id)))


def parent_rows(child: FeatureStore, parent: FeatureStore) -> npt.NDArray[np.int64]:
    """The row in `parent` of each tile of `child` (n,), for stores of one run with `tiles.nested`.

    Of contexts each row is its own. Raises StoreError where the two are not of the same tiles.
    """
    own, above = child.provenance.fingerprints, parent.provenance.fingerprints
    if above.get("centre_tiles") == own["tiles"]:
        return np.arange(len(child), dtype=np.int64)
    if own.get("parent_tiles") != above["tiles"]:
        raise StoreError.unrelated(str(parent.path), str(child.path))
    return child.columns["parent"].astype(np.int64)
