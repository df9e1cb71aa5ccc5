"""One pass over the slides of a shard: encoders share a reading, slides do not share their failures."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import SlideResult
from wsi_features.cohort.sheets import manifest_from
from wsi_features.config import Config
from wsi_features.encode.card import EncoderCard
from wsi_features.encode.encoder import Ready
from wsi_features.errors import DeviceLostError
from wsi_features.stages.embed import EmbeddingPass
from wsi_features.stages.embedding import Embedding
from wsi_features.stages.encoders import encoder_plans
from wsi_features.stages.meter import Meter
from wsi_features.stages.progress import Silent
from wsi_features.stages.shards import run_stage
from wsi_features.stain.transform import StainTransform
from wsi_features.store import FeatureStore
from wsi_features.tiles import TileBatch


class MeanColour:
    """An encoder of three features, with a say in how each batch ends."""

    weights_digest, precision, device, dim, most = "", "fp32", "cpu", 3, None

    def __init__(self, card: EncoderCard, ending: Callable[[int], None] = lambda _: None) -> None:
        self.card = card.model_copy(update={"dim": 3})
        self._ending, self._batches = ending, 0

    def submit(self, batch: TileBatch, stain: StainTransform | None = None) -> Ready:
        self._batches += 1
        self._ending(self._batches - 1)
        pixels = batch.pixels if stain is None else stain.apply(batch.pixels)
        return Ready(pixels.mean(axis=(1, 2)).astype(np.float32))

    def close(self) -> None:
        """Nothing to release."""


@pytest.fixture(scope="module")
def rows(slide_folder: Path) -> list[ManifestRow]:
    return list(manifest_from([str(slide_folder)]))


@pytest.fixture
def prepared(rows: list[ManifestRow], tmp_path: Path) -> tuple[Config, Outputs]:
    """An output folder in which all stages but the last are done."""
    config = Config(tuning={"batch": 8, "workers": 2})
    out = Outputs(tmp_path / "out")
    for stage in ("tissue", "tiles", "stain"):
        run_stage(stage, {"00000": rows}, config, out, Silent())
    return config, out


def embedding_with(config: Config, out: Outputs, ending: Callable[[int], None]) -> Embedding:
    made = Embedding(encoder_plans(config)[0], config, out)
    made._encoder = MeanColour(made.plan.card, ending)
    return made


def results(prepared: tuple[Config, Outputs], rows: list[ManifestRow], ending: Callable[[int], None]) -> Iterator[Any]:
    config, out = prepared
    embedding = embedding_with(config, out, ending)
    with EmbeddingPass([embedding], config, Silent(), Meter(), lambda _: nullcontext()) as embedding_pass:
        yield from embedding_pass.results(rows)


def test_slides_end_in_their_order_with_their_own_rows(
    prepared: tuple[Config, Outputs], rows: list[ManifestRow]
) -> None:
    ended: list[tuple[ManifestRow, SlideResult]] = list(results(prepared, rows, lambda _: None))
    assert [(row.slide_id, result.status) for row, result in ended] == [
        ("fine", "ok"),
        ("glass", "empty"),
        ("small", "ok"),
    ]
    (facts,) = ended[2][1].facts["stores"].values()
    store = FeatureStore.open(prepared[1].root / facts["store"])
    assert len(store) == facts["tiles"] > 10
    assert np.ptp(store.features[:], axis=0).min() > 1


def test_stains_are_normalised_while_tiles_are_read_or_on_the_device_with_the_same_numbers(
    rows: list[ManifestRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, out = Config(stain={"method": "macenko"}, tuning={"batch": 8, "workers": 2}), Outputs(tmp_path / "out")
    for stage in ("tissue", "tiles", "stain"):
        run_stage(stage, {"00000": rows[2:]}, config, out, Silent())
    found = {}
    for on_host in (True, False):
        stains: list[bool] = []
        monkeypatch.setattr(Embedding, "on_host", property(lambda _, where=on_host: where))
        with monkeypatch.context() as patched:
            patched.setattr(MeanColour, "submit", spied(stains))
            ((_, result),) = results((config, out), rows[2:], lambda _: None)
        (facts,) = result.facts["stores"].values()
        found[on_host] = FeatureStore.open(out.root / facts["store"]).features[:]
        shutil.rmtree(out.root / facts["store"])
        assert set(stains) == {not on_host}
    assert np.array_equal(found[True], found[False])


def spied(stains: list[bool]) -> Callable[..., Ready]:
    submit = MeanColour.submit

    def spy(self: MeanColour, batch: TileBatch, stain: StainTransform | None = None) -> Ready:
        stains.append(stain is not None)
        return submit(self, batch, stain)

    return spy


def test_a_fault_of_the_encoder_with_one_batch_costs_one_slide(
    prepared: tuple[Config, Outputs], rows: list[ManifestRow]
) -> None:
    def broken(batch: int) -> None:
        if batch == 1:
            raise RuntimeError("a kernel of the second batch")

    ended = {row.slide_id: result for row, result in results(prepared, rows, broken)}
    assert (ended["fine"].status, ended["fine"].reason) == ("failed", "internal")
    assert "a kernel of the second batch" in ended["fine"].message
    assert (ended["glass"].status, ended["small"].status) == ("empty", "ok")
    assert not list(prepared[1].root.glob("features/*/.fine*"))
    assert not list(prepared[1].root.glob("features/*/fine.zarr"))


def test_a_lost_device_ends_the_job_and_blames_no_slide(
    prepared: tuple[Config, Outputs], rows: list[ManifestRow]
) -> None:
    def lost(batch: int) -> None:
        if batch == 2:
            raise DeviceLostError.after("cuda:0", "an uncorrectable ECC error")

    with pytest.raises(DeviceLostError, match="ECC"):
        list(results(prepared, rows, lost))
    assert not list(prepared[1].root.glob("features/*/*.zarr"))
    assert not list(prepared[1].root.glob("features/*/.*"))


def test_encoders_with_the_same_tiles_share_one_reading(
    rows: list[ManifestRow], tiny_card: Callable[..., EncoderCard], tiny_weights: Path, tmp_path: Path
) -> None:
    card = tmp_path / "tiny.yaml"
    card.write_text(yaml.safe_dump(tiny_card(tile_px=256).model_dump(mode="json")))
    encoders: list[Any] = ["histo-texture", {"name": str(card), "weights": str(tiny_weights)}]
    blocks = []
    for k in (1, 2):
        config, out = Config(encoders=encoders[:k], tuning={"workers": 2}), Outputs(tmp_path / str(k))
        for stage in ("tissue", "tiles", "stain", "embed"):
            run_stage(stage, {"00000": rows}, config, out, Silent())
        record = json.loads(out.record("embed", "00000").read_text())
        blocks.append(record["meter"]["stream"]["blocks"])
        assert len(record["slides"]["fine"]["facts"]["stores"]) == k
    assert blocks[0] == blocks[1] > 100


def test_the_record_says_where_the_time_went(prepared: tuple[Config, Outputs], rows: list[ManifestRow]) -> None:
    config, out = prepared
    run_stage("embed", {"00000": rows}, config, out, Silent())
    record = json.loads(out.record("embed", "00000").read_text())
    meter, slides = record["meter"], record["slides"]
    assert meter["tiles"] == sum(
        s["facts"]["stores"][next(iter(s["facts"]["stores"]))]["tiles"] for s in slides.values()
    )
    assert meter["stream"]["bytes_read"] > 100_000
    assert 0 <= meter["busy_share"] <= 1
    assert meter["writing"] > 0
    assert meter["seconds"] >= meter["waiting"]
