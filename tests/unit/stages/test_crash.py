"""A process that a decoder ends costs one slide; one that is killed costs none."""

from __future__ import annotations

import faulthandler
import json
import logging
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wsi_features.cli.main import run_command
from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import read_record
from wsi_features.cohort.status import read_status
from wsi_features.errors import CrashError, SlideFileError
from wsi_features.files import read_json, write_json
from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.stages.crash import CrashWatch
from wsi_features.stages.lineage import lineage_of

DUMP = (
    "Fatal Python error: Segmentation fault\n\nCurrent thread 0x00007f (most recent call first):\n  <no Python frame>\n"
)


# --- Real processes -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three slides with tissue and their manifest."""
    folder = tmp_path_factory.mktemp("slides")
    for seed, name in enumerate(("a", "b", "c")):
        spec = SlideSpec(width=1536, height=1024, seed=seed, mpp=0.5, objective=20, levels=(1, 4))
        write_slide(folder / f"{name}.svs", spec)
    (folder / "cohort.csv").write_text("slide_id,path\na,a.svs\nb,b.svs\nc,c.svs\n")
    return folder


def run(slides: Path, out: Path, deed: str, slide: str = "b") -> subprocess.CompletedProcess[str]:
    script = Path(__file__).with_name("crashing_run.py")
    command = [sys.executable, str(script), str(slides / "cohort.csv"), str(out), slide, deed]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def run_again(slides: Path, out: Path, deed: str) -> subprocess.CompletedProcess[str]:
    """The same run until it ends by itself: slides read ahead together are read one by one after a crash."""
    first = run(slides, out, deed)
    return first if first.returncode == 0 else run(slides, out, deed)


def status(out: Path) -> dict[str, tuple[str, str]]:
    return {row["slide_id"]: (row["status"], row["reason"]) for row in read_status(Outputs(out).status)}


FINE = dict.fromkeys(("a", "b", "c"), ("ok", ""))
ONE_CRASHED = {**FINE, "b": ("failed", "crashed")}


@pytest.fixture(scope="module")
def crashed(slides: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a run that a segmentation fault ended on slide b."""
    out = tmp_path_factory.mktemp("crash") / "out"
    ended = run(slides, out, "segfault")
    assert ended.returncode == -signal.SIGSEGV, ended.stderr
    assert not (out / "status.tsv").exists()
    return out


@pytest.fixture(scope="module")
def finished(slides: Path, crashed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after the same run once more."""
    out = shutil.copytree(crashed, tmp_path_factory.mktemp("finished") / "out")
    again = run_again(slides, out, "segfault")
    assert again.returncode == 0, again.stderr
    assert again.stdout == "faulthandler False\n", "it was off before"
    return out


def test_after_a_crash_the_same_run_fails_that_slide_and_finishes_the_others(slides: Path, finished: Path) -> None:
    assert status(finished) == ONE_CRASHED
    message = read_record(Outputs(finished).record("embed", "00000"))["b"].message
    assert message.startswith(f"slide 'b': a process crashed in embed while it worked on '{slides / 'b.svs'}' (Segmentation fault).")  # fmt: skip
    assert "copy or export it again and run `wsi-features retry`, or set `skip` in the manifest" in message
    assert not list(finished.rglob("*.running"))


def test_a_crashed_slide_is_left_alone_until_it_is_retried_on_purpose(
    slides: Path, finished: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(finished, tmp_path / "out")
    run(slides, out, "nothing")
    assert status(out) == ONE_CRASHED
    assert run_command(["retry", str(out), "--reason", "crashed"]) == 0
    run(slides, out, "nothing")
    assert status(out) == FINE
    assert not list(out.rglob("crashed.json"))


def test_a_slide_that_crashes_again_is_failed_again(slides: Path, finished: Path, tmp_path: Path) -> None:
    out = shutil.copytree(finished, tmp_path / "out")
    run_command(["retry", str(out)])
    assert run(slides, out, "abort").returncode == -signal.SIGABRT
    run_again(slides, out, "abort")
    assert "(Aborted)" in read_record(Outputs(out).record("embed", "00000"))["b"].message


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_killed_process_blames_no_slide(slides: Path, crashed: Path, tmp_path: Path, name: str) -> None:
    out = shutil.copytree(crashed, tmp_path / "out")
    note = out / "records/embed/.00000.running"
    note.unlink()
    assert run(slides, out, name).returncode == -signal.Signals[name]
    assert '"slide_id": "b"' in note.read_text()
    run(slides, out, "nothing")
    assert status(out) == FINE


# --- One watch ------------------------------------------------------------------------------------------------------


@pytest.fixture
def row(tmp_path: Path) -> ManifestRow:
    (tmp_path / "s.svs").write_bytes(b"some slide")
    return ManifestRow(slide_id="s", path=str(tmp_path / "s.svs"))


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    (tmp_path / "out/records/embed").mkdir(parents=True)
    return Outputs(tmp_path / "out")


@pytest.fixture(autouse=True)
def no_dump_is_left() -> Iterator[None]:
    was = faulthandler.is_enabled()
    yield
    assert faulthandler.is_enabled() == was


def running(outputs: Outputs) -> Path:
    return outputs.record("embed", "00000").with_name(".00000.running")


def noted(row: ManifestRow, **changes: object) -> dict[str, object]:
    return {"slide_id": row.slide_id, "content": lineage_of(row).content, "retry": 0, **changes}


def left(outputs: Outputs, *lists: list[dict[str, object]], dump: str = DUMP) -> None:
    """What a process leaves behind that noted `lists` and ended with `dump`."""
    running(outputs).write_text("".join(json.dumps(slides) + "\n" for slides in lists) + dump)


def taken(outputs: Outputs, row: ManifestRow, stage: str = "embed") -> bool:
    """Whether a new process takes the slide up."""
    with CrashWatch(outputs, stage, "00000") as watch:
        try:
            with watch.current(row):
                return True
        except CrashError:
            return False


def test_a_slide_is_noted_while_it_is_worked_on(outputs: Outputs, row: ManifestRow) -> None:
    with CrashWatch(outputs, "embed", "00000") as watch:
        with watch.current(row):
            assert json.loads(running(outputs).read_text().splitlines()[-1]) == [noted(row)]
        assert json.loads(running(outputs).read_text().splitlines()[-1]) == []
    assert not running(outputs).exists()


def test_the_slide_of_a_crash_is_refused_in_its_stage_only(outputs: Outputs, row: ManifestRow) -> None:
    left(outputs, [], [noted(row)])
    assert not taken(outputs, row)
    assert not taken(outputs, row)
    assert taken(outputs, row, stage="tissue")
    assert not taken(outputs, row)


def test_other_slides_are_taken(outputs: Outputs, row: ManifestRow) -> None:
    left(outputs, [noted(row)])
    assert taken(outputs, row.model_copy(update={"slide_id": "t"}))


def test_other_content_of_the_file_ends_the_blame(outputs: Outputs, row: ManifestRow) -> None:
    left(outputs, [noted(row)])
    assert not taken(outputs, row)
    Path(row.path).write_bytes(b"a sound one")
    assert taken(outputs, row)
    Path(row.path).write_bytes(b"some slide")
    assert taken(outputs, row), "the note has gone"


def test_a_file_repaired_before_the_next_run_is_not_blamed(outputs: Outputs, row: ManifestRow) -> None:
    left(outputs, [noted(row)])
    Path(row.path).write_bytes(b"a sound one")
    assert taken(outputs, row)


def test_a_retry_asked_for_after_the_crash_ends_the_blame(outputs: Outputs, row: ManifestRow) -> None:
    left(outputs, [noted(row)])
    write_json(outputs.retries, {"s": 1})
    assert taken(outputs, row)
    left(outputs, [noted(row, retry=1)])
    assert not taken(outputs, row)


@pytest.mark.parametrize(
    "left_behind",
    [
        "",
        "[]\n" + DUMP,
        "[{slide}]\n",
        "[{slide}]\n[]\n" + DUMP,
        "[{slide}]\n" + DUMP + "[]\n",
        "[{slide}]\nTimeout (0:00:05)!\n",
        "[{slide}\n" + DUMP,
        DUMP,
        '["s"]\n' + DUMP,
        '[{{"slide_id": "../../s"}}]\n' + DUMP,
    ],
    ids=[
        "nothing",
        "between",
        "killed",
        "after",
        "survived",
        "other words",
        "cut",
        "no note",
        "no object",
        "no fields",
    ],
)
def test_without_last_words_after_its_note_no_slide_is_blamed(
    outputs: Outputs, row: ManifestRow, left_behind: str
) -> None:
    running(outputs).write_text(left_behind.format(slide=json.dumps(noted(row))))
    assert taken(outputs, row)


def test_a_note_cannot_lead_out_of_the_output_folder(outputs: Outputs, row: ManifestRow, tmp_path: Path) -> None:
    left(outputs, [noted(row, slide_id="../../elsewhere")])
    assert taken(outputs, row)
    assert not (tmp_path / "elsewhere").exists()


def test_of_two_current_slides_neither_is_blamed_but_each_is_to_be_alone(outputs: Outputs, row: ManifestRow) -> None:
    left(outputs, [noted(row)], [noted(row), noted(row, slide_id="t")])
    with CrashWatch(outputs, "embed", "00000") as watch, watch.current(row):
        assert watch.alone == {"s", "t"}
    assert not list(outputs.root.rglob("crashed.json"))


def test_two_slides_may_be_current_at_once(outputs: Outputs, row: ManifestRow) -> None:
    other = row.model_copy(update={"slide_id": "t"})
    with CrashWatch(outputs, "embed", "00000") as watch, watch.current(row), watch.current(other):
        last = json.loads(running(outputs).read_text().splitlines()[-1])
    assert [slide["slide_id"] for slide in last] == ["s", "t"]


def test_the_last_words_go_into_the_log(outputs: Outputs, row: ManifestRow, caplog: pytest.LogCaptureFixture) -> None:
    left(outputs, [noted(row)])
    with caplog.at_level(logging.WARNING, "wsi_features"):
        taken(outputs, row)
    assert "embed crashed on s:\nFatal Python error: Segmentation fault" in caplog.text
    assert "most recent call first" in caplog.text


def test_another_process_that_still_lives_does_not_write_into_the_new_notes(outputs: Outputs, row: ManifestRow) -> None:
    first, second = (CrashWatch(outputs, "embed", "00000") for _ in range(2))
    with first, second, second.current(row):
        with first.current(row.model_copy(update={"slide_id": "t"})):
            pass
        assert json.loads(running(outputs).read_text().splitlines()[-1]) == [noted(row)]


def test_a_file_that_is_gone_is_no_crash(outputs: Outputs, row: ManifestRow) -> None:
    left(outputs, [noted(row)])
    Path(row.path).unlink()
    with pytest.raises(SlideFileError, match="no file at"):
        taken(outputs, row)


def test_the_note_says_what_it_needs_to_be_compared(outputs: Outputs, row: ManifestRow) -> None:
    left(outputs, [noted(row)])
    taken(outputs, row)
    assert read_json(outputs.slide("s", "crashed.json")) == {
        "stage": "embed", "signal": "Segmentation fault", "content": lineage_of(row).content, "retry": 0,
    }  # fmt: skip
