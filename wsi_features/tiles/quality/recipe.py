"""Which quality columns are measured, and which tiles they let through."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self, get_args

from pydantic import Field, model_validator

from wsi_features.errors import ThresholdError
from wsi_features.recipe import Json, Recipe
from wsi_features.tiles.quality.columns import COLUMNS, QUALITY_VERSION

Column = Literal[
    "tissue_share",
    "white_share",
    "grey_share",
    "blood_share",
    "fold_share",
    "pen_share",
    "pen_blue_share",
    "pen_green_share",
    "pen_red_share",
    "pen_black_share",
    "laplacian_variance",
    "sharpness",
    "blockiness",
    "haematoxylin_od",
    "eosin_od",
    "nuclei_per_mm2",
]
"""What a tile can be judged by: what its mask says, and the measured columns."""


class Limits(Recipe):
    """The values of one column that are let through, both ends included."""

    min: float | None = Field(None, description="Least value of a tile that is kept")
    max: float | None = Field(None, description="Largest value of a tile that is kept")

    @model_validator(mode="after")
    def _some_values_pass(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}, so no tile would be kept")
        return self

    def canonical(self) -> Json:
        """Only the ends that are given."""
        return self.model_dump(exclude_none=True)


SUGGESTED: Mapping[Column, Limits] = {
    "white_share": Limits(max=0.9),
    "pen_share": Limits(max=0.1),
    "fold_share": Limits(max=0.5),
    "blood_share": Limits(max=0.7),
    "sharpness": Limits(min=0.05),
}
"""What `preset: suggested` stands for: H&E at 20x or 40x, tiles that are mostly artefact and no others."""


class QualityRecipe(Recipe):
    """What is measured of each tile, and which tiles are marked as kept."""

    measure: bool = Field(True, description="Measure the quality columns of every tile while it is read")
    preset: Literal["none", "suggested"] = Field(
        "none",
        description="Thresholds to begin with: none keeps every tile; suggested takes away what is mostly artefact",
    )
    thresholds: dict[Column, Limits] = Field(
        {}, description="Least and largest value of columns, like {sharpness: {min: 0.05}}; they go over the preset's"
    )
    drop: bool = Field(
        False,
        description="Leave tiles outside the thresholds out of the stores, which reads slides twice; else they are only marked",
    )

    @model_validator(mode="after")
    def _thresholds_have_columns(self) -> Self:
        measured = sorted(set(self.limits) & set(COLUMNS))
        if measured and not self.measure:
            raise ValueError(f"a threshold for {measured[0]} needs `quality.measure: true`")
        return self

    @property
    def limits(self) -> dict[Column, Limits]:
        """The thresholds in force, sorted by column."""
        found = {**(SUGGESTED if self.preset == "suggested" else {}), **self.thresholds}
        return {name: found[name] for name in sorted(found) if found[name].canonical()}

    @property
    def drops(self) -> bool:
        """Whether tiles are left out of stores."""
        return self.drop and bool(self.limits)

    def thresholds_json(self) -> Json:
        """The thresholds in force as plain values: what the marks depend on."""
        return {name: limits.canonical() for name, limits in self.limits.items()}

    def embedded(self) -> Json:
        """What of it changes a store: the columns, and the thresholds only where they drop tiles. Empty without measuring."""
        if not self.measure and not self.drops:
            return {}
        found: Json = {"columns": list(COLUMNS) if self.measure else [], "version": QUALITY_VERSION}
        return found | ({"drop": self.thresholds_json()} if self.drops else {})


_EXPRESSION = re.compile(r"\s*(\w+)\s*(<=|>=)\s*(\S+)\s*")


def limits_from(texts: Iterable[str]) -> dict[str, Any]:
    """Thresholds written as a tile must be to be kept, like `pen_share<=0.1`, as the config has them. Raises ThresholdError."""
    found: dict[str, Any] = {}
    columns = get_args(Column)
    for text in texts:
        match = _EXPRESSION.fullmatch(text)
        if match is None or match[1] not in columns:
            raise ThresholdError.unreadable(text, columns)
        try:
            value = float(match[3])
        except ValueError:
            raise ThresholdError.unreadable(text, columns) from None
        found.setdefault(match[1], {})["max" if match[2] == "<=" else "min"] = value
    return found
