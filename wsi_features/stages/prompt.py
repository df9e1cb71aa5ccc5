"""Zero-shot scores: the stored projected features of a run against prompts, as marks beside the stores."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wsi_features.cohort.manifest import manifest_of_output
from wsi_features.cohort.marks import Marks, marks_are_there, write_marks
from wsi_features.cohort.outputs import Outputs
from wsi_features.encode.registry import card_named, card_names
from wsi_features.encode.text.card import TextCard, text_card_named
from wsi_features.encode.text.prompts import Prompts, class_rows, read_prompts, tile_scores
from wsi_features.encode.text.tower import TextTower, text_tower
from wsi_features.errors import PromptError, WeightsError
from wsi_features.recipe import Json, digest, fingerprint
from wsi_features.stages.encoders import weights_file
from wsi_features.store import FeatureStore, find_stores

PROMPT_VERSION = 1
"""Method version of the scores."""

_PROJECTED = ("projected", "projected+normalised")


@dataclass(frozen=True, slots=True)
class PromptRequest:
    """What `wsi-features prompt` is asked for; `name` names the marks, the prompt file's own name unless given."""

    encoder: str
    prompts: Path
    weights: Path | None = None
    tokenizer: Path | None = None
    text: str | None = None
    name: str | None = None


def prompted(out: Outputs, asked: PromptRequest) -> Iterator[str]:
    """Score every store of the encoder below `out`; yields one line for each feature set. Raises UsageError.

    Marks that are there already with the same fingerprint are left as they are.
    """
    manifest, _ = manifest_of_output(out.root)
    prompts = read_prompts(asked.prompts)
    sets = _feature_sets(out, asked.encoder)
    first = next(iter(sets.values()))[0]
    _check_output(first)
    card = text_card_named(asked.text or asked.encoder, first.provenance.encoder.get("arguments"))
    tower = text_tower(card, _weights(asked), asked.tokenizer)
    _check_tower(first, tower)
    rows = class_rows(tower, prompts)
    for name, stores in sets.items():
        recipe = _recipe(card, tower, prompts)
        folder = _folder(asked, recipe, name)
        made = 0
        for store in stores:
            path = out.marks_of_slide(folder, store.provenance.slide_id)
            wanted = _fingerprint(recipe, store)
            if not marks_are_there(path, store, wanted):
                scores = tile_scores(store.features[:], rows)
                about = recipe | {"encoder": store.provenance.encoder_name, "feature_set": name, "scale": tower.scale}
                write_marks(path, Marks("prompt", wanted, store.fingerprint, prompts.names, scores, about))
                made += 1
        yield f"{folder}: {len(stores)} of {len(manifest)} slides scored for {', '.join(prompts.names)}, {made} of them now"


def _weights(asked: PromptRequest) -> Path:
    """The file given, or the one that the registry holds for the encoder. Raises WeightsError."""
    if asked.weights is not None:
        return asked.weights
    card = card_named(asked.encoder)
    file = weights_file(card)
    if file is None:
        raise WeightsError.needed(card.name)
    return file


def _feature_sets(out: Outputs, encoder: str) -> dict[str, list[FeatureStore]]:
    """The stores of an encoder by feature set. Raises StoreError for one that is not complete."""
    found: dict[str, list[FeatureStore]] = {}
    present = set()
    for path in find_stores(out.features):
        store = FeatureStore.open(path)
        present.add(store.provenance.encoder_name)
        if store.provenance.encoder_name == encoder:
            found.setdefault(path.parent.name, []).append(store)
    if not found:
        raise PromptError.no_features(str(out.root), encoder, sorted(present))
    return found


def _check_output(store: FeatureStore) -> None:
    name, output = store.provenance.encoder_name, str(store.provenance.encoder.get("output"))
    if output not in _PROJECTED:
        raise PromptError.not_projected(name, output, _projected_variants(name))


def _projected_variants(name: str) -> list[str]:
    """The outputs of the same model that texts can be compared with."""
    key = name.partition(":")[0]
    same = (other for other in card_names() if other.partition(":")[0] == key)
    return [other for other in same if str(getattr(card_named(other), "output", "")) in _PROJECTED]


def _check_tower(store: FeatureStore, tower: TextTower) -> None:
    about = store.provenance
    if tower.weights_digest != about.weights_sha256:
        raise PromptError.other_weights(about.encoder_name, tower.weights_digest, about.weights_sha256)
    if tower.card.dim != store.dim:
        raise PromptError.other_width(about.encoder_name, tower.card.dim, store.dim)


def _recipe(card: TextCard, tower: TextTower, prompts: Prompts) -> Json:
    return {
        "text": card.canonical(),
        "weights": tower.weights_digest,
        "tokenizer": tower.tokens.digest,
        "prompts": prompts.canonical(),
    }


def _folder(asked: PromptRequest, recipe: Json, feature_set: str) -> str:
    """`<name>__<hash8>`: neither two recipes nor two feature sets share one."""
    name = asked.name or asked.prompts.stem
    slug = re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip(".-") or "prompts"
    return f"{slug}__{digest({'recipe': recipe, 'feature_set': feature_set, 'version': PROMPT_VERSION})[:8]}"


def _fingerprint(recipe: Json, store: FeatureStore) -> str:
    return fingerprint("prompt", PROMPT_VERSION, recipe, [store.fingerprint], store.provenance.slide_fingerprint)
