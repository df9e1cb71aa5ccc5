"""One side of a comparison: the features of one slide with their places, from a store or a file of another program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.imports.content import level0_scale, refuse_shapes
from wsi_features.cohort.imports.detection import PLAIN, detected
from wsi_features.cohort.imports.foreign import Foreign, StoredRows
from wsi_features.cohort.imports.plain import PlainFeatures, plain_features
from wsi_features.cohort.imports.sources import foreign_features
from wsi_features.errors import ImportedFileError
from wsi_features.recipe import Json
from wsi_features.store import FORMS, FeatureStore, Provenance

STORE = "store"


@dataclass(frozen=True, slots=True)
class Reading:
    """What the user says of files of other programs: microns per level-0 pixel and per pixel of the tiles, and so on."""

    mpp: float | None = None
    tile_mpp: float | None = None
    encoder: str = ""
    patches: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """Features (n, d), open for reading, and corners (n, 2) of their tiles in level-0 pixels, None where no file has them.

    `span` is how wide a tile is, `dtype` what the file holds. `centred` says that positions are centres, as the
    layout has it. `grain` is how far positions may be off because another frame rounds them. `made`, `columns` and `fingerprint` are a store's own; `valid` (n,) marks the rows it could read.
    """

    slide_id: str
    path: Path
    layout: str
    features: StoredRows
    dtype: str
    corners: npt.NDArray[np.float64] | None = None
    span: float | None = None
    centred: bool = False
    grain: float = 0.0
    valid: npt.NDArray[np.bool_] | None = None
    made: Provenance | None = None
    columns: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    fingerprint: str = ""
    said: Json = field(default_factory=dict)
    note: str = ""

    def __len__(self) -> int:
        return int(self.features.shape[0])

    @property
    def dim(self) -> int:
        """Width of a feature vector."""
        return int(self.features.shape[1])

    @property
    def encoder(self) -> str:
        """What made the features, as far as the store or file says it."""
        return self.made.encoder_name if self.made else str(self.said.get("encoder", self.said.get("encoder_name", "")))


def is_store(path: Path) -> bool:
    """Whether a path is named as a store and is one of this program's, finished or not; tiatoolbox names its own alike."""
    return path.name.endswith(tuple(FORMS.values())) and not (path / "coordinates").is_dir()


def native_mpp(path: Path) -> float | None:
    """Microns per level-0 pixel that a store knows. Raises StoreError."""
    if not is_store(path):
        return None
    made = FeatureStore.open(path).provenance
    return float(made.mpp_native) if made.knows("mpp_native") else None


@contextmanager
def opened_side(slide_id: str, path: Path, reading: Reading) -> Iterator[Side]:
    """The features at `path`. Raises StoreError or ImportedFileError."""
    if is_store(path):
        yield _of_store(path)
        return
    tool = detected(slide_id, path)
    if tool == PLAIN:
        yield _of_plain(slide_id, path, plain_features(slide_id, path))
        return
    with foreign_features(
        tool, slide_id, path, encoder=reading.encoder, tile_mpp=reading.tile_mpp, patches=reading.patches
    ) as foreign:
        yield _of_foreign(slide_id, path, tool, foreign, reading)


def _of_store(path: Path) -> Side:
    store = FeatureStore.open(path)
    made = store.provenance
    return Side(
        slide_id=made.slide_id,
        path=path,
        layout=STORE,
        features=store.features,
        dtype=str(store.features.dtype),
        corners=store.coords.astype(np.float64),
        span=float(made.span),
        valid=store.valid,
        made=made,
        columns={name: values for name, values in store.columns.items() if name != "list_row"},
        fingerprint=store.fingerprint,
    )


def _of_foreign(slide_id: str, path: Path, tool: str, foreign: Foreign, reading: Reading) -> Side:
    """Positions in level-0 pixels; other units need the slide's resolution."""
    refuse_shapes(slide_id, str(path), foreign)
    mpp = reading.mpp or foreign.native_mpp
    if foreign.unit != "px" and not mpp:
        raise ImportedFileError.needs(slide_id, str(path), "its positions in level-0 pixels", "--mpp")
    scale = level0_scale(slide_id, str(path), foreign, mpp)
    note = "" if foreign.unit == "px" else f"positions in {foreign.unit}, made level-0 pixels with {mpp:g} um/px"
    return Side(
        slide_id=slide_id,
        path=path,
        layout=tool,
        features=foreign.features,
        dtype=str(foreign.features.dtype),
        corners=foreign.corners * scale,
        span=foreign.span * scale if foreign.span else None,
        grain=0.75 * scale if foreign.unit == "tile px" else 0.0,  # half a pixel in x and in y
        said=foreign.said | ({"encoder": foreign.encoder} if foreign.encoder else {}),
        note=note,
    )


def _of_plain(slide_id: str, path: Path, found: PlainFeatures) -> Side:
    if found.positions is not None:
        places = Foreign(found.files, found.features, found.positions)
        refuse_shapes(slide_id, str(path), places)
    elif len(found.features.shape) != 2 or not found.features.shape[1]:
        why = f"features have the shape {tuple(found.features.shape)}, wanted (n, d)"
        raise ImportedFileError.unreadable(slide_id, str(path), why)
    return Side(
        slide_id=slide_id,
        path=path,
        layout=found.layout,
        features=found.features,
        dtype=found.dtype,
        corners=found.positions,
        span=found.span,
        centred=found.centred,
        said=found.said,
    )
