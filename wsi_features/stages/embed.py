"""Stage embed: every tile of a slide through an encoder into its feature store."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import SlideResult
from wsi_features.config import Config
from wsi_features.encode.build import build, encoder_recipe
from wsi_features.encode.encoder import Encoder
from wsi_features.encode.loop import embedded
from wsi_features.encode.weights import sha256_of
from wsi_features.errors import TileReadError
from wsi_features.recipe import Json
from wsi_features.slides import open_slide
from wsi_features.stages.encoders import EncoderPlan
from wsi_features.stages.lineage import Lineage, feature_set_hash, lineage_of, recipes
from wsi_features.stages.progress import Progress
from wsi_features.stages.stain import stain_with
from wsi_features.stages.tiles import tiles_with
from wsi_features.stages.tissue import read_tissue
from wsi_features.stain import Identity, StainTransform
from wsi_features.store import Provenance, StoreContent, StoreWriter, is_complete, sweep
from wsi_features.tiles import TileTable, tile_batches

_LIBRARIES = ("numpy", "opencv-python", "openslide-bin", "openslide-python", "zarr", "wsi-features")


@dataclass(slots=True)
class Embedding:
    """One encoder over the slides of a shard; it is built when the first slide needs it."""

    plan: EncoderPlan
    config: Config
    out: Outputs
    recipe: Json = field(init=False)
    feature_set: str = field(init=False)
    _encoder: Encoder | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        plan = self.plan
        plan.check_weights()
        digest = sha256_of(plan.weights) if plan.weights else ""
        self.recipe = encoder_recipe(plan.card, digest, plan.precision)
        name = f"{plan.card.slug}__{plan.tiling}__{self.config.stain.method}"
        self.feature_set = f"{name}__{feature_set_hash(self.config, plan.tiles, self.recipe)}"

    @property
    def encoder(self) -> Encoder:
        """The loaded encoder."""
        if self._encoder is None:
            plan, tuning = self.plan, self.config.tuning
            self._encoder = build(
                plan.card,
                weights=plan.weights,
                precision=plan.precision,
                device=tuning.device,
                workers=reading_threads(tuning.workers),
            )
        return self._encoder

    def close(self) -> None:
        """Release the encoder."""
        if self._encoder is not None:
            self._encoder.close()


def embed_one(row: ManifestRow, embedding: Embedding, progress: Progress) -> SlideResult:
    """Embed one slide with one encoder, or find that its store is right already."""
    config, plan, out = embedding.config, embedding.plan, embedding.out
    lineage = lineage_of(row)
    wanted = lineage.embed(config, plan.tiles, embedding.recipe)
    target = out.store(embedding.feature_set, row.slide_id)
    table = tiles_with(row.slide_id, out, plan.tiling, lineage.tiles(config, plan.tiles))
    reused = is_complete(target, wanted)
    if not reused:
        sweep(target)
        stain = _stain(row.slide_id, embedding, lineage, table)
        _write(row, embedding, lineage, table, stain, target, progress)
    facts = {"store": str(target.relative_to(out.root)), "tiles": len(table), "reused": reused}
    return SlideResult("ok" if len(table) else "empty", "embed", fingerprint=wanted, facts=facts)


def reading_threads(workers: int) -> int:
    """The number asked for, or one for each core that this process may use."""
    return workers or len(os.sched_getaffinity(0))


def _stain(slide_id: str, embedding: Embedding, lineage: Lineage, table: TileTable) -> StainTransform:
    """A slide without tiles needs no transform, so one that could not be fitted does not fail it."""
    if not len(table):
        return Identity()
    method = embedding.config.stain.method
    return stain_with(slide_id, embedding.out, method, lineage.stain(embedding.config))


def _write(
    row: ManifestRow,
    embedding: Embedding,
    lineage: Lineage,
    table: TileTable,
    stain: StainTransform,
    target: Path,
    progress: Progress,
) -> None:
    encoder, config = embedding.encoder, embedding.config
    content = StoreContent(
        coords=table.grid.origins,
        grid=table.grid.index,
        columns=table.tissue_share[:, None],
        column_names=("tissue_share",),
        dim=encoder.card.dim,
        dtype="float32" if encoder.precision == "fp32" else "float16",
        provenance=_provenance(embedding, lineage, table, stain),
    )
    batches = tile_batches(
        lambda: open_slide(row.slide_id, Path(row.path)),
        table.grid,
        table.scale,
        config.read,
        batch=config.tuning.batch,
        workers=reading_threads(config.tuning.workers),
    )
    bad: list[tuple[int, str]] = []
    with StoreWriter(target, content) as writer:
        for done in embedded(batches, stain, encoder):
            writer.append(done.features, done.batch.valid)
            rows = done.batch.rows[~done.batch.valid]
            bad += zip((int(r) for r in rows), done.batch.problems, strict=True)
            _refuse_damage(row.slide_id, bad, table, config.read.max_bad_tile_fraction)
            progress.tiles(row.slide_id, int(done.batch.rows[-1]) + 1, len(table))
        writer.commit(bad)


def _refuse_damage(slide_id: str, bad: list[tuple[int, str]], table: TileTable, allowed: float) -> None:
    if len(bad) > allowed * len(table):
        places = [(int(table.grid.origins[row, 0]), int(table.grid.origins[row, 1]), why) for row, why in bad]
        raise TileReadError.too_many(slide_id, places, len(table), allowed)


def _provenance(embedding: Embedding, lineage: Lineage, table: TileTable, stain: StainTransform) -> Provenance:
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
        resize=scale.resize,
        slide_size=(table.slide_size.width, table.slide_size.height),
        encoder=card.model_dump(mode="json"),
        weights_sha256=encoder.weights_digest,
        licence=card.licence,
        precision=encoder.precision,
        stain=stain.parameters(),
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
    }


def _versions(builder: str) -> dict[str, str]:
    extra = ("torch", "timm") if builder == "timm" else ()
    return {name: version(name) for name in sorted((*_LIBRARIES, *extra))}


def merged_result(results: dict[str, SlideResult]) -> SlideResult:
    """One result for a slide embedded with several encoders: a failure of any of them shows."""
    worst = next((r for r in results.values() if r.status == "failed"), None)
    first = worst or next((r for r in results.values() if r.status == "ok"), next(iter(results.values())))
    facts: dict[str, Any] = {"stores": {k: dict(r.facts) for k, r in results.items() if r.usable}}
    seconds = float(np.sum([r.seconds for r in results.values()]))
    return SlideResult(
        first.status, first.stage, first.fingerprint, first.reason, first.message, round(seconds, 3), facts
    )
