"""What all formats share: rows, resuming, atomic files, labels, refusals."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.cli.main import run_command
from wsi_features.cohort.cohort import Cohort
from wsi_features.cohort.exports import plain
from wsi_features.cohort.exports.labels import Label, read_labels
from wsi_features.cohort.exports.ledger import LEDGER, read_ledger
from wsi_features.cohort.exports.rows import ExportedSlide
from wsi_features.cohort.keep import write_keep_marks
from wsi_features.cohort.outputs import Outputs
from wsi_features.errors import ExportError, MarksError, NonFiniteFeaturesError, OutputError
from wsi_features.stages.exports import ExportRequest, exported
from wsi_features.store import FeatureStore

To = Callable[..., Path]


@settings(max_examples=25)
@given(st.sets(st.integers(0, 6)))
def test_blocks_together_are_the_wanted_valid_rows(first: FeatureStore, wanted: set[int]) -> None:
    slide = ExportedSlide.of(first, np.isin(np.arange(7), list(wanted)))
    assert slide.rows.tolist() == sorted(wanted - {5})
    whole = first.features[:]
    for start, block in slide.blocks():
        np.testing.assert_array_equal(block, whole[slide.rows[start : start + len(block)]])
    assert sum(len(block) for _, block in slide.blocks()) == len(slide)


def test_no_block_is_longer_than_a_chunk_of_the_store(first: FeatureStore) -> None:
    assert [(start, len(block)) for start, block in ExportedSlide.of(first).blocks()] == [(0, 4), (4, 2)]


def test_unread_tiles_are_left_out_and_counted(to: To, tmp_path: Path) -> None:
    to("npy")
    assert "first: 6 tiles; 1 could not be read and are left out" in (tmp_path / "said.txt").read_text()


def test_a_second_export_writes_nothing_again(to: To, tmp_path: Path) -> None:
    folder = to("npy")
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.[nj]*")}
    assert len(before) == 3 * 3 + 1
    to("npy")
    assert "first: is there already" in (tmp_path / "said.txt").read_text()
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_file_that_was_cut_or_lost_is_written_again(to: To) -> None:
    folder = to("npy")
    whole = (folder / "first.npy").read_bytes()
    (folder / "first.npy").write_bytes(whole[:-1])
    (folder / "second.coords.npy").unlink()
    to("npy")
    assert (folder / "first.npy").read_bytes() == whole
    assert (folder / "second.coords.npy").exists()


def test_other_rows_or_another_name_are_another_export(to: To, tmp_path: Path) -> None:
    to("stamp")
    to("stamp", name="other")
    assert "first: 6 tiles" in (tmp_path / "said.txt").read_text()


def test_a_torn_last_line_of_the_ledger_costs_one_slide(to: To, tmp_path: Path) -> None:
    folder = to("npy")
    ledger = folder / LEDGER
    ledger.write_bytes(ledger.read_bytes()[:-20])
    to("npy")
    said = (tmp_path / "said.txt").read_text()
    assert "first: is there already" in said
    assert "glass: 0 tiles" in said
    assert len(read_ledger(folder)) == 3


def test_the_ledger_carries_licence_and_fingerprint(to: To, first: FeatureStore) -> None:
    about = read_ledger(to("clam"))["clam", "first"].about
    assert (about["licence"], about["fingerprint"]) == ("CC-BY-NC-4.0", first.fingerprint)


def test_a_slide_that_breaks_off_leaves_no_file(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plain.np, "ascontiguousarray", full)
    with pytest.raises(OutputError, match=r"cannot be made or written \(No space left"):
        list(exported(run, ExportRequest("npy", tmp_path / "export")))
    assert list((tmp_path / "export").iterdir()) == []


def test_a_damaged_store_fails_alone(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    next(copy.glob("features/*/first.zarr/coords/c/0/0")).unlink()
    ends = list(exported(copy, ExportRequest("npy", tmp_path / "export")))
    assert next(end.said for end in ends if end.failed).startswith("feature store")
    assert (tmp_path / "export" / "second.npy").exists()


def test_a_value_beyond_half_precision_is_refused(first: FeatureStore) -> None:
    slide = ExportedSlide.of(first)
    with pytest.raises(NonFiniteFeaturesError, match="70000 at row 6 is beyond float16"):
        slide._cast(np.array([[1.0, 7e4]], np.float32), np.float16, 5)


def test_the_command_says_what_it_did_and_exits_0(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "export"
    assert run_command(["export", str(run), "--to", "csv", "--out", str(folder), "--slide", "second"]) == 0
    assert [path.name for path in sorted(folder.iterdir())] == [LEDGER, "second.csv", "slides.tsv"]
    assert "1 slide lies in" in capsys.readouterr().out


def test_a_slide_that_is_not_in_the_cohort_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no slide 'third'"):
        list(exported(run, ExportRequest("csv", tmp_path, slides=("third",))))


def test_the_folder_of_the_run_is_not_exported_into(run: Path) -> None:
    with pytest.raises(OutputError, match="is in .*whose files it would mix with"):
        list(exported(run, ExportRequest("csv", run / "features")))


def test_a_format_of_tiles_has_no_slide_vectors(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="'csv' has no slide vectors.*trident"):
        list(exported(run, ExportRequest("csv", tmp_path, pool="mean")))


def test_labels_of_no_exported_slide_are_told(to: To, labels: Path, tmp_path: Path) -> None:
    to("clam", labels=labels)
    assert "1 labels are of no exported slide: other" in (tmp_path / "said.txt").read_text()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name,label\na,1\n", "no column `slide_id`"),
        ("slide_id,split\na,training\n", "line 2: the split 'training' is none of train, val, test"),
        ("slide_id,label\na,1\na,2\n", "line 3: slide 'a' stands there twice"),
    ],
)
def test_labels_that_cannot_be_used_are_refused_with_their_line(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ExportError, match=why):
        read_labels(tmp_path / "labels.csv")


def test_labels_may_stand_in_any_column_that_is_named(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("slide_id,grade,patient_id\nfirst,high,p1\n")
    assert read_labels(table, "grade").of("first") == Label("high", "", "p1")
    for column in (None, "grad"):
        with pytest.raises(ExportError, match=r"the columns are slide_id, grade, patient_id\..*`--label COLUMN`"):
            read_labels(table, column)


def test_only_tiles_of_the_marks_that_are_named_are_exported(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    out, limits = Outputs(copy), {"tissue_share": {"min": 0.75}}
    (store,) = [store for store in Cohort.open(copy) if store.provenance.slide_id == "first"]
    write_keep_marks(out, store, limits, "strict")
    list(exported(copy, ExportRequest("npy", tmp_path / "export", slides=("first",), keep="strict")))
    assert np.load(tmp_path / "export" / "first.npy")[:, 0].tolist() == [3, 4, 6]
    with pytest.raises(MarksError, match="no marks begin with 'lenient'; there are strict__"):
        list(exported(copy, ExportRequest("npy", tmp_path / "export", keep="lenient")))


def test_every_export_says_whose_its_slides_are(to: To, run: Path, tmp_path: Path) -> None:
    text = (to("npy") / "slides.tsv").read_text()
    assert text == "slide_id\tpatient_id\tstain\tblock\ttiles\nfirst\tp1\tKi-67\tA1\t6\nsecond\tp9\t\t\t4\n"
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "manifest.json").write_text((copy / "manifest.json").read_text().replace('"p9"', '"p5"'))
    list(exported(copy, ExportRequest("npy", tmp_path / "export")))
    assert "second\tp5\t" in (tmp_path / "export" / "slides.tsv").read_text()


def test_slide_vectors_beside_tiles_take_no_slide_from_the_table(to: To) -> None:
    before = (to("patho-bench") / "slides.tsv").read_text()
    folder = to("patho-bench", pool="mean", slides=("first",))
    assert (folder / "slides.tsv").read_text() == before
    assert "second" in before


def test_another_patient_writes_only_the_formats_anew_that_say_it(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    for layout in ("anndata", "npy"):
        list(exported(copy, ExportRequest(layout, tmp_path / layout)))
    (copy / "manifest.json").write_text((copy / "manifest.json").read_text().replace('"A1"', '"B7"'))
    said = {k: [e.said for e in exported(copy, ExportRequest(k, tmp_path / k))][:2] for k in ("anndata", "npy")}
    assert said["npy"] == ["first: is there already; 1 could not be read and are left out", "second: is there already"]
    assert said["anndata"] == ["first: 6 tiles; 1 could not be read and are left out", "second: is there already"]


def test_the_patient_of_the_manifest_is_the_case_where_labels_name_none(to: To, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("slide_id,label\nfirst,a\nsecond,b\n")
    folder = to("clam", labels=tmp_path / "l.csv")
    assert (folder / "dataset.csv").read_text() == "case_id,slide_id,label\np1,first,a\np9,second,b\n"
    assert "another patient" not in (tmp_path / "said.txt").read_text()


def test_two_sources_that_name_two_patients_are_told(to: To, labels: Path, tmp_path: Path) -> None:
    assert "p2,second,normal" in (to("clam", labels=labels) / "dataset.csv").read_text()
    assert "1 slides are of another patient in" in (said := (tmp_path / "said.txt").read_text())
    assert said.splitlines()[-2].endswith("those of the labels: second")


def test_the_command_writes_one_table_of_all_tiles(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pyarrow.parquet as pq

    assert run_command(["tile-table", str(run), str(tmp_path / "tiles.parquet")]) == 0
    assert capsys.readouterr().out.startswith("11 tiles of 3 slides in ")
    rows = pq.read_table(tmp_path / "tiles.parquet").to_pylist()
    assert [(row["slide_id"], row["x"], row["y"], row["patient_id"]) for row in (rows[1], rows[7])] == [
        ("first", 12 + 504, 100, "p1"),
        ("second", 12, 100, "p9"),
    ]
    assert [row["row"] for row in rows if not row["valid"]] == [5]


def test_a_table_of_another_kind_of_file_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["tile-table", str(run), str(tmp_path / "tiles.csv")]) == 2
    assert "Give a name that ends in .parquet" in capsys.readouterr().err
    assert not (tmp_path / "tiles.csv").exists()
