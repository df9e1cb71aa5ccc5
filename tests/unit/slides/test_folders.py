"""Which folders are slides, and which files belong to a slide, whatever else lies there."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from wsi_features.slides.folders import companions, ome_zarr_version, regular_files, slide_folder

DICOM_HEAD = bytes(128) + b"DICM" + b"\2\0\2\0UI\x1e\0" + b"1.2.840.10008.5.1.4.1.1.77.1.6"


def image(folder: Path) -> Path:
    """An OME-Zarr folder of two chunks, whose pixels do not matter."""
    (folder / "0").mkdir(parents=True)
    (folder / ".zattrs").write_text(json.dumps({"multiscales": []}))
    for name in (".zarray", "0.0", "0.1"):
        (folder / "0" / name).write_text(name)
    return folder


def names(path: Path, base: Path) -> list[str]:
    return [part.relative_to(base).as_posix() for part in companions(path)]


def test_a_folder_with_an_ome_image_is_a_slide(tmp_path: Path) -> None:
    assert (slide_folder(image(tmp_path / "a")), ome_zarr_version(tmp_path / "a")) == ("OME-Zarr", 2)


@pytest.mark.parametrize(
    ("name", "text", "version"),
    [
        (".zattrs", {"bioformats2raw.layout": 3}, 2),
        ("zarr.json", {"attributes": {"ome": {"multiscales": []}}}, 3),
        (".zattrs", {"labels": []}, None),
        ("zarr.json", {"attributes": {}}, None),
        (".zattrs", ["multiscales"], None),
    ],
)
def test_only_json_with_images_makes_a_folder_a_slide(
    name: str, text: object, version: int | None, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(json.dumps(text))
    assert ome_zarr_version(tmp_path) == version
    assert slide_folder(tmp_path) == ("OME-Zarr" if version else None)


def test_json_that_is_cut_short_makes_no_slide(tmp_path: Path) -> None:
    (tmp_path / ".zattrs").write_text('{"multiscales": [')
    assert slide_folder(tmp_path) is None


def test_a_folder_with_dicom_instances_is_a_slide(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"anything")
    (tmp_path / "b").write_bytes(DICOM_HEAD)
    assert slide_folder(tmp_path) == "DICOM"


def test_a_dicom_file_of_another_class_makes_no_slide(tmp_path: Path) -> None:
    (tmp_path / "ct.dcm").write_bytes(DICOM_HEAD.replace(b"77.1.6", b"2     "))
    assert slide_folder(tmp_path) is None


def test_files_and_absent_paths_are_no_slide_folders(tmp_path: Path) -> None:
    (tmp_path / "a.svs").write_bytes(DICOM_HEAD)
    assert slide_folder(tmp_path / "a.svs") is None
    assert slide_folder(tmp_path / "absent") is None


@pytest.mark.timeout(20)
def test_pipes_and_sockets_block_nothing_and_belong_to_no_slide(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".zattrs")
    os.mkfifo(tmp_path / "a.dcm")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(tmp_path / "s"))  # a socket's path may be no longer than 107 bytes
        assert slide_folder(tmp_path) is None
        assert companions(tmp_path) == ()
    (tmp_path / "a.dcm").unlink()
    (tmp_path / "b.dcm").write_bytes(DICOM_HEAD)
    assert (slide_folder(tmp_path), names(tmp_path, tmp_path)) == ("DICOM", ["b.dcm"])


def test_all_files_below_a_folder_belong_to_it(tmp_path: Path) -> None:
    assert names(image(tmp_path / "a"), tmp_path / "a") == [".zattrs", "0/.zarray", "0/0.0", "0/0.1"]


def test_links_that_lead_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    folder = image(tmp_path / "a")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_text("not part of it")
    (folder / "file").symlink_to(tmp_path / "secret" / "file")
    (folder / "folder").symlink_to(tmp_path / "secret")
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "inside").symlink_to(folder / "0" / "0.0")
    assert names(folder, folder) == [".zattrs", "0/.zarray", "0/0.0", "0/0.1", "inside"]
    assert [path.name for path in regular_files(folder)] == [".zattrs", "inside"]


def test_index_and_data_belong_to_an_mrxs(tmp_path: Path) -> None:
    (tmp_path / "case.mrxs").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "case").mkdir()
    for name in ("Slidedat.ini", "Index.dat", "Data0000.dat", "Data0001.dat", "notes.txt"):
        (tmp_path / "case" / name).write_text(name)
    wanted = ["case/Data0000.dat", "case/Data0001.dat", "case/Index.dat", "case/Slidedat.ini"]
    assert names(tmp_path / "case.mrxs", tmp_path) == wanted


def test_an_mrxs_without_its_folder_stands_alone(tmp_path: Path) -> None:
    (tmp_path / "case.mrxs").write_bytes(b"\xff\xd8\xff")
    assert companions(tmp_path / "case.mrxs") == ()


@pytest.mark.parametrize("head", ["Virtual Microscope Specimen", "Uncompressed Virtual Microscope Specimen"])
def test_files_named_by_a_vms_belong_to_it(head: str, tmp_path: Path) -> None:
    text = (
        f"[{head}]\r\nImageFile=a.jpg\r\nImageFile(1,0) = b.jpg\r\nMapFile=a_map.jpg\r\nOptimisationFile=../c.opt\r\n"
    )
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "slide.vms").write_bytes(text.encode())
    for name in ("in/a.jpg", "in/b.jpg", "in/other.jpg", "c.opt"):
        (tmp_path / name).write_text(name)
    assert names(tmp_path / "in" / "slide.vms", tmp_path / "in") == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("name", ["slide.svs", "slide.vms", "slide.dcm"])
def test_other_files_stand_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("ImageFile=a.jpg")
    (tmp_path / "a.jpg").write_text("a")
    assert companions(tmp_path / name) == ()
