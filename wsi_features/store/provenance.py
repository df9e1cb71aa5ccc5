"""Provenance: how every number of a feature store was made.

It travels as the attributes of the store's group. Nothing in it names a patient, a
user, a machine or a date, so equal runs give equal bytes.

Features that another program made come without much of it. What such a store does not know is absent, never
invented, and asking for it is an error that names it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from wsi_features.errors import StoreError
from wsi_features.geometry import Mpp, SlidePx
from wsi_features.recipe import Json, canonical_json
from wsi_features.store.layout import GROUP_FILE, IMPORTED_VERSION, OWN_VERSION

T = TypeVar("T")


def _plain(value: Json) -> Json:
    """The value as JSON gives it back: sorted keys, lists for tuples, no NaN and no foreign types."""
    try:
        text = canonical_json(value)
    except TypeError as error:
        raise ValueError(str(error)) from error
    text.encode()  # half a surrogate pair has no bytes
    return dict(json.loads(text))


def _named(card: Json) -> Json:
    if not isinstance(card.get("name"), str):
        raise ValueError("an encoder card has a `name`")  # noqa: TRY004 - pydantic turns only ValueError into its own
    return card


if TYPE_CHECKING:
    Known = Annotated[T, "a store of this program's own has it"]
else:
    Known = Annotated[T | None, Field(default=None)]

PlainJson = Annotated[Json, AfterValidator(_plain)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Provenance(BaseModel):
    """What a store says about itself. Lengths are level-0 pixels, resolutions microns per pixel.

    Writing refuses unknown fields; reading skips them, see `of_attributes`. `imported` says which program made the
    features and what its file says; only then may a `Known` field be absent, and reading it raises StoreError.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    format_version: Annotated[int, Field(ge=1)] = OWN_VERSION
    imported: PlainJson | None = None
    slide_id: Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    slide_fingerprint: Known[Annotated[str, Field(min_length=1)]]
    fingerprint: Sha256
    status: Literal["ok", "empty"]
    mpp_native: Known[Annotated[Mpp, Field(gt=0)]]
    mpp_source: Known[str]
    mpp_asked: Known[Annotated[Mpp, Field(gt=0)]]
    mpp_effective: Known[Annotated[Mpp, Field(gt=0)]]
    tile_px: Known[Annotated[int, Field(ge=1)]]
    span: Annotated[SlidePx, Field(ge=1)]
    step: Known[Annotated[SlidePx, Field(ge=1)]]
    level: Known[Annotated[int, Field(ge=0)]]
    level_downsample: Known[Annotated[float, Field(gt=0)]]
    level_downsample_xy: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = None
    resize: Known[Annotated[float, Field(gt=0)]]
    slide_size: Known[tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]]
    bounds: Literal["drop"] | None = Field(default_factory=lambda made: None if made.get("imported") else "drop")
    scanned_area: tuple[int, int, int, int] | None = None
    encoder: Annotated[PlainJson, AfterValidator(_named)]
    outside_card: Literal[True] | None = None
    weights_sha256: Known[Sha256 | Literal[""]]
    licence: Known[str]
    precision: Known[Literal["fp32", "fp16", "bf16"]]
    stain: Known[PlainJson]
    stain_fit: PlainJson | None = None
    stain_outside_card: Literal[True] | None = None
    recipes: Annotated[dict[str, Json], AfterValidator(_plain)]
    fingerprints: dict[str, str]
    versions: dict[str, str]
    device: Known[Literal["cpu", "cuda"]]
    slide_properties: dict[str, str]

    if not TYPE_CHECKING:

        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            if value is None and name in _KNOWN:
                raise StoreError.unknown(self.slide_id, name, str(self.imported.get("tool")))
            return value

    @model_validator(mode="after")
    def _only_imports_lack_a_field(self) -> Self:
        if self.imported is None:
            for name in sorted(_KNOWN):
                if not self.knows(name):
                    raise ValueError(f"`{name}` is required of features that were not imported")
        if (self.imported is not None) != (self.format_version >= IMPORTED_VERSION):
            raise ValueError(f"format version {self.format_version}: imported features have {IMPORTED_VERSION}")
        return self

    @model_validator(mode="after")
    def _has_bytes(self) -> Self:
        """What cannot be written is refused now, not after an hour of embedding."""
        self.to_attributes()
        return self

    @property
    def encoder_name(self) -> str:
        """The name on the encoder's card."""
        return str(self.encoder["name"])

    def knows(self, name: str) -> bool:
        """Whether the store has the field `name`; one made by a run has all."""
        return self.__dict__[name] is not None

    def to_attributes(self) -> Json:
        """Plain JSON values with sorted keys, so that equal provenances give equal bytes.

        What is None is left out: older stores do not have those names, and stay as they are.
        """
        return _plain({name: value for name, value in self.model_dump().items() if value is not None})

    @classmethod
    def of_attributes(cls, attributes: Json) -> Provenance:
        """Read what `to_attributes` gave, skipping names that this release does not know.

        Raises ValueError (pydantic's) that names the field at fault.
        """
        known = {name: value for name, value in attributes.items() if name in cls.model_fields}
        return cls.model_validate_json(canonical_json(known))


_KNOWN = frozenset(
    {
        *("slide_fingerprint", "mpp_native", "mpp_source", "mpp_asked", "mpp_effective", "tile_px", "step", "level"),
        *("level_downsample", "resize", "slide_size", "weights_sha256", "licence", "precision", "stain", "device"),
    }
)
"""The fields that imported features may come without."""


def stated_version(root: Path) -> int:
    """The format version in the attributes of the store at `root`, which may be unfinished."""
    attributes = json.loads((root / GROUP_FILE).read_bytes())["attributes"]
    return int(attributes.get("format_version", OWN_VERSION))
