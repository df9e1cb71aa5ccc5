"""No wrong file makes a wrong pixel, a crash or a hang: a hundred of them here, ten thousand in the full run.

A mutation that fails is known by its number: `pytest tests/damage/test_fuzz.py -k "ends_well[17]"`, and
`fuzz.mutated(17, bases)` makes its bytes. How many ended how is printed at the end of the test run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import fuzz
import pytest
from base import NONE, Bases, pyramid
from mutations import FAMILIES
from tiff_build import tiff_bytes

Record = Callable[[str, object], None]
BLOCK = 100


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[fuzz.Judge]:
    with fuzz.Judge(tmp_path_factory.mktemp("fuzz")) as made:
        yield made


@pytest.mark.parametrize("number", range(100))
def test_a_mutation_ends_well(judge: fuzz.Judge, number: int, record_property: Record) -> None:
    verdict = judge.verdict(number)
    record_property("fuzz", fuzz.counted([verdict]))
    assert verdict.acceptable, verdict


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("first", range(100, 10_000, BLOCK))
def test_a_block_of_mutations_ends_well(judge: fuzz.Judge, first: int, record_property: Record) -> None:
    verdicts = [judge.verdict(number) for number in range(first, first + BLOCK)]
    record_property("fuzz", fuzz.counted(verdicts))
    assert not [verdict for verdict in verdicts if not verdict.acceptable]


@pytest.mark.parametrize("slide", range(len(fuzz.SLIDES)))
def test_a_sound_slide_is_equal_to_itself(judge: fuzz.Judge, monkeypatch: pytest.MonkeyPatch, slide: int) -> None:
    name = fuzz.SLIDES[slide]
    monkeypatch.setattr(fuzz, "mutated", lambda _, bases: (name, "none", getattr(bases, name)))
    verdict = judge.verdict(0)
    assert (verdict.end, verdict.acceptable) == ("equal", True), verdict


def test_a_wrong_pixel_is_seen(judge: fuzz.Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bit of one uncompressed tile, which no reader could notice."""

    def flipped(_: int, bases: Bases) -> tuple[str, str, bytes]:
        data = bytearray(_uncompressed(bases))
        data[len(data) // 3] ^= 1
        return "tif", "tag value", bytes(data)

    monkeypatch.setattr(fuzz, "mutated", flipped)
    verdict = judge.verdict(0)
    assert (verdict.end, verdict.acceptable) == ("wrong", False), verdict


def _uncompressed(bases: Bases) -> bytes:
    return tiff_bytes(pyramid(bases.pixels, lambda tile: tile.tobytes(), compression=NONE))


def test_a_number_always_makes_the_same_file(tmp_path: Path) -> None:
    bases = Bases(tmp_path)
    assert [fuzz.mutated(k, bases) for k in range(20)] == [fuzz.mutated(k, bases) for k in range(20)]


def test_every_family_comes_up_and_changes_its_file(tmp_path: Path) -> None:
    bases = Bases(tmp_path)
    made = [fuzz.mutated(number, bases) for number in range(400)]
    assert {family for _, family, _ in made} == FAMILIES.keys()
    unchanged = [family for slide, family, data in made if data == getattr(bases, slide)]
    assert len(unchanged) < 0.03 * len(made), unchanged
