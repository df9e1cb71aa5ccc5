"""The table of encoders: what a person needs to choose one, in a terminal or for a program."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from wsi_features.cli.main import run_command
from wsi_features.encode.card import EncoderCard
from wsi_features.encode.registry import cards
from wsi_features.encode.weights import sha256_of
from wsi_features.encode.weights_store import WeightsRecord
from wsi_features.encode.weights_store.cards import card_of_weights
from wsi_features.encode.weights_store.folder import put_copy
from wsi_features.encode.weights_store.record import key_of


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WSI_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def put(folder: Path, key: str, content: bytes) -> None:
    source = folder.parent / "w.bin"
    source.write_bytes(content)
    about = {"encoder": key, "sha256": sha256_of(source), "size": len(content), "file": "w.bin", "source": "here"}
    put_copy(folder, source, WeightsRecord(**about, licence="-", added=date(2026, 1, 2)))


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    assert run_command(["encoders", "list", "--json"]) == 0
    return {facts["name"]: facts for facts in map(json.loads, capsys.readouterr().out.splitlines())}


def test_every_card_is_one_line_of_a_terminal_with_its_whole_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["encoders", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [card.name for card in cards()]
    assert [line.split()[0] for line in lines[1 : len(names) + 1]] == names
    assert max(map(len, lines)) <= 100


def test_the_table_says_where_the_weights_are(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder, "virchow2", b"one")
    put(folder, "lunit_vits16", b"one")
    put(folder, "lunit_vits16", b"two")
    found = listed(capsys)
    assert found["virchow2:cls"]["weights"] == found["virchow2:cls+mean"]["weights"] == "here"
    assert Path(found["virchow2:cls"]["path"]).read_bytes() == b"one"
    assert found["lunit_vits16"]["weights"] == "unclear"
    assert "has 2 weights files" in found["lunit_vits16"]["why"]
    assert (found["uni"]["weights"], found["histo-texture"]["weights"]) == ("gated", "none needed")
    assert "weights fetch uni" in found["uni"]["why"]


def test_an_encoder_that_is_not_built_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    found = listed(capsys)
    absent = [facts for facts in found.values() if not facts["built"]]
    assert all(facts["why"] and facts["weights"] in _KINDS for facts in absent)
    for facts in absent[:1]:
        assert run_command(["encoders", "show", facts["name"]]) == 0
        shown = capsys.readouterr().out
        assert yaml.safe_load(shown)["requires"]["kind"] == facts["weights"]
        assert "# not built here: " in shown


_KINDS = {"remote-code", "package", "not-public", "facts"}


def test_a_card_is_shown_as_it_will_be_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder, "virchow2", b"one")
    assert run_command(["encoders", "show", "virchow2:cls+mean"]) == 0
    shown = capsys.readouterr().out
    assert EncoderCard.model_validate(yaml.safe_load(shown)).dim == 2560
    assert f"# weights: {folder}" in shown


def test_variants_of_a_shipped_card_share_one_published_file() -> None:
    sharing: dict[str, set[tuple[Any, ...]]] = {}
    for card in cards():
        if isinstance(card, EncoderCard):
            published = (card.source, card.weights_sha256, card.licence, card.gated)
            sharing.setdefault(key_of(card), set()).add(published)
    assert [key for key, published in sharing.items() if len(published) > 1] == []


def test_a_weights_command_takes_the_encoder_or_any_of_its_variants(tiny_card: Callable[..., EncoderCard]) -> None:
    assert key_of(card_of_weights("virchow2")) == "virchow2"
    assert card_of_weights("virchow2:cls+mean").name == "virchow2:cls+mean"
    assert key_of(tiny_card(name="mine:mean")) == "mine"
