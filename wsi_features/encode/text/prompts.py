"""Prompts: what is to be looked for, in words, and the scores of tiles against them.

A prompt file is YAML: a list of prompts for each class, and optionally `templates` that
each prompt is put into at `{}`:

    templates: ["{}.", "an H&E stained image of {}."]
    tumour: [tumour tissue, carcinoma]
    stroma: [stroma, connective tissue]

A class is the mean direction of all its texts. Source: Learning Transferable Visual Models
From Natural Language Supervision (Radford et al., 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from wsi_features.encode.text.tower import TextTower
from wsi_features.errors import PromptError
from wsi_features.recipe import Json

Floats = npt.NDArray[np.float32]

_TEMPLATES = "templates"
_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Prompts:
    """Classes with their prompts, in the order of the file."""

    classes: tuple[tuple[str, tuple[str, ...]], ...]
    templates: tuple[str, ...] = ("{}",)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes."""
        return tuple(name for name, _ in self.classes)

    def texts(self, prompts: tuple[str, ...]) -> list[str]:
        """Each prompt in each template."""
        return [template.replace("{}", prompt) for prompt in prompts for template in self.templates]

    def canonical(self) -> Json:
        """For fingerprints: the order of the classes is that of the scores."""
        classes = [[name, list(prompts)] for name, prompts in self.classes]
        return {"classes": classes, _TEMPLATES: list(self.templates)}


def read_prompts(path: Path) -> Prompts:
    """The prompts in a file. Raises PromptError."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise PromptError.unreadable(str(path), " ".join(str(error).split())) from error
    if not isinstance(content, dict):
        raise PromptError.unreadable(str(path), f"it holds a {type(content).__name__}, not a mapping")
    templates = _texts(path, _TEMPLATES, content.pop(_TEMPLATES, ["{}"]))
    for template in templates:
        if "{}" not in template:
            raise PromptError.invalid(str(path), _TEMPLATES, template, "a text with {} where the prompt goes")
    classes = tuple((_name(path, name), _texts(path, name, prompts)) for name, prompts in content.items())
    if not classes:
        raise PromptError.unreadable(str(path), "it holds no class")
    return Prompts(classes, templates)


def class_rows(tower: TextTower, prompts: Prompts) -> Floats:
    """One vector of length 1 for each class, (c, dim). Raises PromptError."""
    means = np.stack([tower.rows(prompts.texts(of_class)).mean(0, dtype=np.float64) for _, of_class in prompts.classes])
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)


def tile_scores(features: npt.NDArray[Any], classes: Floats) -> Floats:
    """Cosines (n, c) of projected features (n, dim) with classes (c, dim); NaN where a tile has no features."""
    out = np.full((len(features), len(classes)), np.nan, np.float32)
    for start in range(0, len(features), _CHUNK):
        rows = features[start : start + _CHUNK].astype(np.float64)
        with np.errstate(invalid="ignore"):
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
            out[start : start + len(rows)] = (rows @ classes.T.astype(np.float64)) / np.where(
                lengths > 0, lengths, np.nan
            )
    return out


def probabilities(scores: Floats, scale: float) -> Floats:
    """Softmax of `scale` times the cosines (n, c), as the towers were trained with; NaN stays."""
    raised = np.exp(scale * (scores - scores.max(axis=1, keepdims=True, initial=-1)))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)


def _name(path: Path, name: object) -> str:
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or name == "row":
        wanted = "a text other than row; put names like yes or 1 in quotes"
        raise PromptError.invalid(str(path), "the name of a class", name, wanted)
    return name


def _texts(path: Path, where: object, values: object) -> tuple[str, ...]:
    """A list of texts; one alone may stand without brackets."""
    listed = [values] if isinstance(values, str) else values
    if not isinstance(listed, list) or not listed or not all(isinstance(v, str) and v.strip() for v in listed):
        raise PromptError.invalid(str(path), str(where), values, "a list of texts")
    return tuple(listed)
