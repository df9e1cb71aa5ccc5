"""A Lightning Trainer itself, in an environment of its own, trains on bags of a cohort."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from wsi_features.cohort.manifest import Manifest, ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.geometry import Mpp, SlidePx
from wsi_features.store import Provenance, StoreContent, StoreWriter

pytestmark = [pytest.mark.golden, pytest.mark.full, pytest.mark.timeout(600)]

# 2.6.2 and 2.6.3 were replaced by someone who steals credentials, and up to 2.6.5 has a hole of its own.
LIGHTNING = ("lightning==2.6.6", "pytorch-lightning==2.6.6", "lightning-utilities==0.15.3", "torchmetrics==1.9.0")
SET = "tiny__256px__none__00000000"
FITTED = """
import sys
sys.path.append(sys.argv[1])
import lightning, torch
from wsi_features import mil
from wsi_features.cohort.cohort import Cohort

labels = mil.classification(mil.read_table(sys.argv[3]), "grade")
bags = mil.BagDataset.open(Cohort.open(sys.argv[2], "tiny"), labels, mil.BagRecipe(max_tiles=8))
split = mil.grouped_split(bags.groups(), strata=bags.strata())
loaders = mil.PartLoaders.of(bags, split, mil.Loading(batch_size=2))

class Mean(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer, self.seen, self.whole, self.tested = torch.nn.Linear(bags.dim, 2), [], [], []

    def loss(self, batch):
        assert (batch["mask"].sum(1) == batch["lengths"]).all()
        mean = batch["features"].sum(1) / batch["lengths"][:, None]
        return torch.nn.functional.cross_entropy(self.layer(mean), batch["label"])

    def training_step(self, batch, _):
        self.seen.append((self.current_epoch, batch["bag_ids"], batch["rows"].tolist()))
        return self.loss(batch)

    def validation_step(self, batch, _):
        self.whole.append(int(batch["lengths"][0]))
        self.log("loss", self.loss(batch), batch_size=1)

    def test_step(self, batch, _):
        self.tested += batch["bag_ids"]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

model = Mean()
quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
trainer = lightning.Trainer(max_epochs=2, accelerator="cpu", **quiet)
module = mil.data_module(loaders)
before = model.layer.weight.detach().clone()
trainer.fit(model, datamodule=module)
epochs = [[s for s in model.seen if s[0] == epoch] for epoch in (0, 1)]
for epoch in epochs:
    assert sorted(name for _, names, _ in epoch for name in names) == sorted(loaders.train.ids), epoch
rows = [{n: r for _, names, rows in epoch for n, r in zip(names, rows)} for epoch in epochs]
assert any(rows[0][name] != rows[1][name] for name in loaders.train.ids), "tiles were not drawn anew"
assert set(model.whole) == {20}, model.whole  # whole bags
assert not torch.equal(before, model.layer.weight)
trainer.test(model, datamodule=module, verbose=False)
assert model.tested == list(loaders.test.ids)
"""


def write_cohort(out: Path) -> None:
    """Eight slides of eight patients with 20 tiles each, in lines of five."""
    fields = {"recipes": {}, "fingerprints": {}, "versions": {}, "slide_properties": {}, "slide_fingerprint": "cd" * 32}
    fields |= {"weights_sha256": "", "mpp_native": Mpp(0.25), "mpp_asked": Mpp(0.5), "mpp_effective": Mpp(0.5)}
    fields |= {"tile_px": 256, "span": SlidePx(512), "step": SlidePx(512), "level": 0, "level_downsample": 1.0}
    fields |= {"resize": 0.5, "slide_size": (4000, 3001), "encoder": {"name": "tiny"}, "licence": "CC0"}
    fields |= {"precision": "fp16", "stain": {"method": "none"}, "device": "cpu", "mpp_source": "manifest"}
    numbers = np.arange(20)
    grid = np.stack([numbers % 5, numbers // 5], axis=1).astype(np.int32)
    rows = []
    for k in range(8):
        made = Provenance(status="ok", slide_id=f"s{k}", fingerprint=f"{k:064x}", **fields)  # type: ignore[arg-type]
        nothing = np.empty((20, 0), np.float32)
        content = StoreContent(grid.astype(np.int64) * 512, grid, nothing, (), 3, "float16", made)
        with StoreWriter(out / "features" / SET / f"s{k}.zarr", content) as writer:
            writer.append(np.random.default_rng(k).normal(k % 2, 1, (20, 3)).astype(np.float32), np.ones(20, np.bool_))
            writer.commit()
        rows.append(ManifestRow(slide_id=f"s{k}", path=f"/{k}.svs", patient_id=f"p{k}"))
    Outputs(out).manifest.write_text(Manifest(tuple(rows)).to_json(8))


def test_two_epochs_see_every_bag_with_tiles_drawn_anew(tmp_path: Path, packages: Callable[..., Path]) -> None:
    folder = packages("lightning", *LIGHTNING)
    write_cohort(tmp_path / "out")
    (tmp_path / "labels.csv").write_text("slide_id,grade\n" + "".join(f"s{k},{'ab'[k % 2]}\n" for k in range(8)))
    command = [sys.executable, "-W", "ignore", "-c", FITTED, str(folder), str(tmp_path / "out")]
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [*command, str(tmp_path / "labels.csv")], capture_output=True, text=True, check=False, env=here, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
