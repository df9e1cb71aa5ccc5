from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from wsi_features.encode.loop import EmbeddedBatch, embedded
from wsi_features.stain.transform import Identity
from wsi_features.tiles.grid import TileBatch


@dataclass
class Waiting:
    value: np.ndarray
    log: list[str]
    name: str

    def rows(self) -> np.ndarray:
        self.log.append(f"rows {self.name}")
        return self.value


@dataclass
class MeanColour:
    """An encoder of three features, which notes the order of events."""

    log: list[str] = field(default_factory=list)

    def submit(self, batch: TileBatch) -> Waiting:
        name = str(batch.rows[0])
        self.log.append(f"submit {name}")
        return Waiting(batch.pixels.mean(axis=(1, 2)).astype(np.float32), self.log, name)


def batches(count: int) -> Iterator[TileBatch]:
    for k in range(count):
        pixels = np.full((2, 5, 5, 3), 10 * k, np.uint8)
        pixels[1] += 1
        yield TileBatch(pixels, np.array([2 * k, 2 * k + 1]), np.array([True, k != 1]), ("gone",) if k == 1 else ())


def run(encoder: MeanColour, count: int) -> list[EmbeddedBatch]:
    return list(embedded(batches(count), Identity(), encoder))  # type: ignore[arg-type]


def test_features_come_in_the_order_of_the_tiles() -> None:
    found = np.concatenate([done.features for done in run(MeanColour(), 3)])
    assert found[[0, 1, 2, 4, 5], 0].tolist() == [0, 1, 10, 20, 21]


def test_the_row_of_an_invalid_tile_is_nan_and_keeps_its_place() -> None:
    done = run(MeanColour(), 3)[1]
    assert np.isnan(done.features[1]).all()
    assert done.features[0].tolist() == [10, 10, 10]


def test_the_next_batch_is_submitted_before_the_last_one_is_waited_for() -> None:
    encoder = MeanColour()
    run(encoder, 3)
    assert encoder.log == ["submit 0", "submit 2", "rows 0", "submit 4", "rows 2", "rows 4"]


def test_no_batch_gives_nothing() -> None:
    assert run(MeanColour(), 0) == []
