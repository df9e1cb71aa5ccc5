"""Trained models on disk: `trained.json` says all that they are of, and `fold<k>.safetensors` holds each fold's numbers.

The JSON is written last and has the SHA-256 of the others, so a folder either is complete or is none.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from wsi_features.errors import TrainingError, one_line
from wsi_features.files import read_json, write_bytes, write_json
from wsi_features.mil.contract import FeatureContract
from wsi_features.mil.labels import Task
from wsi_features.mil.training.recipe import TrainingRecipe
from wsi_features.mil.training.results import FittedModel, Trained
from wsi_features.recipe import digest

TRAINED = "trained.json"


class _Described(BaseModel):
    """`trained.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    task: Task
    names: tuple[str, ...]
    recipe: TrainingRecipe
    recipe_sha256: str
    features: FeatureContract
    late: bool
    models: dict[str, str]


def save_trained(folder: str | Path, trained: Trained) -> None:
    """Write the models into `folder`, which is made when it is missing. Equal models give equal bytes."""
    from safetensors.numpy import save

    root = Path(folder)
    (root / TRAINED).unlink(missing_ok=True)
    models = {}
    for k, model in enumerate(trained.models):
        content = save({name: np.ascontiguousarray(values) for name, values in sorted(model.arrays.items())})
        write_bytes(root / f"fold{k}.safetensors", content)
        models[f"fold{k}.safetensors"] = hashlib.sha256(content).hexdigest()
    described = _Described(
        task=trained.task,
        names=trained.names,
        recipe=trained.recipe,
        recipe_sha256=digest(trained.recipe.canonical()),
        features=trained.features,
        late=trained.late,
        models=models,
    )
    write_json(root / TRAINED, described.model_dump(mode="json"))


def load_trained(folder: str | Path) -> Trained:
    """The models of a folder that `save_trained` wrote. Raises TrainingError where one is missing or damaged."""
    from safetensors.numpy import load

    root = Path(folder)
    try:
        told = _Described.model_validate(read_json(root / TRAINED))
        contents = {name: (root / name).read_bytes() for name in told.models}
    except (OSError, ValueError) as error:
        raise TrainingError.unreadable(str(folder), one_line(error)) from error
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != told.models[name]:
            raise TrainingError.unreadable(str(folder), f"{name} is not the one that {TRAINED} names")
    models = tuple(FittedModel(load(content)) for content in contents.values())
    return Trained(told.task, told.names, told.recipe, told.features, told.late, models)
