"""Recipes and the fingerprints made of them.

A recipe holds what changes the numbers a stage writes, and nothing else: how fast
the work is done (batch size, workers, device) is `Tuning`, in `config`. A
fingerprint is the SHA-256 of a recipe chained with the fingerprints of everything
that went in; two artifacts with one fingerprint hold the same numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

Json = dict[str, Any]


class Recipe(BaseModel):
    """Base of all recipes: frozen, without unknown fields, of finite numbers.

    `historical` names fields that were added after a release, with the value that
    older versions implied: while a field has that value it is left out of the
    canonical form, so fingerprints of stores made before stay valid.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    historical: ClassVar[dict[str, Any]] = {}

    def canonical(self) -> Json:
        """The fields that a fingerprint covers, as plain JSON values."""
        fields = self.model_dump(mode="json")
        return {k: v for k, v in fields.items() if k not in self.historical or v != self.historical[k]}


def canonical_json(value: object) -> str:
    """JSON text that is the same for equal values: sorted keys, no spaces, finite numbers only."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON of `value`, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def fingerprint(stage: str, version: int, recipe: Recipe | Json, upstream: Sequence[str], content: str) -> str:
    """Chain one stage's recipe with its inputs.

    `version` is the stage's method version, raised whenever the code starts to write
    other numbers for the same recipe. `upstream` holds the fingerprints of the stage's
    inputs in their documented order; `content` is the slide's content fingerprint.
    """
    return digest(
        {
            "stage": stage,
            "method_version": version,
            "recipe": recipe.canonical() if isinstance(recipe, Recipe) else recipe,
            "upstream": list(upstream),
            "content": content,
        }
    )
