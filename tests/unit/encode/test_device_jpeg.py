"""Blocks decoded elsewhere: the same tiles through the same stream, and the CPU for what is left."""

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch

from wsi_features.encode.device.jpeg import DeviceJpeg, averaged, device_jpeg
from wsi_features.errors import EncoderError
from wsi_features.geometry import Size
from wsi_features.slides.tiff import TiffIndex, TiffReader, tiff_index
from wsi_features.tiles import ReadRecipe, TileGrid, regular_grid, tile_batches, tile_scale
from wsi_features.tiles.source import TileSource
from wsi_features.tiles.stream import SourceBatch, tile_stream
from wsi_features.tiles.watch import StreamTimes

WIDTH, HEIGHT, BLOCK = 640, 448, Size(64, 32)
Opener = Callable[[], TiffReader]


def picture() -> np.ndarray:
    """Smooth colours with some noise: what JPEG is made for."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [128 + 90 * np.sin(x / (20 + 7 * c)) * np.cos(y / (31 - 5 * c)) for c in range(3)]
    noise = np.random.default_rng(3).normal(0, 6, (HEIGHT, WIDTH, 3))
    return np.clip(np.stack(waves, axis=-1) + noise, 0, 255).astype(np.uint8)


def written(path: Path, photometric: str = "ycbcr") -> Opener:
    form = "RGB" if photometric == "rgb" else "YCBCR"
    blocks = [
        imagecodecs.jpeg8_encode(np.ascontiguousarray(block), 85, colorspace="RGB", outcolorspace=form)
        for row in np.split(picture(), HEIGHT // BLOCK.height)
        for block in np.split(row, WIDTH // BLOCK.width, axis=1)
    ]
    with tifffile.TiffWriter(path) as file:
        file.write(
            iter(blocks),
            shape=(HEIGHT, WIDTH, 3),
            dtype=np.uint8,
            tile=(BLOCK.height, BLOCK.width),
            compression="jpeg",
            photometric="ycbcr",
            metadata=None,
        )
    if photometric == "rgb":  # tifffile always writes that it is YCbCr
        with tifffile.TiffFile(path, mode="r+b") as file:
            file.pages[0].tags[262].overwrite(2)
    index = tiff_index(str(path))
    assert isinstance(index, TiffIndex), index
    return lambda: TiffReader("s1", str(path), index)


class Counting(DeviceJpeg):
    """The decoder of the CPU in place of a GPU's; counts what it made."""

    made = 0

    def __call__(self, streams, size, reduction):  # type: ignore[no-untyped-def]
        found = super().__call__(streams, size, reduction)
        self.made += sum(block is not None for block in found)
        return found


def grid_and_scale(asked: float) -> tuple[TileGrid, object]:
    scale = tile_scale("s1", (1.0,), native=0.25, asked=asked, size=48)
    return regular_grid(Size(WIDTH, HEIGHT), scale), scale


def tiles_by(decoder: DeviceJpeg | None, opener: Opener, asked: float, times: StreamTimes | None = None) -> np.ndarray:
    grid, scale = grid_and_scale(asked)
    source = TileSource("s1", opener, grid, scale, ReadRecipe(), decoder=decoder)  # type: ignore[arg-type]
    stream = tile_stream([source], batch=16, workers=2, times=times)
    return np.concatenate([item.tiles.pixels for item in stream if isinstance(item, SourceBatch)])


@pytest.mark.parametrize("asked", [0.25, 0.5, 0.53])
def test_tiles_are_those_of_the_cpu(tmp_path: Path, asked: float) -> None:
    decoder, opener, times = Counting(torch.device("cpu")), written(tmp_path / "s.tif"), StreamTimes()
    found = tiles_by(decoder, opener, asked, times)
    assert np.abs(found.astype(int) - tiles_by(None, opener, asked)).max() <= 1
    assert decoder.made == times.blocks > 100


def test_colours_that_are_stored_as_rgb_are_left_to_the_cpu(tmp_path: Path) -> None:
    decoder, opener = Counting(torch.device("cpu")), written(tmp_path / "s.tif", "rgb")
    assert np.array_equal(tiles_by(decoder, opener, 0.25), tiles_by(None, opener, 0.25))
    assert decoder.made == 0


def test_a_block_that_was_cut_short_is_left_to_the_cpu_which_reports_it(tmp_path: Path) -> None:
    opener = written(tmp_path / "s.tif")
    with tifffile.TiffFile(tmp_path / "s.tif", mode="r+b") as file:
        page = file.pages[0]
        end = page.dataoffsets[33] + page.databytecounts[33]
        file.filehandle.seek(end - 40)
        file.filehandle.write(bytes(40))
    grid, scale = grid_and_scale(0.25)
    source = TileSource("s1", opener, grid, scale, ReadRecipe(), decoder=Counting(torch.device("cpu")))  # type: ignore[arg-type]
    batches = [item.tiles for item in tile_stream([source], batch=16, workers=2) if isinstance(item, SourceBatch)]
    plain = list(tile_batches(opener, grid, scale, ReadRecipe(), batch=16, workers=1))  # type: ignore[arg-type]
    assert [b.valid.tolist() for b in batches] == [b.valid.tolist() for b in plain]
    assert sum((~b.valid).sum() for b in batches) > 0


def test_what_the_decoder_refuses_is_left_to_the_cpu() -> None:
    def refuse(*_: object) -> list[torch.Tensor]:
        raise RuntimeError("nvjpegDecode failed: JPEG_NOT_SUPPORTED")

    decoder = DeviceJpeg(torch.device("cpu"), refuse)
    assert decoder([b"\xff\xd8\xff\xd9", None], BLOCK, 1) == [None, None]


def test_one_block_that_is_refused_costs_only_itself() -> None:
    def picky(streams: list[torch.Tensor], _: torch.device) -> list[torch.Tensor]:
        if any(len(stream) == 5 for stream in streams):
            raise RuntimeError("nvjpegDecode failed: JPEG_NOT_SUPPORTED")
        return [torch.full((3, BLOCK.height, BLOCK.width), len(stream), dtype=torch.uint8) for stream in streams]

    streams = [b"\xff\xd8\xff\xd9", b"\xff\xd8.\xff\xd9", b"\xff\xd8..\xff\xd9"]
    first, second, third = DeviceJpeg(torch.device("cpu"), picky)(streams, BLOCK, 2)
    assert second is None
    assert [int(block.mean()) for block in (first, third) if block is not None] == [4, 6]


def test_another_fault_of_the_decoder_is_no_refusal() -> None:
    def broken(*_: object) -> list[torch.Tensor]:
        raise RuntimeError("expected a tensor")

    with pytest.raises(RuntimeError, match="expected a tensor"):
        DeviceJpeg(torch.device("cpu"), broken)([b"\xff\xd8\xff\xd9"], BLOCK, 1)


@pytest.mark.parametrize("reduction", [1, 2, 4])
def test_blocks_are_averaged_as_on_the_cpu(reduction: int) -> None:
    import cv2

    rgb = np.ascontiguousarray(picture()[:64, :96])
    found = averaged(torch.from_numpy(rgb).permute(2, 0, 1)[None], reduction)[0].permute(1, 2, 0).numpy()
    wanted = cv2.resize(rgb, (96 // reduction, 64 // reduction), interpolation=cv2.INTER_AREA)
    assert np.abs(found.astype(int) - wanted).max() <= (1 if reduction == 4 else 0)


def test_a_machine_without_a_gpu_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        EncoderError, match="`read.decode` is nvjpeg, .*device is 'cpu' here. Set it to exact or scaled"
    ):
        device_jpeg("auto")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("asked", [0.25, 0.5, 0.53])
def test_nvjpeg_comes_near_the_cpu(tmp_path: Path, asked: float) -> None:
    opener = written(tmp_path / "s.tif")
    found, wanted = tiles_by(device_jpeg("cuda"), opener, asked), tiles_by(None, opener, asked)
    apart = np.abs(found.astype(int) - wanted)
    assert apart.mean() < 2.5
    assert np.percentile(apart, 99) <= 16
