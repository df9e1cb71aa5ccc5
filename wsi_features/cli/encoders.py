"""Commands about encoders: `encoders list`, `show` and `check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsi_features.cli.tables import table

if TYPE_CHECKING:
    from wsi_features.encode.registry import Card
    from wsi_features.encode.weights_store import WeightsRegistry

_LEGEND = """
TILE     pixels @ microns per pixel: what `tiles.size` and `tiles.mpp` are when they are auto
WEIGHTS  here: found by name; open, gated or open? (not known): `wsi-features weights fetch NAME`;
         unclear, or in (brackets): `wsi-features encoders show NAME` says why it cannot be used
timm:NAME, open_clip:NAME and torchvision:NAME are the models of those libraries, with your weights."""


@click.group(short_help="List, show and check encoder cards.")
def encoders() -> None:
    """Encoder cards: what goes into each model, how it is built, and what comes out."""


@encoders.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each encoder, one a line.")
def list_encoders(as_json: bool) -> None:
    """Every encoder to choose from, one a line, and those that cannot be built here with what is missing."""
    from wsi_features.encode.registry import cards
    from wsi_features.encode.weights_store import WeightsRegistry

    registry = WeightsRegistry.of_environment()
    facts = [_facts(card, registry) for card in cards()]
    if as_json:
        for found in facts:
            click.echo(json.dumps(found, ensure_ascii=False))
        return
    heading = ("NAME", "DIM", "TILE", "PARAMETERS", "LICENCE", "WEIGHTS")
    click.echo(table([heading, *(_cells(found) for found in facts)], elastic=4, numbers=(1, 3)))
    click.echo(_LEGEND)


@encoders.command("show")
@click.argument("name")
def show_encoder(name: str) -> None:
    """Print the card NAME (or card file, or timm:MODEL) as YAML, as it will be used, with the weights found for it."""
    import yaml

    from wsi_features.encode.registry import card_named, cards
    from wsi_features.encode.weights_store import WeightsRegistry

    card = next((card for card in cards() if card.name == name), None) or card_named(name)
    click.echo(yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False, width=110), nl=False)
    found = _facts(card, WeightsRegistry.of_environment())
    about = found["why"] or found["path"] or found["weights"]
    click.echo(f"# {'weights' if found['built'] else 'not built here'}: {about}")


@encoders.command("check")
@click.argument("name")
@click.option("--weights", type=click.Path(dir_okay=False, path_type=Path), help="Weights file; else the registry's.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1")
def check_encoder(name: str, weights: Path | None, device: str) -> None:
    """Build the encoder NAME strictly and embed a few made tiles with it."""
    from wsi_features.stages.encoder_check import checked_encoder

    for line in checked_encoder(name, weights, device):
        click.echo(line)


def _facts(card: Card, registry: WeightsRegistry) -> dict[str, Any]:
    """What the list says of an encoder; `why` is why it is not built, or what keeps its weights from being found."""
    from wsi_features.encode.card import EncoderCard

    fields = ("name", "builder", "dim", "tile_px", "tile_mpp", "input_px", "output", "precision", "parameters")
    facts = {name: getattr(card, name) for name in fields}
    facts |= {
        "licence": card.licence,
        "gated": card.gated,
        "source": card.source,
        "built": isinstance(card, EncoderCard),
    }
    if not isinstance(card, EncoderCard):
        return facts | {"weights": card.requires.kind, "path": None, "why": card.requires.what}
    return facts | {"mpp_range": card.mpp_range} | _weights(card, registry)


def _weights(card: Any, registry: WeightsRegistry) -> dict[str, Any]:
    from wsi_features.errors import MissingWeightsError, WeightsStoreError

    if not card.needs_weights:
        return {"weights": "none needed", "path": None, "why": ""}
    missing = {True: "gated", False: "open", None: "open?"}[card.gated]
    try:
        return {"weights": "here", "path": str(registry.weights_of(card).file), "why": ""}
    except MissingWeightsError as error:
        return {"weights": missing, "path": None, "why": str(error)}
    except WeightsStoreError as error:
        return {"weights": "unclear", "path": None, "why": str(error)}


def _cells(found: dict[str, Any]) -> tuple[str, ...]:
    tile = f"{found['tile_px']} @ {found['tile_mpp']:g}" if found["tile_px"] and found["tile_mpp"] else "-"
    parameters = f"{found['parameters'] / 1e6:.1f} M" if found["parameters"] else "-"
    weights = found["weights"] if found["built"] else f"({found['weights']})"
    return (found["name"], str(found["dim"] or "-"), tile, parameters, found["licence"], weights)
