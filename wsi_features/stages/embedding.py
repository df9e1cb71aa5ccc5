"""One encoder of a run: what it is, where its stores lie, and what each of them says of itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock

import numpy as np

from wsi_features.cohort.outputs import Outputs
from wsi_features.config import Config
from wsi_features.encode.build import build, encoder_recipe
from wsi_features.encode.device.choice import may_compute_elsewhere
from wsi_features.encode.device.uploads import Uploads
from wsi_features.encode.encoder import Encoder
from wsi_features.encode.networks import libraries
from wsi_features.errors import WeightsStoreError
from wsi_features.recipe import Json
from wsi_features.stages.encoders import EncoderPlan, weights_digest
from wsi_features.stages.lineage import Lineage, feature_set_hash, recipes
from wsi_features.stages.meter import EncoderShare
from wsi_features.stages.stain import SlideStain
from wsi_features.stages.tissue import read_tissue
from wsi_features.store import FORMS, Provenance, StoreContent, in_any_form
from wsi_features.tiles import TileRecipe, TileTable, TileView
from wsi_features.tiles.quality import COLUMNS

_LIBRARIES = ("numpy", "opencv-python", "openslide-bin", "openslide-python", "simplejpeg", "zarr", "wsi-features")


@dataclass(slots=True)
class Embedding:
    """One encoder over the slides of a run; it is built when the first slide needs it, by whichever thread does.

    Tiles that belong to others are embedded by the encoder of those, `like`, which is then loaded once.
    """

    plan: EncoderPlan
    config: Config
    out: Outputs
    weights: Path | None = field(init=False)
    recipe: Json = field(init=False)
    feature_set: str = field(init=False)
    uploads: Uploads | None = None
    like: Embedding | None = None
    _encoder: Encoder | None = field(default=None, init=False)
    _reported: EncoderShare = field(default=EncoderShare("", 0, 0), init=False)
    _told: tuple[str, ...] = field(default=(), init=False)
    _building: Lock = field(default_factory=Lock, init=False)

    def __post_init__(self) -> None:
        plan = self.plan
        if self.like is None:
            self.weights = plan.weights  # looked up once: what is hashed is what is loaded
            digest = weights_digest(plan.card, self.weights)
        else:
            self.weights, digest = self.like.weights, self.like.recipe["weights"]
        self.recipe = encoder_recipe(plan.card, digest, plan.precision, plan.nonfinite)
        name = f"{plan.card.slug}__{plan.tiling}__{self.config.stain.method}"
        self.feature_set = f"{name}__{feature_set_hash(self.config, plan.tiles, self.recipe)}"

    @property
    def encoder(self) -> Encoder:
        """The loaded encoder."""
        if self.like is not None:
            return self.like.encoder
        with self._building:
            if self._encoder is None:
                plan, tuning = self.plan, self.config.tuning
                self._encoder = build(
                    plan.card,
                    weights=self.weights,
                    precision=plan.precision,
                    nonfinite=plan.nonfinite,
                    device=tuning.device,
                    workers=cores(tuning.workers),
                    acceleration=tuning.acceleration,
                    uploads=self.uploads,
                )
                if self._encoder.weights_digest != self.recipe["weights"]:
                    raise WeightsStoreError.changed(plan.card.name, str(self.weights))
            return self._encoder

    @property
    def on_host(self) -> bool:
        """Whether it surely computes on the CPU; loads no library to find out."""
        return self.plan.card.builder == "histo-texture" or not may_compute_elsewhere(self.config.tuning.device)

    @property
    def name(self) -> str:
        """On the encoder's card."""
        return self.plan.card.name

    @property
    def folder(self) -> Path:
        """Where all its stores lie."""
        return self.out.features / self.feature_set

    def target(self, slide_id: str) -> Path:
        """Where the store of a slide lies; one that is there keeps its form."""
        folder = self.out.store(self.feature_set, slide_id)
        return in_any_form(folder.with_name(slide_id + FORMS[self.config.tuning.store_form]))

    def wanted(self, lineage: Lineage) -> str:
        """The fingerprint that the store of a slide must have."""
        return lineage.embed(self.config, self.plan.tiles, self.recipe)

    def content(self, lineage: Lineage, table: TileTable, stain: SlideStain) -> StoreContent:
        """All of a store but its features."""
        columns = {"tissue_share": table.tissue_share} | table.numbers()
        return StoreContent(
            coords=table.grid.origins,
            grid=table.grid.index,
            measured=COLUMNS if self.config.quality.measure else (),
            columns=np.stack(list(columns.values()), axis=1),
            column_names=tuple(columns),
            dim=self.encoder.card.dim,
            dtype="float32" if self.encoder.precision == "fp32" else "float16",
            provenance=_provenance(self, lineage, table, stain),
        )

    def taken(self) -> EncoderShare | None:
        """What its device took since this was last asked; None before the encoder is built."""
        if self._encoder is None:
            return None
        seconds, before = self._encoder.seconds, self._reported
        self._reported = EncoderShare(self._encoder.device, seconds.transfer, seconds.model)
        return EncoderShare(self._encoder.device, seconds.transfer - before.transfer, seconds.model - before.model)

    def notes(self) -> tuple[str, ...]:
        """What a person should know of how the encoder ran, since this was last asked."""
        told = self._encoder.notes if self._encoder is not None else ()
        before, self._told = self._told, told
        return tuple(note for note in told if note not in before)

    def close(self) -> None:
        """Release the encoder."""
        if self._encoder is not None:
            self._encoder.close()


def embeddings_of(
    plans: Sequence[EncoderPlan], config: Config, out: Outputs, uploads: Uploads | None = None
) -> list[Embedding]:
    """One for each plan; a plan for tiles that belong to others comes after theirs and shares their encoder."""
    found: list[Embedding] = []
    for plan in plans:
        own = [made for made in found if made.like is None and made.plan.choice is plan.choice]
        found.append(Embedding(plan, config, out, uploads, own[0] if own else None))
    return found


def cores(workers: int) -> int:
    """The number asked for, or the cores that this process may use."""
    return workers or len(os.sched_getaffinity(0))


def _provenance(embedding: Embedding, lineage: Lineage, table: TileTable, stain: SlideStain) -> Provenance:
    config, plan, encoder = embedding.config, embedding.plan, embedding.encoder
    _, about = read_tissue(lineage.slide_id, embedding.out, lineage.tissue(config))
    scale, card = table.scale, plan.card
    return Provenance(
        slide_id=lineage.slide_id,
        slide_fingerprint=lineage.content,
        fingerprint=lineage.embed(config, plan.tiles, embedding.recipe),
        status="ok" if len(table) else "empty",
        mpp_native=scale.native,
        mpp_source=about["mpp"]["source"],
        mpp_asked=scale.asked,
        mpp_effective=scale.effective,
        tile_px=scale.size,
        span=scale.span,
        step=scale.step,
        level=scale.level,
        level_downsample=scale.downsample,
        level_downsample_xy=(scale.downsample_x, scale.downsample_y),
        scanned_area=(area.x, area.y, area.width, area.height) if (area := table.bounds) else None,
        resize=scale.resize,
        slide_size=(table.slide_size.width, table.slide_size.height),
        encoder=card.model_dump(mode="json"),
        outside_card=True if plan.outside_card(scale) else None,
        weights_sha256=encoder.weights_digest,
        licence=card.licence,
        precision=encoder.precision,
        stain=stain.transform.parameters(),
        stain_fit=stain.record if config.stain.method != "none" else None,
        stain_outside_card=True if plan.other_stain(config.stain) else None,
        recipes=recipes(config, plan.tiles, embedding.recipe),
        fingerprints=_fingerprints(lineage, config, plan),
        versions=_versions(card.builder),
        device=encoder.device,
        slide_properties=about["properties"],
    )


def _fingerprints(lineage: Lineage, config: Config, plan: EncoderPlan) -> dict[str, str]:
    return {
        "preflight": lineage.preflight(),
        "tissue": lineage.tissue(config),
        "tiles": lineage.tiles(config, plan.tiles),
        "stain": lineage.stain(config),
        **_relatives(lineage, config, plan.tiles),
    }


def _relatives(lineage: Lineage, config: Config, tiles: TileRecipe) -> dict[str, str]:
    """The list that the tiles are of, and the tables that their rows refer to."""
    coarser = tiles.coarser()
    found = {"coordinates": lineage.coordinates} if lineage.coordinates else {}
    if coarser is not None:
        found["parent_tiles"] = lineage.tiles(config, coarser)
    if isinstance(tiles, TileView) and tiles.view == "context":
        found["centre_tiles"] = lineage.tiles(config, tiles.base())
    return found


@lru_cache
def _versions(builder: str) -> dict[str, str]:
    return {name: version(name) for name in sorted((*_LIBRARIES, *libraries(builder)))}
