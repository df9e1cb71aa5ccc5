from pathlib import Path

from wsi_features.cohort.manifest import Manifest, ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import SlideResult, write_record
from wsi_features.cohort.status import StatusRow, counts, failed, read_status, statuses, write_status

ROWS = tuple(ManifestRow(slide_id=name, path=f"{name}.svs") for name in ("good", "broken", "lost"))


def recorded(tmp_path: Path) -> Outputs:
    out = Outputs(tmp_path)
    tissue = SlideResult(
        "ok", "tissue", seconds=1.5, facts={"tissue_mm2": 3.25, "mpp": 0.25, "mpp_source": "openslide"}
    )
    broken = SlideResult("failed", "tissue", reason="mpp", message="no mpp")
    write_record(out.record("tissue", "00000"), "tissue", "00000", {"good": tissue, "broken": broken, "lost": tissue})
    stores = {"stores": {"x": {"store": "features/x/good.zarr", "tiles": 12}}}
    embed = SlideResult("ok", "embed", seconds=2.0, facts=stores)
    write_record(out.record("embed", "00000"), "embed", "00000", {"good": embed, "broken": broken})
    return out


def test_every_slide_of_the_manifest_has_a_row_in_its_order(tmp_path: Path) -> None:
    rows = statuses(Manifest(ROWS), 5, recorded(tmp_path))
    assert [(row.slide_id, row.status, row.reason, row.stage) for row in rows] == [
        ("good", "ok", "", "embed"),
        ("broken", "failed", "mpp", "tissue"),
        ("lost", "failed", "not_run", "tissue"),
    ]


def test_a_row_gathers_what_all_stages_found(tmp_path: Path) -> None:
    good = statuses(Manifest(ROWS), 5, recorded(tmp_path))[0]
    assert (good.tiles, good.tissue_mm2, good.mpp, good.mpp_source, good.seconds) == (12, 3.25, 0.25, "openslide", 3.5)
    assert good.stores == "features/x/good.zarr"


def test_marks_tell_how_many_tiles_are_kept_and_fail_a_slide_where_they_failed(tmp_path: Path) -> None:
    out, path = recorded(tmp_path), Outputs(tmp_path).record("marks", "00000")
    made = SlideResult("ok", "marks", facts={"marks": {"x": {"kept": 7}}})
    write_record(path, "marks", "00000", {"good": made, "lost": made})
    rows = statuses(Manifest(ROWS), 5, out)
    assert [(row.status, row.reason, row.kept) for row in rows] == [
        ("ok", "", 7), ("failed", "mpp", None), ("failed", "not_run", None),
    ]  # fmt: skip
    write_record(path, "marks", "00000", {"good": SlideResult("failed", "marks", reason="store")})
    good = statuses(Manifest(ROWS), 5, out)[0]
    assert (good.status, good.reason, good.stage, good.tiles) == ("failed", "store", "marks", 12)


def test_without_any_record_all_slides_have_failed(tmp_path: Path) -> None:
    rows = statuses(Manifest(ROWS), 2, Outputs(tmp_path))
    assert {(row.status, row.reason, row.stage) for row in rows} == {("failed", "not_run", "manifest")}


def test_the_table_reads_back_and_names_what_counts_as_failed(tmp_path: Path) -> None:
    path = tmp_path / "status.tsv"
    path.write_text(write_status(statuses(Manifest(ROWS), 5, recorded(tmp_path))))
    rows = read_status(path)
    assert counts(row["status"] for row in rows) == {"ok": 1, "empty": 0, "skipped": 0, "failed": 2}
    assert [row["slide_id"] for row in failed(rows)] == ["broken", "lost"]
    assert [row["slide_id"] for row in failed(rows, ["mpp"])] == ["lost"]


def test_cells_cannot_run_as_formulas_or_break_lines() -> None:
    row = StatusRow("s", "failed", "mpp", "tissue", None, None, None, "=HYPERLINK()", "@r", "", 0.0, "a\nb\tc\x1b[31m")
    cells = write_status([row]).splitlines()[1].split("\t")
    assert cells[4:9] == ["", "", "", "'=HYPERLINK()", "'@r"]
    assert cells[-2] == "a b c [31m"


def test_a_slide_that_ended_well_says_which_tiles_were_left_out(tmp_path: Path) -> None:
    out = recorded(tmp_path)
    tiles = SlideResult("ok", "tiles", facts={"tiles": {"a": 12}, "dropped": {"a": {"outside": 2, "twice": 1}}})
    write_record(out.record("tiles", "00000"), "tiles", "00000", {"good": tiles})
    assert statuses(Manifest(ROWS), 5, out)[0].message == "tiles left out: 2 outside, 1 twice"
