"""An output folder with tiny stores: scanned at an odd resolution, x differs from y everywhere, one tile unread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.store.conftest import Samples
from wsi_features.cohort.manifest import Manifest, ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import SlideResult, write_record
from wsi_features.files import write_text
from wsi_features.geometry import Mpp, SlidePx
from wsi_features.stages.exports import ExportRequest, exported
from wsi_features.store import FeatureStore, Provenance, StoreContent, StoreWriter, layout

SET = "tiny__256px_0.5mpp__none__0123abcd"
SPAN, STEP, NATIVE, DIM = 508, 504, 0.2521, 3
TILES = {"first": 7, "second": 4, "glass": 0}
BAD = {"first": [5]}


def provenance(slide_id: str, n: int) -> Provenance:
    return Samples.provenance(
        n,
        slide_id=slide_id,
        fingerprint=(slide_id.encode().hex() + "ab" * 32)[:64],
        mpp_native=Mpp(NATIVE),
        mpp_effective=Mpp(SPAN * NATIVE / 256),
        span=SlidePx(SPAN),
        step=SlidePx(STEP),
        level=0,
        level_downsample=1.0,
        resize=256 / SPAN,
        slide_size=(4000, 3001),
        encoder={"name": "tiny", "dim": DIM},
        weights_sha256="ef" * 32,
        licence="CC-BY-NC-4.0",
        stain={"method": "macenko"},
        fingerprints={"tissue": "12" * 32},
    )


def write_store(path: Path, n: int, bad: list[int], dtype: Any = "float16", **changed: Any) -> Path:
    """`n` tiles in lines of three; row r holds r + column / 8, exact in half precision."""
    rows = np.arange(n)
    grid = np.stack([rows % 3, rows // 3], axis=1).astype(np.int32)
    features = (rows[:, None] + np.arange(DIM) / 8).astype(np.float32)
    origins = grid.astype(np.int64) * STEP + [12, 100]
    columns = (rows[:, None] / 4).astype(np.float32)
    content = StoreContent(
        origins, grid, columns, ("tissue_share",), DIM, dtype, provenance(path.stem, n).model_copy(update=changed)
    )
    with StoreWriter(path, content) as writer:
        writer.append(features, ~np.isin(rows, bad))
        return writer.commit([(row, "missing") for row in bad])


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three slides: `first` has an unread tile, `glass` none at all. A chunk of a store holds four rows."""
    out = Outputs(tmp_path_factory.mktemp("run"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "CHUNK_ROWS", 4)
        for slide_id, n in TILES.items():
            write_store(out.store(SET, slide_id), n, BAD.get(slide_id, []))
    whose = {"first": {"patient_id": "p1", "stain": "Ki-67", "block": "A1"}, "second": {"patient_id": "p9"}}
    rows = tuple(ManifestRow(slide_id=name, path=f"{name}.svs", **whose.get(name, {})) for name in TILES)
    write_text(out.manifest, Manifest(rows).to_json(32))
    facts = {s: {"stores": {SET: {"store": f"features/{SET}/{s}.zarr", "tiles": n}}} for s, n in TILES.items()}
    results = {s: SlideResult("ok" if n else "empty", "embed", facts=facts[s]) for s, n in TILES.items()}
    write_record(out.record("embed", "00000"), "embed", "00000", results)
    return out.root


@pytest.fixture(scope="session")
def first(run: Path) -> FeatureStore:
    return FeatureStore.open(Outputs(run).store(SET, "first"))


@pytest.fixture
def to(run: Path, tmp_path: Path) -> Callable[..., Path]:
    """Exports the run in a format and gives the folder; what was said is in its `said`."""

    def exports(layout: str, **asked: Any) -> Path:
        folder = tmp_path / "export"
        ends = list(exported(run, ExportRequest(layout, folder, **asked)))
        assert not [end.said for end in ends if end.failed]
        (tmp_path / "said.txt").write_text("\n".join(end.said for end in ends))
        return folder

    return exports


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text("slide_id,label,split,case_id\nfirst,tumour,train,p1\nsecond,normal,val,p2\nother,normal,test,p3\n")
    return path
