"""Tiny stores of a slide that is 5 tiles wide: never square, and x differs from y everywhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from wsi_features.geometry import Mpp, SlidePx
from wsi_features.store import Provenance, StoreContent, StoreWriter, layout

ACROSS, SPAN, STEP = 5, 512, 500
FINGERPRINT = "ab" * 32


class Samples:
    """What the tests of the store write, and how they look at it."""

    fingerprint = FINGERPRINT

    @staticmethod
    def provenance(n: int, **changed: Any) -> Provenance:
        """Of a slide that just holds `n` tiles in lines of five."""
        fields: dict[str, Any] = {
            "slide_id": "s1",
            "slide_fingerprint": "cd" * 32,
            "fingerprint": FINGERPRINT,
            "status": "ok" if n else "empty",
            "mpp_native": Mpp(0.25),
            "mpp_source": "aperio.MPP",
            "mpp_asked": Mpp(0.5),
            "mpp_effective": Mpp(0.5),
            "tile_px": 256,
            "span": SlidePx(SPAN),
            "step": SlidePx(STEP),
            "level": 1,
            "level_downsample": 2.0,
            "resize": 1.0,
            "slide_size": (ACROSS * STEP + 12, -(-n // ACROSS) * STEP + 12),
            "encoder": {"name": "tiny", "mpp_range": (0.4, 0.6), "dim": 3},
            "weights_sha256": "",
            "licence": "Apache-2.0",
            "precision": "fp16",
            "stain": {"method": "none"},
            "recipes": {"tiles": {"size": 256, "mpp": 0.5}, "embed": {}},
            "fingerprints": {"tiles": "ef" * 32},
            "versions": {"zarr": "3", "numpy": "2"},
            "device": "cpu",
            "slide_properties": {"openslide.objective-power": "40"},
        }
        return Provenance(**(fields | changed))

    @classmethod
    def content(cls, n: int = 7, dim: int = 3, dtype: Any = "float16", **changed: Any) -> StoreContent:
        """`n` tiles with two measured columns; `changed` are fields of the provenance."""
        rows = np.arange(n)
        grid = np.stack([rows % ACROSS, rows // ACROSS], axis=1).astype(np.int32)
        columns = np.stack([rows / 4, -rows], axis=1).astype(np.float32)
        provenance = cls.provenance(n, **changed)
        return StoreContent(grid.astype(np.int64) * STEP, grid, columns, ("tissue", "blur"), dim, dtype, provenance)

    @staticmethod
    def features(n: int, dim: int = 3) -> npt.NDArray[np.float32]:
        """Row + column / 8: exact in float16 up to row 255, and no two equal."""
        return (np.arange(n)[:, None] + np.arange(dim)[None, :] / 8).astype(np.float32)

    @staticmethod
    def append(
        writer: StoreWriter,
        features: npt.NDArray[np.float32],
        *,
        bad: Sequence[int] = (),
        batches: Iterable[int] = (),
    ) -> None:
        """Append in batches of the sizes given, then the rest in one; `bad` rows are invalid."""
        valid = ~np.isin(np.arange(len(features)), np.array(bad, dtype=int))
        start = 0
        for size in chain(batches, repeat(len(features))):
            writer.append(features[start : start + size], valid[start : start + size])
            start += size
            if start >= len(features):
                break

    @classmethod
    def write(
        cls,
        folder: Path,
        content: StoreContent | None = None,
        features: npt.NDArray[np.float32] | None = None,
        *,
        bad: Sequence[int] = (),
        batches: Iterable[int] = (),
    ) -> Path:
        """A committed store in `folder`."""
        what = cls.content() if content is None else content
        rows = cls.features(len(what), what.dim) if features is None else features
        with StoreWriter(folder / f"{what.provenance.slide_id}.zarr", what) as writer:
            cls.append(writer, rows, bad=bad, batches=batches)
            return writer.commit([(row, f"missing {row}") for row in bad])

    @staticmethod
    def tree(path: Path) -> dict[str, bytes]:
        """Every file under `path` with its bytes."""
        return {p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}

    @staticmethod
    def hidden(folder: Path) -> list[Path]:
        """Work directories left in `folder`."""
        return [path for path in folder.iterdir() if path.name.startswith(".")]


@pytest.fixture(scope="session")
def samples() -> type[Samples]:
    return Samples


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Samples.write(tmp_path_factory.mktemp("template"), bad=[5])


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Path:
    """Seven tiles, of which row 5 is invalid; each test has its own copy to damage."""
    return shutil.copytree(template, tmp_path / "features" / template.name)


@pytest.fixture(scope="class")
def small_chunks() -> Iterator[int]:
    """Four rows a chunk, so that a handful of tiles fills several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "CHUNK_ROWS", 4)
        yield 4
