"""A job that is stopped in the middle of a slide: the next one goes on from its last chunk, to the same bytes."""

from __future__ import annotations

import errno
import json
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.sheets import manifest_from
from wsi_features.config import Config
from wsi_features.encode.card import EncoderCard
from wsi_features.encode.encoder import Ready
from wsi_features.errors import DeviceLostError, StorageError
from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.stages import room
from wsi_features.stages.embed import EmbeddingPass
from wsi_features.stages.embedding import Embedding
from wsi_features.stages.encoders import encoder_plans
from wsi_features.stages.meter import Meter
from wsi_features.stages.progress import Silent
from wsi_features.stages.shards import run_stage
from wsi_features.stain.transform import StainTransform
from wsi_features.store import Claims, FeatureStore, layout
from wsi_features.tiles import TileBatch

BATCH, CHUNK = 10, 16
"""A batch straddles the end of most chunks."""


class MeanColour:
    """Three features a tile, which depend on its place in the batch, as those of a real network do in the last bits."""

    weights_digest, precision, device, dim, most = "", "fp32", "cpu", 3, None

    def __init__(self, card: EncoderCard, dies_after: int | None, folder: Path, stores: int) -> None:
        self.card, self._dies_after = card.model_copy(update={"dim": 3}), dies_after
        self._journals, self._stores = lambda: folder.glob("*/.*/journal"), stores
        self.first_rows: list[int] = []

    def submit(self, batch: TileBatch, _: StainTransform | None = None) -> Ready:
        if len(self.first_rows) == self._dies_after:
            while sum(path.read_bytes().count(b"\n") > 1 for path in self._journals()) < self._stores:
                time.sleep(0.001)  # the writer has its own thread
            raise DeviceLostError.after("cuda:0", "an ECC error")
        self.first_rows.append(int(batch.rows[0]))
        places = np.arange(len(batch.rows), dtype=np.float32)[:, None]
        return Ready(batch.pixels.mean(axis=(1, 2)).astype(np.float32) + places)

    def close(self) -> None:
        """Nothing to release."""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "CHUNK_ROWS", CHUNK)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path, list[ManifestRow]]:
    """An output folder in which all stages but the last are done, of one slide of 70 tiles or so."""
    folder = tmp_path_factory.mktemp("one")
    write_slide(folder / "s1.tif", SlideSpec(width=1536, height=1280, seed=6, mpp=0.5, objective=20, levels=(1, 4)))
    rows = list(manifest_from([str(folder / "s1.tif")]))
    config = Config(tiles={"size": 128, "mpp": 0.5, "min_tissue": 0.01}, tuning={"batch": BATCH, "workers": 2})
    for stage in ("tissue", "tiles", "stain"):
        run_stage(stage, {"00000": rows}, config, Outputs(folder / "out"), Silent())
    return config, folder / "out", rows


Prepared = tuple[Config, Path, list[ManifestRow]]


@pytest.fixture
def out(prepared: Prepared, tmp_path: Path) -> Outputs:
    """The same with nothing embedded yet."""
    return Outputs(shutil.copytree(prepared[1], tmp_path / "out"))


def embedded(
    prepared: Prepared, out: Outputs, *dies_after: int | None, **tuning: Any
) -> tuple[list[Any], list[list[int]]]:
    """Results of a pass with as many encoders, and the first rows of the batches that each was given."""
    config = prepared[0].model_copy(update={"tuning": prepared[0].tuning.model_copy(update=tuning)})
    embeddings, encoders = [], []
    for k, dies in enumerate(dies_after):
        made = Embedding(encoder_plans(config)[0], config, out)
        made.feature_set += f"-{k}"
        made._encoder = MeanColour(made.plan.card, dies, out.features, len(dies_after))
        embeddings.append(made)
        encoders.append(made._encoder)
    results = []
    try:
        with EmbeddingPass(embeddings, config, Silent(), Meter(), lambda _: nullcontext()) as embedding_pass:
            results += [result for _, result in embedding_pass.results(prepared[2])]
    except DeviceLostError:
        results.append("lost")
    return results, [encoder.first_rows for encoder in encoders]


def trees(out: Outputs) -> dict[str, bytes]:
    return {str(p.relative_to(out.features)): p.read_bytes() for p in out.features.rglob("*") if p.is_file()}


@pytest.fixture
def whole(prepared: Prepared, tmp_path: Path) -> dict[str, bytes]:
    """The stores of two encoders when nothing goes wrong."""
    out = Outputs(shutil.copytree(prepared[1], tmp_path / "whole"))
    results, _ = embedded(prepared, out, None, None)
    assert [result.status for result in results] == ["ok"]
    return trees(out)


def test_a_resumed_slide_is_read_from_its_last_chunk_on_and_ends_in_the_same_bytes(
    prepared: Prepared, out: Outputs, whole: dict[str, bytes]
) -> None:
    assert embedded(prepared, out, 5, 7)[0] == ["lost"]
    assert not list(out.features.rglob("*.zarr"))
    results, (one, other) = embedded(prepared, out, None, None)
    assert results[0].status == "ok"
    assert one[0] in (10, 30)  # the border of a batch at or before a chunk's end: row 16 or 32
    assert other[0] >= one[0]
    assert trees(out) == whole


def test_a_store_in_one_file_is_resumed_and_reused_too(prepared: Prepared, out: Outputs) -> None:
    assert embedded(prepared, out, 5, store_form="zip")[0] == ["lost"]
    results, (rows,) = embedded(prepared, out, None, store_form="zip")
    assert rows[0] in (10, 30)
    (facts,) = results[0].facts["stores"].values()
    assert facts["store"].endswith("/s1.zarr.zip")
    assert FeatureStore.open(out.root / facts["store"]).check() is None
    assert embedded(prepared, out, None)[1] == [[]]  # of either form, one that is complete is not made again


def test_another_batch_size_starts_anew(prepared: Prepared, out: Outputs) -> None:
    assert embedded(prepared, out, 5)[0] == ["lost"]
    results, (rows,) = embedded(prepared, out, None, batch=8)
    assert results[0].status == "ok"
    assert rows[0] == 0


def test_a_slide_that_another_job_embeds_is_no_failure_of_its_own(prepared: Prepared, out: Outputs) -> None:
    config, _, rows = prepared
    embedding = Embedding(encoder_plans(config)[0], config, out)
    quick = config.model_copy(update={"tuning": config.tuning.model_copy(update={"claim_seconds": 0})})
    with Claims() as others:
        others.take(embedding.target("s1"))
        run_stage("embed", {"00000": rows}, quick, out, Silent())
        record = json.loads(out.record("embed", "00000").read_text())["slides"]["s1"]
        assert (record["status"], record["reason"]) == ("failed", "claimed")
    run_stage("embed", {"00000": rows}, quick, out, Silent())
    assert FeatureStore.open(embedding.target("s1")).check() is None


def failing(error: int) -> Callable[..., None]:
    def fail(*_: npt.NDArray[Any]) -> None:
        raise OSError(error, "the disk's words")

    return fail


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.EIO, errno.EROFS])
def test_a_disk_that_fails_ends_the_job_and_the_next_goes_on(
    prepared: Prepared, out: Outputs, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("wsi_features.store.writer.write_chunk", failing(error))
        with pytest.raises(StorageError, match=r"slide 's1'.*the disk's words.*Make room"):
            embedded(prepared, out, None)
    assert not list(out.features.rglob("*.zarr"))
    assert embedded(prepared, out, None)[0][0].status == "ok"


def test_a_shard_that_cannot_fit_is_not_begun(
    prepared: Prepared, out: Outputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda _: 1000)
    with pytest.raises(StorageError, match=r"has 0.0 MiB free, .* need 0.1 MiB"):
        run_stage("embed", {"00000": prepared[2]}, prepared[0], out, Silent())
    assert not out.record("embed", "00000").exists()
