"""Weights from the registry and the geometry contract, through whole runs of a tiny network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

import wsi_features
from wsi_features.cli.main import run_command
from wsi_features.cohort.status import read_status
from wsi_features.config import config_from
from wsi_features.encode.card import EncoderCard
from wsi_features.encode.registry import card_named
from wsi_features.encode.weights_store import Entry, WeightsRecord
from wsi_features.encode.weights_store.folder import put_copy
from wsi_features.errors import StainContractError
from wsi_features.stages.encoders import encoder_plans
from wsi_features.stages.plan import plan_of
from wsi_features.stain import StainRecipe
from wsi_features.store import FeatureStore


@pytest.fixture
def card(tiny_card: Callable[..., EncoderCard], tmp_path: Path) -> Callable[..., str]:
    """Writes a card of the tiny network for 256 px at 0.5 um/px, with fields changed."""

    def written(**changes: Any) -> str:
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(tiny_card(**{"tile_px": 256} | changes).model_dump(mode="json")))
        return str(path)

    return written


@pytest.fixture
def registered(tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """The tiny network's weights in a registry."""
    monkeypatch.setenv("WSI_WEIGHTS", str(tmp_path / "weights"))
    return entry_of(tiny_weights, tmp_path / "weights")


def entry_of(file: Path, folder: Path) -> Entry:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    size, added = file.stat().st_size, date(2026, 1, 2)
    about = {"encoder": "tiny", "sha256": digest, "size": size, "file": file.name, "source": "here", "licence": "-"}
    return put_copy(folder, file, WeightsRecord(**about, added=added))


def run(tmp_path: Path, slides: Sequence[Path], out: str = "out", **config: Any) -> int:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config | {"tuning": {"workers": 2}}))
    arguments = ["--config", str(tmp_path / "config.yaml"), "--out", str(tmp_path / out), "--no-report"]
    return run_command(["run", *map(str, slides), *arguments])


def store_of(tmp_path: Path, out: str = "out") -> FeatureStore:
    return wsi_features.open(str(tmp_path / out)).store("small")


def test_a_name_in_the_config_finds_its_weights_and_gives_the_store_that_a_named_file_gives(
    card: Any, registered: Entry, tiny_weights: Path, slide_folder: Path, tmp_path: Path
) -> None:
    slides, name = [slide_folder / "small.svs"], card()
    assert run(tmp_path, slides, encoders=[name]) == 0
    assert run(tmp_path, slides, "named", encoders=[{"name": name, "weights": str(tiny_weights)}]) == 0
    found, named = store_of(tmp_path), store_of(tmp_path, "named")
    assert found.provenance.weights_sha256 == registered.record.sha256
    assert (found.path / "commit.json").read_bytes() == (named.path / "commit.json").read_bytes()
    assert found.path.parent.name == named.path.parent.name


@pytest.mark.usefixtures("registered")
def test_missing_and_doubtful_weights_are_told_before_anything_is_started(
    card: Any, slide_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, [slide_folder / "small.svs"], encoders=["uni"]) == 2
    assert "Run `wsi-features weights fetch uni` where there is a network" in capsys.readouterr().err
    (tmp_path / "other.bin").write_bytes(b"other")
    entry_of(tmp_path / "other.bin", tmp_path / "weights")
    assert run(tmp_path, [slide_folder / "small.svs"], encoders=[card()]) == 2
    assert "encoder 'tiny' has 2 weights files" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_of_the_registry_is_refused_by_its_name(
    card: Any, registered: Entry, slide_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(registered.file.read_bytes())
    content[-3] ^= 1  # a number a little different: nothing else would notice
    registered.file.write_bytes(content)
    assert run(tmp_path, [slide_folder / "small.svs"], encoders=[card()]) == 2
    assert "not that of its name: it was damaged or changed" in capsys.readouterr().err


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("tiles", [{"mpp": 1.0}, {"size": 512}, {"size": 32, "mpp": 0.3}])
def test_a_grid_outside_the_card_is_refused_with_the_tiles_that_fit(
    card: Any, slide_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], tiles: dict[str, Any]
) -> None:
    assert run(tmp_path, [slide_folder / "small.svs"], encoders=[card()], tiles=tiles) == 2
    told = capsys.readouterr().err
    assert "`tiles: {size: 256, mpp: 0.5}`" in told
    assert "`scale: any`" in told


@pytest.mark.usefixtures("registered")
def test_an_override_embeds_and_every_store_says_so(card: Any, slide_folder: Path, tmp_path: Path) -> None:
    choice = {"name": card(), "scale": "any"}
    assert run(tmp_path, [slide_folder / "small.svs"], encoders=[choice], tiles={"mpp": 1.0}) == 0
    store = store_of(tmp_path)
    assert store.attributes["outside_card"] is True
    assert (store.provenance.mpp_effective, store.provenance.encoder["mpp_range"]) == (1.0, [0.4, 0.6])


@pytest.mark.usefixtures("registered")
def test_an_override_that_is_not_needed_changes_no_byte(card: Any, slide_folder: Path, tmp_path: Path) -> None:
    name, slides = card(), [slide_folder / "small.svs"]
    assert run(tmp_path, slides, "card", encoders=[name]) == 0
    assert run(tmp_path, slides, "any", encoders=[{"name": name, "scale": "any"}]) == 0
    plain, over = store_of(tmp_path, "card"), store_of(tmp_path, "any")
    assert "outside_card" not in over.attributes
    assert (plain.path / "commit.json").read_bytes() == (over.path / "commit.json").read_bytes()


CARD_STAIN = {"method": "macenko", "target": "the target image of the authors"}


@pytest.mark.parametrize("stain", [{}, {"method": "reinhard"}, {"method": "macenko"}])
def test_a_card_that_needs_a_stain_normalization_refuses_another_with_the_remedy(card: Any, stain: Any) -> None:
    config = config_from({"encoders": [card(stain=CARD_STAIN)], "stain": stain}, "test")
    with pytest.raises(
        StainContractError,
        match=r"macenko to the target image of the authors.*Set `stain.method` to macenko.*`stain: any`",
    ):
        encoder_plans(config)


def test_the_cards_stain_normalization_with_a_target_of_ones_own_is_accepted(card: Any) -> None:
    own = {"method": "macenko", "target": "authors.png"}
    (plan,) = encoder_plans(config_from({"encoders": [card(stain=CARD_STAIN)], "stain": own}, "test"))
    assert not plan.other_stain(StainRecipe(**own))


def test_another_stain_normalization_than_the_cards_is_an_override_that_stores_record(card: Any) -> None:
    choice = {"name": card(stain=CARD_STAIN), "stain": "any"}
    (plan,) = encoder_plans(config_from({"encoders": [choice]}, "test"))
    assert plan.other_stain(StainRecipe())
    assert card_named("exaonepath_1_0").stain is not None
    assert card_named("uni").stain is None


@pytest.mark.usefixtures("registered")
def test_a_slide_whose_real_resolution_leaves_the_card_fails_alone(
    card: Any, slide_folder: Path, tmp_path: Path
) -> None:
    sheet = tmp_path / "cohort.csv"
    small, fine = slide_folder / "small.svs", slide_folder / "fine.svs"
    sheet.write_text(f"slide_id,path,mpp\nsmall,{small},0.52\nfine,{fine},\n")
    narrow = card(mpp_range=(0.5, 0.51))  # 0.52 um/px is read one to one where 0.5 is asked for
    assert run(tmp_path, [sheet], encoders=[narrow]) == 1
    rows = {row["slide_id"]: row for row in read_status(tmp_path / "out/status.tsv")}
    assert (rows["small"]["status"], rows["small"]["reason"], rows["small"]["stage"]) == ("failed", "scale", "embed")
    assert "'small'" in rows["small"]["message"]
    assert "256 px of 0.52 um" in rows["small"]["message"]
    assert rows["fine"]["status"] == "ok"  # 0.5004 um/px: whole pixels of a slide of 0.2431 um/px
    assert run(tmp_path, [sheet], encoders=[{"name": narrow, "scale": "any"}]) == 0
    assert store_of(tmp_path).attributes["outside_card"] is True


def test_a_registry_that_was_carried_elsewhere_reruns_nothing(
    card: Any, registered: Entry, slide_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"encoders": [card()], "manifest": str(slide_folder), "out": str(tmp_path / "out")}
    before = plan_of(config).recipe("embed")
    assert registered.record.sha256 in before
    assert run_command(["weights", "export", str(tmp_path / "carried")]) == 0
    monkeypatch.setenv("WSI_WEIGHTS", str(tmp_path / "carried"))
    registered.file.unlink()
    assert plan_of(config).recipe("embed") == before
