"""Which features a store holds, so that those of another encoder, tiling, stain or recipe are not mixed with them.

What differs from slide to slide under one recipe is no part of it: fits of stains, pyramid levels, exact resolutions. Nor
is which tiles were taken, which changes no tile's features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from wsi_features.store import Provenance

_SAID_APART = {"encoder": {"name", "dim", "card", "weights", "precision"}, "stain": {"method"}}
_NO_FEATURE = {
    "encoder": {"nonfinite"},
    "read": {"min_coverage", "max_bad_tile_fraction"},
    "stain": {"sample_mpp", "patches", "patch_px", "max_pixels", "min_pixels", "seed", "on_bad_fit", "non_he"},
}
"""What becomes of tiles and slides that cannot be used, and which pixels of a slide its fit is made on."""


class FeatureContract(BaseModel):
    """What a store says of how its features were made. None is what imported features do not say.

    `made` holds what else of the recipes changes the features of a tile, by its place in them: `stain.target.stains`,
    `read.interpolation`, `encoder.input_px`. None is not compared: models saved without it say nothing of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    encoder: str
    dim: int
    weights_sha256: str | None
    precision: str | None
    tile_px: int | None
    mpp: float | None
    stain: str | None
    made: dict[str, Any] | None = None

    @classmethod
    def of_store(cls, provenance: Provenance, dim: int) -> FeatureContract:
        """Of one slide."""

        def told(name: str) -> Any:
            return getattr(provenance, name) if provenance.knows(name) else None

        stain = provenance.recipes.get("stain") or told("stain")
        return cls(
            encoder=provenance.encoder_name,
            dim=dim,
            weights_sha256=told("weights_sha256"),
            precision=told("precision"),
            tile_px=told("tile_px"),
            mpp=told("mpp_asked"),
            stain=None if stain is None else str(stain.get("method", "none")),
            made=None if provenance.imported else dict(sorted(_made(provenance.recipes))),
        )

    def differences(self, other: FeatureContract) -> Iterator[tuple[str, Any, Any]]:
        """(name, of this one, of the other) for all that differs."""
        for name in type(self).model_fields:
            mine, theirs = getattr(self, name), getattr(other, name)
            if name != "made" and mine != theirs:
                yield name, mine, theirs
        if self.made is not None and other.made is not None and self.made != other.made:
            for name in sorted(self.made.keys() | other.made.keys()):
                if self.made.get(name) != other.made.get(name):
                    yield name, self.made.get(name), other.made.get(name)


def _made(recipes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    embed = recipes.get("embed", {})
    encoder = embed.get("encoder", {})
    sections = {
        "encoder": encoder | encoder.get("card", {}),
        "read": embed.get("read", {}),
        "stain": recipes.get("stain", {}),
    }
    for section, values in sections.items():
        passed = _SAID_APART.get(section, set()) | _NO_FEATURE.get(section, set())
        yield from _flat(section, {name: value for name, value in values.items() if name not in passed})


def _flat(place: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(f"{place}.{name}", value)
        else:
            yield f"{place}.{name}", value
