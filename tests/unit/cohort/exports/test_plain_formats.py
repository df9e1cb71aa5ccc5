"""Plain files: read by their own libraries, equal to the store to the bit."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from wsi_features.store import FeatureStore

To = Callable[..., Path]


def test_numpy_reads_the_stored_precision(to: To, first: FeatureStore) -> None:
    folder = to("npy")
    features = np.load(folder / "first.npy")
    assert features.dtype == np.float16
    np.testing.assert_array_equal(features, first.features[:][first.valid])
    np.testing.assert_array_equal(np.load(folder / "first.coords.npy"), first.coords[first.valid])
    assert json.loads((folder / "first.json").read_text())["licence"] == "CC-BY-NC-4.0"
    assert np.load(folder / "glass.npy").shape == (0, 3)


def test_safetensors_reads_rows_positions_and_metadata(to: To, first: FeatureStore) -> None:
    from safetensors import safe_open

    with safe_open(to("safetensors") / "first.safetensors", "numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("features"), first.features[:][first.valid])
        np.testing.assert_array_equal(file.get_tensor("coords"), first.coords[first.valid])
        assert file.metadata()["fingerprint"] == first.fingerprint
        assert file.metadata()["licence"] == "CC-BY-NC-4.0"


def test_safetensors_of_an_empty_slide_load(to: To) -> None:
    from safetensors.numpy import load_file

    assert load_file(to("safetensors") / "glass.safetensors")["features"].shape == (0, 3)


def test_torch_loads_a_dict_without_running_code(to: To, first: FeatureStore) -> None:
    import torch

    found = torch.load(to("pt") / "first.pt", weights_only=True)
    assert (found["slide_id"], found["fingerprint"], found["span"]) == ("first", first.fingerprint, 508)
    np.testing.assert_array_equal(found["features"].numpy(), first.features[:][first.valid])
    np.testing.assert_array_equal(found["coords"].numpy(), first.coords[first.valid])


def test_csv_has_a_line_a_tile_whose_numbers_come_back_equal(to: To, first: FeatureStore) -> None:
    rows = list(csv.reader((to("csv") / "first.csv").read_text().splitlines()))
    assert rows[0] == ["slide_id", "x", "y", "f0", "f1", "f2"]
    assert [[int(x), int(y)] for _, x, y, *_ in rows[1:]] == first.coords[first.valid].tolist()
    assert np.array(rows[1:])[:, 3:].astype(np.float16).tolist() == first.features[:][first.valid].tolist()
