"""Prompt files, tokenizers from local files, and the scores of tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from wsi_features.encode.text.card import TextCard, text_card_named
from wsi_features.encode.text.prompts import Prompts, probabilities, read_prompts, tile_scores
from wsi_features.encode.text.tokens import tokenizer_of
from wsi_features.errors import PromptError

KEEP = text_card_named("keep").model_copy(update={"context": 6})


def byte_pairs(path: Path) -> Path:
    """A tokenizer file of whole words with a start and an end around each text."""
    words = {"<pad>": 0, "<start>": 1, "<end>": 2, "?": 3, "tumour": 4, "tissue": 5}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="?"))  # noqa: S106 - not that kind of token
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", 2)]
    )
    tokenizer.enable_truncation(3)  # as published files do, which would cut prompts
    tokenizer.save(str(path))
    return path


def test_a_tokenizer_file_beside_the_weights_is_found(tmp_path: Path) -> None:
    byte_pairs(tmp_path / "tokenizer.json")
    ids, mask = tokenizer_of(KEEP, tmp_path / "model.safetensors")(["tumour tissue", "fat"])
    assert ids.tolist() == [[1, 4, 5, 2, 0, 0], [1, 3, 2, 0, 0, 0]]
    assert mask.tolist() == [[1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0]]


def test_a_tokenizer_may_be_given_as_a_file_or_a_folder(tmp_path: Path) -> None:
    file = byte_pairs(tmp_path / "tokenizer.json")
    other = byte_pairs(tmp_path / "another.json")
    digests = {tokenizer_of(KEEP, tmp_path / "x" / "model.bin", given).digest for given in (tmp_path, file, other)}
    assert len(digests) == 1


def test_the_words_of_bert_are_uncased(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\ntumour\n##s\n")
    ids, _ = tokenizer_of(KEEP, tmp_path / "model.bin")(["Tumours"])
    assert ids.tolist() == [[2, 4, 5, 3, 0, 0]]


def test_a_missing_tokenizer_is_asked_for_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=r"tokenizer.json or vocab.txt.*--tokenizer"):
        tokenizer_of(KEEP, tmp_path / "model.bin")


@pytest.mark.parametrize(
    ("name", "text"),
    [("tokenizer.json", "{"), ("tokenizer.json", "{}"), ("vocab.txt", "tumour\n"), ("vocab.txt", "\udcff")],
)
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(PromptError, match="is no tokenizer"):
        tokenizer_of(KEEP, tmp_path / "model.bin")


@pytest.mark.parametrize("card", [KEEP, text_card_named("plip").model_copy(update={"context": 6})])
def test_a_text_that_is_too_long_is_refused_instead_of_cut(tmp_path: Path, card: TextCard) -> None:
    byte_pairs(tmp_path / "tokenizer.json")
    tokens = tokenizer_of(card, tmp_path / "model.bin")
    tokens(["tumour " * 4])
    with pytest.raises(PromptError, match="has 7 tokens, the text tower takes 6"):
        tokens(["fat", "tumour " * 5])


def write(path: Path, text: str) -> Path:
    (path / "prompts.yaml").write_text(text)
    return path / "prompts.yaml"


def test_prompts_are_put_into_every_template_in_the_order_of_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, "templates: ['{}.', 'image of {}']\ntumour: [tumour tissue, carcinoma]\nfat: fat\n")
    prompts = read_prompts(file)
    assert prompts.names == ("tumour", "fat")
    assert prompts.texts(prompts.classes[0][1]) == [
        *("tumour tissue.", "image of tumour tissue", "carcinoma.", "image of carcinoma"),
    ]


def test_without_templates_prompts_stand_alone(tmp_path: Path) -> None:
    prompts = read_prompts(write(tmp_path, "a: [x, y]\nb: [z]\n"))
    assert prompts == Prompts((("a", ("x", "y")), ("b", ("z",))))


def test_the_order_of_the_classes_is_part_of_the_fingerprint() -> None:
    one, other = Prompts((("a", ("x",)), ("b", ("y",)))), Prompts((("b", ("y",)), ("a", ("x",))))
    assert one.canonical() != other.canonical()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n", "it holds a list"),
        ("templates: ['{}']\n", "no class"),
        ("templates: [of]\na: [x]\n", "where the prompt goes"),
        ("a: []\n", "a is .*a list of texts"),
        ("a: [1]\n", "a list of texts"),
        ("yes: [x]\n", "put names like yes"),
        ("row: [x]\n", "other than row"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_prompt_file_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(PromptError, match=words):
        read_prompts(write(tmp_path, text))


def test_scores_are_cosines_whatever_the_length_of_the_features(rng: np.random.Generator) -> None:
    features, classes = rng.normal(size=(5000, 6)).astype(np.float16), np.eye(6, dtype=np.float32)[:2]
    scores = tile_scores(features, classes)
    exact = features.astype(np.float64)
    np.testing.assert_allclose(scores, exact[:, :2] / np.linalg.norm(exact, axis=1, keepdims=True), atol=1e-6)
    assert tile_scores((features * 2)[:10], classes).tolist() == scores[:10].tolist()


def test_tiles_without_features_have_no_scores() -> None:
    features = np.array([[1, 0], [np.nan, np.nan], [0, 0]], np.float32)
    scores = tile_scores(features, np.eye(2, dtype=np.float32))
    assert scores[0].tolist() == [1, 0]
    assert np.isnan(scores[1:]).all()


def test_probabilities_are_the_softmax_of_the_scaled_scores() -> None:
    scores = np.array([[0.2, 0.1, 0.0], [np.nan] * 3], np.float32)
    found = probabilities(scores, 10)
    wanted = np.exp([2, 1, 0]) / np.exp([2, 1, 0]).sum()
    np.testing.assert_allclose(found[0], wanted, rtol=1e-5)
    assert np.isnan(found[1]).all()
