from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import timm
import yaml

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.registry import card_named, card_names, cards, cards_of
from wsi_features.errors import CardError, UnknownEncoderError
from wsi_features.resources import share

SHIPPED = sorted(share("resources", "encoders").glob("*.yaml"))
UNI = yaml.safe_load(share("resources", "encoders", "uni.yaml").read_text())


def card_file(folder: Path, **changes: object) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in (UNI | changes).items() if v != "gone"}))
    return path


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_a_shipped_card_lies_under_its_model_s_name_and_is_found_by_its_own(path: Path) -> None:
    for card in cards_of(path):
        assert path.stem == card.name.partition(":")[0]
        if isinstance(card, EncoderCard):
            assert card_named(card.name) == card


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_a_shipped_card_follows_the_published_schema(path: Path) -> None:
    schema = json.loads(share("workflow", "schemas", "encoder-card.schema.json").read_text())
    jsonschema.validate(yaml.safe_load(path.read_text()), schema)


def test_the_names_of_the_shipped_cards_are_listed_in_order_and_have_paths_of_their_own() -> None:
    names = card_names()
    assert names == sorted(names)
    assert {"uni", "virchow2:cls", "virchow2:cls+mean"} <= set(names)
    assert len({card.slug.lower() for card in cards()}) == len(cards())


def test_listing_the_names_imports_no_heavy_library() -> None:
    code = (
        "import sys; from wsi_features.encode.registry import card_names; import wsi_features.encode.build; card_names();"
        "sys.exit(' '.join({'torch', 'timm', 'torchvision', 'safetensors', 'cv2'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_two_outputs_of_virchow2_differ_in_width_and_share_the_network() -> None:
    cls, both = card_named("virchow2:cls"), card_named("virchow2:cls+mean")
    assert (cls.dim, both.dim) == (1280, 2560)
    assert cls.arguments == both.arguments
    assert cls.canonical() != both.canonical()


def test_a_model_with_several_outputs_has_no_silent_default() -> None:
    with pytest.raises(UnknownEncoderError, match=r"'virchow2' has several outputs. Name one of: virchow2:cls, virch"):
        card_named("virchow2")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("UNI", "uni"),
        ("virchow2:mean", r"virchow2:cls or virchow2:cls\+mean"),
        ("uni:cls", "uni"),
        ("kaiko-vits16", "kaiko_vits16"),
    ],
)
def test_an_unknown_name_is_answered_with_what_was_probably_meant(name: str, meant: str) -> None:
    with pytest.raises(UnknownEncoderError, match=f"no encoder '{name}'. Did you mean {meant}.*encoders list"):
        card_named(name)


def test_a_name_unlike_any_other_is_answered_with_where_to_look() -> None:
    with pytest.raises(UnknownEncoderError, match=r"no encoder 'qqqq'. `wsi-features encoders list` shows all.*timm:N"):
        card_named("qqqq")


def test_a_user_s_own_card_is_given_by_its_path(tmp_path: Path) -> None:
    assert card_named(str(card_file(tmp_path, name="mine", precision="fp32"))).name == "mine"


def test_a_variant_of_a_user_s_card_stands_behind_its_path(tmp_path: Path) -> None:
    path = card_file(tmp_path, name="mine", variants={"cls": {"output": "cls"}, "mean": {"output": "mean"}})
    card = card_named(f"{path}:mean")
    assert (card.name, card.output, card.dim) == ("mine:mean", "mean", 1024)
    with pytest.raises(UnknownEncoderError, match=r"has several outputs.*mine.yaml:cls, .*mine.yaml:mean"):
        card_named(str(path))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"variants": {"a": 3}}, r"`variants` is .*a mapping from each variant"),
        ({"variants": {"a b": {}}}, r"`name` is 'uni:a b'"),
        ({"variants": {"a": {"dims": 3}}}, r"there is no field `dims`"),
        ({"checkpoint": {"rename": [["(", ""]]}}, r"`checkpoint.rename` is .*no regular expression"),
        ({"resize_px": 200}, r"resize_px 200 must be at least input_px 224"),
        ({"output": "tokens", "dim": 196 * 1024}, r"200704 values a tile are too many .*65536"),
        ({"dim": "wide"}, r"`dim` is 'wide'; wanted: .*integer"),
        ({"mean": [0.5, 0.5]}, r"`mean.2`"),
        ({"dim": "gone"}, r"does not state `dim`. Add it"),
        ({"pixels": 3}, r"there is no field `pixels`. Fields are: name, licence"),
        ({"mpp_range": [0.6, 0.7]}, r"must hold tile_mpp 0.5"),
        ({"output": "best"}, r"`output` is 'best'"),
    ],
)
def test_a_faulty_card_is_refused_by_file_and_field(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    with pytest.raises(CardError, match=r"mine.yaml'.*" + told):
        card_named(str(card_file(tmp_path, **changes)))


@pytest.mark.parametrize("text", [b"- a\n- b\n", b"a: [1", b"\xff\xfe\x00", b""])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "x.yaml").write_bytes(text)
    with pytest.raises(CardError, match=r"x.yaml' cannot be read"):
        card_named(str(tmp_path / "x.yaml"))


def test_an_absent_card_file_is_refused() -> None:
    with pytest.raises(CardError, match=r"nowhere.yaml' cannot be read .*No such file"):
        card_named("nowhere.yaml")


def test_a_card_file_cannot_run_code(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(f"name: !!python/object/apply:os.mkdir ['{tmp_path / 'made'}']")
    with pytest.raises(CardError, match="cannot be read"):
        card_named(str(tmp_path / "x.yaml"))
    assert not (tmp_path / "made").exists()


def test_a_timm_card_takes_what_timm_states_of_the_model() -> None:
    card = card_named("timm:vit_tiny_patch16_224")
    assert (card.dim, card.parameters, card.input_px, card.tile_px) == (192, 5_524_416, 224, 224)
    assert (card.mean, card.std, card.interpolation) == ((0.5,) * 3, (0.5,) * 3, "bicubic")
    assert (card.output, card.precision, card.mpp_range) == ("pooled", "fp32", (0.1, 10.0))
    assert card.slug == "timm.vit_tiny_patch16_224"


def test_the_width_of_a_timm_card_is_that_of_the_output_not_of_the_last_stage() -> None:
    assert card_named("timm:test_mambaout").dim == 256  # timm's num_features is 64


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"interpolation": "nearest"}, "bilinear or bicubic"),
        ({"input_size": (3, 160, 128)}, "a square"),
        ({"input_size": (1, 160, 160)}, "three channels"),
    ],
)
def test_a_timm_model_that_no_card_can_describe_is_refused(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], told: str
) -> None:
    known = timm.get_pretrained_cfg("test_vit")
    assert known is not None
    stated = dataclasses.replace(known, **change)
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda _: stated)
    with pytest.raises(CardError, match=f"timm:test_vit'.*{told}"):
        card_named("timm:test_vit")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("timm:vit_tiny_patch16_225", r"timm 1.* has no such model. Did you mean timm:vit_tiny_patch16_224"),
        ("timm:vit_tiny_patch16_224.augreg", r"Did you mean timm:vit_tiny_patch16_224.augreg_in21k"),
        ("timm:hf-hub:someone/model", r"no encoder 'timm:hf-hub:someone/model'"),
        ("timm:", r"`list_models\(\)` lists them"),
    ],
)
def test_an_unknown_timm_model_is_refused_with_close_names(name: str, told: str) -> None:
    with pytest.raises(UnknownEncoderError, match=told):
        card_named(name)
