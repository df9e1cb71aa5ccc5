"""Heat maps of one slide of 150,000 x 100,000 pixels with 20,000 tiles: seconds a file; and a score table of a cohort."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]

SLIDE, SPAN, ACROSS, TILES = (150_000, 100_000), 448, 200, 20_000
SLIDES = 2_000


def rows() -> list[Row]:
    """Raster, each kind of file, and reading a table of 2,000 slides of 5,000 tiles."""
    with tempfile.TemporaryDirectory() as name:
        return [*_of_a_slide(Path(name)), *_of_a_table(Path(name))]


def _of_a_slide(folder: Path) -> list[Row]:
    from wsi_features.report.heat_colours import ramp
    from wsi_features.report.heat_scale import scaled, spread_of
    from wsi_features.stages import heat_files
    from wsi_features.stages.heat_ground import Ground, GroundPicture
    from wsi_features.store import FeatureStore

    store = FeatureStore.open(_store(folder))
    raw = np.random.default_rng(0).random(TILES, dtype=np.float32)
    spread = spread_of([raw])
    ground = Ground(_size(), store.provenance.mpp_native)
    slide = heat_files.ScoredSlide(
        store, ground, "attention", raw, scaled(raw, "rank", spread), spread, "rank", "slide", ramp("turbo", 0, 1)
    )
    glass = GroundPicture(np.full((1365, 2048, 3), 240, np.uint8))
    heat_files.picture(slide, glass, 0.5)  # loads matplotlib
    return [
        _timed("raster, 64 px a pixel", lambda: slide.painted(slide.scores, 64)),
        _timed("raster, 32 px a pixel", lambda: slide.painted(slide.scores, 32)),
        _timed("ome-tiff, 64 px a pixel", lambda: heat_files.write_colour_tiff(folder / "a.tiff", slide, 64)),
        _timed("ome-tiff, 32 px a pixel", lambda: heat_files.write_colour_tiff(folder / "a.tiff", slide, 32)),
        _timed("png, without reading the slide", lambda: heat_files.picture(slide, glass, 0.5)),
        _timed(
            "geojson in two classes",
            lambda: sum(map(len, heat_files.geojson_lines(slide, [0.5], "detection", shares=False, columns=True))),
        ),
    ]


def _of_a_table(folder: Path) -> list[Row]:
    from wsi_features.cohort.scores import SlideScores, read_scores, write_scores

    path = folder / "scores.parquet"
    rows_of, values = np.arange(5_000), np.random.default_rng(0).random((5_000, 1), dtype=np.float32)
    every = (SlideScores(f"s{k}", rows_of, ("attention",), values) for k in range(SLIDES))
    written = _timed("score table of 2,000 x 5,000 written", lambda: write_scores(path, ("attention",), every))
    table = read_scores(path)
    return [
        written,
        _timed("opened", lambda: read_scores(path)),
        _timed("all slides read", lambda: sum(len(table.of(name).rows) for name in table.slide_ids)),
    ]


def _timed(name: str, work: Callable[[], object]) -> Row:
    started, used = time.perf_counter(), time.process_time()
    work()
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"name": f"{name} ({cpu:.2f} s of CPU)", "value": seconds, "unit": "s", "peak_mib": peak}


def _size() -> Any:
    from wsi_features.geometry import Size

    return Size(*SLIDE)


def _store(folder: Path) -> Path:
    from wsi_features.geometry import Mpp, SlidePx
    from wsi_features.store import Provenance, StoreContent, StoreWriter

    fields: dict[str, Any] = {"recipes": {}, "fingerprints": {}, "versions": {}, "slide_properties": {}}
    fields |= {"slide_id": "s1", "slide_fingerprint": "cd" * 32, "fingerprint": "ab" * 32, "weights_sha256": ""}
    fields |= {"mpp_native": Mpp(0.25), "mpp_asked": Mpp(0.5), "mpp_effective": Mpp(0.5), "mpp_source": "manifest"}
    fields |= {"tile_px": 224, "span": SlidePx(SPAN), "step": SlidePx(SPAN), "level": 1, "level_downsample": 2.0}
    fields |= {"resize": 1.0, "slide_size": SLIDE, "encoder": {"name": "tiny"}, "licence": "CC0"}
    fields |= {"precision": "fp16", "stain": {"method": "none"}, "device": "cpu", "status": "ok"}
    numbers = np.arange(TILES)
    grid = np.stack([numbers % ACROSS, numbers // ACROSS], axis=1).astype(np.int32)
    columns = np.random.default_rng(1).random((TILES, 2), dtype=np.float32)
    origins = grid.astype(np.int64) * SPAN + 101
    content = StoreContent(origins, grid, columns, ("focus", "pen"), 2, "float16", Provenance(**fields))
    path = folder / "a__b__c__0123abcd" / "s1.zarr"
    with StoreWriter(path, content) as writer:
        writer.append(np.ones((TILES, 2), np.float32), np.ones(TILES, np.bool_))
        writer.commit()
    return path
