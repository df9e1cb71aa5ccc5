"""The weights commands as a user types them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from wsi_features.cli.main import run_command
from wsi_features.encode.card import EncoderCard


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WSI_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def card(tiny_card: Callable[..., EncoderCard], tmp_path: Path) -> Callable[..., str]:
    def written(**changes: Any) -> str:
        (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny_card(**changes).model_dump(mode="json")))
        return str(tmp_path / "tiny.yaml")

    return written


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()] if folder.exists() else []


@pytest.mark.usefixtures("folder")
def test_what_is_added_is_listed_verified_and_exported(
    card: Any, tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    about = ["--source", "zenodo.org/1", "--revision", "v2", "--licence", "CC0"]
    assert run_command(["weights", "add", card(), str(tiny_weights), *about]) == 0
    assert "added     tiny: tiny.safetensors" in capsys.readouterr().out
    assert run_command(["weights", "list", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["encoder"], facts["source"], facts["revision"], facts["licence"]) == (
        "tiny",
        "zenodo.org/1",
        "v2",
        "CC0",
    )
    assert facts["present"] is True
    assert run_command(["weights", "verify"]) == 0
    assert capsys.readouterr().out == "1 files checked, 0 bad\n"
    assert run_command(["weights", "export", str(tmp_path / "carry"), "tiny"]) == 0
    assert (tmp_path / "carry/sha256" / facts["sha256"][:2] / facts["sha256"]).read_bytes() == tiny_weights.read_bytes()


def test_the_list_is_a_table_of_100_columns(
    folder: Path, card: Any, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_command(["weights", "add", card(), str(tiny_weights), "--source", "a long story " * 10])
    capsys.readouterr()
    assert run_command(["weights", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(folder)
    assert lines[2].split() == ["ENCODER", "SIZE", "SHA-256", "ADDED", "LICENCE", "SOURCE"]
    assert lines[3].startswith("tiny ")
    assert len(lines[3]) == 100
    assert lines[3].endswith("…")


def test_an_empty_registry_is_listed_with_the_folder_that_is_not_there(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["weights", "list"]) == 0
    assert capsys.readouterr().out == f"{folder} (not there)\n"


def test_a_linked_file_takes_no_space_and_is_missed_when_it_is_moved(
    folder: Path, card: Any, tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.bin"
    mine.write_bytes(tiny_weights.read_bytes())
    assert run_command(["weights", "add", card(), str(mine), "--link"]) == 0
    assert [path.is_symlink() for path in sorted(files(folder))] == [False, True]
    mine.rename(tmp_path / "other.bin")
    capsys.readouterr()
    assert run_command(["weights", "verify"]) == 1
    told = capsys.readouterr()
    assert f"tiny: gone: {folder}" in told.err
    assert f"links to '{mine}'" in told.err
    assert told.out == "1 files checked, 1 bad\n"


class Planted:
    """Runs a command when it is unpickled the careless way."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.made),))


def test_a_file_that_is_not_the_network_is_refused_with_the_reason_and_not_stored(
    folder: Path, card: Any, tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = load_file(tiny_weights)
    wrong = {
        "no cls_token": {k: v for k, v in state.items() if k != "cls_token"},
        "one more": state | {"head.gamma": torch.ones(3)},
        "other shape": state | {"cls_token": torch.ones(1, 1, 25)},
        "not finite": state | {"norm.bias": torch.full((24,), torch.nan)},
    }
    told = (
        "1 missing (first: cls_token)",
        "1 unexpected (first: head.gamma)",
        "(1, 1, 25)",
        "NaN or infinity in 'norm.bias'",
    )
    for (name, content), reason in zip(wrong.items(), told, strict=True):
        save_file(content, tmp_path / f"{name}.safetensors")
        assert run_command(["weights", "add", card(), str(tmp_path / f"{name}.safetensors")]) == 2
        assert reason in capsys.readouterr().err
    assert not files(folder)


def test_a_truncated_file_and_one_with_code_in_it_are_refused_and_nothing_runs(
    folder: Path, card: Any, tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "short.bin").write_bytes(tiny_weights.read_bytes()[:-100])
    torch.save({"cls_token": Planted(tmp_path / "made")}, tmp_path / "code.pt")
    for name in ("short.bin", "code.pt", "nowhere.pt"):
        assert run_command(["weights", "add", card(), str(tmp_path / name)]) == 2
        assert name in capsys.readouterr().err
    assert not (tmp_path / "made").exists()
    assert not files(folder)


def test_a_file_of_another_digest_than_the_card_states_is_refused(
    folder: Path, card: Any, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["weights", "add", card(weights_sha256="0" * 64), str(tiny_weights)]) == 2
    assert f"wanted is {'0' * 64}. Nothing was stored" in capsys.readouterr().err
    assert not files(folder)


def test_an_encoder_without_weights_takes_none(tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["weights", "add", "histo-texture", str(tiny_weights)]) == 2
    assert "encoder 'histo-texture' has no weights: it works as it is" in capsys.readouterr().err


def test_a_damaged_file_is_found_with_what_mends_it(
    folder: Path, card: Any, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = card()
    run_command(["weights", "add", name, str(tiny_weights)])
    (stored,) = (folder / "sha256").glob("*/*")
    stored.write_bytes(stored.read_bytes()[:-1] + b"?")
    capsys.readouterr()
    assert run_command(["weights", "verify", "--json"]) == 1
    finding = json.loads(capsys.readouterr().out)
    assert (finding["encoder"], finding["state"], finding["path"]) == ("tiny", "damaged", str(stored))
    assert run_command(["weights", "add", name, str(tiny_weights)]) == 0
    assert run_command(["weights", "verify"]) == 0


def test_an_encoder_is_checked_with_the_registry_s_weights(
    folder: Path, card: Any, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = card()
    assert run_command(["encoders", "check", name]) == 2
    assert "weights add tiny FILE" in capsys.readouterr().err
    run_command(["weights", "add", name, str(tiny_weights)])
    assert run_command(["encoders", "check", name]) == 0
    assert "the same batch gives the same bytes" in capsys.readouterr().out
    assert files(folder)
