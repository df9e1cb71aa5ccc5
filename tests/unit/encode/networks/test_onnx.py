"""Programs of ONNX, made by hand: what they compute, and which files are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.loading import loaded_network
from wsi_features.errors import CardError, LibraryError, ProgramError, WeightsError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
CPU = torch.device("cpu")


def model(
    path: Path, *, side: int = 32, batch: str | int = "b", outputs: tuple[str, ...] = ("rows",), scale: float = 2
) -> Path:
    """Rows (b, 3): the mean of each channel, scaled."""
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        make.make_node("ReduceMean", ["images"], ["means"], axes=[2, 3], keepdims=0),
        *(make.make_node("Mul", ["means", "scale"], [name]) for name in outputs),
    ]
    graph = make.make_graph(
        nodes,
        "rows",
        [make.make_tensor_value_info("images", kind, [batch, 3, side, side])],
        [make.make_tensor_value_info(name, kind, [batch, 3]) for name in outputs],
        [onnx.numpy_helper.from_array(np.full(3, scale, np.float32), "scale")],
    )
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.fixture
def card(tiny_card: Callable[..., EncoderCard]) -> Callable[..., EncoderCard]:
    def make(arguments: dict[str, Any] | None = None, **changes: Any) -> EncoderCard:
        fields = {"builder": "onnx", "output": "pooled", "dim": 3, "prefix_tokens": 0} | changes
        return tiny_card(**fields).model_copy(update={"arguments": arguments or {}})

    return make


def test_a_program_computes_its_rows(card: Callable[..., EncoderCard], tmp_path: Path) -> None:
    images = torch.rand(5, 3, 32, 32)
    program, digest = loaded_network(card(), model(tmp_path / "a.onnx"), CPU)
    torch.testing.assert_close(program(images), 2 * images.mean((2, 3)))
    assert len(digest) == 64


def test_the_card_says_which_of_several_outputs_is_meant(card: Callable[..., EncoderCard], tmp_path: Path) -> None:
    path = model(tmp_path / "a.onnx", outputs=("rows", "more"))
    with pytest.raises(CardError, match="arguments.output is None; wanted: one of rows, more"):
        loaded_network(card(), path, CPU)
    program, _ = loaded_network(card({"output": "more"}), path, CPU)
    assert program(torch.rand(2, 3, 32, 32)).shape == (2, 3)


@pytest.mark.parametrize(
    ("made", "changes", "told"),
    [
        ({}, {"dim": 4}, "the output dimension is 3, the card says 4"),
        ({"side": 48}, {}, r"does not take images \(1, 3, 32, 32\)"),
        ({"batch": 1}, {}, r"does not take images \(3, 3, 32, 32\)"),
        ({"scale": float("inf")}, {}, "returns NaN or infinity"),
    ],
)
def test_a_program_that_is_not_the_card_s_is_refused(
    made: dict[str, Any], changes: dict[str, Any], told: str, card: Callable[..., EncoderCard], tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=told):
        loaded_network(card(**changes), model(tmp_path / "a.onnx", **made), CPU)


@pytest.mark.parametrize("content", [b"", b"a text of some length\n"])
def test_a_file_that_is_no_program_is_refused(content: bytes, card: Callable[..., EncoderCard], tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(ProgramError, match="is not a program that can be run here"):
        loaded_network(card(), tmp_path / "a.onnx", CPU)


def test_a_program_whose_weights_lie_in_another_file_is_refused(
    card: Callable[..., EncoderCard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = model(tmp_path / "a.onnx")
    onnx.save(onnx.load(path), path, save_as_external_data=True, size_threshold=0, location="a.data")
    assert (tmp_path / "a.data").exists()
    with pytest.raises(ProgramError, match="is not a program that can be run here"):
        loaded_network(card(), path, CPU)


def test_a_gpu_that_this_build_cannot_use_is_not_quietly_replaced(
    card: Callable[..., EncoderCard], tmp_path: Path
) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this build can use a GPU")
    with pytest.raises(LibraryError, match="was asked for on cuda, which this ONNX Runtime .* cannot use"):
        loaded_network(card(), model(tmp_path / "a.onnx"), torch.device("cuda"))
