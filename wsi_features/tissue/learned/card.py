"""The segmenter card: everything that has to be known to use one learned segmenter rightly.

One small YAML file: the network, its classes and which of them are tissue, the pixels it was made for, and how its
published weights file becomes its state. It holds no weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from wsi_features.errors import TissueModelError, one_line
from wsi_features.recipe import Json, Recipe
from wsi_features.resources import share

Architecture = Literal["unet", "unetplusplus", "deeplabv3_resnet50"]
Triple = tuple[float, float, float]

_STEP = 32
"""The networks halve their input five times."""

_NOT_HASHED = ("licence", "source", "gated", "paper", "notes", "weights_sha256", "name")


class KeyRules(Recipe):
    """From the keys of the published file to those of the network, in the order of the fields."""

    unwrap: tuple[str, ...] = Field((), description="Entries to descend into, in order")
    strip: tuple[str, ...] = Field((), description="Prefixes taken off in order, of the keys that have them")
    drop: tuple[str, ...] = Field((), description="Patterns (* and ?) of keys that the network does not use")


class SegmenterCard(Recipe):
    """One learned segmenter. `classes` are in the order of the network's outputs."""

    name: str = Field(pattern=r"^[a-z0-9][A-Za-z0-9._-]*$")
    architecture: Architecture = Field(description="unet and unetplusplus have an EfficientNet-B0 as encoder")
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=64)]
    tissue: Annotated[tuple[str, ...], Field(min_length=1)] = Field(description="Classes that are tissue")
    artefacts: tuple[str, ...] = Field((), description="Classes whose share of each tile becomes a column")
    mpp: float = Field(gt=0, le=64, description="Microns per pixel that the network was made for")
    window_px: int = Field(512, ge=_STEP, le=4096, multiple_of=_STEP, description="Width of the network's input")
    overlap_px: int = Field(128, ge=0, description="By how many pixels neighbouring windows overlap")
    jpeg_quality: int | None = Field(None, ge=1, le=100, description="Windows go through JPEG of this quality first")
    mean: Triple = Field((0.485, 0.456, 0.406), description="Subtracted from RGB in 0 to 1")
    std: Triple = Field((0.229, 0.224, 0.225), description="Divides what is left")
    precision: Literal["fp32", "fp16"] = Field("fp32", description="Arithmetic on a GPU; a CPU computes in fp32")
    checkpoint: KeyRules = KeyRules()
    weights_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="Checked when known")
    licence: str = Field(description="Of the weights")
    source: str = Field(description="Where the weights are published")
    gated: bool | None = Field(False, description="Whether access must be asked for; null: not known")
    paper: str = ""
    notes: str = ""

    @model_validator(mode="after")
    def _classes_agree(self) -> SegmenterCard:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"classes {list(self.classes)} name one twice")
        unknown = {*self.tissue, *self.artefacts} - set(self.classes)
        if unknown:
            raise ValueError(f"{sorted(unknown)} are none of the classes {list(self.classes)}")
        if self.overlap_px > self.window_px // 2:
            raise ValueError(f"overlap_px {self.overlap_px} is more than half of window_px {self.window_px}")
        return self

    def canonical(self) -> Json:
        """Only what changes a mask: a corrected licence, or a digest filled in later, changes none."""
        return {key: value for key, value in super().canonical().items() if key not in _NOT_HASHED}

    def kept(self, also: Sequence[str] = ()) -> tuple[int, ...]:
        """Numbers of the classes that count as tissue, with those of `also`. Raises TissueModelError."""
        unknown = [name for name in also if name not in self.classes]
        if unknown:
            raise TissueModelError.unknown_classes(self.name, unknown, self.classes)
        wanted = {*self.tissue, *also}
        return tuple(i for i, name in enumerate(self.classes) if name in wanted)


def segmenter_names() -> list[str]:
    """Names of the shipped cards, sorted."""
    return sorted(path.stem for path in share("resources", "segmenters").glob("*.yaml"))


def segmenter_card(name: str) -> SegmenterCard:
    """The card of a shipped name, or of a user's own file (`path/to/card.yaml`). Raises TissueModelError."""
    if name.endswith(".yaml"):
        return _card_of(Path(name))
    if name not in segmenter_names():
        raise TissueModelError.unknown(name, segmenter_names())
    return _card_of(share("resources", "segmenters", f"{name}.yaml"))


def _card_of(path: Path) -> SegmenterCard:
    try:
        return SegmenterCard.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise TissueModelError.bad_card(str(path), one_line(error)) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TissueModelError.bad_card(str(path), f"{where}: {first['msg']}" if where else first["msg"]) from error
