"""Bags: which tiles they hold, where each came from, and what is left out."""

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.unit.store.conftest import Samples
from wsi_features import mil
from wsi_features.cohort.cohort import Cohort
from wsi_features.cohort.keep import write_keep_marks
from wsi_features.errors import ArtifactError, BagError, LabelError, StoreError
from wsi_features.mil.dataset import OTHER_STAIN
from wsi_features.mil.sampling import shares_of_slides
from wsi_features.mil.training.held import HeldBags
from wsi_features.store.archive import pack

from .conftest import DIM, SETS, TILES, write_cohort


def opened(cohort: Cohort, labels: mil.Labels | None = None, **recipe: Any) -> mil.BagDataset:
    return mil.BagDataset.open(cohort, labels, mil.BagRecipe(**recipe))


def bag_of(data: mil.BagDataset, name: str) -> Any:
    return data[data.ids.index(name)]


def test_a_bag_is_a_slide_and_an_empty_slide_is_left_out_by_name(cohort: Cohort) -> None:
    data = opened(cohort)
    assert data.ids == tuple(f"s{k}" for k in range(13) if k != 2)
    assert data.left_out == {"s2": "no tiles"}
    bag = bag_of(data, "s3")
    np.testing.assert_array_equal(bag.features, cohort.store("s3").features[...])
    np.testing.assert_array_equal(bag.coords, cohort.store("s3").coords)
    np.testing.assert_array_equal(bag.grid, cohort.store("s3").grid)


def test_tiles_that_are_not_valid_are_never_in_a_bag(cohort: Cohort) -> None:
    bag = bag_of(opened(cohort, columns=("blur",)), "s1")
    assert bag.rows.tolist() == [k for k in range(TILES[1]) if k not in {0, 7}]
    assert np.isfinite(bag.features).all()
    np.testing.assert_array_equal(bag.columns[:, 0], cohort.store("s1").columns["blur"][bag.rows])


def test_every_tile_of_a_patient_tells_its_slide_and_row(cohort: Cohort) -> None:
    bag = bag_of(opened(cohort, unit="patient"), "p4")
    assert (bag.slide_ids, bag.stains, len(bag)) == (("s8", "s9"), ("H&E", "Ki-67"), 20)
    np.testing.assert_array_equal(bag.features[:, 0], 8 + bag.slide)
    np.testing.assert_array_equal(bag.features[:, 1], bag.rows)


def test_late_fusion_keeps_the_slides_of_a_patient_apart(cohort: Cohort) -> None:
    patient = bag_of(opened(cohort, unit="patient", late=True), "p1")
    assert [bag.slide_ids for bag in patient] == [("s3",)]  # s2 has no tiles
    assert [len(bag) for bag in bag_of(opened(cohort, unit="patient", late=True), "p2")] == [31, 4]


def test_only_the_stains_asked_for_are_in_bags(cohort: Cohort) -> None:
    data = opened(cohort, unit="patient", stains=("Ki-67",))
    assert [data[k].slide_ids for k in range(len(data))] == [(f"s{k}",) for k in range(1, 13, 2)]


def test_thresholds_and_keep_marks_choose_tiles(cohort: Cohort) -> None:
    limits = {"tissue": {"min": 1.0, "max": 2.0}}  # the column is the row / 4
    assert bag_of(opened(cohort, limits=limits), "s4").rows.tolist() == [4, 5, 6, 7, 8]
    for store in cohort:
        write_keep_marks(cohort.out, store, {"tissue": {"min": 1.5}}, "late_rows")
    assert bag_of(opened(cohort, marks="late_rows"), "s0").rows.tolist() == [6, 7, 8]
    with pytest.raises(ArtifactError, match="'s0': keep marks 'nothing'"):
        opened(cohort, marks="nothing")
    assert len(bag_of(opened(cohort, marks=""), "s0")) == 9
    with pytest.raises(ValidationError, match="limits.tissue.least"):
        opened(cohort, limits={"tissue": {"least": 1}})


def test_a_store_that_was_made_anew_with_other_tiles_is_refused(tmp_path: Path) -> None:
    data = opened(write_cohort(tmp_path, (6, 4)))
    shutil.rmtree(tmp_path / "features")
    write_cohort(tmp_path, (7, 4))
    with pytest.raises(StoreError, match=r"s0.zarr.*the shape of features is \(7, 6\).*\(6, 6\) as when"):
        data[0]
    assert len(data[1]) == 3  # one of its four is not valid


def test_a_column_that_was_not_measured_is_refused(cohort: Cohort) -> None:
    with pytest.raises(BagError, match="slide 's0' has no column 'pen'; it has tissue, blur"):
        opened(cohort, columns=("pen",))


def test_a_draw_has_its_size_and_is_the_same_for_an_epoch_and_another_for_the_next(cohort: Cohort) -> None:
    data = opened(cohort, max_tiles=7, seed=3)
    first = bag_of(data, "s4").rows.tolist()
    assert len(first) == 7
    assert first == bag_of(opened(cohort, max_tiles=7, seed=3), "s4").rows.tolist()
    epochs = []
    for epoch in range(5):
        data.set_epoch(epoch)
        epochs.append(tuple(bag_of(data, "s4").rows.tolist()))
    assert len(set(epochs)) > 1
    assert epochs[0] == tuple(first)
    assert len(bag_of(data, "s12")) == 3  # fewer tiles than may be drawn


def test_a_spread_draw_covers_the_slide_better_than_chance(cohort: Cohort) -> None:
    bag = bag_of(opened(cohort, max_tiles=8, seed=1), "s7")  # 8 lines of 5 tiles
    assert len(set(bag.grid[:, 1].tolist())) >= 5
    assert (np.diff(bag.rows) > 0).all()


@pytest.mark.parametrize("sampling", ["spread", "random"])
def test_over_many_epochs_every_tile_is_drawn(cohort: Cohort, sampling: str) -> None:
    data = opened(cohort, max_tiles=6, sampling=sampling).part([0])  # s0 has 9 tiles
    counts = np.zeros(9)
    for epoch in range(60):
        data.set_epoch(epoch)
        counts[data[0].rows] += 1
    assert counts.sum() == 360
    assert counts.min() > 20


def test_slides_of_a_patient_share_a_draw_by_their_size(cohort: Cohort) -> None:
    bag = bag_of(opened(cohort, unit="patient", max_tiles=10), "p3")  # 17 and 40 tiles
    assert np.bincount(bag.slide).tolist() == [3, 7]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.integers(1, 60), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_shares_sum_up_and_no_slide_gives_more_than_it_has(used: list[int], count: int, seed: int) -> None:
    shares = shares_of_slides(used, count, seed)
    assert shares.sum() == min(count, sum(used))
    assert (shares <= np.array(used)).all()
    some = np.array(used) > 0
    assert (shares[some] > 0).all() or some.sum() > count


def test_a_part_has_its_own_epoch_and_recipe(cohort: Cohort) -> None:
    data = opened(cohort, max_tiles=4)
    part = data.part([3, 1], max_tiles=None)
    assert part.ids == (data.ids[3], data.ids[1])
    assert len(part[0]) == len(cohort.store(part.ids[0]))
    part.set_epoch(4)
    assert int(data._epoch) == 0


def test_a_data_set_can_be_pickled(cohort: Cohort) -> None:
    data = opened(cohort, max_tiles=5)
    wanted = data[3].rows
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(data))[3].rows, wanted)  # noqa: S301 - our own bytes


def test_bags_of_patients_need_their_names(nameless: Cohort, tmp_path: Path) -> None:
    with pytest.raises(BagError, match="slide 's0' has no patient_id. Fill that column"):
        opened(nameless, unit="patient")
    (tmp_path / "t.csv").write_text("slide_id,patient_id,block\ns0,x,A1\ns1,y,B\ns2,x,A2\n")
    table = mil.read_table(tmp_path / "t.csv")
    data = mil.BagDataset.open(nameless, None, mil.BagRecipe(unit="patient"), table)
    assert (data.ids, data[0].slide_ids, data[0].blocks) == (("x", "y"), ("s0", "s2"), ("A1", "A2"))


def test_manifest_and_table_must_name_the_same_patient(cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("slide_id,patient_id\ns3,p9\n")
    with pytest.raises(BagError, match="'s3' is of patient 'p1' in the manifest and 'p9' in the label table"):
        mil.BagDataset.open(cohort, table=mil.read_table(tmp_path / "t.csv"))
    (tmp_path / "t.csv").write_text("slide_id,block\ns3,A9\n")
    with pytest.raises(BagError, match="'s3' is of block 'B3' in the manifest and 'A9' in the label table"):
        mil.BagDataset.open(cohort, table=mil.read_table(tmp_path / "t.csv"))


def test_blocks_of_the_manifest_are_in_the_bags_and_choose_slides(cohort: Cohort) -> None:
    assert bag_of(opened(cohort, unit="patient"), "p4").blocks == ("B8", "B9")
    assert opened(cohort, unit="patient", blocks=("B9", "B6")).ids == ("p3", "p4")


def test_late_fusion_of_single_slides_is_refused(cohort: Cohort) -> None:
    with pytest.raises(BagError, match="unit is 'slide'. Set unit='patient'"):
        opened(cohort, late=True)


def test_labels_of_patients_reach_their_slides_and_the_unlabelled_are_left_out(cohort: Cohort, sheet: Path) -> None:
    data = opened(cohort, mil.classification(mil.read_table(sheet), "grade"))
    assert {name: data[k].label for k, name in enumerate(data.ids) if name in {"s0", "s1", "s6"}} == {
        "s0": 0,
        "s1": 0,
        "s6": 1,
    }
    assert data.left_out == {"s2": "no label", "s3": "no label"}


def test_labels_without_features_are_refused_unless_they_may_be_left_out(cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("slide_id,grade\ns0,A\ns99,B\ns1,B\n")
    labels = mil.classification(mil.read_table(tmp_path / "t.csv"), "grade")
    with pytest.raises(LabelError, match="1 labelled slides have no features in .*: 's99'. Embed them"):
        opened(cohort, labels)
    data = opened(cohort, labels, missing="leave_out")
    assert data.ids == ("s0", "s1")
    assert data.left_out["s99"] == "no features"


def test_slides_of_one_patient_with_two_labels_are_refused(cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("slide_id,grade\ns0,A\ns1,B\n")
    labels = mil.classification(mil.read_table(tmp_path / "t.csv"), "grade")
    with pytest.raises(LabelError, match="patient 'p0' has slides with different labels \\('s0', 's1'\\)"):
        opened(cohort, labels, unit="patient")


def test_no_bag_at_all_is_refused(cohort: Cohort) -> None:
    with pytest.raises(BagError, match="gives no bag: of its slides and patients 13 have no tiles \\('"):
        opened(cohort, limits={"tissue": {"min": 1e6}})


def test_a_mask_over_the_bags_makes_a_part(cohort: Cohort) -> None:
    data = opened(cohort)
    assert data.part(data.sizes > 20).ids == ("s1", "s4", "s7", "s10")
    with pytest.raises(IndexError):
        data.part([True, False])


def test_slides_without_features_and_of_other_stains_are_left_out_by_name(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path, (6, 4, 5, 3))
    shutil.rmtree(cohort.store("s2").path)
    assert opened(cohort).left_out == {"s2": "no features"}
    data = opened(cohort, unit="patient", stains=("H&E",))
    assert data.ids == ("p0",)
    assert data.left_out == {"s1": OTHER_STAIN, "s2": "no features", "s3": OTHER_STAIN}
    with pytest.raises(BagError, match="of its slides and patients 4 have another stain"):
        opened(cohort, stains=("HE",))


def test_a_patient_that_is_named_like_an_absent_slide_keeps_its_bag(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path, (6, 4, 5), patients=False)
    shutil.rmtree(cohort.store("s2").path)
    (tmp_path / "t.csv").write_text("slide_id,patient_id\ns0,s2\ns1,s2\ns2,s2\n")
    data = mil.BagDataset.open(cohort, None, mil.BagRecipe(unit="patient"), mil.read_table(tmp_path / "t.csv"))
    assert data.ids == ("s2",)


def test_labels_of_slides_of_another_stain_are_no_mistake(cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("slide_id,grade\ns0,A\ns1,B\ns4,B\n")
    data = opened(cohort, mil.classification(mil.read_table(tmp_path / "t.csv"), "grade"), stains=("H&E",))
    assert data.ids == ("s0", "s4")


def with_float32(out: Path) -> Cohort:
    """Four slides of which s1 holds float32 that float16 cannot."""
    cohort = write_cohort(out, (6, 4, 5, 3))
    shutil.rmtree(cohort.store("s1").path)
    content = Samples.content(4, DIM, "float32", slide_id="s1", fingerprint="ab" * 32)
    Samples.write(out / "features" / SETS, content, np.full((4, DIM), 1e5, np.float32))
    return cohort


def test_slides_of_float16_and_float32_lose_nothing_together(tmp_path: Path) -> None:
    cohort = with_float32(tmp_path)
    bag = opened(cohort, unit="patient")[0]
    assert bag.features.dtype == np.float32
    assert bag.features[:, 0].tolist() == [0] * 6 + [1e5] * 4
    tiles = mil.TileDataset.of(opened(cohort))
    assert tiles.__getitems__([6, 0])["features"][:, 0].tolist() == [1e5, 0]
    assert tiles.__getitems__([1, 0])["features"].dtype == np.float16
    features, bounds = cohort.lazy_features()
    assert features[bounds[1] : bounds[1] + 2].compute().tolist() == [[1e5] * DIM] * 2


def test_a_filtered_bag_is_verified_and_a_damaged_one_names_its_slide(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path, (6, 9))
    chunk = cohort.store("s1").path / "features" / "c" / "0" / "0"
    chunk.write_bytes(b"\7" + chunk.read_bytes()[1:])
    with pytest.raises(StoreError, match=r"s1\.zarr' is damaged: features/c/0/0 has the checksum"):
        opened(cohort)[1]  # two of its nine tiles are not valid
    with pytest.raises(StoreError, match=r"s1\.zarr' is damaged: features/c/0/0 has the checksum"):
        HeldBags.of(opened(cohort))
    assert len(opened(cohort, verify="never")[1]) == 7


def test_a_store_of_one_file_gives_the_same_bag(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path, (6, 9))
    wanted = opened(cohort)[1]
    path = cohort.store("s1").path
    pack(path, path.with_name("s1.zarr.zip"))
    shutil.rmtree(path)
    data = opened(cohort, max_tiles=7)
    assert data.bags[1].slides[0].path.name == "s1.zarr.zip"
    np.testing.assert_array_equal(data[1].features, wanted.features)


def test_a_spread_draw_leaves_smaller_gaps_than_a_random_one(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path, (600,))  # 120 lines of 5
    gaps = {}
    for sampling in ("spread", "random"):
        data = opened(cohort, max_tiles=60, sampling=sampling)
        found = []
        for epoch in range(8):
            data.set_epoch(epoch)
            apart = cohort.store("s0").grid[:, None] - data[0].grid[None]
            found.append(np.sqrt((apart**2).sum(axis=2)).min(axis=1).mean())  # from any tile to the nearest drawn one
        gaps[sampling] = np.mean(found)
    assert gaps["spread"] < 0.9 * gaps["random"]
