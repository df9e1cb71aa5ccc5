"""Options that several commands share, each defined once, and the config they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from wsi_features.config import Config, config_from, load_config, merged
from wsi_features.errors import ConfigError

Command = Callable[..., Any]

_RECIPE_OPTIONS = (
    click.option("--config", "config_source", metavar="FILE", help="YAML config; options given here go over it."),
    click.option(
        "--encoder",
        "encoders",
        multiple=True,
        metavar="NAME",
        help="Card name, card file or timm:NAME; may be repeated.",
    ),
    click.option(
        "--weights", multiple=True, metavar="[NAME=]FILE", help="Local weights file of the encoder (of encoder NAME)."
    ),
    click.option(
        "--precision", type=click.Choice(["auto", "fp32", "fp16", "bf16"]), help="Arithmetic of the encoders."
    ),
    click.option(
        "--stain", type=click.Choice(["none", "reinhard", "macenko", "vahadane"]), help="Stain normalization."
    ),
    click.option("--mpp", metavar="F|auto", help="Microns per pixel of the tiles; auto takes the encoder card's."),
    click.option("--size", metavar="N|auto", help="Tile width in pixels at that resolution; auto likewise."),
    click.option("--overlap", type=int, help="Pixels that neighbouring tiles share."),
    click.option("--min-tissue", type=float, help="Least share of tissue for a tile to be kept."),
)
_TUNING_OPTIONS = (
    click.option("--device", metavar="auto|cpu|cuda[:i]", help="Where the encoder runs."),
    click.option("--batch", type=int, help="Tiles in one batch."),
    click.option("--workers", type=int, help="Reading threads; 0 takes all cores of this process."),
)
_SOURCES = click.argument("sources", nargs=-1, metavar="SLIDE|DIR|MANIFEST...")
_OUT = click.option("--out", metavar="DIR", help="Output folder; the config's (results) when not given.")
_SHARD = click.option("--shard", metavar="NAME", help="Only this shard of the manifest in DIR, as the workflow asks.")
_LOG = click.option("--log", "log_file", metavar="FILE", help="Also write the log to this file.")


def recipe_options(command: Command) -> Command:
    """Everything that `config_of` reads, and where slides come from and results go."""
    for option in reversed((_SOURCES, _OUT, *_RECIPE_OPTIONS, *_TUNING_OPTIONS, _SHARD, _LOG)):
        command = option(command)
    return command


def config_of(values: dict[str, Any]) -> Config:
    """The config that the options describe. Raises ConfigError."""
    over: dict[str, Any] = {}
    _lay(over, "tiles", {"mpp": _number(values["mpp"]), "size": _number(values["size"])})
    _lay(over, "tiles", {"overlap": values["overlap"], "min_tissue": values["min_tissue"]})
    _lay(over, "stain", {"method": values["stain"]})
    _lay(over, "tuning", {"device": values["device"], "batch": values["batch"], "workers": values["workers"]})
    if values["out"] is not None:
        over["out"] = values["out"]
    base = _loaded(values["config_source"], over)
    return _with_encoders(base, values["encoders"], values["weights"], values["precision"])


def _loaded(source: str | None, over: dict[str, Any]) -> Config:
    """`source` is a file, or the JSON text that the workflow passes."""
    if source is not None and source.lstrip().startswith("{"):
        import json

        try:
            return config_from(merged(json.loads(source), over), "of the command line")
        except ValueError as error:
            raise ConfigError.unreadable("of the command line", str(error)) from error
    return load_config(Path(source) if source else None, over)


def _with_encoders(config: Config, names: Sequence[str], weights: Sequence[str], precision: str | None) -> Config:
    choices: list[dict[str, str | None]] = [{"name": name} for name in names] or [
        choice.model_dump() for choice in config.encoders
    ]
    for item in weights:
        name, found, file = item.rpartition("=")
        targets = [c for c in choices if c["name"] == name] if found else choices
        if len(targets) != 1:
            wanted = "with several encoders write --weights NAME=FILE, with a NAME given as --encoder"
            raise ConfigError.invalid("of the command line", "--weights", item, wanted)
        targets[0]["weights"] = file
    for choice in choices if precision else ():
        choice["precision"] = precision
    return config_from({**config.model_dump(), "encoders": choices}, "of the command line")


def _lay(over: dict[str, Any], section: str, values: dict[str, Any]) -> None:
    given = {key: value for key, value in values.items() if value is not None}
    if given:
        over[section] = {**over.get(section, {}), **given}


def _number(text: str | None) -> str | float | int | None:
    """A number where the text is one; anything else is left to the config's check."""
    if text is None:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
