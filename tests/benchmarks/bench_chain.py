"""The whole chain on one generated slide, beside plain OpenSlide reading of the same tiles.

Each row is measured in a process of its own, so that peak memory is that row's.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def rows(pixels: int = 30_000) -> list[Row]:
    """Seconds and peak memory of generating, of the chain and its stages, and of plain reading."""
    with tempfile.TemporaryDirectory() as folder:
        measured = [_in_child(what, folder, pixels) for what in ("generate", "chain", "plain")]
    found = {row["what"]: row for row in measured}
    tiles, plain = found["chain"]["tiles"], found["plain"]["seconds"]
    size = f"{pixels} x {pixels} px"
    table = [
        _row(f"generate {size}", found["generate"]["seconds"], "s", memory=found["generate"]["mib"]),
        _row(
            f"whole chain, {tiles} tiles, histo-texture", found["chain"]["seconds"], "s", memory=found["chain"]["mib"]
        ),
    ]
    table += [_row(f"  of it {stage}", seconds, "s") for stage, seconds in found["chain"]["stages"].items()]
    table.append(_row("plain OpenSlide + Pillow, same tiles, 1 thread", plain, "s", memory=found["plain"]["mib"]))
    table.append(_row("whole chain / plain reading", found["chain"]["seconds"] / plain, "ratio"))
    return table


def _row(name: str, value: float, unit: str, memory: float | None = None) -> Row:
    return {"name": name, "value": value, "unit": unit, "peak_mib": memory}


def _in_child(what: str, folder: str, pixels: int) -> Row:
    command = [sys.executable, __file__, what, folder, str(pixels)]
    row: Row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    return row


@contextmanager
def _timed(row: Row) -> Iterator[None]:
    start = time.perf_counter()
    yield
    row["seconds"] = time.perf_counter() - start
    row["mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _generate(folder: Path, pixels: int, row: Row) -> None:
    from wsi_features.slides.synthetic import SlideSpec, write_slide

    with _timed(row):
        write_slide(folder / "slide.svs", SlideSpec(width=pixels, height=pixels, seed=1))


def _chain(folder: Path, row: Row) -> None:
    import wsi_features

    with _timed(row):
        store = wsi_features.embed(folder / "slide.svs", out=folder / "out")
    row["tiles"] = len(store)
    records = {path.parent.name: json.loads(path.read_text()) for path in (folder / "out/records").glob("*/*.json")}
    row["stages"] = {
        stage: records[stage]["slides"]["slide"]["seconds"] for stage in ("tissue", "tiles", "stain", "embed")
    }


def _plain(folder: Path, row: Row) -> None:
    """What CLAM-like tools do: one read_region a tile, resized by Pillow."""
    import openslide
    from PIL import Image

    import wsi_features

    store = wsi_features.open(str(folder / "out")).store("slide")
    about = store.attributes
    width = round(about["span"] / about["level_downsample"])
    with _timed(row), openslide.OpenSlide(str(folder / "slide.svs")) as slide:
        for x, y in store.coords.tolist():
            tile = slide.read_region((x, y), about["level"], (width, width)).convert("RGB")
            tile.resize((about["tile_px"], about["tile_px"]), Image.Resampling.BILINEAR)


def _main(what: str, folder: str, pixels: str) -> None:
    row: Row = {"what": what}
    if what == "generate":
        _generate(Path(folder), int(pixels), row)
    elif what == "chain":
        _chain(Path(folder), row)
    else:
        _plain(Path(folder), row)
    sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
