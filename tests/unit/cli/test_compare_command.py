"""`wsi-features compare` as a person uses it: text, JSON, a page, a score table, exit codes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.cohort.compare.conftest import CORNERS, SPAN, places, smooth, written
from wsi_features.cli.main import run_command
from wsi_features.cohort.manifest import Manifest, ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import SlideResult, write_record
from wsi_features.cohort.scores import read_scores
from wsi_features.files import write_text
from wsi_features.store import FeatureStore, StoreContent, StoreWriter

SET = "tiny__256px_0.5mpp__none__0123abcd"
Out = Callable[..., Path]


@pytest.fixture
def out(tmp_path: Path, slide_folder: Path) -> Out:
    """An output folder with stores of the given slides, all of one slide file, and an empty one where asked for."""

    def made(name: str, slides: dict[str, Any], glass: bool = False) -> Path:
        root = Outputs(tmp_path / name)
        for slide_id, values in slides.items():
            written(root.store(SET, slide_id), values, slide_id=slide_id)
        if glass:
            write_empty(root.store(SET, "glass"))
        ids = [*slides, *(["glass"] if glass else [])]
        rows = tuple(ManifestRow(slide_id=s, path=str(slide_folder / "fine.svs")) for s in ids)
        write_text(root.manifest, Manifest(rows).to_json(32))
        facts = {s: {"stores": {SET: {"store": f"features/{SET}/{s}.zarr", "tiles": 1}}} for s in ids}
        write_record(
            root.record("embed", "00000"),
            "embed",
            "00000",
            {s: SlideResult("ok", "embed", facts=f) for s, f in facts.items()},
        )
        return root.root

    return made


def write_empty(path: Path) -> None:
    from tests.unit.cohort.compare.conftest import provenance

    none = np.empty((0, 2), np.int64)
    made = provenance(slide_id="glass", status="empty")
    with StoreWriter(
        path, StoreContent(none, none.astype(np.int32), np.empty((0, 0), np.float32), (), 24, "float32", made)
    ) as writer:
        writer.commit()


@pytest.fixture
def values(rng: np.random.Generator) -> Any:
    return (smooth(rng, CORNERS) + 2).astype(np.float32)


def test_a_cohort_against_itself_is_identical_and_nothing_is_lost(
    out: Out, values: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    one = out("one", {"a": values, "b": values, "only-here": values}, glass=True)
    two = out("two", {"b": values, "a": values + 0, "there": values}, glass=True)
    assert (
        run_command(["compare", str(one), str(two), "--fail-below", "0.99"]) == 1
    )  # a slide on one side is not compared
    said, why = capsys.readouterr()
    assert "--fail-below 0.99: the lowest cosine is 1" in why
    assert "2 slides are on one side only" in why
    assert "a: identical" in said
    assert f"{len(CORNERS)} tiles paired; {len(CORNERS)} of them equal" in said
    assert "only in A: only-here" in said
    assert "only in B: there" in said
    assert "without tiles on both sides: glass" in said
    assert "verdict on 2 slides: identical" in said
    assert run_command(["compare", str(one), str(two), "--slide", "a", "--fail-below", "0.99"]) == 0


def test_the_page_the_table_and_the_pictures_are_written(
    out: Out, values: Any, rng: np.random.Generator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy = (values + rng.normal(0, 0.2, values.shape)).astype(np.float32)
    noisy[7] = -values[7]
    one, two = out("one", {"a": values}), out("two", {"a": noisy})
    folder = tmp_path / "page"
    assert run_command(["compare", str(one), str(two), "--out", str(folder)]) == 0
    assert str(folder / "compare.html") in capsys.readouterr().out
    scores = read_scores(folder / "tiles.parquet").of("a")
    store = FeatureStore.open(Outputs(one).store(SET, "a"))
    table = scores.joined(store)
    assert scores.columns == ("cosine", "max_abs", "relative", "row_other", "x", "y")
    assert np.nanargmin(table[:, 0]) == 7
    np.testing.assert_array_equal(table[:, 4:], store.coords)
    page = (folder / "compare.html").read_text()
    assert "Same encoder, other pixels" in page
    far = np.argsort(scores.values[:, 0], kind="stable")[:12]
    assert (
        page.count("<img ") == int((CORNERS[far] < [4352, 3072]).all(axis=1).sum()) > 0
    )  # the patch is wider than the slide
    assert f"at {CORNERS[7, 0]}, {CORNERS[7, 1]}" in page
    about = json.loads((folder / "compare.json").read_text())
    assert about["verdict"] == "same encoder, other pixels"
    assert sum(about["slides"][0]["matched"]) == len(CORNERS)
    assert about["lowest_cosine"] == pytest.approx(-1, abs=1e-5)


def test_the_threshold_decides_the_exit_code(
    out: Out, values: Any, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    two = out("two", {"a": (values + rng.normal(0, 0.02, values.shape)).astype(np.float32)})
    one = out("one", {"a": values})
    assert run_command(["compare", str(one), str(two), "--json", "--fail-below", "0.9"]) == 0
    lowest = json.loads(capsys.readouterr().out)["lowest_cosine"]
    assert run_command(["compare", str(one), str(two), "--json", "--fail-below", str(lowest + 1e-5)]) == 1
    assert run_command(["compare", str(one), str(two), "--json", "--fail-below", str(lowest - 1e-5)]) == 0


def test_a_store_against_a_file_without_positions_is_loud(
    out: Out, values: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Outputs(out("one", {"a": values})).store(SET, "a")
    np.save(tmp_path / "a.npy", values.astype(np.float16))
    assert run_command(["compare", str(tmp_path / "a.npy"), str(store), "--out", str(tmp_path / "page")]) == 0
    said = capsys.readouterr().out
    assert "BY ROW NUMBER: one side has no positions" in said
    assert "verdict on 1 slide: equal within rounding" in said
    assert read_scores(tmp_path / "page/tiles.parquet").of("a").store == FeatureStore.open(store).fingerprint


@pytest.mark.parametrize(
    ("one", "two", "message"),
    [
        ("a.npy", "b.npy", "A is of slide 'a' and B of slide 'b'.*--same-slide"),
        ("a.npy", "gone.npy", "'.*gone.npy' is not there"),
        ("a.npy", "folder", "no slide in common.*A has 'a'; B has 'b'"),
    ],
)
def test_wrong_requests_are_refused_before_anything_is_read(
    tmp_path: Path, values: Any, capsys: pytest.CaptureFixture[str], one: str, two: str, message: str
) -> None:
    import re

    (tmp_path / "folder").mkdir()
    for name in ("a.npy", "b.npy", "folder/b.npy"):
        np.save(tmp_path / name, values)
    assert run_command(["compare", str(tmp_path / one), str(tmp_path / two)]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_names_may_differ_where_the_user_says_that_the_slide_does_not(tmp_path: Path, values: Any) -> None:
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, values)
    assert run_command(["compare", str(tmp_path / "a.npy"), str(tmp_path / "b.npy"), "--same-slide"]) == 0


def test_a_slide_that_cannot_be_compared_does_not_stop_the_others(
    out: Out, values: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = out("one", {"a": values, "b": values}), out("two", {"a": np.full_like(values, 1), "b": values})
    np.save(two / "x.npy", values)
    store = Outputs(two).store(SET, "a")
    (store / "features" / "c" / "0" / "0").write_bytes(b"damaged")
    assert run_command(["compare", str(one), str(two)]) == 1
    said = capsys.readouterr()
    assert "b: identical" in said.out
    assert "a.zarr" in said.err


def test_results_are_not_written_into_what_is_compared(
    out: Out, values: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = out("one", {"a": values}), out("two", {"a": values})
    assert run_command(["compare", str(one), str(two), "--out", str(one / "page")]) == 2
    assert "whose files it would mix with or replace" in capsys.readouterr().err


def test_pictures_need_the_slide_and_it_is_said_which_is_missing(
    tmp_path: Path, values: Any, slide_folder: Path
) -> None:
    for name, shown in (("a.npy", values), ("b.npy", values + np.arange(24, dtype=np.float32) / 9)):
        np.save(tmp_path / name, shown)
        np.save(tmp_path / name.replace(".npy", ".coords.npy"), places() * SPAN)
    asked = [
        "compare",
        str(tmp_path / "a.npy"),
        str(tmp_path / "b.npy"),
        "--same-slide",
        "--out",
        str(tmp_path / "page"),
    ]
    assert run_command(asked) == 0
    assert "--slide-file FILE" in (tmp_path / "page/compare.html").read_text()
    assert run_command([*asked, "--slide-file", str(slide_folder / "fine.svs")]) == 0
    assert "<img " in (tmp_path / "page/compare.html").read_text()
