"""The fingerprints of one slide's artifacts: each chains its recipe with what went in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.config import Config
from wsi_features.encode.encoder import EMBED_VERSION
from wsi_features.errors import CoordinatesError, SlideFileError
from wsi_features.recipe import Json, digest, fingerprint
from wsi_features.slides import content_fingerprint
from wsi_features.slides.identity import remote_fingerprint
from wsi_features.slides.opening import check_file
from wsi_features.slides.remote import is_remote
from wsi_features.stages.annotated import Drawn, drawn_on
from wsi_features.stages.segmenters import tissue_recipe_json
from wsi_features.stain.recipe import is_he, stain_recipe_json, stain_version
from wsi_features.tiles.recipe import TILES_VERSION, TileRecipe
from wsi_features.tissue.recipe import TISSUE_VERSION

PREFLIGHT_VERSION = 2


@dataclass(frozen=True, slots=True)
class Lineage:
    """What one slide's fingerprints start from: its content, and what the manifest adds to it.

    `he` is whether its stain is H&E, as far as the manifest says.
    """

    slide_id: str
    content: str
    declared: Json
    drawn: Drawn = field(default_factory=Drawn)
    coordinates: str = ""
    he: bool = True

    def preflight(self) -> str:
        """What is known of the slide before a pixel is used."""
        return fingerprint("preflight", PREFLIGHT_VERSION, self.declared, [], self.content)

    def tissue(self, config: Config) -> str:
        """The tissue mask."""
        upstream = [self.preflight(), self.drawn.for_tissue(config.tissue.annotation_class)]
        return fingerprint("tissue", TISSUE_VERSION, tissue_recipe_json(config.tissue), upstream, self.content)

    def tiles(self, config: Config, tiles: TileRecipe) -> str:
        """The tile table; `tiles` is resolved, without `auto`."""
        listed = [self.coordinates] if self.coordinates else []
        upstream = [self.tissue(config), *self.drawn.for_tiles(tiles), *listed]
        return fingerprint("tiles", TILES_VERSION, tiles, upstream, self.content)

    def stain(self, config: Config) -> str:
        """The stain transform."""
        recipe = stain_recipe_json(config.stain)
        if config.read.colour != "stored":
            recipe = recipe | {"colour": config.read.colour}
        if config.stain.method != "none" and config.stain.non_he == "raw" and not self.he:
            recipe = recipe | {"he": False}
        return fingerprint("stain", stain_version(config.stain), recipe, [self.tissue(config)], self.content)

    def embed(self, config: Config, tiles: TileRecipe, encoder: Json) -> str:
        """The feature store; `encoder` is the encoder's recipe with the weights' digest."""
        recipe = embed_recipe(config, encoder)
        upstream = [self.tiles(config, tiles), self.stain(config)]
        return fingerprint("embed", EMBED_VERSION, recipe, upstream, self.content)


def lineage_of(row: ManifestRow) -> Lineage:
    """Look at a slide's file, annotations and list of tiles.

    Raises SlideFileError, AnnotationError or CoordinatesError when one is not usable.
    """
    drawn, listed = drawn_on(row), _coordinates_digest(row)
    return Lineage(row.slide_id, _content(row), _declared(row), drawn, listed, is_he(row.stain))


def _content(row: ManifestRow) -> str:
    if is_remote(row.path):
        return remote_fingerprint(row.slide_id, row.path)
    path = Path(row.path)
    check_file(row.slide_id, path)
    try:
        return content_fingerprint(path)
    except OSError as error:
        raise SlideFileError.unreadable(row.slide_id, row.path, error.strerror or str(error)) from error


def _declared(row: ManifestRow) -> Json:
    """What the manifest says of the slide itself; columns that are left empty leave no trace."""
    chosen = {"scene": row.scene, "plane": row.plane, "sha256": row.sha256.lower()}
    return {"mpp": row.mpp} | {name: value for name, value in chosen.items() if value not in ("", None)}


def _coordinates_digest(row: ManifestRow) -> str:
    if not row.coordinates:
        return ""
    try:
        return hashlib.sha256(Path(row.coordinates).read_bytes()).hexdigest()
    except OSError as error:
        raise CoordinatesError.unreadable(row.slide_id, row.coordinates, error.strerror or str(error)) from error


def embed_recipe(config: Config, encoder: Json) -> Json:
    """What of the embed stage changes numbers: the encoder, how its pixels are read, and what is measured of them."""
    quality = config.quality.embedded()  # without any, as in releases that measured none
    return {"encoder": encoder, "read": config.read.canonical()} | ({"quality": quality} if quality else {})


def recipes(config: Config, tiles: TileRecipe, encoder: Json) -> dict[str, Json]:
    """The recipes of all stages of one feature set, as they are recorded and hashed."""
    return {
        "tissue": tissue_recipe_json(config.tissue),
        "tiles": tiles.canonical(),
        "stain": stain_recipe_json(config.stain),
        "embed": embed_recipe(config, encoder),
    }


def feature_set_hash(config: Config, tiles: TileRecipe, encoder: Json) -> str:
    """Eight digits that keep two recipes from ever sharing a path."""
    versions = [PREFLIGHT_VERSION, TISSUE_VERSION, TILES_VERSION, stain_version(config.stain), EMBED_VERSION]
    return digest({"recipes": recipes(config, tiles, encoder), "versions": versions})[:8]
