"""Slides that are tried again in the same job: in which order, and for how long."""

from collections.abc import Iterator, Sequence

import pytest

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.records import SlideResult
from wsi_features.stages import settling
from wsi_features.stages.settling import Ended, settled

ROWS = [ManifestRow(slide_id=name, path=f"{name}.svs") for name in "abc"]
OK = SlideResult("ok", "embed")


def failed(reason: str) -> SlideResult:
    return SlideResult("failed", "embed", reason=reason)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims are looked at again at once."""
    monkeypatch.setattr(settling, "_LOOK_AGAIN_SECONDS", 0.0)


def tried(*rounds: dict[str, SlideResult], seconds: float = 9) -> tuple[list[tuple[str, str]], list[str]]:
    """What came out as (slide, reason), and the slides of each further round, for rounds that end as told."""
    asked: list[str] = []
    left = list(rounds)

    def again(rows: Sequence[ManifestRow]) -> Iterator[Ended]:
        asked.append("".join(row.slide_id for row in rows))
        results = left.pop(0)
        return iter([(row, results[row.slide_id]) for row in rows])

    found = [(row.slide_id, result.reason) for row, result in settled(again(ROWS), again, seconds)]
    return found, asked[1:]


def test_without_trouble_there_is_one_round() -> None:
    assert tried({"a": OK, "b": OK, "c": OK}) == ([("a", ""), ("b", ""), ("c", "")], [])


def test_halved_slides_come_again_until_all_their_rows_are_of_one_size() -> None:
    halved = failed(settling.HALVED)
    found, rounds = tried({"a": halved, "b": OK, "c": halved}, {"a": OK, "c": halved}, {"c": OK})
    assert found == [("b", ""), ("a", ""), ("c", "")]
    assert rounds == ["ac", "c"]


def test_a_slide_of_another_job_is_waited_for_after_the_others() -> None:
    found, rounds = tried({"a": failed("claimed"), "b": OK, "c": OK}, {"a": failed("claimed")}, {"a": OK})
    assert found == [("b", ""), ("c", ""), ("a", "")]
    assert rounds == ["a", "a"]


def test_after_its_time_the_claim_is_the_result_but_halved_slides_go_on() -> None:
    first = {"a": failed("claimed"), "b": failed(settling.HALVED), "c": OK}
    found, rounds = tried(first, {"b": OK}, seconds=0)
    assert found == [("c", ""), ("a", "claimed"), ("b", "")]
    assert rounds == ["b"]
