"""Segmenter cards: those that ship, and what a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from wsi_features.encode.registry import cards
from wsi_features.errors import TissueModelError
from wsi_features.tissue.learned import segmenter_card, segmenter_names


def test_the_shipped_cards_say_which_class_is_tissue() -> None:
    found = {name: [segmenter_card(name).classes[i] for i in segmenter_card(name).kept()] for name in segmenter_names()}
    assert found == {"grandqc_artefact": ["tissue"], "grandqc_tissue": ["tissue"], "hest_tissue": ["tissue"]}
    assert segmenter_card("grandqc_tissue").kept() == (0,)
    assert segmenter_card("hest_tissue").kept() == (1,)
    assert segmenter_card("grandqc_artefact").kept() == (1,)


def test_pen_is_class_4_and_background_7_of_the_artefact_model() -> None:
    card = segmenter_card("grandqc_artefact")
    assert (card.classes.index("pen"), card.classes.index("background")) == (4, 7)
    assert card.kept(("fold", "out_of_focus")) == (1, 2, 6)


def test_a_card_s_file_is_named_as_it_is_and_no_encoder_has_its_name() -> None:
    assert [segmenter_card(name).name for name in segmenter_names()] == segmenter_names()
    assert not {card.name.partition(":")[0] for card in cards()} & set(segmenter_names())


def test_a_class_that_the_model_does_not_know_is_refused() -> None:
    with pytest.raises(TissueModelError, match=r"no class 'ink'. Set `tissue.keep_classes` to some of unused, tissue"):
        segmenter_card("grandqc_artefact").kept(("ink",))


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(TissueModelError, match="no tissue model 'grandqc'.*grandqc_tissue"):
        segmenter_card("grandqc")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"tissue": ["stroma"]}, "none of the classes"),
        ({"classes": ["tissue", "tissue"]}, "name one twice"),
        ({"overlap_px": 400}, "more than half of window_px"),
        ({"window_px": 500}, "multiple of 32"),
        ({"architecture": "segformer"}, "architecture"),
        ({"classs": 1}, "classs"),
    ],
)
def test_a_wrong_card_file_is_refused(tmp_path: Path, changes: dict[str, object], why: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(segmenter_card("grandqc_tissue").model_dump(mode="json") | changes))
    with pytest.raises(TissueModelError, match=rf"own.yaml' cannot be used.*{why}"):
        segmenter_card(str(path))


def test_a_filled_in_licence_or_digest_changes_no_mask() -> None:
    card = segmenter_card("hest_tissue")
    assert card.canonical() == card.model_copy(update={"licence": "x", "weights_sha256": "a" * 64}).canonical()
    assert card.canonical() != card.model_copy(update={"mpp": 2.0}).canonical()
