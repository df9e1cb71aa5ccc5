from pathlib import Path

import pytest

from wsi_features.cohort.sheets import manifest_from, read_sheet, rows_with_unique_ids, slide_files, to_csv
from wsi_features.errors import ManifestError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.svs", "b.svs", "sub/c.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def sheet(folder: Path, text: str, name: str = "cohort.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        read_sheet(sheet(folder, text))
    return str(caught.value).splitlines()


def test_a_full_sheet_is_read_in_order(folder: Path) -> None:
    text = "slide_id,path,patient_id,stain,mpp,annotations,skip\ns2,b.svs,P1,H&E,0.25,,\ns1,a.svs,,,,,blurred\n"
    manifest = read_sheet(sheet(folder, text))
    first, second = manifest.rows
    assert (first.slide_id, first.patient_id, first.stain, first.mpp) == ("s2", "P1", "H&E", 0.25)
    assert first.path == str((folder / "b.svs").resolve())
    assert (second.mpp, second.skip) == (None, "blurred")


def test_tabs_and_a_byte_order_mark_are_understood(folder: Path) -> None:
    manifest = read_sheet(sheet(folder, "\ufeffslide_id\tpath\ns1\ta.svs\n", "cohort.tsv"))
    assert [row.slide_id for row in manifest] == ["s1"]


def test_every_problem_is_told_with_file_line_column_value_and_remedy(folder: Path) -> None:
    text = "slide_id,path,mpp\nbad id,a.svs,\ns2,gone.svs,\ns3,a.svs,many\nS2,b.svs,50\n"
    first, second, third, fourth = problems(folder, text)
    assert first.endswith(
        "line 2, column `slide_id`: 'bad id'. Use 1 to 128 letters, digits, `.`, `_` or `-`, starting with a letter or digit."
    )
    assert "line 3, column `path`: 'gone.svs'. No such file" in second
    assert "line 4, column `mpp`: 'many'. Give microns per pixel as a number" in third
    assert "line 5, column `mpp`: '50'" in fourth


def test_ids_that_differ_only_in_case_are_duplicates(folder: Path) -> None:
    (only,) = problems(folder, "slide_id,path\ns1,a.svs\nS1,b.svs\n")
    assert "line 3, column `slide_id`: 'S1'. Line 2 has the same slide_id" in only


@pytest.mark.parametrize("bad", ["../s", ".s", "-s", "s/1", "s 1", "é", "$(touch x)", "s" * 129, ""])
def test_unsafe_ids_are_refused(folder: Path, bad: str) -> None:
    (only,) = problems(folder, f"slide_id,path\n{bad},a.svs\n")
    assert "column `slide_id`" in only


def test_headers_are_checked_first(folder: Path) -> None:
    assert "column `path`: 'missing'" in problems(folder, "slide_id,file\ns1,a.svs\n")[0]
    assert "column `file`: 'unknown'" in problems(folder, "slide_id,file\ns1,a.svs\n")[1]
    assert "column `path`: 'twice'" in problems(folder, "slide_id,path,path\ns1,a.svs,b.svs\n")[0]


def test_a_row_with_too_many_or_too_few_cells_is_told(folder: Path) -> None:
    assert "line 2, column `(all)`: 'wrong number of cells'" in problems(folder, "slide_id,path\ns1,a.svs,x\n")[0]
    assert "line 2, column `(all)`: 'wrong number of cells'" in problems(folder, "slide_id,path\ns1\n")[0]


def test_a_missing_file_of_a_skipped_slide_is_no_problem(folder: Path) -> None:
    assert read_sheet(sheet(folder, "slide_id,path,skip\ns1,gone.svs,lost\n")).rows[0].skip == "lost"


def test_what_is_no_table_is_called_unreadable(folder: Path) -> None:
    (folder / "cohort.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ManifestError, match="it is not UTF-8 text"):
        read_sheet(folder / "cohort.csv")
    with pytest.raises(ManifestError, match="No such file"):
        read_sheet(folder / "gone.csv")
    with pytest.raises(ManifestError, match="no slide in"):
        read_sheet(sheet(folder, "slide_id,path\n"))


def test_folders_globs_and_files_are_manifests_too(folder: Path) -> None:
    assert [row.slide_id for row in manifest_from([str(folder)])] == ["a", "b", "c"]
    assert [row.slide_id for row in manifest_from([str(folder / "*.svs")])] == ["a", "b"]
    assert [row.slide_id for row in manifest_from([str(folder / "b.svs"), str(folder / "a.svs")])] == ["b", "a"]


def test_a_source_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(ManifestError, match="no such file or folder"):
        manifest_from([str(folder / "gone.svs")])
    with pytest.raises(ManifestError, match="no slide in"):
        slide_files(str(folder / "*.ndpi"))


def test_two_files_of_one_stem_ask_for_a_manifest(folder: Path) -> None:
    (folder / "sub" / "A.tif").write_bytes(b"x")
    with pytest.raises(ManifestError, match="would both be slide 'A'.*Write a manifest"):
        manifest_from([str(folder)])


def test_made_ids_take_the_folder_in_where_stems_collide(folder: Path) -> None:
    (folder / "sub" / "a.tif").write_bytes(b"x")
    ids = [row.slide_id for row in rows_with_unique_ids(slide_files(str(folder)))]
    assert ids == [f"{folder.name}-a".strip("-"), "b", "sub-a", "c"]


def test_a_made_manifest_reads_back_the_same(folder: Path) -> None:
    rows = rows_with_unique_ids(slide_files(str(folder)))
    assert read_sheet(sheet(folder, to_csv(rows))).rows == tuple(rows)


def test_awkward_file_names_become_safe_ids(folder: Path) -> None:
    for name in ("-x $(touch y).svs", "ä ö.svs", "with 'quotes'.svs"):
        (folder / "sub" / name).write_bytes(b"x")
    ids = [row.slide_id for row in manifest_from([str(folder / "sub")])]
    assert ids == ["x-touch-y", "c", "with-quotes", "slide"]


def test_a_list_of_tiles_is_found_beside_the_sheet_and_missed_when_it_is_not_there(folder: Path) -> None:
    (folder / "spots.csv").touch()
    (row,) = read_sheet(sheet(folder, "slide_id,path,coordinates\ns1,a.svs,spots.csv\n")).rows
    assert row.coordinates == str((folder / "spots.csv").resolve())
    with pytest.raises(ManifestError, match=r"line 2.*coordinates.*gone.csv.*No such file"):
        read_sheet(sheet(folder, "slide_id,path,coordinates\ns1,a.svs,gone.csv\n"))
