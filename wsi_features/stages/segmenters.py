"""Learned segmenters of a run: their cards, their weights, and what they make of a slide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from wsi_features.cohort.outputs import Outputs
from wsi_features.config import Config
from wsi_features.encode.checkpoint import Checkpoint
from wsi_features.encode.device.choice import choose_device
from wsi_features.encode.weights import load_state, mapped_state, sha256_of
from wsi_features.encode.weights_store import AnyCard, WeightsRegistry, named_digest
from wsi_features.encode.weights_store.cards import card_of_weights
from wsi_features.errors import (
    ArtifactError,
    MissingWeightsError,
    TissueModelError,
    TissueModelSlideError,
    WeightsError,
    WeightsStoreError,
)
from wsi_features.geometry import Size
from wsi_features.recipe import Json
from wsi_features.slides import Slide
from wsi_features.tiles import TileTable
from wsi_features.tiles.canvas import Canvas
from wsi_features.tissue import TissueMask, TissueRecipe, mask_mpp
from wsi_features.tissue.cleanup import cleaned
from wsi_features.tissue.learned import Classify, ClassMap, SegmenterCard, class_map, predictor, segmenter_card
from wsi_features.tissue.learned.card import segmenter_names
from wsi_features.tissue.learned.predictor import check_state

LEARNED_VERSION = 1
"""Method version of how windows are read, classified and put together."""

CLASSES = "classes.png"
"""The class map beside a slide's other tissue files, one grey level a class."""

_TOLERANCE = 1.05
"""How much coarser than a model's resolution a slide may be: 0.2631 um/px four times coarser is 1.0524."""

_WINDOWS = {"cpu": 2, "cuda": 8}
"""Windows classified at once, at most: one of 512 px takes 0.4 GB in U-Net++."""


@dataclass(frozen=True, slots=True, eq=False)
class LearnedTissue:
    """What a model found on one slide: the mask after clean-up, and the map of all its classes."""

    mask: TissueMask
    classes: ClassMap
    artefacts: tuple[str, ...]

    def files(self) -> dict[str, bytes]:
        """What is kept beside the mask: the class map of a model that knows artefacts."""
        import cv2

        return {CLASSES: cv2.imencode(".png", self.classes.classes)[1].tobytes()} if self.artefacts else {}

    def facts(self) -> Json:
        """What preflight.json says of these files."""
        return {"classes": list(self.classes.names), "artefacts": list(self.artefacts)} if self.artefacts else {}


def tissue_recipe_json(recipe: TissueRecipe) -> Json:
    """What a fingerprint covers of the tissue recipe, with a model's card and the SHA-256 of its weights.

    Raises TissueModelError where the model, its classes or its weights are not there: nothing has started then.
    """
    if recipe.model is None:
        return recipe.canonical()
    card = segmenter_card(recipe.model)
    card.kept(recipe.keep_classes)
    model = {
        "card": card.canonical(),
        "weights": _digest(_weights_file(card, recipe.weights)),
        "version": LEARNED_VERSION,
    }
    return recipe.canonical() | {"model": model}


def learned_tissue(slide_id: str, slide: Slide, native: float, size: Size, config: Config) -> LearnedTissue:
    """Segment a slide with the recipe's model into a mask of `size`.

    Raises TissueModelError, TissueModelSlideError, and TileReadError where the slide is damaged.
    """
    recipe, whole = config.tissue, slide.levels[0].size
    card = segmenter_card(str(recipe.model))
    if native > card.mpp * _TOLERANCE:
        raise TissueModelSlideError.too_coarse(slide_id, card.name, native, card.mpp)
    device = choose_device(config.tuning.device)
    path = _weights_file(card, recipe.weights)
    found = class_map(
        slide_id,
        (canvas := Canvas.of(slide_id, slide, native, card.mpp)).read,
        picture=canvas.size,
        size=size,
        slide=whole,
        card=card,
        classify=_loaded(card.model_dump_json(), path, _digest(path), str(device)),
        batch=min(config.tuning.batch, _WINDOWS[device.type]),
    )
    mask = cleaned(found.among(card.kept(recipe.keep_classes)), mask_mpp(whole, size, native), recipe)
    return LearnedTissue(TissueMask(mask, whole), found, card.artefacts)


def release_tissue_model() -> None:
    """Let go of the network that the tissue stage has loaded."""
    _loaded.cache_clear()


def artefact_shares(
    slide_id: str, out: Outputs, about: Mapping[str, Any], table: TileTable
) -> dict[str, npt.NDArray[np.float32]]:
    """The columns `artefact:CLASS`, float32 (n,), of a table's tiles; none where the model knows no artefacts.

    `about` is the slide's preflight, whose files are known to be as they were written. Raises ArtifactError.
    """
    if not about.get("artefacts"):
        return {}
    import cv2

    path = out.slide(slide_id, CLASSES)
    classes = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE)
    if classes is None:
        raise ArtifactError.damaged(slide_id, "class map", str(path), "not a whole PNG image")
    found = ClassMap(np.asarray(classes, np.uint8), tuple(about["classes"]), table.slide_size)
    shares = found.shares(about["artefacts"], table.grid.origins, table.scale.span)
    return {f"artefact:{name}": share for name, share in shares.items()}


@dataclass(frozen=True, slots=True)
class SegmenterWeights:
    """A segmenter as the weights registry sees it."""

    name: str
    licence: str
    source: str
    gated: bool | None
    weights_sha256: str | None
    card: SegmenterCard
    needs_weights: bool = True

    def check(self, file: Path) -> None:
        """Refuse a file that is not exactly the card's network. Raises TissueModelError."""
        with _of_segmenter(self.card):
            state = mapped_state(self.name, file, _rules(self.card))
        check_state(self.card, state, str(file))


def weights_card(name: str) -> AnyCard:
    """What the weights registry needs to know of an encoder or a segmenter, shipped or of a user's own card file."""
    if name in segmenter_names() or _is_segmenter_file(name):
        return _registered(segmenter_card(name))
    return card_of_weights(name)


def _registered(card: SegmenterCard) -> SegmenterWeights:
    return SegmenterWeights(card.name, card.licence, card.source, card.gated, card.weights_sha256, card)


def _is_segmenter_file(name: str) -> bool:
    """Whether a file is the card of a segmenter, which has classes, and not that of an encoder."""
    if not name.endswith(".yaml"):
        return False
    try:
        fields = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError):
        return False  # the encoder's reader says what is wrong
    return isinstance(fields, dict) and "classes" in fields


def _weights_file(card: SegmenterCard, named: str | None) -> Path:
    """The file `named`, else the registry's. Raises TissueModelError."""
    registry = WeightsRegistry.of_environment()
    with _of_segmenter(card):
        if named is None:
            return registry.weights_of(_registered(card)).file
        if not Path(named).is_file():
            raise WeightsError.no_file(card.name, named)
        return Path(named)


def _digest(path: Path) -> str:
    about = path.stat()
    return _hashed(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=16)
def _hashed(path: Path, size: int, changed: int) -> str:  # noqa: ARG001 - a file of another size or time is another one
    return sha256_of(path)


@lru_cache(maxsize=1)
def _loaded(card_json: str, path: Path, digest: str, device: str) -> Classify:
    """The model on its device, loaded once for all slides of a job. Raises TissueModelError."""
    card = SegmenterCard.model_validate_json(card_json)
    with _of_segmenter(card):
        state, found = load_state(card.name, path, wanted_sha256=card.weights_sha256, rules=_rules(card))
        if found != digest or named_digest(path) not in (None, found):
            raise WeightsStoreError.other_content(card.name, str(path), found)
    return predictor(card, state, str(path), device)


def _rules(card: SegmenterCard) -> Checkpoint:
    return Checkpoint(**card.checkpoint.model_dump())


@contextmanager
def _of_segmenter(card: SegmenterCard) -> Iterator[None]:
    """What reading and looking up weights raises speaks of encoders; here it is a segmenter's."""
    try:
        yield
    except MissingWeightsError as error:
        folders = [str(folder) for folder in WeightsRegistry.of_environment().folders]
        raise TissueModelError.no_weights(card.name, card.source, folders) from error
    except WeightsError as error:
        raise TissueModelError.weights(card.name, error) from error
