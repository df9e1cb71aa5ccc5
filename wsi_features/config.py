"""The config: all recipes of a run, and the tuning that never changes a number.

The JSON schemas, the default config and the README's table are made from the
classes here; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, ValidationError, model_validator

from wsi_features.encode.card import Precision
from wsi_features.encode.device.fixed import Acceleration
from wsi_features.encode.device.retry import NonFinite
from wsi_features.errors import ConfigError
from wsi_features.stain.recipe import StainRecipe
from wsi_features.tiles.quality.recipe import QualityRecipe
from wsi_features.tiles.recipe import ReadRecipe, TileRecipe
from wsi_features.tissue.recipe import TissueRecipe

Checked = TypeVar("Checked", bound=BaseModel)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EncoderChoice(_Section):
    """One encoder to embed with."""

    name: str = Field(description="Card name, path of a card file, or timm:NAME")
    weights: str | None = Field(
        None, description="Local weights file; left out, the one in the weights registry; never downloaded"
    )
    precision: Precision | Literal["auto"] = Field("auto", description="Arithmetic; auto takes the card's")
    scale: Literal["card", "any"] = Field(
        "card", description="any: embed also tiles outside the card's range, which each store then records"
    )
    stain: Literal["card", "any"] = Field(
        "card", description="any: embed also without the stain normalization that the card asks for; stores record it"
    )
    nonfinite: NonFinite = Field(
        "fail", description="A tile whose features are NaN or infinity fails its slide, or is computed again in fp32"
    )

    @model_validator(mode="before")
    @classmethod
    def _a_name_is_a_choice(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, handler(core_schema)]}


class ReportOptions(_Section):
    """What the cohort report shows."""

    title: str = Field("Feature extraction report", description="Heading of the report")
    figures: int = Field(100, ge=0, description="Slides shown with figures; the table always lists all")


class Tuning(_Section):
    """How fast the work is done. Nothing here changes a number, so nothing here causes a rerun."""

    device: str = Field(
        "auto",
        pattern=r"^(auto|cuda|(cpu|cuda:\d+)(,(cpu|cuda:\d+))*)$",
        description="auto or cuda for all GPUs that are free, cpu, cuda:1, or several such as cuda:0,cuda:2",
    )
    gpus: int = Field(0, ge=0, description="GPUs that one job takes with auto and cuda; 0 takes all that are free")
    jobs_per_gpu: int = Field(1, ge=1, le=16, description="Jobs that may share one GPU outside of a scheduler")
    batch: int = Field(64, ge=1, le=65536, description="Tiles in one batch")
    workers: int = Field(
        0, ge=0, le=1024, description="Threads that read and compute; 0 takes the cores of this process"
    )
    acceleration: Acceleration = Field(
        "none", description="graph or compile: a faster network on a GPU, used where its features equal the plain one's"
    )
    scratch: str = Field(
        "",
        description="Local folder, such as $TMPDIR, that slides are copied to ahead of reading; empty reads in place",
    )
    scratch_gib: float = Field(100, gt=0, description="Most space that copies of slides take in it, GiB")
    slides_per_shard: int = Field(32, ge=1, description="Slides in one cluster job")
    store_form: Literal["directory", "zip"] = Field(
        "directory", description="zip: each store is one file, for disks with a quota on files; readers take both"
    )
    claim_seconds: float = Field(
        300, ge=0, le=86400, description="Time to wait at the end of a shard for slides that another job embeds"
    )
    inspect_seconds: float = Field(30, gt=0, le=86400, description="Time to open a slide in; one that needs more fails")
    inspect_mib: int = Field(2048, ge=256, description="Memory to open a slide in, MiB; one that needs more fails")


class Config(_Section):
    """Everything a run needs."""

    manifest: str = Field("cohort.csv", description="CSV or TSV sheet, folder or glob of slides")
    out: str = Field("results", description="Output folder")
    encoders: Annotated[tuple[EncoderChoice, ...], Field(min_length=1)] = Field(
        (EncoderChoice(name="histo-texture"),),
        description="Names, or objects with name, weights, precision, scale, stain and nonfinite",
    )
    tissue: TissueRecipe = TissueRecipe()
    tiles: TileRecipe = TileRecipe()
    read: ReadRecipe = ReadRecipe()
    stain: StainRecipe = StainRecipe()
    quality: QualityRecipe = QualityRecipe()
    accept: tuple[str, ...] = Field((), description="Reason codes of failed slides with which a run still succeeds")
    report: ReportOptions = ReportOptions()
    tuning: Tuning = Tuning()


def load_config(path: Path | None, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a YAML config, or take the defaults, and lay `overrides` over it. Raises ConfigError."""
    values: dict[str, Any] = {} if path is None else yaml_mapping(path)
    return config_from(merged(values, overrides or {}), "defaults" if path is None else repr(str(path)))


def config_from(values: Mapping[str, Any], source: str) -> Config:
    """A checked config; every wrong value is in the one ConfigError raised."""
    return checked(Config, values, source)


def checked(kind: type[Checked], values: Mapping[str, Any], source: str) -> Checked:
    """A model of values that a user gave. Raises ConfigError that names every wrong one."""
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError("\n".join(_problems(error, source))) from error


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over` in place of its own, section by section."""
    out = dict(base)
    for key, value in over.items():
        section = out.get(key)
        if isinstance(value, Mapping) and isinstance(section, Mapping):
            out[key] = merged(section, value)
        else:
            out[key] = value
    return out


def _problems(error: ValidationError, source: str) -> Sequence[str]:
    return [
        str(ConfigError.invalid(source, _dotted(detail["loc"]), detail["input"], detail["msg"].lower()))
        for detail in error.errors()
    ]


def _dotted(location: tuple[int | str, ...]) -> str:
    """The value's name; pydantic adds the alternative of a union that it tried."""
    tried = ("int", "float", "constrained", "literal", "str", "function")
    return ".".join(str(part) for part in location if not (isinstance(part, str) and part.startswith(tried)))


def yaml_mapping(path: Path) -> dict[str, Any]:
    """What a YAML file holds by name; nothing where it is empty. Raises ConfigError."""
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError.unreadable(str(path), " ".join(str(error).split())) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError.unreadable(str(path), f"it holds a {type(values).__name__}, not a mapping")
    return values
