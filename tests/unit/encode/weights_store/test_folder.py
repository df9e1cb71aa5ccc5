"""A folder of weights: files appear whole, under their own digest, whoever adds at the same time."""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
import stat
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from wsi_features.encode.weights_store.folder import BadRecord, Entry, entries, named_digest, put_copy, put_link
from wsi_features.encode.weights_store.record import WeightsRecord, weights_key
from wsi_features.errors import WeightsStoreError


def record_of(content: bytes, key: str = "uni") -> WeightsRecord:
    digest = hashlib.sha256(content).hexdigest()
    return WeightsRecord(
        encoder=key,
        sha256=digest,
        size=len(content),
        file="w.bin",
        source="local file",
        licence="-",
        added=date(2026, 1, 2),
    )


def given(tmp_path: Path, content: bytes = b"abc") -> Path:
    (tmp_path / "w.bin").write_bytes(content)
    return tmp_path / "w.bin"


def test_a_file_lies_under_its_digest_with_one_record(tmp_path: Path) -> None:
    entry = put_copy(tmp_path / "store", given(tmp_path), record_of(b"abc"))
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    files = {str(path.relative_to(tmp_path / "store")) for path in (tmp_path / "store").rglob("*") if path.is_file()}
    assert files == {f"sha256/ba/{digest}", f"encoders/uni/{digest}.json"}
    assert entry.file.read_bytes() == b"abc"
    assert list(entries(tmp_path / "store")) == [entry]
    assert named_digest(entry.file) == digest
    assert named_digest(tmp_path / digest) is None


def test_files_and_records_have_the_normal_permissions_even_if_the_original_is_private(tmp_path: Path) -> None:
    source = given(tmp_path)
    source.chmod(0o600)
    (tmp_path / "plain").touch()
    entry = put_copy(tmp_path / "store", source, record_of(b"abc"))
    wanted = stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (entry.file, entry.record_file)} == {wanted}


def test_a_record_says_nothing_of_who_put_it_there_or_from_which_folder(tmp_path: Path) -> None:
    entry = put_copy(tmp_path / "store", given(tmp_path), record_of(b"abc"))
    text = entry.record_file.read_text()
    for word in (getpass.getuser() + "@", str(tmp_path), socket.gethostname(), str(Path.home())):
        assert word not in text


def test_a_file_that_changed_since_it_was_hashed_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(WeightsStoreError, match=r"'uni': .*w.bin' has the SHA-256 .*Nothing was stored"):
        put_copy(tmp_path / "store", given(tmp_path, b"other"), record_of(b"abc"))
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def test_adding_a_good_copy_mends_a_damaged_file(tmp_path: Path) -> None:
    entry = put_copy(tmp_path / "store", given(tmp_path), record_of(b"abc"))
    entry.file.write_bytes(b"abX")
    put_copy(tmp_path / "store", given(tmp_path), record_of(b"abc"))
    assert entry.file.read_bytes() == b"abc"


def test_a_link_stays_a_link_and_takes_no_space(tmp_path: Path) -> None:
    entry = put_link(tmp_path / "store", given(tmp_path), record_of(b"abc"))
    assert entry.file.readlink() == tmp_path / "w.bin"
    put_link(tmp_path / "store", given(tmp_path), record_of(b"abc"))
    assert len(list(entry.file.parent.iterdir())) == 1


def test_one_file_may_belong_to_two_encoders(tmp_path: Path) -> None:
    for key in ("uni", "timm:vit_large_patch16_224"):
        put_copy(tmp_path / "store", given(tmp_path), record_of(b"abc", key))
    assert len(list((tmp_path / "store/sha256").glob("*/*"))) == 1
    (found,) = entries(tmp_path / "store", "timm:vit_large_patch16_224")
    assert isinstance(found, Entry)
    assert found.record.encoder == "timm:vit_large_patch16_224"


ADDER = """
import sys
from pathlib import Path
from wsi_features.encode.weights_store.folder import put_copy
from wsi_features.encode.weights_store.record import WeightsRecord
folder, source, record = sys.argv[1:]
record = WeightsRecord.model_validate_json(record)
sys.stdin.readline()
for _ in range(20):
    put_copy(Path(folder), Path(source), record)
"""


def test_processes_that_add_at_once_leave_whole_files_and_nothing_else(tmp_path: Path) -> None:
    contents = [bytes([k]) * 300_001 for k in (1, 2)]
    running = []
    for k in (0, 1, 0):
        (tmp_path / f"{k}.bin").write_bytes(contents[k])
        arguments = [str(tmp_path / "store"), str(tmp_path / f"{k}.bin"), record_of(contents[k]).model_dump_json()]
        running.append(subprocess.Popen([sys.executable, "-c", ADDER, *arguments], stdin=subprocess.PIPE, text=True))
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.close()
    assert [process.wait(60) for process in running] == [0, 0, 0]
    found = list(entries(tmp_path / "store", "uni"))
    assert sorted(entry.file.read_bytes() for entry in found if isinstance(entry, Entry)) == contents
    assert len([path for path in (tmp_path / "store").rglob("*") if path.is_file()]) == 4


def test_a_folder_that_cannot_be_written_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(WeightsStoreError, match=r"'/dev/null/store' cannot be written .*first of WSI_WEIGHTS"):
        put_copy(Path("/dev/null/store"), given(tmp_path), record_of(b"abc"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    put_copy(tmp_path / "store", given(tmp_path), record_of(b"abc"))
    (tmp_path / "store/encoders").chmod(0)
    with pytest.raises(WeightsStoreError, match="cannot be read"):
        list(entries(tmp_path / "store"))
    (tmp_path / "store/encoders").chmod(0o755)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [('"size"', '"weight"', "size: Field required"), ('"uni"', '"keep"', "'keep'"), ('"sha256"', "", "JSON")],
)
def test_a_record_that_is_not_what_its_path_says_is_a_bad_one(tmp_path: Path, old: str, new: str, told: str) -> None:
    entry = put_copy(tmp_path / "store", given(tmp_path), record_of(b"abc"))
    entry.record_file.write_text(entry.record_file.read_text().replace(old, new))
    (found,) = entries(tmp_path / "store", "uni")
    assert isinstance(found, BadRecord)
    assert told in found.why


def test_a_record_of_a_later_release_is_read(tmp_path: Path) -> None:
    entry = put_copy(tmp_path / "store", given(tmp_path), record_of(b"abc"))
    entry.record_file.write_text(entry.record_file.read_text().replace("{", '{ "new": 1,', 1))
    assert list(entries(tmp_path / "store")) == [entry]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("uni", "uni"),
        ("virchow2:cls+mean", "virchow2"),
        ("timm:vit_tiny_patch16_224", "timm:vit_tiny_patch16_224"),
        ("open_clip:ViT-B-32", "open_clip:ViT-B-32"),
    ],
)
def test_variants_of_an_output_share_their_weights_and_models_of_a_library_do_not(name: str, key: str) -> None:
    assert weights_key(name) == key
