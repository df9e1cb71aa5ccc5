"""The encoder card: everything that has to be known to use one encoder rightly.

A card is one small YAML file. It says what goes in (pixels, microns per pixel,
normalisation), how the network is built and filled and what comes out; it holds no weights.
Outputs that differ are variants of one file and encoders of their own: `virchow2:cls`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from wsi_features.encode.checkpoint import Checkpoint
from wsi_features.errors import EncoderError, ScaleContractError, StainContractError
from wsi_features.recipe import Json, Recipe

Precision = Literal["fp32", "fp16", "bf16"]
# fmt: off
Builder = Literal[
    "histo-texture", "timm", "transformers", "open_clip", "torchvision", "own",
    "torchscript", "exported", "onnx", "python",
]
Output = Literal["descriptor", "pooled", "cls", "mean", "cls+mean", "projected", "projected+normalised", "tokens"]
# fmt: on
Triple = tuple[float, float, float]

TOKEN_OUTPUTS = ("cls", "mean", "cls+mean", "tokens")
"""Recipes made of the network's tokens; the others take rows that the network has made itself."""

_NAME = r"^[a-z0-9][A-Za-z0-9._-]*(:[A-Za-z0-9._+/-]+)?$"
_VARIANT = r"^[A-Za-z0-9._+-]+$"
_WIDEST = 65536
_NOT_HASHED = (
    *("licence", "source", "gated", "paper", "notes", "checkpoint"),
    *("parameters", "weights_sha256", "mpp_range", "tile_px", "tile_mpp", "precision", "stain"),
)
"""What describes, guards, or is a default that another recipe holds resolved: none of it changes a number.
`checkpoint` is hashed apart, where it says something."""


class _Described(Recipe):
    """What every card says, also that of an encoder which cannot be built here."""

    name: str = Field(pattern=_NAME, description="Unique name; an output variant stands behind a colon")
    licence: str = Field(description="Of the weights")
    source: str = Field(description="Where the weights are published")
    gated: bool | None = Field(False, description="Whether access must be asked for; null: not known")
    paper: str = ""
    notes: str = ""

    @property
    def slug(self) -> str:
        """The name as it stands in paths: letters, digits, `.`, `_` and `-` only."""
        return self.name.replace(":", ".").replace("+", "-").replace("/", "-")


class CardStain(Recipe):
    """The stain normalization that an encoder was trained behind. It comes before the resize to `input_px`."""

    method: Literal["reinhard", "macenko", "vahadane"] = Field(description="What `stain.method` must be")
    target: str = Field(min_length=1, description="Where the target image or its numbers come from, in words")


class EncoderCard(_Described):
    """One encoder. Positions of the slide end at its door: pixels in, vectors out."""

    historical: ClassVar[dict[str, Any]] = {"resize_px": None}

    builder: Builder = Field(description="The constructor that makes the encoder")
    arguments: dict[str, Any] = Field(default_factory=dict, description="What the builder's constructor is called with")
    checkpoint: Checkpoint = Field(default_factory=Checkpoint, description="From the published keys to the network's")
    tile_px: Annotated[int, Field(ge=16, le=8192)] = Field(description="Tile width read from the slide, in pixels")
    tile_mpp: Annotated[float, Field(gt=0)] = Field(description="Microns per pixel of that tile")
    mpp_range: tuple[float, float] = Field(description="Lowest and highest effective microns per pixel accepted")
    input_px: Annotated[int, Field(ge=16)] = Field(description="Width that the network sees, after resizing the tile")
    resize_px: Annotated[int, Field(ge=16)] | None = Field(
        None, description="Width that a tile is resized to before its middle is cut out; null: nothing is cut off"
    )
    interpolation: Literal["bilinear", "bicubic"] = Field(
        "bilinear", description="Resize from tile to input, antialiased"
    )
    mean: Triple = Field((0.0, 0.0, 0.0), description="Subtracted from RGB in 0 to 1")
    std: Triple = Field((1.0, 1.0, 1.0), description="Divides what is left")
    output: Output = Field(description="What is made of the tokens")
    dim: Annotated[int, Field(ge=1)] = Field(description="Width of the feature vector")
    prefix_tokens: int = Field(0, ge=0, description="Class and register tokens before the patch tokens")
    precision: Precision = Field("fp32", description="Default arithmetic")
    parameters: int | None = Field(None, ge=0, description="Parameter count, checked after loading")
    weights_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="Checked when known")
    stain: CardStain | None = Field(None, description="Stain normalization that its own recipe needs; null: none")

    @model_validator(mode="after")
    def _range_holds_the_tile(self) -> EncoderCard:
        low, high = self.mpp_range
        if not 0 < low <= self.tile_mpp <= high:
            raise ValueError(f"mpp_range {low:g} to {high:g} must hold tile_mpp {self.tile_mpp:g}")
        return self

    @model_validator(mode="after")
    def _sizes_agree(self) -> EncoderCard:
        if self.resize_px is not None and self.resize_px < self.input_px:
            raise ValueError(f"resize_px {self.resize_px} must be at least input_px {self.input_px}")
        if self.output == "tokens" and self.dim > _WIDEST:
            raise ValueError(f"{self.dim} values a tile are too many for output tokens; at most {_WIDEST} are stored")
        return self

    @property
    def needs_weights(self) -> bool:
        """Whether a local weights file is needed."""
        return self.builder != "histo-texture"

    def canonical(self) -> Json:
        """Only what changes the numbers: a corrected licence, or a digest filled in later, leaves stores valid.

        The key changes of `checkpoint` belong to it: one file may hold two models (a student beside its
        teacher), so the digest of the file and the architecture do not say which one was loaded.
        """
        fields = {k: v for k, v in super().canonical().items() if k not in _NOT_HASHED}
        changes = self.checkpoint.canonical()
        return fields | ({"checkpoint": changes} if changes else {})

    def check_stain(self, method: str, target: str) -> None:
        """Refuse another stain normalization than the encoder was trained behind. Raises StainContractError.

        The card's own target is not shipped, so `standard` cannot be it.
        """
        if self.stain is not None and (method != self.stain.method or target == "standard"):
            raise StainContractError.outside(self.name, (method, target), self.stain.method, self.stain.target)

    def check_scale(self, effective: float, tile_px: int) -> None:
        """Refuse tiles of another physical scale than the encoder was made for.

        `effective` is in microns per pixel of the tile. Raises ScaleContractError.
        """
        low, high = self.mpp_range
        fits = (self.tile_px, self.tile_mpp)
        least = self.resize_px or self.input_px
        width = f"{effective * tile_px:.4g} um ({tile_px} px of {effective:.4g} um)"
        checks = (
            (
                low <= effective <= high,
                "the effective resolution",
                f"{effective:.4g} um/px",
                f"{low:g} to {high:g} um/px",
            ),
            (tile_px >= least, "the tile size", f"{tile_px} px", f"{least} px or more"),
            (
                # Every tile becomes `input_px` wide, so a wider one is seen at a coarser scale.
                not self.needs_weights or low <= effective * tile_px / self.tile_px <= high,
                *("the width of a tile", width, f"{low * self.tile_px:.4g} to {high * self.tile_px:.4g} um"),
            ),
        )
        for good, what, found, wanted in checks:
            if not good:
                raise ScaleContractError.outside(self.name, what, found, wanted, fits)


class Requirement(Recipe):
    """Why an encoder cannot be built here, and what it would take."""

    kind: Literal["remote-code", "package", "not-public", "facts"] = Field(description="What is missing")
    what: str = Field(min_length=1, description="Repository and commit, package and version, or the facts not known")


class AbsentCard(_Described):
    """An encoder known by name that cannot be built here: with what is known of it, and what it would take."""

    builder: Literal["none"]
    requires: Requirement
    tile_px: int | None = None
    tile_mpp: float | None = None
    input_px: int | None = None
    output: str = ""
    dim: int | None = None
    prefix_tokens: int | None = None
    precision: str = ""
    parameters: int | None = None

    def refusal(self) -> EncoderError:
        """The error to raise where this encoder is asked for."""
        return EncoderError.not_built(self.name, self.requires.kind, self.requires.what)


def card_file_schema() -> Json:
    """JSON schema of a card file: a card, or one with `variants`, each of which may replace fields."""
    kinds = [_with_variants(kind.model_json_schema()) for kind in (EncoderCard, AbsentCard)]
    definitions = {name: found for kind in kinds for name, found in kind.pop("$defs", {}).items()}
    return {"title": "Encoder card", "anyOf": kinds, "$defs": definitions}


def _with_variants(schema: Json) -> Json:
    fields = schema["properties"]
    variant = {"type": "object", "propertyNames": {"enum": [name for name in fields if name != "name"]}}
    variants = {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": _VARIANT},
        "additionalProperties": variant,
    }
    varied = [name for name in ("output", "dim") if name in schema["required"]]
    return schema | {
        "properties": fields | {"variants": variants},
        "required": [name for name in schema["required"] if name not in varied],
        "anyOf": [{"required": varied}, {"required": ["variants"]}],
    }
