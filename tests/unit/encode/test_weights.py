from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from wsi_features.encode.weights import check_state, load_state, sha256_of, without_classifier
from wsi_features.errors import WeightsError


def some_state() -> dict[str, torch.Tensor]:
    return {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.ones(3), "steps": torch.tensor(7)}


def saved(folder: Path, content: Any) -> Path:
    torch.save(content, folder / "w.pt")
    return folder / "w.pt"


def refusal(path: Path, told: str) -> None:
    with pytest.raises(WeightsError, match=f"encoder 'e': .*{path.name}.*{told}"):
        load_state("e", path)


def check_equal(state: dict[str, torch.Tensor]) -> None:
    assert state.keys() == some_state().keys()
    assert all(torch.equal(state[key], tensor) for key, tensor in some_state().items())
    assert state["a.weight"].dtype == torch.float32


def test_safetensors_are_loaded_with_the_sha256_of_the_file(tmp_path: Path) -> None:
    save_file(some_state(), tmp_path / "w.bin")  # told apart by content, not by the name's ending
    state, sha256 = load_state("e", tmp_path / "w.bin")
    check_equal(state)
    assert sha256 == hashlib.sha256((tmp_path / "w.bin").read_bytes()).hexdigest() == sha256_of(tmp_path / "w.bin")


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_state_dict_is_loaded_bare_or_in_one_usual_wrapper(
    tmp_path: Path, wrapper: str | None, zipped: bool
) -> None:
    content = some_state() if wrapper is None else {wrapper: some_state()}
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    check_equal(load_state("e", tmp_path / "w.pt")[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    state = load_state("e", saved(tmp_path, {"a": torch.tensor([0.5, -3.0], dtype=dtype)}))[0]
    assert state["a"].dtype == torch.float32
    assert state["a"].tolist() == [0.5, -3.0]


def test_rewriting_the_file_does_not_reach_the_loaded_weights(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(5, 3)}, path)
    state = load_state("e", path)[0]
    with path.open("r+b") as file:
        file.seek(-60, os.SEEK_END)
        file.write(bytes(60))
    assert state["a"].sum() == 15


def test_an_absent_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.pt", tmp_path):
        with pytest.raises(WeightsError, match="no weights file at .*Correct the path"):
            load_state("e", path)


@pytest.mark.parametrize("content", [b"", b"weights of the model\n", b"\x89HDF\r\n\x1a\n....", b"{}"])
def test_a_file_of_another_kind_is_refused_by_what_it_starts_with(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.txt").write_bytes(content)
    refusal(tmp_path / "w.txt", "not a safetensors file .*it starts with")


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    refusal(saved(tmp_path, {"a": torch.ones(2), "b": Bomb(tmp_path / "made")}), "it would import .*mkdir")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([torch.ones(2)], "not tensors by name"),
        ({}, "not tensors by name"),
        ({"a": torch.ones(2), "epoch": 3}, "entry 'epoch' is a int"),
        ({"teacher": {"a": torch.ones(2)}}, "entry 'teacher' is a dict"),
        ({"model": {"a": torch.ones(2)}, "epoch": 3}, "entry 'model' is a dict"),
        ({1: torch.ones(2)}, "entry 1 is not a dense, named tensor"),
        ({"a": torch.ones(2, device="meta")}, "entry 'a' is not a dense"),
        (torch.nn.Linear(3, 2), "it would import torch.nn"),
    ],
)
def test_what_is_not_a_dict_of_tensors_is_refused(tmp_path: Path, content: Any, told: str) -> None:
    refusal(saved(tmp_path, content), told)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused_by_key(tmp_path: Path, value: float) -> None:
    refusal(saved(tmp_path, {"good": torch.ones(2), "bad": torch.tensor([1.0, value])}), "NaN or infinity in 'bad'")


def test_another_sha256_than_the_card_s_is_refused_before_the_content_is_read(tmp_path: Path) -> None:
    (tmp_path / "w.txt").write_text("no weights at all")
    with pytest.raises(
        WeightsError, match=f"the SHA-256 of .* is {sha256_of(tmp_path / 'w.txt')}, the card says {'0' * 64}"
    ):
        load_state("e", tmp_path / "w.txt", wanted_sha256="0" * 64)


def test_the_card_s_sha256_is_accepted(tmp_path: Path) -> None:
    path = saved(tmp_path, some_state())
    check_equal(load_state("e", path, wanted_sha256=sha256_of(path))[0])


@pytest.mark.filterwarnings("ignore")  # torch also warns of odd pickles
@given(data=st.data(), zipped=st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_damaged_file_is_loaded_or_refused_but_never_ends_otherwise(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, zipped: bool
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "w.pt"
    torch.save(some_state(), path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    cut = data.draw(st.integers(3, len(whole)))
    at = data.draw(st.integers(3, cut))  # the first bytes tell the kind, and are tested above
    path.write_bytes(whole[:at] + data.draw(st.binary(max_size=2)) + whole[at:cut])
    try:
        state = load_state("e", path)[0]
    except WeightsError:
        return
    assert all(torch.isfinite(tensor).all() for tensor in state.values())


def test_a_state_that_fits_passes() -> None:
    check_state("e", Path("w"), some_state(), some_state())


def test_missing_and_left_over_keys_are_refused_together() -> None:
    state = some_state()
    state["head.bias"] = state.pop("a.bias")
    with pytest.raises(WeightsError, match=r"1 missing \(first: a.bias\), 1 unexpected \(first: head.bias\)"):
        check_state("e", Path("w"), state, some_state())


@pytest.mark.parametrize("change", ["a.bias", "extra"])
def test_one_key_too_few_or_too_many_is_enough_to_refuse(change: str) -> None:
    state = some_state() | {"extra": torch.ones(1)}
    del state[change]
    wanted = some_state() if change == "a.bias" else some_state() | {"extra": torch.ones(1)}
    with pytest.raises(WeightsError, match=r"1 missing|1 unexpected"):
        check_state("e", Path("w"), state, wanted)


def test_a_tensor_of_another_shape_is_refused_even_with_as_many_values() -> None:
    state = some_state() | {"a.weight": torch.zeros(4, 3)}
    with pytest.raises(WeightsError, match=r"the shape of 'a.weight' is \(4, 3\), the card says \(3, 4\)"):
        check_state("e", Path("w"), state, some_state())


def test_weights_stored_as_whole_numbers_are_refused() -> None:
    state = some_state() | {"a.weight": torch.ones(3, 4, dtype=torch.int8)}
    with pytest.raises(WeightsError, match=r"the type of 'a.weight' is torch.int8, the card says torch.float32"):
        check_state("e", Path("w"), state, some_state())


def test_only_a_classifier_that_the_network_lacks_is_left_unread() -> None:
    state = dict.fromkeys(
        ["head.weight", "head.bias", "head_dist.weight", "fc.weight", "head.norm.weight"], torch.ones(1)
    )
    left = without_classifier(state, ["fc.weight"], ["head", "fc"])
    assert sorted(left) == ["fc.weight", "head.norm.weight", "head_dist.weight"]
