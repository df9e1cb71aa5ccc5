"""Zero-shot scores from the command line: a small CLIP's stored features against prompts, as marks and in the report."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from wsi_features.cli.main import run_command
from wsi_features.cohort.marks import Marks, marks_of, read_marks, write_marks
from wsi_features.cohort.outputs import Outputs
from wsi_features.encode.card import EncoderCard
from wsi_features.errors import ArtifactError, WeightsError
from wsi_features.stages import prompt
from wsi_features.stages.prompt import PromptRequest, _projected_variants
from wsi_features.store import FeatureStore, find_stores

VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
TEXT = {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
PROMPTS = {
    "templates": ["{}", "image of {}."],
    "tumour": ["tumour tissue", "carcinoma"],
    "stroma": ["stroma"],
    "fat": ["fat"],
}


@pytest.fixture(scope="module")
def model() -> open_clip.CLIP:
    torch.manual_seed(7)
    made = open_clip.CLIP(embed_dim=16, vision_cfg=VISION, text_cfg=TEXT)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return made.eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def embedded(
    model: open_clip.CLIP,
    slide_folder: Path,
    tiny_card: Callable[..., EncoderCard],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with weights, cards, prompts, and a run of one slide in `out`; copied before it is changed."""
    folder = tmp_path_factory.mktemp("prompted")
    save_file({key: tensor.contiguous() for key, tensor in model.state_dict().items()}, folder / "both.safetensors")
    card = tiny_card(name="tinyclip", tile_px=256, output="projected", dim=16, prefix_tokens=0).model_dump(mode="json")
    card |= {
        "builder": "open_clip",
        "arguments": {"embed_dim": 16, "vision": VISION},
        "checkpoint": {"keep": "visual."},
    }
    text = {
        "name": "tinyclip",
        "builder": "open_clip",
        "arguments": TEXT,
        "tokenizer": "clip",
        "context": 24,
        "dim": 16,
    }
    rules = {"checkpoint": {"drop": ["visual.*", "logit_scale"]}}
    for name, content in (("image", card), ("text", text | rules), ("prompts", PROMPTS)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    encoder = ["--encoder", str(folder / "image.yaml"), "--weights", str(folder / "both.safetensors")]
    assert (
        run_command(["run", str(slide_folder / "small.svs"), "--out", str(folder / "out"), *encoder, "--device", "cpu"])
        == 0
    )
    shutil.rmtree(folder / "out" / "marks")  # the run's own marks are not what is tested here
    return folder


@pytest.fixture
def folder(embedded: Path, tmp_path: Path) -> Path:
    shutil.copytree(embedded, tmp_path / "copy")
    return tmp_path / "copy"


def prompted(folder: Path, *more: str) -> int:
    files = ["--prompts", str(folder / "prompts.yaml"), "--weights", str(folder / "both.safetensors")]
    text = ["--text", str(folder / "text.yaml")]
    return run_command(["prompt", str(folder / "out"), "--encoder", "tinyclip", *files, *text, *more])


def only_store(folder: Path) -> FeatureStore:
    (path,) = find_stores(folder / "out")
    return FeatureStore.open(path)


def only_marks(folder: Path) -> Path:
    (path,) = (folder / "out" / "marks").glob("*/*.parquet")
    return path


def test_scores_are_those_of_open_clip(folder: Path, model: open_clip.CLIP) -> None:
    assert prompted(folder) == 0
    tokens = open_clip.tokenizer.SimpleTokenizer(context_length=24)
    classes = []
    for prompts in list(PROMPTS.values())[1:]:
        texts = [template.replace("{}", prompt) for prompt in prompts for template in PROMPTS["templates"]]
        mean = model.encode_text(tokens(texts), normalize=True).mean(0)
        classes.append(mean / mean.norm())
    features = torch.nn.functional.normalize(torch.from_numpy(only_store(folder).features[:]), dim=-1)
    table = pq.read_table(only_marks(folder))
    assert table.column_names == ["row", "tumour", "stroma", "fat"]
    assert table["row"].to_pylist() == list(range(len(features)))
    found = np.stack([table[name].to_numpy() for name in table.column_names[1:]], axis=1)
    np.testing.assert_allclose(found, (features @ torch.stack(classes).T).numpy(), atol=1e-6)
    assert np.ptp(found, axis=0).min() > 1e-4  # the tiles are told apart


def test_marks_lie_beside_the_store_which_stays_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in (folder / "out" / "features").rglob("*") if path.is_file()}
    assert prompted(folder) == 0
    assert "1 of 1 slides scored for tumour, stroma, fat, 1 of them now" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in before} == before
    assert only_marks(folder).parent.name.startswith("prompts__")
    assert only_marks(folder).name == "small.parquet"


def test_the_same_prompts_are_not_scored_again_and_other_ones_beside_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prompted(folder) == 0
    first, written = only_marks(folder), only_marks(folder).read_bytes()
    assert prompted(folder) == 0
    assert "0 of them now" in capsys.readouterr().out
    (folder / "prompts.yaml").write_text(yaml.safe_dump(PROMPTS | {"necrosis": ["necrosis"]}, sort_keys=False))
    assert prompted(folder, "--name", "my classes") == 0
    folders = sorted(path.name for path in (folder / "out" / "marks").iterdir())
    assert [name.partition("__")[0] for name in folders] == ["my-classes", "prompts"]
    first.unlink()
    (folder / "prompts.yaml").write_text(yaml.safe_dump(PROMPTS, sort_keys=False))
    assert prompted(folder) == 0
    assert first.read_bytes() == written


def test_the_report_shows_a_map_with_a_legend(folder: Path) -> None:
    assert prompted(folder) == 0
    assert run_command(["report", str(folder / "out")]) == 0
    page = (folder / "out" / "report.html").read_text()
    assert "Prompts scored on tinyclip" in page
    tiles = len(only_store(folder))
    counts = [int(page.split(f'">{name} ')[1].split("<")[0]) for name in ("tumour", "stroma", "fat")]
    assert sum(counts) == tiles


def test_without_a_file_the_weights_registry_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSI_WEIGHTS", str(tmp_path / "weights"))
    asked = PromptRequest("quiltnet_b32", tmp_path / "prompts.yaml")
    with pytest.raises(WeightsError, match="weights fetch quiltnet_b32"):
        prompt._weights(asked)


def test_features_made_with_other_weights_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = load_file(folder / "both.safetensors")
    save_file(state | {"visual.more": torch.zeros(1)}, folder / "both.safetensors")  # the text tower is the same
    assert prompted(folder) == 2
    assert "were made with weights" in capsys.readouterr().err
    assert not (folder / "out" / "marks").exists()


def test_features_of_another_encoder_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prompted(folder, "--encoder", "plip") == 2
    assert "no features of encoder 'plip'. It holds features of tinyclip" in capsys.readouterr().err


def test_features_that_are_not_projected_are_refused(
    tmp_path: Path, slide_folder: Path, tiny_card: Callable[..., EncoderCard], tiny_weights: Path, embedded: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny_card(tile_px=256).model_dump(mode="json")))
    slide, out = str(slide_folder / "small.svs"), str(tmp_path / "out")
    encoder = ["--encoder", str(tmp_path / "tiny.yaml"), "--weights", str(tiny_weights), "--device", "cpu"]
    assert run_command(["run", slide, "--out", out, *encoder]) == 0
    files = ["--prompts", str(embedded / "prompts.yaml"), "--weights", str(tiny_weights)]
    assert run_command(["prompt", out, "--encoder", "tiny", *files]) == 2
    assert "stores `cls+mean` features; prompts can only be compared with projected ones" in capsys.readouterr().err


def test_the_refusal_names_the_variants_that_would_do() -> None:
    assert _projected_variants("conch_v1:raw") == ["conch_v1:projected", "conch_v1:projected+normalised"]
    assert _projected_variants("uni") == []


@pytest.fixture
def marks(folder: Path) -> tuple[Path, Marks, FeatureStore]:
    store = only_store(folder)
    values = np.random.default_rng(0).random((len(store), 2), np.float32)
    marks = Marks("prompt", "ab" * 32, store.fingerprint, ("a", "b"), values, {"scale": 2.0})
    path = Outputs(folder / "out").marks_of_slide("mine__00000000", "small")
    write_marks(path, marks)
    return path, marks, store


def test_marks_come_back_as_they_were_written(marks: tuple[Path, Marks, FeatureStore]) -> None:
    path, written, store = marks
    found = read_marks(path, store, "ab" * 32)
    assert np.array_equal(found.values, written.values)
    assert (found.kind, found.columns, found.about) == (written.kind, written.columns, written.about)
    before = path.read_bytes()
    write_marks(path, found)
    assert path.read_bytes() == before


@pytest.mark.parametrize("changed", [{"store": "cd" * 32}, {"values": np.zeros((3, 2), np.float32)}])
def test_marks_of_another_store_are_refused_and_passed_over(
    marks: tuple[Path, Marks, FeatureStore], folder: Path, changed: dict[str, object]
) -> None:
    path, written, store = marks
    assert [name for name, _ in marks_of(Outputs(folder / "out"), store)] == ["mine__00000000"]
    write_marks(path, replace(written, **changed))
    with pytest.raises(ArtifactError, match="'small': marks"):
        read_marks(path, store)
    assert not list(marks_of(Outputs(folder / "out"), store))


def test_marks_of_another_recipe_absent_and_damaged_ones_are_refused(marks: tuple[Path, Marks, FeatureStore]) -> None:
    path, _, store = marks
    with pytest.raises(ArtifactError, match="has fingerprint abababab, this recipe needs cdcdcdcd"):
        read_marks(path, store, "cd" * 32)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_marks(path, store)
    path.unlink()
    with pytest.raises(ArtifactError, match="no marks at"):
        read_marks(path, store)


def test_marks_of_slides_that_left_the_manifest_are_cleaned(
    marks: tuple[Path, Marks, FeatureStore], folder: Path
) -> None:
    path, _, _ = marks
    stray = path.with_name("gone.parquet")
    shutil.copy(path, stray)
    assert run_command(["clean", str(folder / "out"), "--delete"]) == 0
    assert path.exists()
    assert not stray.exists()
