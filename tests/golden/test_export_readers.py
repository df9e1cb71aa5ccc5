"""The other programs themselves read what is exported; each in an environment of its own, made from the package index.

spatialdata cannot be installed beside tiatoolbox, and eva pins other releases of what is here. `WSI_READERS` names a
folder where these environments are kept from one run to the next. TRIDENT, CLAM, STAMP, Patho-Bench, MIL-Lab and
slideflow are not on the index, or need what is not there: `tests/unit/cohort/exports` holds their layouts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from wsi_features.cohort.manifest import Manifest, ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import SlideResult, write_record
from wsi_features.files import write_text
from wsi_features.geometry import Mpp, SlidePx
from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.stages.exports import ExportRequest, exported
from wsi_features.store import Provenance, StoreContent, StoreWriter

pytestmark = [pytest.mark.golden, pytest.mark.full, pytest.mark.timeout(1200)]

SET, ROWS, SPAN = "tiny__256px_0.5mpp__none__0123abcd", 7, 508
TABLES = ("spatialdata==0.7.3", "anndata==0.12.19", "zarr==3.1.6", "ome-zarr==0.15.0", "datasets==5.2.0")
TABLES_TOO = (
    "wsidata==0.12.0",
    "openslide-python==1.4.7",
    "openslide-bin==4.0.1.2",
    "opencv-python-headless==4.13.0.92",
)
"""Without what else these ask for: wsidata wants torch, of which it needs nothing to read."""
# lightning 2.6.2 and 2.6.3 were replaced by someone who steals credentials, and up to 2.6.5 has a hole of its own.
EVA = ("kaiko-eva==0.4.5", "lightning==2.6.6", "pytorch-lightning==2.6.6", "lightning-utilities==0.15.3")
EVA_TOO = ("torchmetrics==1.9.0", "jsonargparse==4.53.0", "loguru==0.7.3", "omegaconf==2.3.0")
EVA_LAST = ("antlr4-python3-runtime==4.9.3", "nest-asyncio==1.6.0", "docstring-parser==0.17.0", "toolz==1.1.0")

READ = {
    "anndata": """
import anndata, sys
a = anndata.read_h5ad(sys.argv[1] + "/s1.h5ad")
assert a.shape == (6, 3) and a.X.dtype == "float32" and a.X[5].tolist() == [6, 6.125, 6.25], a
assert a.obs["store_row"].tolist() == [0, 1, 2, 3, 4, 6]
assert a.obsm["spatial"][1].tolist() == [12 + 504 + 254, 100 + 254]
assert a.uns["wsi_features"]["licence"] == "CC0"
assert set(a.obs["patient_id"]) == {"p1"} and set(a.obs["block"]) == {"A2"} and a.var_names[2] == "tiny_2"
""",
    "spatialdata": """
import sys, spatialdata
s = spatialdata.read_zarr(sys.argv[1] + "/s1.zarr")
shapes, table = spatialdata.match_element_to_table(s, "tiles", "tiny_tiles")
assert table.shape == (6, 3) and len(shapes["tiles"]) == 6
assert table.X[5].tolist() == [6, 6.125, 6.25]
assert shapes["tiles"].geometry.iloc[1].bounds == (516, 100, 1024, 608)
assert s["tissues"].geometry.iloc[1].bounds == (0, 600, 900, 1100)
assert shapes["tiles"].tissue_id.tolist() == [0, 0, 0, 1, 1, -1]
""",
    "wsidata": """
import sys, wsidata
w = wsidata.open_wsi(sys.argv[2], store=sys.argv[1] + "/s1.zarr")
a = w.fetch.features_anndata("tiny", "tiles")
assert a.shape == (6, 3) and a.X[5].tolist() == [6, 6.125, 6.25] and a.obs["tissue_id"].tolist() == [0, 0, 0, 1, 1, -1]
assert a.obsm["spatial"][1].tolist() == [516, 100], a.obsm["spatial"]
spec = w.tile_spec("tiles")
assert (spec.width, spec.base_width, spec.tissue_name) == (256, 508, "tissues"), spec
assert abs(spec.mpp - 508 * 0.2521 / 256) < 1e-9
assert [c.tissue_id for c in w.iter.tissue_contours("tissues")] == [0, 1]
""",
    "hf": """
import sys, datasets
rows = datasets.load_dataset(sys.argv[1], split="train", cache_dir=sys.argv[1] + "/cache")
assert rows.num_rows == 6 and rows[5]["features"] == [6, 6.125, 6.25] and rows[1]["x"] == 516, rows[5]
""",
    "eva": """
import sys
sys.path.append(sys.argv[2])
from eva.core.data.datasets import MultiEmbeddingsClassificationDataset
names = {"path": "embeddings", "target": "target", "split": "split", "multi_id": "wsi_id"}
rows = MultiEmbeddingsClassificationDataset(sys.argv[1], "manifest.csv", "train", column_mapping=names)
rows.setup()
bag, target = rows[0][:2]
assert len(rows) == 1 and tuple(bag.shape) == (6, 3) and bag[5].tolist() == [6, 6.125, 6.25] and target == 0
""",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One slide of seven tiles in lines of three, of which row 5 was not read; the last lies on no tissue."""
    out = Outputs(tmp_path_factory.mktemp("run"))
    fields: dict[str, Any] = {
        "recipes": {},
        "fingerprints": {"tissue": "12" * 32},
        "versions": {},
        "slide_properties": {},
    }
    fields |= {"slide_id": "s1", "slide_fingerprint": "cd" * 32, "fingerprint": "ab" * 32, "weights_sha256": ""}
    fields |= {"mpp_native": Mpp(0.2521), "mpp_asked": Mpp(0.5), "mpp_effective": Mpp(SPAN * 0.2521 / 256)}
    fields |= {"tile_px": 256, "span": SlidePx(SPAN), "step": SlidePx(504), "level": 0, "level_downsample": 1.0}
    fields |= {"resize": 256 / SPAN, "slide_size": (4000, 3001), "encoder": {"name": "tiny"}, "licence": "CC0"}
    fields |= {"precision": "fp16", "stain": {"method": "none"}, "device": "cpu", "mpp_source": "aperio.MPP"}
    rows = np.arange(ROWS)
    grid = np.stack([rows % 3, rows // 3], axis=1).astype(np.int32)
    origins, nothing = grid.astype(np.int64) * 504 + [12, 100], np.empty((ROWS, 0), np.float32)
    content = StoreContent(origins, grid, nothing, (), 3, "float16", Provenance(status="ok", **fields))
    with StoreWriter(out.store(SET, "s1"), content) as writer:
        writer.append((rows[:, None] + np.arange(3) / 8).astype(np.float32), rows != 5)
        writer.commit([(5, "missing")])
    row = ManifestRow(slide_id="s1", path=str(out.root / "s1.svs"), patient_id="p1", stain="H&E", block="A2")
    write_text(out.manifest, Manifest((row,)).to_json(32))
    outlines = [shapely.box(500, 0, 4000, 600), shapely.box(0, 600, 900, 1100)]
    features = [{"type": "Feature", "geometry": shape.__geo_interface__, "properties": {}} for shape in outlines]
    head = f'{{"type":"FeatureCollection","wsi_features":{{"fingerprint":"{"12" * 32}"}},"features":[\n'
    write_text(out.slide("s1", "tissue.geojson"), head + ",\n".join(map(json.dumps, features)) + "\n]}\n")
    facts = {"stores": {SET: {"store": f"features/{SET}/s1.zarr", "tiles": ROWS}}}
    write_record(out.record("embed", "00000"), "embed", "00000", {"s1": SlideResult("ok", "embed", facts=facts)})
    return out.root


@pytest.fixture(scope="module")
def python(environment: Callable[..., Path]) -> str:
    """An interpreter with spatialdata, anndata, wsidata and datasets."""
    return str(environment("tables", TABLES, TABLES_TOO) / "bin" / "python")


@pytest.fixture(scope="module")
def eva(packages: Callable[..., Path]) -> str:
    """A folder with eva and what it imports, to be used beside the torch that is here."""
    return str(packages("eva", *EVA, *EVA_TOO, *EVA_LAST))


@pytest.fixture(scope="module")
def slide(run: Path) -> Path:
    """The slide that the tiles are of."""
    write_slide(run / "s1.svs", SlideSpec(4000, 3001, seed=3, mpp=0.2521, objective=40, levels=(1, 4), tissue=False))
    return run / "s1.svs"


def reads(interpreter: str, kind: str, *arguments: str) -> None:
    command = [interpreter, "-W", "ignore", "-c", READ[kind], *arguments]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["anndata", "spatialdata", "hf"])
def test_its_own_library_reads_every_tile(run: Path, tmp_path: Path, python: str, kind: str) -> None:
    list(exported(run, ExportRequest(kind, tmp_path / "export")))
    reads(python, kind, str(tmp_path / "export"))


def test_wsidata_opens_the_slide_with_its_tiles_tissue_and_features(
    run: Path, slide: Path, tmp_path: Path, python: str
) -> None:
    list(exported(run, ExportRequest("spatialdata", tmp_path / "export")))
    reads(python, "wsidata", str(tmp_path / "export"), str(slide))


def test_eva_makes_bags_of_the_manifest(run: Path, tmp_path: Path, eva: str) -> None:
    (tmp_path / "labels.csv").write_text("slide_id,label,split\ns1,tumour,train\n")
    list(exported(run, ExportRequest("eva", tmp_path / "export", labels=tmp_path / "labels.csv")))
    reads(sys.executable, "eva", str(tmp_path / "export"), eva)
