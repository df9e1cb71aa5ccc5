"""The encoders that ship: which ones there are, and what is said of those that cannot be built here."""

from __future__ import annotations

import re

import pytest

from wsi_features.encode.card import TOKEN_OUTPUTS, AbsentCard, EncoderCard
from wsi_features.encode.registry import card_named, cards
from wsi_features.errors import EncoderError

BUILT = [
    "biomedclip",
    "chief_ctranspath",
    "conch_v1",
    "conch_v15",
    "ctranspath",
    "dinobloom_b",
    "dinobloom_g",
    "dinobloom_l",
    "dinobloom_s",
    "dinov2_vitb14",
    "dinov2_vitg14",
    "dinov2_vitl14",
    "dinov2_vits14",
    "dinov3_vitb16",
    "dinov3_vith16plus",
    "dinov3_vitl16",
    "dinov3_vits16",
    "exaonepath_1_0",
    "genbio_pathfm",
    "gpfm",
    "h0_mini",
    "h_optimus_0",
    "h_optimus_1",
    "hibou_b",
    "hibou_l",
    "hipt_vit256",
    "histo-texture",
    "isight",
    "kaiko_vitb16",
    "kaiko_vitb8",
    "kaiko_vitl14",
    "kaiko_vits16",
    "kaiko_vits8",
    "keep",
    "kimianet",
    "lunit_resnet50_bt",
    "lunit_resnet50_mocov2",
    "lunit_resnet50_swav",
    "lunit_vits16",
    "lunit_vits8",
    "medsiglip_448",
    "midnight_12k",
    "mstar",
    "omiclip",
    "openmidnight",
    "pathdino",
    "pathgen_clip",
    "pathgen_clip_l",
    "pathoclip_b",
    "pathoclip_l",
    "pathorchestra",
    "phikon",
    "phikon_v2",
    "plip",
    "prov_gigapath",
    "quiltnet_b16",
    "quiltnet_b16_pmb",
    "quiltnet_b32",
    "resnet50_imagenet",
    "retccl",
    "sp22m",
    "sp85m",
    "uni",
    "uni2_h",
    "virchow",
    "virchow2",
]
ABSENT = {
    "remote-code": "mascaret phaet rudolfv2 rudolfv2_b rudolfv2_s spider",
    "package": "gemma4_vision google_path_foundation litefm musk ticon",
    "not-public": "autocuration_fm pathalign pluto rudolfv_v1 virchow2g",
    "facts": "gigapath_flash pathclip prost40m reddino virchow2g_mini",
}
SHIPPED = cards()
USABLE = [card for card in SHIPPED if isinstance(card, EncoderCard)]
OTHERS = [card for card in SHIPPED if isinstance(card, AbsentCard)]


def key(name: str) -> str:
    return name.partition(":")[0]


def test_the_shipped_encoders_are_these() -> None:
    assert sorted({key(card.name) for card in USABLE}) == BUILT


@pytest.mark.parametrize("kind", ABSENT)
def test_the_encoders_that_cannot_be_built_are_these(kind: str) -> None:
    assert sorted({key(card.name) for card in OTHERS if card.requires.kind == kind}) == ABSENT[kind].split()


@pytest.mark.parametrize("card", OTHERS, ids=lambda card: card.name)
def test_an_encoder_that_cannot_be_built_is_refused_with_what_it_would_take(card: AbsentCard) -> None:
    told = f"encoder '{re.escape(card.name)}' is not built here: .*{re.escape(card.requires.what)}"
    with pytest.raises(EncoderError, match=told):
        card_named(card.name)


def test_a_model_without_code_of_its_own_here_is_refused_by_its_name_alone_too() -> None:
    with pytest.raises(EncoderError, match=r"'rudolfv2:cls' is not built here: .* commit that begins with 482d9519"):
        card_named("rudolfv2")


def test_remote_code_may_be_opted_into_by_a_card_of_one_s_own_but_unpublished_weights_may_not() -> None:
    with pytest.raises(EncoderError, match="at commit e0ce6e0ee248470bd8604823e412ca64048a2495.*`builder: python`"):
        card_named("phaet")
    with pytest.raises(EncoderError, match=r"its weights are not public. .*Take another encoder.$"):
        card_named("pluto")


@pytest.mark.parametrize("card", USABLE, ids=lambda card: card.name)
def test_a_usable_card_accepts_its_own_tiles_and_says_what_is_checked(card: EncoderCard) -> None:
    card.check_scale(card.tile_mpp, card.tile_px)
    assert card.parameters is not None
    assert not card.needs_weights or card.std != (1.0, 1.0, 1.0)
    assert card.output in TOKEN_OUTPUTS or card.prefix_tokens == 0


def test_two_outputs_of_one_model_differ_in_their_recipe() -> None:
    seen = {str({k: v for k, v in card.canonical().items() if k != "name"} | {"k": key(card.name)}) for card in USABLE}
    assert len(seen) == len(USABLE)
