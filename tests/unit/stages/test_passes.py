"""Slides over several devices of one job; two CPUs stand for two GPUs."""

import filecmp
import shutil
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import read_meter, read_record
from wsi_features.cohort.sheets import manifest_from
from wsi_features.config import Config
from wsi_features.encode.card import EncoderCard
from wsi_features.encode.encoder import Ready
from wsi_features.encode.seconds import DeviceSeconds
from wsi_features.errors import DeviceLostError
from wsi_features.stages.meter import Meter
from wsi_features.stages.passes import embedding_work
from wsi_features.stages.progress import Silent
from wsi_features.stages.shards import run_stage
from wsi_features.store import FeatureStore
from wsi_features.tiles import TileBatch

TWICE = Config(tuning={"batch": 16, "workers": 2, "device": "cpu,cpu"})


@pytest.fixture(scope="module")
def rows(slide_folder: Path) -> list[ManifestRow]:
    return [row for row in manifest_from([str(slide_folder)]) if row.slide_id != "fine"]


@pytest.fixture(scope="module")
def prepared(rows: list[ManifestRow], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder in which all but the embedding is done."""
    out = Outputs(tmp_path_factory.mktemp("passes") / "out")
    for stage in ("tissue", "tiles", "stain"):
        run_stage(stage, {"00000": rows}, TWICE, out, Silent())
    return out.root


def embedded(prepared: Path, rows: list[ManifestRow], root: Path, device: str) -> Outputs:
    out = Outputs(Path(shutil.copytree(prepared, root)))
    tuning = TWICE.tuning.model_copy(update={"device": device})
    run_stage("embed", {"00000": rows}, TWICE.model_copy(update={"tuning": tuning}), out, Silent())
    return out


def test_two_devices_write_the_bytes_of_one(prepared: Path, rows: list[ManifestRow], tmp_path: Path) -> None:
    once, twice = (embedded(prepared, rows, tmp_path / device, device) for device in ("cpu", "cpu,cpu"))
    stores = sorted(path.relative_to(once.root) for path in once.features.rglob("*") if path.is_file())
    assert filecmp.cmpfiles(once.root, twice.root, stores, shallow=False) == (stores, [], [])
    record, meter = read_record(twice.record("embed", "00000")), read_meter(twice.record("embed", "00000"))
    assert {slide: result.status for slide, result in record.items()} == {"glass": "empty", "small": "ok"}
    assert meter["devices"] == 2
    assert meter["tiles"] == read_meter(once.record("embed", "00000"))["tiles"]


class Lost:
    """An encoder whose GPU is gone."""

    notes, precision, weights_digest, device, most = (), "fp32", "", "cpu", None

    def __init__(self, card: EncoderCard) -> None:
        self.card = card

    def submit(self, *_: Any) -> Any:
        raise DeviceLostError("the GPU is gone")

    def close(self) -> None:
        """Nothing to release."""


def test_a_lost_device_ends_the_whole_job_and_leaves_no_half_store(
    prepared: Path, rows: list[ManifestRow], tmp_path: Path
) -> None:
    out = Outputs(Path(shutil.copytree(prepared, tmp_path / "out")))
    watch: Any = SimpleNamespace(alone=frozenset(), current=lambda _: nullcontext())
    with embedding_work(TWICE, out, Silent()) as work:
        for (embedding,) in work._sets:
            embedding._encoder = Lost(embedding.plan.card)
        with pytest.raises(DeviceLostError):
            list(work(rows, watch, Meter()))
    assert not list(out.features.rglob("*small.zarr/commit.json"))


class ShortOfMemory:
    """An encoder of three features whose device finds at the third batch that it has memory for half of one."""

    notes, precision, weights_digest, device, seconds = (), "fp32", "", "cpu", DeviceSeconds()

    def __init__(self, card: EncoderCard) -> None:
        self.card, self.most = card.model_copy(update={"dim": 3}), None
        self._batches = 0

    def submit(self, batch: TileBatch, stain: Any = None) -> Ready:  # noqa: ARG002 - as all encoders
        self._batches += 1
        self.most = 8 if self._batches >= 3 else None
        rows = batch.pixels.mean(axis=(1, 2)) + (1000 if self.most is None else 0)
        return Ready(rows.astype(np.float32))

    def close(self) -> None:
        """Nothing to release."""


def test_a_slide_whose_batches_were_halved_is_embedded_again_in_pieces_of_one_size(
    prepared: Path, rows: list[ManifestRow], tmp_path: Path
) -> None:
    out = Outputs(Path(shutil.copytree(prepared, tmp_path / "out")))
    once = TWICE.model_copy(update={"tuning": TWICE.tuning.model_copy(update={"device": "cpu"})})
    watch: Any = SimpleNamespace(alone=frozenset(), current=lambda _: nullcontext())
    with embedding_work(once, out, Silent()) as work:
        ((embedding,),) = work._sets
        embedding._encoder = ShortOfMemory(embedding.plan.card)
        found = {row.slide_id: result.status for row, result in work(rows, watch, Meter())}
    assert found == {"glass": "empty", "small": "ok"}
    store = FeatureStore.open(embedding.target("small"))
    assert len(store) > 48  # so that the third batch was of this slide
    assert store.features[:].max() < 256
