"""The inspector: whatever a reader does to its process, each slide gets its answer, and the run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.config import Config, Tuning
from wsi_features.errors import ResolutionError, SlideFileError
from wsi_features.stages.isolation import Inspector
from wsi_features.stages.preflight import inspected
from wsi_features.stages.tissue import tissue_of

HOSTILE = "hostile_reader:describe"


@pytest.fixture(scope="module")
def inspector() -> Iterator[Inspector]:
    with Inspector(seconds=30, mib=256) as made:
        yield made


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inspector]:
    """Its reader does what the file's name says."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with Inspector(seconds=20, mib=256, work=HOSTILE) as made:
        yield made


@pytest.fixture
def hasty(hostile: Inspector) -> Iterator[Inspector]:
    """`hostile`, with half a second for a slide."""
    with Inspector(seconds=0.5, mib=256, work=hostile._work) as made:
        yield made


def row(path: Path) -> ManifestRow:
    return ManifestRow(slide_id=path.stem, path=str(path))


def gone(pid: int) -> bool:
    """Whether a process has ended, waited for up to five seconds."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("name", ["small", "fine"])
def test_a_sound_slide_is_described_as_in_this_process(inspector: Inspector, slide_folder: Path, name: str) -> None:
    good = row(slide_folder / f"{name}.svs")
    assert inspector.described(good) == inspected(good)
    assert inspector.described(good)["status"] == "ok"


@pytest.mark.parametrize("name", ["zero", "text", "truncated", "nompp"])
def test_a_broken_slide_keeps_its_error(inspector: Inspector, broken_slides: dict[str, Path], name: str) -> None:
    about = inspector.described(row(broken_slides[name]))
    assert about == inspected(row(broken_slides[name]))
    assert about["status"] == "failed"


def test_a_pipe_keeps_its_error(inspector: Inspector, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.svs")
    about = inspector.described(row(tmp_path / "pipe.svs"))
    assert (about["reason"], about["remedy"]) == (
        "unreadable_slide",
        f"slide 'pipe': '{tmp_path}/pipe.svs' is a pipe, not a regular file. Give the path of the slide file.",
    )


@pytest.mark.parametrize(
    ("name", "wording"),
    [
        ("abort", "the reader crashed on '{path}' (signal 6, Aborted)"),
        ("segv", "the reader crashed on '{path}' (signal 11, Segmentation fault)"),
        ("exit", "the reader crashed on '{path}' (exit code 7)"),
        ("bomb", "opening '{path}' needs more than 256 MiB"),
        ("many", "opening '{path}' needs more than 256 MiB"),
        ("crumbs", "opening '{path}' needs more than 256 MiB"),
        ("key", "the reader failed on '{path}' (KeyError: 'no\\nsuch tag')"),
    ],
)
def test_what_a_reader_does_is_named_and_the_next_slide_is_fine(
    hostile: Inspector, tmp_path: Path, name: str, wording: str
) -> None:
    bad = tmp_path / f"{name}.svs"
    about = hostile.described(row(bad))
    assert (about["slide_id"], about["status"], about["reason"]) == (name, "failed", "unreadable_slide")
    assert wording.format(path=bad) in about["remedy"]
    ended = int(bad.with_suffix(".pid").read_text())
    assert gone(ended)
    following = hostile.described(row(tmp_path / "good.svs"))
    assert following["status"] == "ok"
    assert following["pid"] != ended


def test_a_reader_that_hangs_is_ended_in_time_and_named(hasty: Inspector, tmp_path: Path) -> None:
    first = hasty.described(row(tmp_path / "good.svs"))["pid"]
    started = time.monotonic()
    about = hasty.described(row(tmp_path / "hang.svs"))
    assert 0.5 <= time.monotonic() - started < 5
    assert (about["status"], about["reason"]) == ("failed", "unreadable_slide")
    assert "could not be opened within 0.5 s" in about["remedy"]
    assert gone(first)
    assert hasty.described(row(tmp_path / "good.svs"))["status"] == "ok"


def test_sound_slides_share_one_process(hostile: Inspector, tmp_path: Path) -> None:
    pids = {hostile.described(row(tmp_path / f"good{k}.svs"))["pid"] for k in range(3)}
    assert len(pids) == 1
    assert os.getpid() not in pids


def test_the_limit_of_time_is_for_each_slide_anew(hasty: Inspector, tmp_path: Path) -> None:
    first = hasty.described(row(tmp_path / "good.svs"))["pid"]
    time.sleep(1.7)  # longer than one slide may take, with all its grace
    assert hasty.described(row(tmp_path / "good.svs"))["pid"] == first


def test_noise_of_a_library_is_no_answer(hostile: Inspector, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "pid" in hostile.described(row(tmp_path / "noise.svs"))
    assert hostile.described(row(tmp_path / "good.svs"))["slide_id"] == "good"
    assert capfd.readouterr() == ("", "")


def test_a_reader_cannot_take_the_requests(hostile: Inspector, tmp_path: Path) -> None:
    assert hostile.described(row(tmp_path / "good.svs"))["stdin"] == ""


def test_a_process_killed_between_two_slides_is_not_the_next_ones_fault(hostile: Inspector, tmp_path: Path) -> None:
    pid = hostile.described(row(tmp_path / "good.svs"))["pid"]
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    assert hostile.described(row(tmp_path / "good.svs"))["status"] == "ok"


def test_an_interrupt_is_left_to_the_caller(hostile: Inspector, tmp_path: Path) -> None:
    pid = hostile.described(row(tmp_path / "good.svs"))["pid"]
    os.kill(pid, signal.SIGINT)
    assert hostile.described(row(tmp_path / "good.svs"))["pid"] == pid


def test_an_answer_that_comes_too_late_is_not_the_next_slides(
    hostile: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.described(row(tmp_path / "good.svs"))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("wsi_features.stages.isolation._line", interrupted)
        with pytest.raises(KeyboardInterrupt):
            hostile.described(row(tmp_path / "late.svs"))
    assert hostile.described(row(tmp_path / "good.svs"))["slide_id"] == "good"


def test_a_crash_leaves_no_core_file(hostile: Inspector, tmp_path: Path) -> None:
    assert hostile.described(row(tmp_path / "good.svs"))["core"] == [0, 0]


def test_a_message_without_end_is_cut(hostile: Inspector, tmp_path: Path) -> None:
    assert "ValueError: xxx" in (remedy := hostile.described(row(tmp_path / "long.svs"))["remedy"])
    assert len(remedy) < 1000


def test_no_process_is_left_after_close_and_none_is_started_without_a_slide(hostile: Inspector, tmp_path: Path) -> None:
    with Inspector(seconds=5, mib=256, work="no_such_module:f"):
        pass  # nothing was asked, so nothing failed
    pid = hostile.described(row(tmp_path / "good.svs"))["pid"]
    hostile.close()
    assert not Path(f"/proc/{pid}").exists()
    hostile.close()


def test_a_process_that_does_not_start_is_no_slides_fault(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Inspector(seconds=5, mib=256, work="no_such_module:f") as made, pytest.raises(subprocess.CalledProcessError):
        made.described(row(tmp_path / "good.svs"))
    assert "No module named 'no_such_module'" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["good", "hang"])
def test_no_process_is_left_when_the_caller_is_killed(tmp_path: Path, name: str) -> None:
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[1]);"
        "from wsi_features.cohort.manifest import ManifestRow; from wsi_features.stages.isolation import Inspector;"
        f"made = Inspector(1.0, 256, {HOSTILE!r});"
        "made.described(ManifestRow(slide_id='s', path=sys.argv[2])); time.sleep(60)"
    )
    path = tmp_path / f"{name}.svs"
    caller = subprocess.Popen([sys.executable, "-c", script, str(Path(__file__).parent), str(path)])
    pid = _when(lambda: int(path.with_suffix(".pid").read_text()))
    caller.kill()
    caller.wait()
    assert gone(pid)


def _when(found: Callable[[], int]) -> int:
    for _ in range(1000):
        try:
            return found()
        except (FileNotFoundError, ValueError):
            time.sleep(0.01)
    raise TimeoutError


def test_the_tissue_stage_does_not_open_what_crashes_a_reader(
    hostile: Inspector, slide_folder: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "abort.svs"
    bad.write_bytes((slide_folder / "small.svs").read_bytes())  # this process could open it
    with pytest.raises(SlideFileError, match=r"crashed on .*signal 6, Aborted"):
        tissue_of(row(bad), Config(), Outputs(tmp_path / "out"), hostile)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "kind"), [("nompp", ResolutionError), ("truncated", SlideFileError)])
def test_the_tissue_stage_keeps_reason_and_message(
    inspector: Inspector, broken_slides: dict[str, Path], tmp_path: Path, name: str, kind: type[Exception]
) -> None:
    bad = row(broken_slides[name])
    with pytest.raises(kind) as raised:
        tissue_of(bad, Config(), Outputs(tmp_path), inspector)
    assert str(raised.value) == inspected(bad)["remedy"]


def test_the_limits_come_from_the_tuning_section() -> None:
    assert (Tuning().inspect_seconds, Tuning().inspect_mib) == (30, 2048)
