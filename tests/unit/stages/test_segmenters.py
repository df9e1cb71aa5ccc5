"""Learned segmenters from a weights file in its published form, through a slide, to a mask and columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from wsi_features.cli.main import run_command
from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import SlideResult
from wsi_features.config import Config, config_from
from wsi_features.errors import TissueModelError
from wsi_features.files import read_json
from wsi_features.slides import open_slide
from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.stages import tissue as stages_tissue
from wsi_features.stages.boundary import guarded
from wsi_features.stages.encoders import encoder_plans
from wsi_features.stages.isolation import Inspector
from wsi_features.stages.lineage import Lineage
from wsi_features.stages.segmenters import weights_card
from wsi_features.stages.tiles import tiles_of
from wsi_features.tiles import read_tiles
from wsi_features.tiles.canvas import Canvas
from wsi_features.tissue.learned import segmenter_card
from wsi_features.tissue.learned.networks import made

SLIDE = Lineage("s1", "c" * 64, {"mpp": None})
SMALL = {"window_px": 64, "overlap_px": 16, "mpp": 6.0}
"""What makes a shipped card quick to try: a slide of a few windows."""


def state_of(name: str, favourite: int | None = None) -> dict[str, Any]:
    """Random tensors for a card's network, of which `favourite` makes one class win everywhere."""
    import torch

    card = segmenter_card(name)
    network = made(card).to_empty(device="cpu")
    torch.manual_seed(5)
    for module in network.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    state = {
        key: tensor.detach().half() if tensor.is_floating_point() else tensor
        for key, tensor in network.state_dict().items()
    }
    last = "classifier.4" if name == "hest_tissue" else "segmentation_head.0"
    if favourite is not None:
        state[f"{last}.weight"] *= 0
        state[f"{last}.bias"] = torch.eye(len(card.classes))[favourite].half()
    return state


def lightning(state: dict[str, Any]) -> dict[str, Any]:
    """As Lightning saves it, with the auxiliary head that the model was trained with."""
    import torch

    aux = {"model.aux_classifier.4.weight": torch.zeros(2, 256, 1, 1), "model.aux_classifier.4.bias": torch.zeros(2)}
    inner = {f"model.{key}": tensor for key, tensor in state.items()} | aux
    return {"epoch": 3, "state_dict": inner, "hyper_parameters": {"lr": 0.1}, "optimizer_states": []}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide, quick cards, and weights files in their published forms."""
    import torch

    top = tmp_path_factory.mktemp("segmenters")
    write_slide(top / "s1.svs", SlideSpec(width=1024, height=640, seed=3, mpp=0.5, objective=20))
    for name in ("grandqc_tissue", "grandqc_artefact", "hest_tissue"):
        (top / f"{name}.yaml").write_text(yaml.safe_dump(segmenter_card(name).model_dump(mode="json") | SMALL))
    torch.save(state_of("grandqc_tissue", 0), top / "all_tissue.pth")
    torch.save(state_of("grandqc_tissue", 1), top / "all_glass.pth")
    torch.save(state_of("grandqc_artefact"), top / "artefact.pth")
    torch.save(lightning(state_of("hest_tissue", 1)), top / "hest.ckpt")
    return top


def config_with(folder: Path, out: Path, name: str, weights: str, **tissue: Any) -> Config:
    values = {"method": "model", "model": str(folder / f"{name}.yaml"), "weights": str(folder / weights)}
    sizes = {"min_area_um2": 0, "min_hole_um2": 0, "closing_diameter_um": 0}
    sections = {"tiles": {"size": 64, "mpp": 1.0, "min_tissue": 0.0}, "tuning": {"device": "cpu"}}
    return config_from(
        {"out": str(out), "encoders": ["histo-texture"], "tissue": values | sizes | tissue} | sections, "test"
    )


@pytest.fixture(scope="module")
def inspector() -> Iterator[Inspector]:
    """One process that opens the slide first, for all tests."""
    with Inspector(60, 2048) as found:
        yield found


@pytest.fixture
def tissue_of(folder: Path, tmp_path: Path, inspector: Inspector) -> Callable[..., tuple[SlideResult, Outputs]]:
    """Takes the slide through the stage tissue."""

    def made_by(name: str, weights: str, **tissue: Any) -> tuple[SlideResult, Outputs]:
        config, out = config_with(folder, tmp_path, name, weights, **tissue), Outputs(tmp_path)
        row = ManifestRow(slide_id="s1", path=str(folder / "s1.svs"))
        return guarded("s1", "tissue", lambda: stages_tissue.tissue_of(row, config, out, inspector)), out

    return made_by


def mask_of(out: Outputs) -> np.ndarray:
    return cv2.imread(str(out.slide("s1", "tissue.png")), cv2.IMREAD_GRAYSCALE) > 0


@pytest.mark.parametrize(("weights", "share"), [("all_tissue.pth", 1.0), ("all_glass.pth", 0.0)])
def test_class_0_of_grandqc_is_tissue(tissue_of: Callable[..., Any], weights: str, share: float) -> None:
    result, out = tissue_of("grandqc_tissue", weights)
    assert result.status == "ok"
    assert mask_of(out).mean() == share
    assert not out.slide("s1", "classes.png").exists()


def test_a_lightning_checkpoint_with_its_auxiliary_head_gives_hest_s_mask(tissue_of: Callable[..., Any]) -> None:
    _, out = tissue_of("hest_tissue", "hest.ckpt")
    assert mask_of(out).shape == (40, 64)  # 8 um/px
    assert mask_of(out).all()


def test_the_class_map_is_what_the_network_says_of_the_slide(folder: Path, tissue_of: Callable[..., Any]) -> None:
    import torch

    _, out = tissue_of("grandqc_artefact", "artefact.pth", keep_classes=["pen"], mpp=6.0)
    card = segmenter_card("grandqc_artefact")
    network = made(card)
    network.load_state_dict(
        {k: v.float() if v.is_floating_point() else v for k, v in state_of(card.name).items()}, assign=True
    )
    with open_slide("s1", folder / "s1.svs") as slide:
        corner = Canvas.of("s1", slide, 0.5, 6.0).read(0, 0, 64, 53)
    corner = np.pad(corner, ((0, 11), (0, 0), (0, 0)), constant_values=255)
    image = torch.from_numpy((corner / 255 - card.mean) / card.std).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        wanted = network.eval()(image)[0].argmax(dim=0).numpy()
    classes = cv2.imread(str(out.slide("s1", "classes.png")), cv2.IMREAD_GRAYSCALE)
    assert classes.shape == (53, 85)
    assert np.mean(classes[:, :42] == wanted[:53, :42]) > 0.99
    assert np.array_equal(mask_of(out), np.isin(classes, (1, 4)))


def test_artefact_shares_become_columns_of_the_tiles(
    folder: Path, tmp_path: Path, tissue_of: Callable[..., Any]
) -> None:
    kept = ["unused", "fold", "dark_spot", "pen", "edge", "out_of_focus", "background"]
    _, out = tissue_of("grandqc_artefact", "artefact.pth", keep_classes=kept)
    config = config_with(folder, tmp_path, "grandqc_artefact", "artefact.pth", keep_classes=kept)
    tiles_of(ManifestRow(slide_id="s1", path=str(folder / "s1.svs")), config, encoder_plans(config), out)
    table = read_tiles("s1", next(out.root.glob("tiles/*/s1.parquet")))
    assert sorted(table.extra) == [f"artefact:{n}" for n in ("dark_spot", "edge", "fold", "out_of_focus", "pen")]
    classes = cv2.imread(str(out.slide("s1", "classes.png")), cv2.IMREAD_GRAYSCALE)
    fine = classes.repeat(16, axis=0).repeat(16, axis=1)  # level 0: 0.5 um/px
    for name, number in (("fold", 2), ("edge", 5)):
        wanted = [np.mean(fine[y : y + 128, x : x + 128] == number) for x, y in table.grid.origins]
        np.testing.assert_allclose(table.extra[f"artefact:{name}"], wanted, atol=1e-6)
    assert sum(values.sum() for values in table.extra.values()) > 0


@pytest.mark.full
def test_another_recipe_leaves_no_old_class_map(tissue_of: Callable[..., Any]) -> None:
    _, out = tissue_of("grandqc_artefact", "artefact.pth")
    assert "classes.png" in read_json(out.slide("s1", "preflight.json"))["sha256"]
    tissue_of("grandqc_tissue", "all_tissue.pth")
    assert not out.slide("s1", "classes.png").exists()


def test_the_weights_are_part_of_the_fingerprint_and_their_path_is_not(folder: Path, tmp_path: Path) -> None:
    def fingerprint(file: str) -> str:
        return SLIDE.tissue(config_with(folder, tmp_path, "grandqc_tissue", file))

    (folder / "copy.pth").write_bytes((folder / "all_tissue.pth").read_bytes())
    assert fingerprint("all_tissue.pth") == fingerprint("copy.pth") != fingerprint("all_glass.pth")


def test_weights_of_another_network_are_refused_with_the_keys(tissue_of: Callable[..., Any]) -> None:
    with pytest.raises(
        TissueModelError, match=r"does not fit the network: .* missing \(decoder.blocks.x_0_0.*unexpected"
    ):
        tissue_of("grandqc_tissue", "artefact.pth")


def test_weights_of_other_classes_are_refused_with_the_shapes(folder: Path) -> None:
    import torch

    state = state_of("grandqc_artefact") | {"segmentation_head.0.bias": torch.zeros(2)}
    torch.save(state, folder / "two.pth")
    with pytest.raises(TissueModelError, match=r"'segmentation_head.0.bias' of shape \(2,\), the network \(8,\)"):
        weights_card("grandqc_artefact").check(folder / "two.pth")


def test_a_network_saved_as_a_program_is_refused_and_not_run(folder: Path) -> None:
    import torch

    torch.save(made(segmenter_card("grandqc_artefact")), folder / "whole.pth")
    with pytest.raises(TissueModelError, match=r"^tissue model 'grandqc_artefact'.*would import"):
        weights_card("grandqc_artefact").check(folder / "whole.pth")


def test_missing_weights_are_told_with_their_home_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSI_WEIGHTS", str(tmp_path))
    config = config_from({"tissue": {"method": "model", "model": "hest_tissue"}}, "test")
    with pytest.raises(TissueModelError, match=r"has no weights in .*hest-tissue-seg.*weights add hest_tissue FILE"):
        SLIDE.tissue(config)


def test_added_weights_are_found_by_the_model_s_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WSI_WEIGHTS", str(tmp_path))
    weights = str(folder / "all_tissue.pth")
    assert run_command(["weights", "add", "grandqc_tissue", weights]) == 0
    assert run_command(["weights", "add", "hest_tissue", weights]) == 2
    told = capsys.readouterr()
    assert "licence CC-BY-NC-SA" in told.out
    assert "tissue model 'hest_tissue'" in told.err
    named = {"method": "model", "model": "grandqc_tissue"}
    there = config_from({"tissue": named}, "test")
    by_path = config_from({"tissue": named | {"weights": weights}}, "test")
    assert SLIDE.tissue(there) == SLIDE.tissue(by_path)


def test_a_slide_too_coarse_for_the_model_fails_with_the_remedy(folder: Path, tissue_of: Callable[..., Any]) -> None:
    card = yaml.safe_load((folder / "grandqc_tissue.yaml").read_text()) | {"mpp": 0.25}
    (folder / "fine.yaml").write_text(yaml.safe_dump(card))
    result, _ = tissue_of("fine", "all_tissue.pth")
    assert (result.status, result.reason) == ("failed", "tissue")
    assert "scanned at 0.5 um/px, coarser than the 0.25 um/px" in result.message


def test_model_fields_belong_to_the_method_model() -> None:
    from wsi_features.errors import ConfigError

    for tissue in ({"method": "model"}, {"model": "hest_tissue"}, {"weights": "x.pth"}):
        with pytest.raises(ConfigError, match="method model"):
            config_from({"tissue": tissue}, "test")
