"""The other programs themselves read what is exported; each in an environment of its own, made from the package index.

spatialdata cannot be installed beside tiatoolbox, and eva pins other releases of what is here. `WSI_READERS` names a
folder where these environments are kept from one run to the next.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_features.cohort.manifest import Manifest, ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import SlideResult, write_record
from wsi_features.files import write_text
from wsi_features.geometry import Mpp, SlidePx
from wsi_features.stages.exports import ExportRequest, exported
from wsi_features.store import Provenance, StoreContent, StoreWriter

pytestmark = [pytest.mark.golden, pytest.mark.full, pytest.mark.timeout(900)]

SET, ROWS, SPAN = "tiny__256px_0.5mpp__none__0123abcd", 7, 508
EVA = ("kaiko-eva==0.4.5", "lightning", "pytorch-lightning", "torchmetrics", "lightning-utilities", "jsonargparse")
EVA_TOO = ("loguru", "omegaconf", "antlr4-python3-runtime==4.9.3", "nest-asyncio", "docstring-parser", "toolz")

READ = {
    "anndata": """
import anndata, sys
a = anndata.read_h5ad(sys.argv[1] + "/s1.h5ad")
assert a.shape == (6, 3) and a.X.dtype == "float32" and a.X[5].tolist() == [6, 6.125, 6.25], a
assert a.obs["store_row"].tolist() == [0, 1, 2, 3, 4, 6]
assert a.obsm["spatial"][1].tolist() == [12 + 504 + 254, 100 + 254]
assert a.uns["wsi_features"]["licence"] == "CC0"
""",
    "spatialdata": """
import sys, spatialdata
s = spatialdata.read_zarr(sys.argv[1] + "/s1.zarr")
shapes, table = spatialdata.match_element_to_table(s, "tiles", "tiny_tiles")
assert table.shape == (6, 3) and len(shapes["tiles"]) == 6
assert table.X[5].tolist() == [6, 6.125, 6.25]
assert shapes["tiles"].geometry.iloc[1].bounds == (516, 100, 1024, 608)
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
    """One slide of seven tiles in lines of three, of which row 5 was not read."""
    out = Outputs(tmp_path_factory.mktemp("run"))
    fields: dict[str, Any] = {"recipes": {}, "fingerprints": {}, "versions": {}, "slide_properties": {}}
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
    write_text(out.manifest, Manifest((ManifestRow(slide_id="s1", path="s1.svs"),)).to_json(32))
    facts = {"stores": {SET: {"store": f"features/{SET}/s1.zarr", "tiles": ROWS}}}
    write_record(out.record("embed", "00000"), "embed", "00000", {"s1": SlideResult("ok", "embed", facts=facts)})
    return out.root


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kept = os.environ.get("WSI_READERS")
    return Path(kept) if kept else tmp_path_factory.mktemp("readers")


def installed(*command: str) -> None:
    done = subprocess.run([*command, "--quiet", "--disable-pip-version-check"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"the package index gives no such packages: {done.stderr.decode()[-200:]}")


@pytest.fixture(scope="module")
def python(environments: Path) -> str:
    """An interpreter with spatialdata, anndata and datasets."""
    found = environments / "tables" / "bin" / "python"
    if not found.exists():
        subprocess.run([sys.executable, "-m", "venv", environments / "tables"], check=True)
        installed(str(found), "-m", "pip", "install", "spatialdata>=0.7.3,<0.8", "anndata<0.13", "datasets>=4")
    return str(found)


@pytest.fixture(scope="module")
def eva(environments: Path) -> str:
    """A folder with eva and what it imports, to be used beside the torch that is here."""
    folder = environments / "eva"
    if not (folder / "eva").exists():
        installed(sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(folder), *EVA, *EVA_TOO)
    return str(folder)


def reads(interpreter: str, kind: str, *arguments: str) -> None:
    command = [interpreter, "-W", "ignore", "-c", READ[kind], *arguments]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["anndata", "spatialdata", "hf"])
def test_its_own_library_reads_every_tile(run: Path, tmp_path: Path, python: str, kind: str) -> None:
    list(exported(run, ExportRequest(kind, tmp_path / "export")))
    reads(python, kind, str(tmp_path / "export"))


def test_eva_makes_bags_of_the_manifest(run: Path, tmp_path: Path, eva: str) -> None:
    (tmp_path / "labels.csv").write_text("slide_id,label,split\ns1,tumour,train\n")
    list(exported(run, ExportRequest("eva", tmp_path / "export", labels=tmp_path / "labels.csv")))
    reads(sys.executable, "eva", str(tmp_path / "export"), eva)
