"""The slide file: a pyramidal tiled-JPEG TIFF as Aperio scanners write it, or one that states no resolution."""

from __future__ import annotations

import os
import struct
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from wsi_features.slides.synthetic.ground import ground_of
from wsi_features.slides.synthetic.noise import U8
from wsi_features.slides.synthetic.pyramid import Spool, level_tiles
from wsi_features.slides.synthetic.render import block_pixels
from wsi_features.slides.synthetic.scene import Scene, scene_of
from wsi_features.slides.synthetic.spec import SlideSpec
from wsi_features.slides.synthetic.truth import GroundTruth, ground_truth

# Above this many bytes an ordinary TIFF, with its 32-bit offsets, might not do.
_CLASSIC_LIMIT = 2**32
_MOST_BYTES_PER_PIXEL = 2.0

_RESOLUTION_TAGS = {282, 283, 296}


def write_slide(path: str | os.PathLike[str], spec: SlideSpec, *, threads: int = 2) -> GroundTruth:
    """Write one slide and return what is known of it.

    The file appears under its name only when it is complete, and the same spec gives the
    same bytes whatever `threads`. Memory grows with the width of the slide, not its height.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with ThreadPoolExecutor(threads) as pool, ExitStack() as stack:
            stack.enter_context(_one_thread_per_call())
            spools = [stack.enter_context(tempfile.TemporaryFile(dir=target.parent)) for _ in spec.levels[1:]]
            _write_levels(part, spec, [Spool(file) for file in spools], pool)
        with part.open("r+b") as file:
            _without_resolution_tags(file)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return ground_truth(spec)


@contextmanager
def _one_thread_per_call() -> Iterator[None]:
    """Keep OpenCV from starting threads of its own beside those of the pool."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _write_levels(part: Path, spec: SlideSpec, spools: list[Spool], pool: Executor) -> None:
    import tifffile

    pixels = sum(width * height for width, height in spec.level_sizes)
    finest = level_tiles(spec, _bands(scene_of(spec), pool), spools, partial(_jpeg, spec), pool)
    big = pixels * _MOST_BYTES_PER_PIXEL > _CLASSIC_LIMIT
    with tifffile.TiffWriter(part, bigtiff=big, byteorder="<") as writer:
        for number, (width, height) in enumerate(spec.level_sizes):
            writer.write(
                spools[number - 1].tiles() if number else finest,
                shape=(height, width, 3),
                description=_description(spec, number),
                subfiletype=1 if number else 0,
                **_layout(spec),
            )


def _bands(scene: Scene, pool: Executor) -> Iterator[U8]:
    """The slide's level-0 rows from top to bottom, one row of blocks at a time."""
    width, height = scene.spec.width, scene.spec.height
    block_height, block_width = scene.block_px
    for row in range(-(-height // block_height)):
        band = np.empty((min(block_height, height - row * block_height), width, 3), np.uint8)
        # Once, before all threads ask for it.
        ground_of(scene, scene.block(row, 0))
        # Taken to the end, so that an error in any block is raised here.
        deque(pool.map(partial(_fill, scene, band, row), range(-(-width // block_width))), maxlen=0)
        yield band


def _fill(scene: Scene, band: U8, row: int, column: int) -> None:
    """Put one block in its place of a band; what it has beyond the slide is cut off."""
    left = column * scene.block_px[1]
    place = band[:, left : left + scene.block_px[1]]
    place[:] = block_pixels(scene, scene.block(row, column))[: place.shape[0], : place.shape[1]]


def _jpeg(spec: SlideSpec, tile: U8) -> bytes:
    import imagecodecs

    data = imagecodecs.jpeg8_encode(
        tile,
        spec.quality,
        colorspace="RGB",
        outcolorspace="RGB" if spec.photometric == "RGB" else "YCBCR",
        subsampling=spec.subsampling,
    )
    return bytes(data)


def _layout(spec: SlideSpec) -> dict[str, Any]:
    """What every level's directory has in common. No date and no software is written."""
    return {
        "dtype": np.uint8,
        "tile": (spec.tile, spec.tile),
        "photometric": "rgb",
        "compression": "jpeg",
        "compressionargs": {"outcolorspace": spec.photometric.upper()},
        "subsampling": (2, 2) if spec.subsampling == "420" else (1, 1),
        "metadata": None,
        "software": False,
    }


def _description(spec: SlideSpec, number: int) -> str | None:
    """The text that tells readers an Aperio scan, or nothing where no resolution is to be stated."""
    if spec.mpp is None:
        return None
    width, height = spec.level_sizes[number]
    reduced = f" -> {width}x{height}" if number else ""
    colour = "RGB" if spec.photometric == "RGB" else "YCC"
    area = f"{spec.width}x{spec.height} [0,0 {spec.width}x{spec.height}] ({spec.tile}x{spec.tile})"
    text = f"Aperio Image Library v12.0.0 \r\n{area}{reduced} JPEG/{colour} Q={spec.quality}"
    short = f"{spec.mpp:.4f}"
    fields = [f"AppMag = {spec.objective}"] if spec.objective is not None else []
    fields.append(f"MPP = {short if float(short) == spec.mpp else repr(spec.mpp)}")
    return text if number else "|".join([text, *fields])


def _without_resolution_tags(file: IO[bytes]) -> None:
    """Take the placeholder resolution out of every directory: scanners of this kind write none.

    A directory is a count, entries sorted by tag, and the offset of the next one; entries
    after a dropped one move up, and what they point to stays where it is.
    """
    big = file.read(4)[2] == 43
    count_format, entry_size, offset_format = ("<Q", 20, "<Q") if big else ("<H", 12, "<I")
    count_size, offset_size = struct.calcsize(count_format), struct.calcsize(offset_format)
    file.seek(8 if big else 4)
    (directory,) = struct.unpack(offset_format, file.read(offset_size))
    while directory:
        file.seek(directory)
        (count,) = struct.unpack(count_format, file.read(count_size))
        entries = [file.read(entry_size) for _ in range(count)]
        following = file.read(offset_size)
        kept = [entry for entry in entries if int.from_bytes(entry[:2], "little") not in _RESOLUTION_TAGS]
        file.seek(directory)
        file.write(struct.pack(count_format, len(kept)) + b"".join(kept) + following)
        (directory,) = struct.unpack(offset_format, following)
