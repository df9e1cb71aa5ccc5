"""Batches: padded and packed hold every tile once, in its place; loaders give the same with and without workers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features import mil
from wsi_features.cohort.cohort import Cohort
from wsi_features.errors import LabelError, SplitError, StoreError
from wsi_features.mil.threads import read_ahead
from wsi_features.mil.tiles import tensors

from .conftest import write_cohort


def made(lengths: list[int], dim: int = 3) -> list[mil.Bag]:
    """Bags of so many tiles, no two values equal."""
    bags = []
    for k, n in enumerate(lengths):
        values = (np.arange(n * dim).reshape(n, dim) + 100 * k).astype(np.float16)
        pairs = np.stack([np.arange(n), np.arange(n) + 50], axis=1).astype(np.int32)
        slide, rows = np.zeros(n, np.int32), np.arange(n, dtype=np.int64)
        columns = np.zeros((n, 1), np.float32)
        bags.append(mil.Bag(f"b{k}", f"p{k}", values, pairs, pairs + 7, slide, rows, columns, (f"s{k}",), label=k))
    return bags


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.sampled_from(["float32", "float16", "bfloat16"]))
@settings(max_examples=50, deadline=None)
def test_masked_places_of_a_padded_batch_are_the_packed_one(lengths: list[int], dtype: Any) -> None:
    wide, flat = (form(made(lengths), "classification", dtype) for form in (mil.padded, mil.packed))
    assert wide["features"].shape == (len(lengths), max(lengths), 3)
    assert wide["features"].dtype == getattr(torch, dtype)
    for name in ("features", "coords", "grid", "slide", "rows", "columns"):
        assert torch.equal(wide[name][wide["mask"]], flat[name])
    assert (wide["features"][~wide["mask"]] == 0).all()
    assert wide["mask"].sum(dim=1).tolist() == flat["lengths"].tolist() == lengths
    assert flat["offsets"].tolist() == np.cumsum([0, *lengths]).tolist()
    assert torch.bincount(flat["bag"]).tolist() == lengths
    assert wide["label"].tolist() == list(range(len(lengths)))


def opened(cohort: Cohort, sheet: Path, kind: str = "classification", **recipe: Any) -> mil.BagDataset:
    table = mil.read_table(sheet)
    labels = {
        "classification": lambda: mil.classification(table, "grade"),
        "survival": lambda: mil.survival(table, "months", "status"),
        "regression": lambda: mil.regression(table, ["age", "months"]),
    }[kind]()
    return mil.BagDataset.open(cohort, labels, mil.BagRecipe(**recipe))


def test_labels_of_survival_and_regression_are_tensors(cohort: Cohort, sheet: Path) -> None:
    data = opened(cohort, sheet, "survival")
    batch = next(iter(mil.bag_loader(data, mil.Loading(batch_size=5))))
    assert batch["time"].tolist() == [0.5, 0.5, 1.5, 2.5, 2.5]
    assert batch["event"].tolist() == [0, 0, 1, 0, 0]
    numbers = opened(cohort, sheet, "regression", unit="patient")
    assert next(iter(mil.bag_loader(numbers, mil.Loading(batch_size=2))))["target"].tolist() == [[50, 0.5], [51, 1.5]]


@pytest.mark.parametrize("form", ["padded", "packed"])
def test_late_fusion_says_whose_each_slide_is(cohort: Cohort, sheet: Path, form: Any) -> None:
    data = opened(cohort, sheet, unit="patient", late=True)
    batch = next(iter(mil.bag_loader(data, mil.Loading(batch_size=3, form=form))))
    assert batch["patient_ids"] == ["p0", "p2", "p3"]
    assert batch["owner"].tolist() == [0, 0, 1, 1, 2, 2]
    assert batch["label"].tolist() == [0, 0, 1]
    assert batch["slide_ids"] == [["s0"], ["s1"], ["s4"], ["s5"], ["s6"], ["s7"]]


def passes(data: mil.BagDataset, loading: mil.Loading, epochs: int = 2) -> list[Any]:
    loader = mil.bag_loader(data, loading, shuffle=True)
    found = []
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        found.append([(batch["bag_ids"], batch["rows"].tolist()) for batch in loader])
    return found


@pytest.mark.parametrize("start", ["threads", "fork", pytest.param("spawn", marks=pytest.mark.full)])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_give_the_same_batches_and_see_the_epoch(cohort: Cohort, start: Any) -> None:
    data = mil.BagDataset.open(cohort, None, mil.BagRecipe(max_tiles=6))
    alone = passes(data, mil.Loading(batch_size=1))
    assert alone[0] != alone[1]
    drawn = [{names[0]: rows[0] for names, rows in batches} for batches in alone]
    assert any(drawn[0][name] != drawn[1][name] for name in drawn[0].keys() & drawn[1].keys())
    assert alone == passes(data, mil.Loading(batch_size=1, workers=2, start=start))


def test_a_split_with_a_patient_on_two_sides_gives_no_loader(cohort: Cohort, sheet: Path) -> None:
    data = opened(cohort, sheet)
    leaky = mil.given_split({"train": ["s0", "s4"], "test": ["s1"]}, data.ids)
    with pytest.raises(SplitError, match="patient 'p0' is in train and test \\('s0', 's1'\\)"):
        mil.PartLoaders.of(data, leaky)
    mil.PartLoaders.of(data, leaky, by=["slide_id"])


def test_a_site_on_two_sides_is_refused_too(cohort: Cohort, sheet: Path) -> None:
    data, table = opened(cohort, sheet), mil.read_table(sheet)
    split = mil.given_split({"train": ["s4"], "val": ["s6"]}, data.ids)  # p2 and p3 are both of site1
    with pytest.raises(SplitError, match="site 'site1' is in train and val"):
        mil.PartLoaders.of(data, split, by=["patient_id", "site"], table=table)
    groups = [data.groups(), data.groups("site", table)]
    mil.PartLoaders.of(data, mil.grouped_split(groups, strata=data.strata()), by=["patient_id", "site"], table=table)


def test_training_draws_tiles_and_validation_takes_whole_bags(cohort: Cohort, sheet: Path) -> None:
    data = opened(cohort, sheet, max_tiles=5)
    parts = mil.PartLoaders.of(data, mil.grouped_split(data.groups()), mil.Loading(batch_size=2))
    assert all(batch["lengths"].max() <= 5 for batch in parts.train_loader())
    sizes = [int(batch["lengths"][0]) for batch in parts.val_loader()]
    assert sizes == parts.val.sizes.tolist()
    assert parts.train.class_weights().shape == (2,)


def test_balanced_training_sees_each_class_as_often(cohort: Cohort, sheet: Path) -> None:
    data = opened(cohort, sheet).part([0, 1, 2, 3, 4, 6, 7])  # one bag of seven is of class 1
    assert data.strata().tolist().count(1) == 1  # type: ignore[union-attr]
    order = mil.EpochOrder(data, balanced=True)
    drawn = []
    for epoch in range(60):
        order.set_epoch(epoch)
        drawn += list(order)
    assert len(drawn) == 60 * 7
    rare = data.strata().tolist().index(1)  # type: ignore[union-attr]
    assert 0.4 < drawn.count(rare) / len(drawn) < 0.6


def test_a_lightning_trainer_gets_the_loaders(cohort: Cohort, sheet: Path) -> None:
    pytest.importorskip("lightning", reason="the package `lightning` is not installed")
    data = opened(cohort, sheet)
    module = mil.data_module(mil.PartLoaders.of(data, mil.grouped_split(data.groups())))
    assert len(module.train_dataloader()) == len(module.loaders.train)
    assert next(iter(module.val_dataloader()))["features"].ndim == 3


def test_tiles_of_a_cohort_are_numbered_through_and_come_in_the_order_asked(cohort: Cohort, sheet: Path) -> None:
    tiles = mil.TileDataset.of(opened(cohort, sheet))
    assert len(tiles) == opened(cohort, sheet).sizes.sum()
    wanted = [40, 2, 9, 10, 2]
    batch = tiles.__getitems__(wanted)
    numbers = [int(tiles.slide_ids[k][1:]) for k in batch["slide"]]
    assert batch["features"][:, 0].tolist() == numbers
    assert batch["features"][:, 1].tolist() == batch["row"].tolist()
    assert (numbers[1], batch["row"][1]) == (0, 2)
    assert (numbers[2], batch["row"][2]) == (1, 1)  # row 0 of s1 is not valid
    assert batch["label"].tolist() == [{0: 0, 1: 0, 4: 0}[n] for n in numbers]
    assert tiles[9]["row"] == 1
    with pytest.raises(IndexError, match="tiles are 0 to"):
        tiles[len(tiles)]


def test_an_epoch_of_tiles_holds_each_once_in_another_order_each_time(cohort: Cohort) -> None:
    tiles = mil.TileDataset.of(mil.BagDataset.open(cohort))
    order = mil.TileBatches(tiles, batch_size=16, together=3)
    epochs = []
    for epoch in range(2):
        order.set_epoch(epoch)
        batches = list(order)
        assert [len(batch) for batch in batches[:-1]] == [16] * (len(order) - 1)
        epochs.append([k for batch in batches for k in batch])
        assert sorted(epochs[-1]) == list(range(len(tiles)))
    assert epochs[0] != epochs[1]
    assert max(np.unique(np.searchsorted(tiles.starts, batch, side="right")).size for batch in batches) > 1
    assert any(batch != sorted(batch) for batch in batches)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_tiles_are_loaded_as_tensors(cohort: Cohort) -> None:
    tiles = mil.TileDataset.of(mil.BagDataset.open(cohort))
    alone, batches = (
        list(mil.tile_loader(tiles, mil.TileBatches(tiles, 50), mil.Loading(workers=workers, start="fork")))
        for workers in (0, 2)
    )
    assert all(torch.equal(one["features"], other["features"]) for one, other in zip(alone, batches, strict=True))
    assert sum(len(batch["row"]) for batch in batches) == len(tiles)
    assert batches[0]["features"].dtype == torch.float32
    assert torch.equal(batches[0]["features"][:, 1].long(), batches[0]["row"])
    assert tensors(tiles.__getitems__([0]))["features"].shape == (1, 6)


def test_each_pass_is_the_next_epoch_unless_one_is_set(cohort: Cohort) -> None:
    data = mil.BagDataset.open(cohort, None, mil.BagRecipe(max_tiles=6))
    wanted = passes(data, mil.Loading(), 3)
    loader = mil.bag_loader(data.part(range(len(data))), shuffle=True)
    assert [[(batch["bag_ids"], batch["rows"].tolist()) for batch in loader] for _ in range(3)] == wanted
    tiles = mil.TileBatches(mil.TileDataset.of(data), 16)
    found = [list(tiles) for _ in range(2)]
    tiles.set_epoch(1)
    assert found[0] != found[1] == list(tiles)


def test_bags_in_order_have_the_same_tiles_each_time(cohort: Cohort, sheet: Path) -> None:
    data = opened(cohort, sheet, max_tiles=5)
    parts = mil.PartLoaders.of(data, mil.grouped_split(data.groups()), evaluation={"max_tiles": 4})
    loader = parts.val_loader()
    rows = [[batch["rows"].tolist() for batch in loader] for _ in range(2)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("start", ["threads", "fork"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_damaged_store_is_named_through_the_workers(tmp_path: Path, start: Any) -> None:
    cohort = write_cohort(tmp_path, (6, 9, 5))
    data = mil.BagDataset.open(cohort)
    chunk = cohort.store("s2").path / "features" / "c" / "0" / "0"
    chunk.write_bytes(b"\7" + chunk.read_bytes()[1:])
    batches: Any = iter(mil.bag_loader(data, mil.Loading(workers=2, start=start)))
    with pytest.raises(StoreError, match=r"(?s)s2\.zarr' is damaged: features/c/0/0.*embed the slide again"):
        list(batches)
    if start == "fork":
        batches._shutdown_workers()  # otherwise the garbage collector does, and waits 5 seconds for each


def test_a_single_bag_in_its_own_type_is_handed_over_as_it_is() -> None:
    (bag,) = made([5])
    for form in (mil.padded, mil.packed):
        features = form([bag], None, "float16")["features"]
        assert features.data_ptr() == bag.features.ctypes.data
        assert form([bag])["features"].data_ptr() != bag.features.ctypes.data


def test_work_is_begun_ahead_by_two_items_a_thread_and_stops_with_its_reader() -> None:
    asked: list[int] = []

    def items() -> Iterator[int]:
        for k in range(100):
            asked.append(k)
            yield k

    results = read_ahead(lambda k: k * k, items(), threads=3)
    assert [next(results) for _ in range(4)] == [0, 1, 4, 9]
    assert asked == list(range(10))
    del results
    assert list(read_ahead(str, range(5), threads=2)) == list("01234")


def test_class_weights_of_labels_that_are_no_classes_are_refused(cohort: Cohort, sheet: Path) -> None:
    with pytest.raises(LabelError, match="the labels are survival. Open the data set with `mil.classification`"):
        opened(cohort, sheet, "survival").class_weights()
