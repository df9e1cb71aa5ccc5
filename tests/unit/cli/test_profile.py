"""What `--profile` prints."""

from pathlib import Path

import pytest

from wsi_features.cli.profile import tell_profile
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import write_record
from wsi_features.stages.meter import EncoderShare, Meter


def test_each_shard_that_embedded_is_told_with_its_notes_and_advice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Outputs(tmp_path)
    meter = Meter(tiles=1200, waiting=6.0, notes=("the batch was halved to 32",))
    meter.started -= 12.0
    meter.encoders = {"uni": EncoderShare("cuda", 1.25, 9.0)}
    meter.stream.bytes_read, meter.stream.blocks = 5_000_000, 4800
    write_record(out.record("embed", "00000"), "embed", "00000", {}, meter.facts())
    write_record(out.record("embed", "00001"), "embed", "00001", {})
    tell_profile(out, ["00000", "00001", "00002"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "shard 00000: 1,200 tiles in 12.0 s, 100.0 a second, encoders busy 75%"
    assert "5.0 MB, 4,800 blocks decoded" in lines[1]
    assert lines[3].split() == ["uni", "transfer", "1.25,", "model", "9.00", "on", "cuda"]
    assert lines[-2:] == [
        "  note    the batch was halved to 32",
        "  advice  the encoder is the limit: a faster device or a lower precision is what helps",
    ]
    assert len(lines) == 8
