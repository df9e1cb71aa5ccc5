"""Everything damaged, odd or hostile in one cohort with three sound slides, through the plain command line.

The cohort runs once for all tests here, also where several processes share them.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import corpus
import numpy as np
import numpy.typing as npt
import pytest
from _pytest.mark.structures import ParameterSet
from base import Ending, Input

from wsi_features.store import FeatureStore

SPAN = 128
"""Level-0 pixels that a tile of the cohort is wide."""

STOPPED = r"the reader (crashed|failed)|report this as a fault|could not be opened within|MiB of memory"
"""What is said of a slide that a reader did not survive: contained, but no reader should come to that."""

pytestmark = [pytest.mark.ci, pytest.mark.timeout(1200)]  # whoever comes first waits for the run

REMEDY = re.compile(
    r"(Check|Clear|Convert|Copy|Correct|Export|Give|Look|Raise|Save|Set|Split|Use) [^.]*"
    r"|: (copy|convert|export) [^.]*(then rerun|`skip`[^.]*)\.?$"
)

Rows = dict[tuple[int, int], npt.NDArray[np.float32]]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all processes of the test run."""
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "damaged"
    shared.mkdir(exist_ok=True)
    return shared


def once(folder: Path, name: str, make: Callable[[], corpus.Outcome]) -> corpus.Outcome:
    """What `make` gives, made by the first process that asks."""
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = folder / f"{name}.json"
        if not result.is_file():
            result.write_text(corpus.to_json(make()))
        return corpus.from_json(result.read_text())


@pytest.fixture(scope="session")
def run(folder: Path) -> corpus.Outcome:
    """The whole cohort."""

    def make() -> corpus.Outcome:
        sheet = corpus.cohort(folder, corpus.CLEAN | corpus.INPUTS)
        return corpus.run(sheet, folder / "out")

    return once(folder, "run", make)


@pytest.fixture(scope="session")
def clean_run(folder: Path, run: corpus.Outcome) -> corpus.Outcome:
    """Only the sound slides of it."""

    def make() -> corpus.Outcome:
        lines = (folder / "cohort.csv").read_text().splitlines()
        kept = [lines[0], *(line for line in lines if line.split(",")[0] in corpus.CLEAN)]
        sheet = folder / "clean.csv"
        sheet.write_text("\n".join(kept) + "\n")
        return corpus.run(sheet, folder / "clean")

    assert run.status
    return once(folder, "clean-run", make)


def rows_of(run: corpus.Outcome, name: str) -> Rows:
    """The valid rows of a slide's store by level-0 corner."""
    store = FeatureStore.open(corpus.stores(run)[name])
    features, corners = store.features[:], store.coords.tolist()
    return {(x, y): row for (x, y), row, valid in zip(corners, features, store.valid, strict=True) if valid}


def ended(row: dict[str, str], wanted: Ending) -> bool:
    return bool(
        re.fullmatch(wanted.status, row["status"])
        and re.fullmatch(wanted.reason or ".*", row["reason"])
        and re.search(wanted.message, row["message"])
    )


def known_gap(one: Input) -> ParameterSet:
    marks = [pytest.mark.xfail(reason=one.gap, strict=True)] if one.gap else []
    return pytest.param(one, id=one.name, marks=marks)


@pytest.mark.parametrize("one", [known_gap(one) for one in corpus.INPUTS.values()])
def test_each_input_ends_as_a_laboratory_wants(run: corpus.Outcome, one: Input) -> None:
    row = run.status[one.name]
    assert ended(row, one.ending), f"{row['status']} [{row['reason']}] {row['message']}"
    assert not re.search(STOPPED, row["message"])


@pytest.mark.parametrize("name", [one.name for one in corpus.INPUTS.values() if one.alike])
def test_what_is_read_gives_the_rows_of_the_sound_slide(run: corpus.Outcome, name: str) -> None:
    if run.status[name]["status"] != "ok":
        return  # refused, which the ending allows or not
    found, sound = rows_of(run, name), rows_of(run, corpus.INPUTS[name].alike)
    same = found.keys() & sound.keys()
    assert len(same) >= 0.6 * len(sound), "the tissue found is another"
    different = [corner for corner in same if not np.array_equal(found[corner], sound[corner])]
    assert not different


@pytest.mark.parametrize("name", [one.name for one in corpus.INPUTS.values() if one.missing])
def test_no_row_comes_from_what_the_file_lacks(run: corpus.Outcome, name: str) -> None:
    for x, y in rows_of(run, name):
        for hole in corpus.INPUTS[name].missing:
            beside = x + SPAN <= hole.x or hole.x + hole.width <= x or y + SPAN <= hole.y or hole.y + hole.height <= y
            assert beside, (x, y)


def test_the_corpus_is_as_large_as_it_is_said_to_be() -> None:
    assert len(corpus.INPUTS) == sum(len(family) for family in corpus.FAMILIES.values()), "two inputs of one name"
    assert len(corpus.INPUTS) >= 400
    assert all(len(family) >= 15 for family in corpus.FAMILIES.values())


def test_every_input_has_one_status(run: corpus.Outcome) -> None:
    assert run.status.keys() == corpus.INPUTS.keys() | corpus.CLEAN.keys()


def test_the_run_says_that_slides_failed_and_not_that_the_program_did(run: corpus.Outcome) -> None:
    assert run.code == 1
    assert "internal" not in {row["reason"] for row in run.status.values()}
    assert "Traceback" not in run.stdout + run.stderr + (run.out / "logs/run.log").read_text()


def test_no_slide_takes_a_minute(run: corpus.Outcome) -> None:
    assert not {name: row["seconds"] for name, row in run.status.items() if float(row["seconds"]) > 60}


def test_a_refusal_is_one_line_with_slide_id_reason_and_remedy(run: corpus.Outcome) -> None:
    lines = {line.split(" ")[0]: line for line in run.stderr.splitlines()}
    assert len(lines) == len(run.stderr.splitlines())
    assert lines.keys() == {name for name, row in run.status.items() if row["status"] == "failed"}
    for name, line in lines.items():
        assert line.startswith(f"{name} failed [{run.status[name]['reason']}]: slide '{name}'")
        assert REMEDY.search(line), line
        assert line.isprintable(), line


def test_every_store_is_whole_and_holds_no_row_of_a_bad_tile(run: corpus.Outcome) -> None:
    found = corpus.stores(run)
    assert found.keys() == {name for name, row in run.status.items() if row["status"] in {"ok", "empty"}}
    for path in found.values():
        store = FeatureStore.open(path)
        store.check()
        assert store.valid.all()
        assert np.isfinite(store.features[:]).all()


@pytest.mark.parametrize("name", corpus.CLEAN)
def test_sound_slides_end_byte_identical_with_and_without_the_bad_ones(
    run: corpus.Outcome, clean_run: corpus.Outcome, name: str
) -> None:
    assert clean_run.code == 0
    assert (run.status[name]["status"], int(run.status[name]["tiles"])) == ("ok", int(clean_run.status[name]["tiles"]))
    assert int(run.status[name]["tiles"]) >= 12
    for one, other in zip(_artifacts(run, name), _artifacts(clean_run, name), strict=True):
        assert corpus.digest_of(one) == corpus.digest_of(other)
    assert _table(run, name) == _table(clean_run, name)


def _artifacts(run: corpus.Outcome, name: str) -> tuple[Path, Path]:
    return corpus.stores(run)[name], run.out / "slides" / name


def _table(run: corpus.Outcome, name: str) -> bytes:
    return next(run.out.glob(f"tiles/*/{name}.parquet")).read_bytes()


def test_no_file_name_was_run_as_a_command(run: corpus.Outcome, folder: Path) -> None:
    assert run.status
    assert not list(folder.rglob("X"))


@pytest.mark.parametrize("kind", ["loop", "dangling", "absent"])
def test_a_manifest_with_a_path_to_nothing_is_refused_before_anything_runs(tmp_path: Path, kind: str) -> None:
    slide = tmp_path / "slide.svs"
    if kind != "absent":
        slide.symlink_to("slide.svs" if kind == "loop" else "nowhere.svs")
    sheet = tmp_path / "cohort.csv"
    sheet.write_text(f"slide_id,path\na,{slide}\n")
    done = corpus.run(sheet, tmp_path / "out")
    assert done.code == 2
    (line,) = done.stderr.splitlines()
    assert "line 2, column `path`" in line
    assert "No such file" in line


def test_a_folder_with_a_link_in_a_circle_is_run(run: corpus.Outcome, folder: Path, tmp_path: Path) -> None:
    assert run.status["clean-svs"]["status"] == "ok"
    slides = tmp_path / "slides"
    slides.mkdir()
    shutil.copy(folder / "clean-svs/clean-svs.svs", slides / "sound.svs")
    (slides / "circle.svs").symlink_to("circle.svs")
    done = corpus.run(slides, tmp_path / "out")
    assert (done.code, {name: row["reason"] for name, row in done.status.items()}) == (
        1,
        {"circle": "unreadable_slide", "sound": ""},
    )


def test_a_name_with_a_space_at_its_end_is_found(folder: Path, run: corpus.Outcome, tmp_path: Path) -> None:
    assert run.status["clean-svs"]["status"] == "ok"
    shutil.copy(folder / "clean-svs/clean-svs.svs", tmp_path / "slide.svs ")
    sheet = tmp_path / "cohort.csv"
    sheet.write_text('slide_id,path\na,"slide.svs "\n')
    assert corpus.run(sheet, tmp_path / "out").status["a"]["status"] == "ok"
