"""Finished programs of torch: what they compute, and which files are refused."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.loading import loaded_network
from wsi_features.errors import CardError, ProgramError, WeightsError

SIDE = 32
CPU = torch.device("cpu")


class Rows(nn.Module):
    """Channel means of left and right halves: six values an image."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((6,), 2.0))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([half.mean((2, 3)) for half in images.chunk(2, dim=3)], dim=1) * self.scale


class Broken(Rows):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images) / 0.0


class Pair(Rows):
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return super().forward(images), images


class Map(Rows):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * self.scale[0]


def scripted(network: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(network, torch.rand(2, 3, SIDE, SIDE), check_trace=False), path)
    return path


def exported(network: nn.Module, path: Path, **options: Any) -> Path:
    options = options or {"dynamic_shapes": {"images": {0: torch.export.Dim("batch", min=1)}}}
    torch.export.save(torch.export.export(network.eval(), (torch.rand(2, 3, SIDE, SIDE),), **options), path)
    return path


SAVED = {"torchscript": scripted, "exported": exported}


@pytest.fixture
def card(tiny_card: Callable[..., EncoderCard]) -> Callable[..., EncoderCard]:
    def make(builder: str, **changes: Any) -> EncoderCard:
        fields = {"builder": builder, "output": "pooled", "dim": 6, "prefix_tokens": 0} | changes
        return tiny_card(**fields).model_copy(update={"arguments": {}})

    return make


@pytest.mark.parametrize("builder", SAVED)
def test_a_program_computes_what_the_network_did(
    builder: str, card: Callable[..., EncoderCard], tmp_path: Path
) -> None:
    network, images = Rows(), torch.rand(5, 3, SIDE, SIDE)
    program, digest = loaded_network(card(builder, parameters=6), SAVED[builder](network, tmp_path / "a.pt2"), CPU)
    assert torch.equal(program(images), network(images))
    assert len(digest) == 64


@pytest.mark.parametrize("builder", SAVED)
@pytest.mark.parametrize(
    ("network", "changes", "told"),
    [
        (Rows(), {"dim": 7}, "the output dimension is 6, the card says 7"),
        (Rows(), {"parameters": 7}, "the parameter count is 6, the card says 7"),
        (Broken(), {}, "returns NaN or infinity for a plain image"),
        (Pair(), {}, "it returns a tuple, not one tensor"),
        (Map(), {}, r"returns \(1, 3, 32, 32\) for images \(1, 3, 32, 32\); wanted are rows"),
    ],
)
def test_a_program_that_is_not_the_card_s_is_refused(
    builder: str,
    network: nn.Module,
    changes: dict[str, Any],
    told: str,
    card: Callable[..., EncoderCard],
    tmp_path: Path,
) -> None:
    path = SAVED[builder](network, tmp_path / "a.pt2")
    with pytest.raises(WeightsError, match=told):
        loaded_network(card(builder, **changes), path, CPU)


def test_a_program_for_one_batch_size_is_refused(card: Callable[..., EncoderCard], tmp_path: Path) -> None:
    path = exported(Rows(), tmp_path / "a.pt2", dynamic_shapes=None)
    with pytest.raises(
        ProgramError, match="does not take images .1, 3, 32, 32.*export the program with a batch of any"
    ):
        loaded_network(card("exported"), path, CPU)


def test_a_program_for_another_size_of_images_is_refused(card: Callable[..., EncoderCard], tmp_path: Path) -> None:
    path = exported(Rows(), tmp_path / "a.pt2")
    with pytest.raises(ProgramError, match=r"does not take images \(1, 3, 48, 48\)"):
        loaded_network(card("exported", input_px=48), path, CPU)


@pytest.mark.parametrize("builder", SAVED)
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"a text of some length\n"])
def test_a_file_that_is_no_program_is_refused(
    builder: str, content: bytes, card: Callable[..., EncoderCard], tmp_path: Path
) -> None:
    (tmp_path / "a.pt2").write_bytes(content)
    with pytest.raises(ProgramError, match="is not a program that can be run here"):
        loaded_network(card(builder), tmp_path / "a.pt2", CPU)


class Trap:
    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ["TRAP"],)


def with_entry(path: Path, name: str, content: bytes) -> None:
    """The archive with one entry replaced or added."""
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    root = next(iter(entries)).split("/")[0]
    with zipfile.ZipFile(path, "w") as archive:
        for key, value in (entries | {f"{root}/{name}": content}).items():
            archive.writestr(key, value)


def test_pickled_code_in_an_exported_program_is_not_run(
    card: Callable[..., EncoderCard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAP", str(tmp_path / "sprung"))
    path = exported(Rows(), tmp_path / "a.pt2")
    torch.save(Trap(), tmp_path / "trap.pt")
    with_entry(path, "data/sample_inputs/model.pt", (tmp_path / "trap.pt").read_bytes())
    with pytest.raises(ProgramError, match="is not a program"):
        loaded_network(card("exported"), path, CPU)
    assert not (tmp_path / "sprung").exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


@pytest.mark.parametrize("entry", ["data/aotinductor/model/a.so", "data/constants/custom_obj_0"])
def test_compiled_parts_of_an_exported_program_are_not_loaded(
    entry: str, card: Callable[..., EncoderCard], tmp_path: Path
) -> None:
    path = exported(Rows(), tmp_path / "a.pt2")
    with_entry(path, entry, b"\x7fELF")
    with pytest.raises(ProgramError, match="it holds 'data/.*neither a graph nor a tensor"):
        loaded_network(card("exported"), path, CPU)


def test_arguments_of_a_program_are_refused(card: Callable[..., EncoderCard], tmp_path: Path) -> None:
    given = card("torchscript").model_copy(update={"arguments": {"depth": 2}})
    with pytest.raises(CardError, match="arguments is .*the file is the whole program"):
        loaded_network(given, scripted(Rows(), tmp_path / "a.pt"), CPU)
