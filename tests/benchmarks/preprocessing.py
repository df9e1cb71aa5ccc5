"""Measures how tiles are prepared for networks, and writes `wsi_features/encode/PREPROCESSING.md`.

    python tests/benchmarks/preprocessing.py [REAL_SLIDE ...]

Tiles come from a generated slide and from each slide named (a file that OpenSlide reads). Weights are
random, since none are shipped: what a change of pixels does to real features may be more or less.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.networks import network_builder
from wsi_features.encode.outline import feature_rows
from wsi_features.encode.preprocess import Preprocess
from wsi_features.encode.registry import card_named, card_names
from wsi_features.encode.resize import Interpolation, device_taps, pillow_resampled, resampled
from wsi_features.errors import CardError
from wsi_features.slides.synthetic import SlideSpec, write_slide

if TYPE_CHECKING:
    import torch
    from torch import nn

Tiles = npt.NDArray[np.uint8]
Way = Callable[[Tiles, int, Interpolation], "npt.NDArray[Any]"]

OUT = Path(__file__).parents[2] / "wsi_features/encode/PREPROCESSING.md"
SLIDE = SlideSpec(width=6144, height=4608, seed=11, mpp=0.5, objective=20, levels=(1, 4))
SIZES = ((256, 224), (512, 448), (512, 224), (224, 248))
KERNELS: tuple[Interpolation, ...] = ("bilinear", "bicubic")
TILES, PIECE, ROUNDS, CARD_TILES = 16, 4, 3, 4
LARGE = 100e6
"""Parameters beyond which a network is measured with two of its blocks, where its card says how many it has."""

HEAD = """# How tiles are prepared for networks

Made by `python tests/benchmarks/preprocessing.py [REAL_SLIDE ...]`; not edited by hand.

Whole tiles are resized to the card's `resize_px` (or `input_px`), the middle `input_px` are cut out, and grey levels are
scaled and normalised. Networks learned from images that Pillow had resized, and Pillow rounds to whole grey levels after
each of its two passes. So does this program, to the bit: on a CPU by Pillow itself, elsewhere by the same sums of whole
numbers in batch. Tiles of the right size are not resampled.

**Tolerances**, tested in `tests/unit/encode/test_preprocess.py` and `test_resize.py`: grey levels after the resize equal
Pillow's on every device, for both interpolations, enlarging and reducing (difference 0). After normalisation the values
are within 2e-6 of torchvision's v2 transform on PIL images, for both. Torchvision's own way with uint8 tensors has weights
of 15 bits instead of 22: within 2 grey levels of Pillow's and so of ours, for both, different in up to 1 % of the values.

Exactness decides among the ways that are not slower than 1.3 times the floats used before: on a quiet core Pillow takes
1.0 to 1.25 times as long as they do (times below are of a busy machine; compare them within a table only). The sums of
whole numbers take 1.3 to 4 times as long on a core, where they are not used; on a GPU they have not been timed yet.
"""
"""What stands above the tables."""


def pillow(tiles: Tiles, size: int, kernel: Interpolation) -> npt.NDArray[Any]:
    return pillow_resampled(tiles, size, size, kernel)


def whole_numbers(tiles: Tiles, size: int, kernel: Interpolation) -> npt.NDArray[Any]:
    import torch

    planes = torch.from_numpy(tiles).permute(0, 3, 1, 2).contiguous()
    line = device_taps(tiles.shape[1], size, size, kernel, planes.device)
    return resampled(planes, line, line).permute(0, 2, 3, 1).numpy()


def floats(tiles: Tiles, size: int, kernel: Interpolation) -> npt.NDArray[Any]:
    return _interpolated(_planes(tiles), (size, size), kernel).permute(0, 2, 3, 1).numpy()


def floats_rounded_once(tiles: Tiles, size: int, kernel: Interpolation) -> npt.NDArray[Any]:
    return _interpolated(_planes(tiles), (size, size), kernel).add_(0.5).floor_().permute(0, 2, 3, 1).numpy()


def floats_rounded_twice(tiles: Tiles, size: int, kernel: Interpolation) -> npt.NDArray[Any]:
    planes = _planes(tiles)
    across = _interpolated(planes, (planes.shape[2], size), kernel).add_(0.5).floor_()
    return _interpolated(across, (size, size), kernel).add_(0.5).floor_().permute(0, 2, 3, 1).numpy()


def torchvision_bytes(tiles: Tiles, size: int, kernel: Interpolation) -> npt.NDArray[Any]:
    import torch
    from torchvision.transforms import InterpolationMode, v2

    planes = torch.from_numpy(tiles).permute(0, 3, 1, 2)
    found = v2.functional.resize(planes, [size, size], interpolation=InterpolationMode(kernel), antialias=True)
    made: npt.NDArray[Any] = found.permute(0, 2, 3, 1).numpy()
    return made


WAYS: dict[str, Way] = {
    "Pillow itself (used on a CPU)": pillow,
    "whole numbers of 32 bits (used on a GPU; timed on a core)": whole_numbers,
    "torchvision v2, uint8 tensors": torchvision_bytes,
    "floats, rounded after each pass": floats_rounded_twice,
    "floats, rounded once": floats_rounded_once,
    "floats, not rounded (before)": floats,
}


class Apart(NamedTuple):
    """Differences from Pillow in grey levels."""

    share: float
    mean: float
    most: float


def slide_tiles(path: Path, size: int, count: int = TILES) -> Tiles:
    """Tiles with tissue at places drawn by lot, from level 0."""
    import openslide

    rng, out = np.random.default_rng(0), []
    with openslide.OpenSlide(str(path)) as slide:
        width, height = slide.dimensions
        while len(out) < count:
            place = (int(rng.integers(0, width - size)), int(rng.integers(0, height - size)))
            tile = np.asarray(slide.read_region(place, 0, (size, size)).convert("RGB"))
            if tile.std() > 12:
                out.append(tile)
    return np.stack(out)


def apart(found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> Apart:
    differences = np.abs(found.astype(np.float64) - wanted)
    return Apart(float((differences > 0.01).mean()), float(differences.mean()), float(differences.max()))


def milliseconds(way: Way, tiles: Tiles, size: int, kernel: Interpolation) -> float:
    """Shortest of several turns, a tile, on one core, in pieces as an encoder on a CPU takes them."""
    best = np.inf
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for start in range(0, len(tiles), PIECE):
            way(tiles[start : start + PIECE], size, kernel)
        best = min(best, time.perf_counter() - started)
    return 1000 * float(best) / len(tiles)


def cosines(found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> tuple[float, float]:
    """Least cosine of two sets of rows (b, d), and the same of what distinguishes the tiles: less their mean."""
    return _least(found, wanted), _least(found - wanted.mean(0), wanted - wanted.mean(0))


def resize_tables(sources: dict[str, Path]) -> Iterator[str]:
    for name, path in sources.items():
        for before, after in SIZES:
            tiles = slide_tiles(path, before)
            yield f"\n**{name}, {before} to {after} px**\n\n"
            heads = " | ".join(f"{kernel}: values off, mean, most, ms" for kernel in KERNELS)
            yield f"| way | {heads} |\n|---|---|---|\n"
            for way_name, way in WAYS.items():
                cells = []
                for kernel in KERNELS:
                    off = apart(way(tiles, after, kernel), pillow(tiles, after, kernel))
                    took = milliseconds(way, tiles, after, kernel)
                    cells.append(f"{100 * off.share:.2f} %, {off.mean:.3f}, {off.most:.2g}, {took:.2f}")
                yield f"| {way_name} | {' | '.join(cells)} |\n"


def feature_table(sources: dict[str, Path]) -> Iterator[str]:
    """What the ways do to the features of one network."""
    import timm
    import torch

    torch.manual_seed(0)
    network = timm.create_model("vit_small_patch16_224", num_classes=0).eval()
    yield "\n| way | " + " | ".join(f"{name}, {kernel}" for name in sources for kernel in KERNELS) + " |\n"
    yield "|---|" + "---|" * (len(sources) * len(KERNELS)) + "\n"
    for way_name, way in WAYS.items():
        cells = []
        for path in sources.values():
            tiles = slide_tiles(path, 256)
            for kernel in KERNELS:
                found, wanted = (_features(network, f(tiles, 224, kernel)) for f in (way, pillow))
                cells.append("{:.6f}, {:.5f}".format(*cosines(found, wanted)))
        yield f"| {way_name} | {' | '.join(cells)} |\n"


def reference_transform(card: EncoderCard) -> Callable[[Any], torch.Tensor]:
    """The transform of a card as papers state it, by torchvision, for a PIL image or a uint8 tensor."""
    import torch
    from torchvision.transforms import InterpolationMode, v2

    side = card.resize_px or card.input_px
    made: Callable[[Any], torch.Tensor] = v2.Compose(
        [
            v2.Resize((side, side), interpolation=InterpolationMode(card.interpolation), antialias=True),
            v2.CenterCrop(card.input_px),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(card.mean, card.std),
        ]
    )
    return made


def inputs(card: EncoderCard, tiles: Tiles) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What a network sees: by us, by torchvision from PIL images, and by torchvision from uint8 tensors."""
    import torch
    from PIL import Image

    pixels, reference = torch.from_numpy(tiles), reference_transform(card)
    ours = Preprocess.of(card, torch.device("cpu"))(pixels)
    images = torch.stack([reference(Image.fromarray(tile)) for tile in tiles])
    return ours, images, reference(pixels.permute(0, 3, 1, 2))


def card_table(path: Path) -> Iterator[str]:
    """Every encoder that can be built here against the reference transform of its card."""
    yield "| encoder | tile, resize, input (px) | interpolation | off torchvision on PIL images | on tensors: values, most levels | cosine, centred cosine | network |\n"
    yield "|---|---|---|---|---|---|---|\n"
    for name in card_names():
        card = card_named(name) if name != "histo-texture" else None
        if isinstance(card, EncoderCard):
            sys.stderr.write(f"{name}\n")
            yield _card_row(card, slide_tiles(path, card.tile_px, CARD_TILES))


def _card_row(card: EncoderCard, tiles: Tiles) -> str:
    ours, images, tensors = inputs(card, tiles)
    off = float((ours - images).abs().max())
    levels = (ours - tensors).abs() * torch_std(card) * 255
    share, most = float((levels > 0.01).float().mean()), float(levels.max())
    network, size = _random_network(card)
    if network is None:
        told = "- | too large"
    else:
        found, wanted = (_rows(card, network, batch) for batch in (ours, images))
        told = "{:.6f}, {:.6f}".format(*cosines(found, wanted)) + f" | {size}"
    sizes = f"{card.tile_px}, {card.resize_px or card.input_px}, {card.input_px}"
    return f"| {card.name} | {sizes} | {card.interpolation} | {off:.1e} | {100 * share:.2f} %, {most:.0f} | {told} |\n"


def torch_std(card: EncoderCard) -> torch.Tensor:
    import torch

    return torch.tensor(card.std).view(1, 3, 1, 1)


def _random_network(card: EncoderCard) -> tuple[nn.Module | None, str]:
    """The card's network with random weights; a large one with two of its blocks, or none."""
    import torch

    size = "whole"
    if (card.parameters or LARGE + 1) > LARGE:
        if "depth" not in card.arguments and card.builder != "timm":
            return None, ""
        card, size = card.model_copy(update={"arguments": card.arguments | {"depth": 2}}), "2 blocks"
    torch.manual_seed(0)
    try:
        network = network_builder(card.builder).made(card, "cpu")
    except CardError:
        return None, ""
    for parameter in network.parameters():  # as they are made, some outputs are zero
        parameter.add_(torch.randn_like(parameter), alpha=0.02)
    return network, size


def _rows(card: EncoderCard, network: nn.Module, batch: torch.Tensor) -> npt.NDArray[Any]:
    import torch

    with torch.inference_mode():
        pieces = [feature_rows(card, network(piece)) for piece in batch.split(2)]
    return torch.cat(pieces).double().numpy()


def document(real: list[Path]) -> Iterator[str]:
    """The text of PREPROCESSING.md."""
    with tempfile.TemporaryDirectory() as folder:
        generated = Path(folder) / "generated.svs"
        write_slide(generated, SLIDE)
        sources = {"generated slide": generated} | {path.name: path for path in real}
        yield HEAD
        yield f"\n## Ways to resize\n\nDifferences from Pillow in grey levels: share of values that differ by more than 0.01, mean, most; and the shortest time of {ROUNDS} turns on one core, ms a tile. {TILES} tiles.\n"
        yield from resize_tables(sources)
        yield "\n## What a way does to features\n\nViT-S/16 with random weights, 256 to 224 px, against Pillow: least cosine, and least cosine of what is left after the mean of all tiles is taken off. With trained weights the effect may be larger.\n"
        yield from feature_table(sources)
        yield f"\n## Every card\n\nThe input of the network against torchvision's v2 transform of the card (greatest difference of normalised values on PIL images; share of values and grey levels on uint8 tensors), and least cosine of features with those of the transform on PIL images, random weights, {CARD_TILES} tiles of the generated slide.\n\n"
        yield from card_table(generated)


def main() -> None:
    """Measure and write."""
    import torch

    torch.set_num_threads(1)
    OUT.write_text("".join(document([Path(name) for name in sys.argv[1:]])), encoding="utf-8")


def _planes(tiles: Tiles) -> torch.Tensor:
    import torch

    return torch.from_numpy(tiles).permute(0, 3, 1, 2).contiguous().float()


def _interpolated(planes: torch.Tensor, size: tuple[int, int], kernel: Interpolation) -> torch.Tensor:
    from torch.nn import functional

    return functional.interpolate(planes, size=size, mode=kernel, antialias=True).clamp_(0, 255)


def _features(network: nn.Module, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    import torch

    with torch.inference_mode():
        rows: npt.NDArray[Any] = network(_planes(pixels) / 127.5 - 1).numpy()
    return rows.astype(np.float64)


def _least(found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> float:
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    return float(((found * wanted).sum(1) / lengths).min())


if __name__ == "__main__":
    main()
