"""eva and slideflow: tensors of float32, with the tables and indices that their readers start from."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from wsi_features.store import FeatureStore

torch = pytest.importorskip("torch")
To = Callable[..., Path]


def test_the_manifest_of_eva_has_a_line_a_slide_with_numbers_for_labels(to: To, labels: Path) -> None:
    folder = to("eva", labels=labels)
    lines = list(csv.reader((folder / "manifest.csv").read_text().splitlines()))
    assert lines == [
        ["origin", "embeddings", "target", "split", "wsi_id"],
        ["first", "embeddings/first.pt", "1", "train", "first"],
        ["second", "embeddings/second.pt", "0", "val", "second"],
    ]
    assert json.loads((folder / "classes.json").read_text()) == {"normal": 0, "tumour": 1}


def test_the_tensors_of_eva_are_rows_of_float32(to: To, first: FeatureStore) -> None:
    tensor = torch.load(to("eva") / "embeddings" / "first.pt", weights_only=True)
    assert tensor.dtype == torch.float32
    np.testing.assert_array_equal(tensor.numpy(), first.features[:][first.valid].astype(np.float32))


def test_without_labels_target_and_split_stay_empty_and_the_user_is_told(to: To, tmp_path: Path) -> None:
    rows = list(csv.DictReader((to("eva") / "manifest.csv").read_text().splitlines()))
    assert [(row["target"], row["split"]) for row in rows] == [("", "")] * 2
    said = (tmp_path / "said.txt").read_text()
    assert "2 of 2 slides have no target in manifest.csv" in said
    assert "2 of 2 slides have no split" in said


def test_labels_are_added_to_an_export_of_eva_without_writing_tensors_again(to: To, labels: Path) -> None:
    written = (to("eva") / "embeddings" / "first.pt").stat().st_mtime_ns
    folder = to("eva", labels=labels)
    assert (folder / "embeddings" / "first.pt").stat().st_mtime_ns == written
    assert "tumour" in (folder / "classes.json").read_text()


def test_whole_numbers_are_their_own_targets(to: To, tmp_path: Path) -> None:
    (tmp_path / "grades.csv").write_text("slide,target\nfirst,10\nsecond,2\n")
    rows = csv.DictReader((to("eva", labels=tmp_path / "grades.csv") / "manifest.csv").read_text().splitlines())
    assert [row["target"] for row in rows] == ["10", "2"]


def test_slideflow_gets_centres_not_corners(to: To, first: FeatureStore) -> None:
    with np.load(to("slideflow") / "first.index.npz") as index:
        assert index.files == ["arr_0"]
        np.testing.assert_array_equal(index["arr_0"], first.coords[first.valid] + 254)


def test_the_bags_of_slideflow_lie_beside_their_index_without_empty_slides(to: To) -> None:
    folder = to("slideflow")
    bags = sorted(path.name for path in folder.glob("*.pt"))
    assert bags == ["first.pt", "second.pt"]
    bag = torch.load(folder / "first.pt", weights_only=True)
    assert (bag.dtype, tuple(bag.shape)) == (torch.float32, (6, 3))


def test_the_config_of_slideflow_says_how_the_bags_were_made(to: To) -> None:
    config = json.loads((to("slideflow") / "bags_config.json").read_text())
    assert config.pop("wsi_features") == {"encoder": "tiny", "licence": "CC-BY-NC-4.0"}
    assert config == {
        "extractor": {"class": "tiny", "kwargs": {}},
        "normalizer": {"method": "macenko", "fit": None},
        "num_features": 3,
        "tile_px": 256,
        "tile_um": 128,
    }
