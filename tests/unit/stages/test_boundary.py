import errno
import logging

import pytest

from wsi_features.cohort.records import SlideResult
from wsi_features.errors import ManifestError, SlideFileError, StorageError
from wsi_features.stages.boundary import exit_code, guarded

OK = SlideResult("ok", "tiles")


def raising(error: BaseException) -> SlideResult:
    raise error


def test_a_result_comes_back_with_its_time() -> None:
    result = guarded("s1", "tiles", lambda: OK)
    assert (result.status, result.stage) == ("ok", "tiles")
    assert result.seconds >= 0


def test_an_intended_error_is_the_slides_result() -> None:
    result = guarded("s1", "tissue", lambda: raising(SlideFileError.empty("s1", "a.svs")))
    assert (result.status, result.reason, result.stage) == ("failed", "unreadable_slide", "tissue")
    assert result.message.startswith("slide 's1': 'a.svs' has 0 bytes")


def test_a_fault_of_the_program_is_recorded_and_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        result = guarded("s1", "tiles", lambda: raising(ZeroDivisionError("odd\nthing\x1b[2J")))
    assert (result.status, result.reason) == ("failed", "internal")
    assert result.message == "slide 's1': internal error in tiles: ZeroDivisionError: odd thing [2J. See the log."
    assert "Traceback" in caplog.text


FULL = StorageError.refused("s1", "out", "No space left on device")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_in_any_stage_ends_the_job_and_blames_no_slide(code: int) -> None:
    with pytest.raises(StorageError, match="slide 's1' in tissue: the disk of the output folder takes nothing more"):
        guarded("s1", "tissue", lambda: raising(OSError(code, "no room")))


@pytest.mark.parametrize("error", [ManifestError.of(["x"]), MemoryError(), KeyboardInterrupt(), FULL])
def test_what_concerns_all_slides_is_not_one_slides_result(error: BaseException) -> None:
    with pytest.raises(type(error)):
        guarded("s1", "tiles", lambda: raising(error))


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ManifestError.of(["line 1", "line 2"]), 2, "line 1\nline 2"),
        (SlideFileError.empty("s1", "a.svs"), 1, "slide 's1': 'a.svs' has 0 bytes. Copy the slide again, then rerun."),
        (FULL, 3, str(FULL)),
        (OSError(errno.ENOSPC, "no room"), 3, str(StorageError.during("writing", "no room"))),
        (KeyError("x"), 3, "internal error: KeyError: 'x'. The log has the traceback."),
        (KeyboardInterrupt(), 130, "interrupted; finished work is kept and the same command goes on from there"),
    ],
)
def test_every_ending_has_its_exit_code_and_its_words(error: BaseException, code: int, told: str) -> None:
    said: list[str] = []

    def work() -> int:
        raise error

    assert exit_code(work, said.append) == code
    assert said == [told]


def test_a_command_that_ends_well_says_nothing() -> None:
    said: list[str] = []
    assert exit_code(lambda: 0, said.append) == 0
    assert not said
