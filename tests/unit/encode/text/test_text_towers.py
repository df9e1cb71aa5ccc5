"""Text towers against the libraries that the models were published for, from one file with both towers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import transformers
from safetensors.torch import save_file

from wsi_features.encode.text.card import TextCard, text_card_named, text_card_names, text_card_of
from wsi_features.encode.text.networks import text_network
from wsi_features.encode.text.tokens import tokenizer_of
from wsi_features.encode.text.tower import text_tower
from wsi_features.errors import CardError, PromptError, WeightsError

TEXTS = ["tumour tissue", "an H&E stained image of connective tissue.", "fat"]
VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
TEXT = {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "tumour",
    "tissue",
    "connective",
    "image",
    "stained",
    "of",
    "fat",
    "h",
    "e",
    "&",
]
BERT = {
    "vocab_size": len(WORDS),
    "hidden_size": 24,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
}

PUBLISHED = {
    "quiltnet_b32": 151277313 - 87849216,
    "quiltnet_b16": 149620737 - 86192640,
    "pathgen_clip": 149620737 - 86192640,
    "pathgen_clip_l": 427616513 - 303966208,
    "pathoclip_b": 149620737 - 86192640,
    "pathoclip_l": 427616513 - 303966208,
    "plip": 151277313 - 87849216,
    "biomedclip": 195902721 - 86191872,
    "keep": 109482240 + 1,
}
"""Parameters of the whole model less those of its image tower: the text tower and the scale of cosines."""

Saved = Callable[[torch.nn.Module], Path]


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    def made(model: torch.nn.Module) -> Path:
        torch.manual_seed(5)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        model.eval()
        path = tmp_path / "both.safetensors"
        save_file({key: tensor.contiguous() for key, tensor in model.state_dict().items()}, path)
        return path

    return made


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n")
    return path


def small(name: str, **changes: Any) -> TextCard:
    """The shipped card of a model, made small."""
    return TextCard.model_validate(text_card_named(name).model_dump() | {"dim": 16} | changes)


def normalised(rows: torch.Tensor) -> Any:
    return torch.nn.functional.normalize(rows.detach(), dim=-1).numpy()


def test_clip_as_open_clip_computes_it(saved: Saved) -> None:
    model = open_clip.CLIP(embed_dim=16, vision_cfg=VISION, text_cfg=TEXT)
    path = saved(model)
    tower = text_tower(small("quiltnet_b32", arguments=TEXT, context=24), path)
    ids = open_clip.tokenizer.SimpleTokenizer(context_length=24)(TEXTS)
    np.testing.assert_allclose(tower.rows(TEXTS), normalised(model.encode_text(ids)), atol=1e-6)
    assert tower.scale == pytest.approx(float(model.logit_scale.detach().exp()))


def test_coca_as_open_clip_computes_it(saved: Saved) -> None:
    vision = VISION | {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
    text = TEXT | {"embed_cls": True, "output_tokens": True}
    model = open_clip.CoCa(16, dict(TEXT), text, vision)
    path = saved(model)
    card = small("omiclip", arguments=TEXT | {"embed_cls": True}, context=24)
    ids = open_clip.tokenizer.SimpleTokenizer(context_length=24)(TEXTS)
    np.testing.assert_allclose(text_tower(card, path).rows(TEXTS), normalised(model.encode_text(ids)), atol=1e-6)


def test_clip_as_transformers_computes_it(saved: Saved) -> None:
    text = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    arguments = text_card_named("plip").arguments | text | {"max_position_embeddings": 24}
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPConfig(
        text_config=arguments, vision_config=vision | {"image_size": 32, "patch_size": 16}, projection_dim=16
    )
    model = transformers.CLIPModel(config)
    path = saved(model)
    ids = open_clip.tokenizer.SimpleTokenizer(context_length=24)(TEXTS)
    wanted = model.text_projection(model.text_model(input_ids=ids).pooler_output)
    found = text_tower(small("plip", arguments=arguments, context=24), path).rows(TEXTS)
    np.testing.assert_allclose(found, normalised(wanted), atol=1e-6)


def test_biomedclip_as_open_clip_computes_it(saved: Saved, words: Path) -> None:
    config = transformers.BertConfig(**BERT)
    encoder = open_clip.hf_model.HFTextEncoder(
        "bert", 16, config=config, pooler_type="cls_last_hidden_state_pooler", proj_type="mlp", pretrained=False
    )
    model = torch.nn.Module()
    model.text, model.logit_scale = encoder, torch.nn.Parameter(torch.ones(1))
    path = saved(model)
    card = small("biomedclip", arguments={"pooling": "first", **BERT}, context=32)
    ids, _ = tokenizer_of(card, path, words)(TEXTS)
    wanted = encoder(torch.from_numpy(ids))
    np.testing.assert_allclose(text_tower(card, path).rows(TEXTS), normalised(wanted), atol=1e-6)


def test_keep_takes_the_row_of_bert_s_pooler(saved: Saved, words: Path) -> None:
    model = torch.nn.Module()
    model.text = transformers.BertModel(transformers.BertConfig(**BERT))
    path = saved(model)
    card = small("keep", arguments={"pooling": "pooler", **BERT}, context=32, dim=24)
    ids, mask = tokenizer_of(card, path, words)(TEXTS)
    wanted = model.text(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).pooler_output
    tower = text_tower(card, path)
    np.testing.assert_allclose(tower.rows(TEXTS), normalised(wanted), atol=1e-6)
    assert tower.scale == 1.0


@pytest.mark.parametrize("name", PUBLISHED)
def test_shipped_text_towers_have_the_parameters_of_the_published_models(name: str) -> None:
    with torch.device("meta"):
        network = text_network(text_card_named(name))
    assert sum(parameter.numel() for parameter in network.parameters()) + 1 == PUBLISHED[name]


@pytest.mark.parametrize("name", text_card_names())
def test_a_text_tower_is_as_wide_as_the_projected_features_of_its_encoder(name: str) -> None:
    from wsi_features.encode.registry import card_named, card_names

    widths = {
        card_named(n).dim for n in card_names() if n.partition(":")[0] == name and "projected" in card_named(n).output
    }
    assert widths == {text_card_named(name).dim}


def test_a_model_of_open_clip_by_name_has_its_own_text_tower() -> None:
    card = text_card_named("open_clip:ViT-B-32", {"quick_gelu": True})
    with torch.device("meta"):
        network = text_network(card)
    assert sum(parameter.numel() for parameter in network.parameters()) + 1 == PUBLISHED["quiltnet_b32"]
    assert card.arguments["quick_gelu"]
    assert card.canonical() != text_card_named("open_clip:ViT-B-32").canonical()


@pytest.mark.parametrize("name", ["uni", "open_clip:roberta-ViT-B-32", "open_clip:nothing"])
def test_an_encoder_without_a_known_text_tower_is_refused(name: str) -> None:
    with pytest.raises(PromptError, match=f"{name}.*no text tower is known.*plip"):
        text_card_named(name)


def test_the_name_of_a_variant_leads_to_the_model_s_text_tower() -> None:
    assert text_card_named("conch_v1:projected") == text_card_named("conch_v1")


def test_a_file_without_the_text_tower_is_refused(saved: Saved) -> None:
    path = saved(open_clip.CLIP(embed_dim=16, vision_cfg=VISION, text_cfg=TEXT).visual)
    with pytest.raises(WeightsError, match="does not fit the architecture"):
        text_tower(small("quiltnet_b32", arguments=TEXT, context=24), path)


def test_a_card_with_arguments_that_nothing_takes_is_refused() -> None:
    with pytest.raises(CardError, match="arguments.*what open_clip takes"):
        text_network(small("quiltnet_b32", arguments=TEXT | {"depth": 3}))


@pytest.mark.parametrize(
    ("text", "words"), [("name: a\n", "`builder`"), ("[1]", "the file"), ("a: [", "cannot be read")]
)
def test_a_text_card_that_is_none_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(CardError, match=words):
        text_card_of(tmp_path / "mine.yaml")
