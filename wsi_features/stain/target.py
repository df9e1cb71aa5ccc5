"""The stain numbers of a slide or of a target, and the target files.

Optical density here is the natural logarithm of 255 over the pixel value, with 0 read
as 1. LAB is CIE L*a*b* (D65): L* from 0 to 100, a* and b* around 0.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from wsi_features.errors.stain import StainTargetError
from wsi_features.recipe import Json
from wsi_features.resources import share

MIN_ANGLE, MAX_ANGLE = 5.0, 90.0
"""Degrees between two stain vectors. Nearer than this they are one stain, and the inverse amplifies noise over
10 times; wider apart one of them would have to emit light."""

IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""Endings of reference images."""

Triple = tuple[float, float, float]
Positive = Annotated[float, Field(gt=0)]


class _Numbers(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MacenkoNumbers(_Numbers):
    """Two stains and how much of each there is.

    `stains` holds haematoxylin, then eosin, as unit vectors of optical density over
    R, G, B; `max_concentration` the 99th percentile of each one's concentration.
    """

    stains: tuple[Triple, Triple]
    max_concentration: tuple[Positive, Positive]

    @property
    def angle(self) -> float:
        """Degrees between the two stain vectors."""
        first, second = self.stains
        cosine = sum(a * b for a, b in zip(first, second, strict=True)) / (math.hypot(*first) * math.hypot(*second))
        return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))

    @model_validator(mode="after")
    def _two_unit_vectors(self) -> MacenkoNumbers:
        lengths = [math.hypot(*stain) for stain in self.stains]
        if any(abs(length - 1) > 0.01 for length in lengths):
            raise ValueError(
                f"stain vectors must have length 1 within 1 %, found {lengths[0]:.4g} and {lengths[1]:.4g}"
            )
        # A hair wider than the fit's own check, which measures the angle in another way.
        if not MIN_ANGLE - 1e-3 <= self.angle <= MAX_ANGLE + 1e-3:
            wanted = f"{MIN_ANGLE:g} to {MAX_ANGLE:g} degrees apart"
            raise ValueError(f"stain vectors must be {wanted}, found {self.angle:.3g}")
        return self


class ReinhardNumbers(_Numbers):
    """Mean and standard deviation of L*, a* and b* over stained pixels."""

    mean: Triple
    std: tuple[Positive, Positive, Positive]


class StainTarget(_Numbers):
    """The look that slides are brought to: one set of numbers a method."""

    description: str
    macenko: MacenkoNumbers | None = None
    reinhard: ReinhardNumbers | None = None
    vahadane: MacenkoNumbers | None = None

    @model_validator(mode="after")
    def _holds_something(self) -> StainTarget:
        if not (self.macenko or self.reinhard or self.vahadane):
            raise ValueError("a target has numbers of at least one of macenko, reinhard and vahadane")
        return self

    @property
    def stains(self) -> MacenkoNumbers:
        """Stain vectors for Macenko. Raises StainTargetError where the target has none."""
        if self.macenko is None:
            raise StainTargetError.without(self.description, "macenko")
        return self.macenko

    @property
    def sparse_stains(self) -> MacenkoNumbers:
        """Stain vectors for Vahadane: its own, or else Macenko's, which mean the same."""
        return self.vahadane or self.stains

    @property
    def lab(self) -> ReinhardNumbers:
        """Colour statistics for Reinhard. Raises StainTargetError where the target has none."""
        if self.reinhard is None:
            raise StainTargetError.without(self.description, "reinhard")
        return self.reinhard

    def numbers(self, method: Literal["macenko", "reinhard", "vahadane"]) -> Json:
        """What `method` uses of the target, as plain JSON values. Raises StainTargetError where it has none."""
        if method == "reinhard":
            return self.lab.model_dump(mode="json")
        section = self.stains if method == "macenko" else self.sparse_stains
        return section.model_dump(mode="json")


def load_target(name: str) -> StainTarget:
    """The shipped target called `name`, or the one in the YAML file or reference image at that path.

    A relative path starts at the working directory. Raises StainTargetError.
    """
    shipped = {path.stem: path for path in share("resources", "stain").glob("*.yaml")}
    path = shipped.get(name, Path(name))
    if not path.is_file():
        raise StainTargetError.unknown(name, sorted(shipped))
    if path.suffix.lower() in IMAGES:
        from wsi_features.stain.measured import target_of_image

        return target_of_image(path)
    try:
        return _target_in(str(path), path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise StainTargetError.unreadable(str(path), str(error)) from error


@lru_cache(maxsize=8)
def _target_in(path: str, text: str) -> StainTarget:
    # Kept by content: every slide of a cohort asks for the target, and a changed file must not go unseen.
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise StainTargetError.unreadable(path, " ".join(str(error).split())) from error
    try:
        return StainTarget.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        found = "absent" if first["type"] == "missing" else first["input"]
        raise StainTargetError.invalid(path, where, found, first["msg"]) from error
