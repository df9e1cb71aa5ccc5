"""Tiles on which a network leaves the range of fp16: the slide fails by name, or they are computed again in fp32."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from wsi_features.cli.main import run_command
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import read_meter
from wsi_features.config import Config
from wsi_features.encode.card import EncoderCard
from wsi_features.stages.encoders import encoder_plans
from wsi_features.store import FeatureStore, find_stores

Ran = Callable[..., tuple[int, Outputs]]


@pytest.fixture
def files(tiny_card: Callable[..., EncoderCard], overflowing_weights: Path, tmp_path: Path) -> Path:
    """A card, and weights with which the patches of bright tiles leave the range of fp16."""
    shutil.copy(overflowing_weights, tmp_path / "large.safetensors")
    (tmp_path / "bright.yaml").write_text(yaml.safe_dump(tiny_card(name="bright", tile_px=256).model_dump(mode="json")))
    return tmp_path


@pytest.fixture
def ran(files: Path, slide_folder: Path, tmp_path: Path) -> Ran:
    def run(name: str, **choice: str) -> tuple[int, Outputs]:
        encoder = {"name": str(files / "bright.yaml"), "weights": str(files / "large.safetensors")} | choice
        config = tmp_path / f"{name}.yaml"
        config.write_text(yaml.safe_dump({"encoders": [encoder], "tuning": {"device": "cpu", "batch": 8}}))
        out = tmp_path / name
        code = run_command(["run", str(slide_folder / "small.svs"), "--out", str(out), "--config", str(config)])
        return code, Outputs(out)

    return run


def store_of(out: Outputs) -> FeatureStore:
    (path,) = find_stores(out.root)
    return FeatureStore.open(path)


def test_by_default_the_slide_fails_by_name_with_the_remedy(ran: Ran) -> None:
    code, out = ran("fails", precision="fp16")
    assert code == 1
    status = out.status.read_text()
    assert "non_finite" in status
    assert "slide 'small': bright returned" in status
    assert "Set the encoder's `nonfinite` to fp32" in status
    assert not find_stores(out.root)


def test_with_a_second_network_in_fp32_the_slide_is_embedded_and_the_record_says_so(ran: Ran) -> None:
    code, out = ran("mends", precision="fp16", nonfinite="fp32")
    assert code == 0
    (note,) = [note for note in read_meter(out.record("embed", "00000"))["notes"] if "NaN" in note]
    assert note.endswith("those tiles were computed again in fp32")
    store = store_of(out)
    assert store.provenance.recipes["embed"]["encoder"]["nonfinite"] == "fp32"
    _, exact = ran("exact", precision="fp32")
    np.testing.assert_allclose(store.features[:].astype(np.float32), store_of(exact).features[:], rtol=0.05, atol=0.05)


def test_two_runs_with_a_second_network_give_the_same_bytes(ran: Ran) -> None:
    contents = []
    for name in ("one", "two"):
        _, out = ran(name, precision="fp16", nonfinite="fp32")
        root = find_stores(out.root)[0]
        contents.append({path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()})
    assert contents[0] == contents[1]


def test_what_cannot_be_mended_is_not_part_of_the_recipe(files: Path) -> None:
    choice = {"name": str(files / "bright.yaml"), "nonfinite": "fp32"}
    in_fp32, in_fp16 = (encoder_plans(Config(encoders=(choice | {"precision": p},)))[0] for p in ("fp32", "fp16"))
    assert (in_fp32.nonfinite, in_fp16.nonfinite) == ("fail", "fp32")
