"""Out and back: a store that is exported and imported again has the same tiles and the same numbers, bit for bit."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from wsi_features.cohort.exports.formats import FORMATS
from wsi_features.cohort.exports.rows import ExportedSlide
from wsi_features.cohort.exports.target import Target
from wsi_features.cohort.imports.content import Declared, Known, imported_content, rows_in_float32
from wsi_features.cohort.imports.foreign import in_order
from wsi_features.cohort.imports.sources import files_by_slide, foreign_features
from wsi_features.geometry import Mpp, SlidePx
from wsi_features.store import FeatureStore, Provenance, StoreContent, StoreWriter
from wsi_features.tiles.sources.positions import grid_at

SPAN, NATIVE = 508, 0.2521


def provenance(n: int) -> Provenance:
    fields: dict[str, Any] = {"recipes": {}, "fingerprints": {}, "versions": {}, "slide_properties": {}}
    fields |= {"slide_id": "s1", "slide_fingerprint": "cd" * 32, "fingerprint": "ab" * 32, "weights_sha256": ""}
    fields |= {"mpp_native": Mpp(NATIVE), "mpp_asked": Mpp(0.5), "mpp_effective": Mpp(SPAN * NATIVE / 256)}
    fields |= {"tile_px": 256, "span": SlidePx(SPAN), "step": SlidePx(SPAN), "level": 0, "level_downsample": 1.0}
    fields |= {"resize": 256 / SPAN, "slide_size": (200_000, 150_000), "encoder": {"name": "tiny"}, "licence": "CC0"}
    fields |= {"precision": "fp16", "stain": {"method": "none"}, "device": "cpu", "mpp_source": "aperio.MPP"}
    return Provenance(status="ok" if n else "empty", **fields)


positions = st.lists(
    st.tuples(st.integers(0, 199_492), st.integers(0, 149_492)), min_size=1, max_size=9, unique=True
).map(np.array)


LAYOUTS = {"trident": "trident", "clam": "clam", "stamp": "stamp", "patho-bench": "trident"}
"""Formats that are written and read; files of Patho-Bench are read as those of TRIDENT, whose keys they have."""


@st.composite
def tiles(draw: st.DrawFn, dtype: str) -> tuple[Any, Any, Any]:
    """Corners, features of `dtype`, and which tiles were read: at least one."""
    corners = draw(positions)
    n, finite = len(corners), st.floats(-60000, 60000, width=16 if dtype == "float16" else 32)
    valid = draw(arrays.arrays(np.bool_, n))
    valid[draw(st.integers(0, n - 1))] = True
    return corners, draw(arrays.arrays(np.dtype(dtype), (n, 2), elements=finite)), valid


def written(folder: Path, corners: Any, features: Any, valid: Any = True) -> FeatureStore:
    grid, _ = grid_at(corners, SPAN, 256)
    nothing, kind = np.empty((len(grid), 0), np.float32), str(features.dtype)
    content = StoreContent(grid.origins, grid.index, nothing, (), 2, kind, provenance(len(grid)))  # type: ignore[arg-type]
    read = np.broadcast_to(valid, len(grid)).copy()
    with StoreWriter(folder / "a__b__c__0123abcd" / "s1.zarr", content) as writer:
        writer.append(features.astype(np.float32), read)
        return FeatureStore.open(writer.commit([(int(row), "missing") for row in np.flatnonzero(~read)]))


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=3, deadline=None)
@given(made=tiles("float16"))
def test_tiles_and_numbers_come_back(layout: str, made: tuple[Any, Any, Any]) -> None:
    come_back(layout, made)


@pytest.mark.ci
@pytest.mark.parametrize(
    ("layout", "dtype"),
    [(name, "float16") for name in LAYOUTS] + [(name, "float32") for name in ("trident", "clam", "patho-bench")],
)
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_tiles_and_numbers_of_every_precision_come_back(layout: str, dtype: str, data: st.DataObject) -> None:
    come_back(layout, data.draw(tiles(dtype)))


def come_back(layout: str, made: tuple[Any, Any, Any]) -> None:
    """Half precision travels in the single of these formats, and is compared by its bits as single."""
    tool = LAYOUTS[layout]
    with TemporaryDirectory() as name:
        folder = Path(name)
        store = written(folder, *made)
        FORMATS[layout].write(ExportedSlide.of(store), Target(folder / "export", "tiny"))
        (path,) = files_by_slide(tool, [folder / "export"]).values()
        with foreign_features(tool, "s1", path) as foreign:
            back = imported_content("s1", foreign, Known(NATIVE, "manifest"), Declared(tool, "tiny"), ("ab",))
            rows = np.concatenate(list(rows_in_float32("s1", path, in_order(foreign.features, back.order, folder))))
        assert back.content.coords.tolist() == store.coords[store.valid].tolist()
        assert back.content.provenance.span == SPAN
        wanted = store.features[:][store.valid].astype(np.float32)
        np.testing.assert_array_equal(rows.view(np.uint32), wanted.view(np.uint32))


def test_the_whole_way_by_the_stages(tmp_path: Path) -> None:
    from wsi_features.cohort.outputs import Outputs
    from wsi_features.stages.exports import ExportRequest, exported
    from wsi_features.stages.imports import ImportRequest, imported

    store = written(tmp_path / "first", np.array([[5, 7], [900, 7], [5, 3000]]), np.ones((3, 2), np.float16))
    FORMATS["trident"].write(ExportedSlide.of(store), Target(tmp_path / "trident", "tiny"))
    out = Outputs(tmp_path / "imported")
    assert [result.status for result in imported(out, ImportRequest("trident", (tmp_path / "trident",)))] == ["ok"]
    ends = list(exported(out.root, ExportRequest("clam", tmp_path / "clam")))
    assert ends[0].said == "s1: 3 tiles"
    assert (tmp_path / "clam" / "pt_files" / "s1.pt").exists()


def test_an_empty_slide_comes_back_empty(tmp_path: Path) -> None:
    store = written(tmp_path / "first", np.empty((0, 2), np.int64), np.empty((0, 2), np.float16))
    FORMATS["trident"].write(ExportedSlide.of(store), Target(tmp_path / "trident", "tiny"))
    (path,) = files_by_slide("trident", [tmp_path / "trident"]).values()
    with foreign_features("trident", "s1", path) as foreign:
        back = imported_content("s1", foreign, Known(NATIVE, "manifest"), Declared("trident", "tiny"), ("ab",))
    assert (len(back.content.coords), back.content.provenance.status, back.content.dim) == (0, "empty", 2)
