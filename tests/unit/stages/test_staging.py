"""Slides copied ahead of use: bounded, removed after, and never in the way of a result."""

import filecmp
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.config import Tuning
from wsi_features.errors import SlideFileError
from wsi_features.stages.staging import Staging

MIB = 2**20


def needed(_: ManifestRow) -> bool:
    return True


@pytest.fixture
def rows(tmp_path: Path) -> list[ManifestRow]:
    """Three files of 1, 2 and 3 MiB in place of slides."""
    made = []
    for k in (1, 2, 3):
        path = tmp_path / f"{k}.svs"
        path.write_bytes(os.urandom(k * MIB))
        made.append(ManifestRow(slide_id=f"s{k}", path=str(path)))
    return made


def tuning(tmp_path: Path, mib: float) -> Tuning:
    return Tuning(scratch=str(tmp_path / "scratch"), scratch_gib=mib / 1024)


def copies(tmp_path: Path) -> list[str]:
    return sorted(file.name for file in (tmp_path / "scratch").rglob("*.svs"))


def eventually(what: object, wanted: object) -> None:
    deadline = time.monotonic() + 10
    while what() != wanted and time.monotonic() < deadline:  # type: ignore[operator]
        time.sleep(0.01)
    assert what() == wanted  # type: ignore[operator]


def test_a_copy_has_the_bytes_of_the_slide_and_its_row(rows: list[ManifestRow], tmp_path: Path) -> None:
    with Staging(rows, tuning(tmp_path, 100), needed) as staging:
        found = staging.near(rows[1])
        assert found.path != rows[1].path
        assert filecmp.cmp(found.path, rows[1].path, shallow=False)
        assert found.model_copy(update={"path": rows[1].path}) == rows[1]


def test_the_next_slides_are_copied_while_one_is_read_up_to_the_bound(rows: list[ManifestRow], tmp_path: Path) -> None:
    with Staging(rows, tuning(tmp_path, 4), needed) as staging:
        staging.near(rows[0])
        eventually(lambda: copies(tmp_path), ["1.svs", "2.svs"])
        time.sleep(0.1)
        assert copies(tmp_path) == ["1.svs", "2.svs"]
        staging.done(rows[0])
        staging.done(rows[1])
        eventually(lambda: copies(tmp_path), ["3.svs"])


def test_nothing_is_left_at_the_end(rows: list[ManifestRow], tmp_path: Path) -> None:
    with Staging(rows, tuning(tmp_path, 100), needed) as staging:
        staging.near(rows[2])
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_slide_that_does_not_fit_is_read_where_it_is(
    rows: list[ManifestRow], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), Staging(rows, tuning(tmp_path, 2.5), needed) as staging:
        for row in rows:
            found = staging.near(row)
            assert (found.path == row.path) == (row.slide_id == "s3")
            staging.done(row)
    assert "s3 is read where it is" in caplog.text


def test_a_slide_that_is_finished_is_not_copied(rows: list[ManifestRow], tmp_path: Path) -> None:
    with Staging(rows, tuning(tmp_path, 100), lambda row: row.slide_id == "s2") as staging:
        assert staging.near(rows[0]) == rows[0]
        eventually(lambda: copies(tmp_path), ["2.svs"])


@pytest.mark.parametrize("scratch", ["/proc/none", "$NO_SUCH_VARIABLE"])
def test_a_scratch_folder_that_cannot_be_made_costs_only_the_speed(rows: list[ManifestRow], scratch: str) -> None:
    with Staging(rows, Tuning(scratch=scratch), needed) as staging:
        assert [staging.near(row) for row in rows] == rows


def test_without_scratch_nothing_is_copied(rows: list[ManifestRow]) -> None:
    with Staging(rows, Tuning(), needed) as staging:
        assert staging.near(rows[0]) == rows[0]


def test_a_slide_that_vanishes_keeps_its_own_path(rows: list[ManifestRow], tmp_path: Path) -> None:
    Path(rows[0].path).unlink()
    with Staging(rows, tuning(tmp_path, 100), needed) as staging:
        assert staging.near(rows[0]) == rows[0]
        assert staging.near(rows[1]).path != rows[1].path


def test_a_slide_of_several_files_is_copied_with_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "in" / "s").mkdir(parents=True)
    for name in ("s.mrxs", "s/Slidedat.ini", "s/Data0000.dat"):
        (tmp_path / "in" / name).write_text(name)
    row = ManifestRow(slide_id="s", path=str(tmp_path / "in" / "s.mrxs"))
    with Staging([row], tuning(tmp_path, 100), needed) as staging:
        copy = Path(staging.near(row).path)
        assert [(copy.parent / name).read_text() for name in ("s.mrxs", "s/Data0000.dat")] == [
            "s.mrxs",
            "s/Data0000.dat",
        ]


def test_what_a_killed_job_left_is_removed_and_what_a_living_one_has_is_kept(
    rows: list[ManifestRow], tmp_path: Path
) -> None:
    root = tmp_path / "scratch"
    dead, living = root / "wsi_features-staged-dead", root / "wsi_features-staged-living"
    for folder in (dead, living):
        folder.mkdir(parents=True)
    code = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX); print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(living)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as job:
        assert job.stdout is not None
        job.stdout.readline()
        for folder in (dead, living):
            os.utime(folder, (1, 1))
        with Staging(rows, tuning(tmp_path, 100), needed) as staging:
            staging.near(rows[0])
        job.communicate(b"\n")
    assert [folder.name for folder in root.iterdir()] == [living.name]


def test_a_remote_slide_without_room_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsi_features.stages.staging.remote_size", lambda *_: 5 * MIB)
    row = ManifestRow(slide_id="s", path="s3://bucket/s.svs")
    with Staging([row], tuning(tmp_path, 1), needed) as staging, pytest.raises(SlideFileError, match="tuning.scratch"):
        staging.near(row)
