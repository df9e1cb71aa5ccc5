"""The meter: figures that fit together, and advice that follows from them."""

import pytest

from wsi_features.stages.meter import EncoderShare, Meter


def metered(**seconds: float) -> Meter:
    made = Meter(tiles=100, waiting=seconds.get("waiting", 0.0), writing=seconds.get("writing", 0.0))
    made.started -= 10.0
    made.stream.for_batches = seconds.get("for_batches", 0.0)
    return made


def test_the_encoders_are_busy_but_for_what_they_wait_for_tiles() -> None:
    assert metered(for_batches=4.0).busy_share == pytest.approx(0.6, abs=0.01)
    assert metered(for_batches=40.0).busy_share == 0.0


def test_a_gpu_says_itself_how_busy_it_was() -> None:
    meter = metered(for_batches=4.0)
    meter.encoders = {"uni": EncoderShare("cuda", 0.5, 7.0), "histo-texture": EncoderShare("cpu", 0.0, 30.0)}
    assert meter.busy_share == pytest.approx(0.7, abs=0.01)
    assert meter.facts()["encoders"]["uni"] == {"device": "cuda", "transfer": 0.5, "model": 7.0}


def test_the_queue_is_the_mean_of_what_lay_ready() -> None:
    meter = metered()
    meter.stream.ready, meter.stream.taken = 9, 4
    assert meter.facts()["queue"] == 2.25


def test_the_rate_is_over_the_whole_pass() -> None:
    assert metered().facts()["tiles_per_second"] == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize(
    ("seconds", "advice"),
    [
        ({"waiting": 8.0, "for_batches": 1.0}, "the encoder is the limit"),
        ({"waiting": 3.0, "for_batches": 6.0}, "the encoder waits for tiles"),
        ({"waiting": 3.0, "for_batches": 1.0, "writing": 5.0}, "writing takes the most"),
    ],
)
def test_the_advice_names_what_takes_longest(seconds: dict[str, float], advice: str) -> None:
    assert metered(**seconds).advice().startswith(advice)


def test_a_pass_without_tiles_gives_no_advice() -> None:
    assert Meter().advice() == "nothing was embedded"
