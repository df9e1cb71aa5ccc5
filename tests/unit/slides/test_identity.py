import hashlib
from pathlib import Path

import pytest

from wsi_features.slides import content_fingerprint
from wsi_features.slides.identity import file_sha256

BIG = bytes(range(256)) * 4096 * 8  # 8 MiB: sampled, not hashed whole


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_equal_content_has_one_fingerprint_whatever_its_name(tmp_path: Path) -> None:
    assert content_fingerprint(written(tmp_path / "a", BIG)) == content_fingerprint(written(tmp_path / "b", BIG))


@pytest.mark.parametrize("at", [0, len(BIG) - 1])
def test_a_change_of_head_or_tail_changes_it(tmp_path: Path, at: int) -> None:
    changed = bytearray(BIG)
    changed[at] ^= 1
    assert content_fingerprint(written(tmp_path / "a", bytes(changed))) != content_fingerprint(
        written(tmp_path / "b", BIG)
    )


def test_a_file_cut_short_by_one_byte_has_another(tmp_path: Path) -> None:
    assert content_fingerprint(written(tmp_path / "a", BIG[:-1])) != content_fingerprint(written(tmp_path / "b", BIG))


@pytest.mark.parametrize("at", [0, 300_000, 999_999])
def test_a_small_file_is_covered_whole(tmp_path: Path, at: int) -> None:
    small = bytearray(BIG[:1_000_000])
    before = content_fingerprint(written(tmp_path / "a", bytes(small)))
    small[at] ^= 1
    assert content_fingerprint(written(tmp_path / "a", bytes(small))) != before


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        (0, "b8739fc0e1f4fe9ef5122f42906cce2687e4266cef05afff2caff15b5967e818"),
        (1_000_000, "1c032f6a79d1f387ad6d6b86995f74e96f145412e625bcdc5a01e05a3d4639ae"),
        (len(BIG), "e6d969e87b5c811bcb3115663fc91057aa852a8f35ee121dcb02ca26a472831b"),
    ],
)
def test_files_have_the_fingerprint_that_stores_carry(tmp_path: Path, size: int, wanted: str) -> None:
    assert content_fingerprint(written(tmp_path / "a", BIG[:size])) == wanted


# Slides of several files


def mrxs(folder: Path, parts: int = 3, size: int = 2_000_000) -> Path:
    (folder / "case").mkdir(parents=True)
    (folder / "case" / "Slidedat.ini").write_text("[GENERAL]")
    for number in range(parts):
        written(folder / "case" / f"Data{number:04}.dat", BIG[number : number + size])
    return written(folder / "case.mrxs", b"\xff\xd8\xff")


def zarr_folder(folder: Path, chunks: int) -> Path:
    (folder / "0").mkdir(parents=True)
    (folder / ".zattrs").write_text('{"multiscales": []}')
    (folder / "0" / ".zarray").write_text('{"shape": [1, 2]}')
    for number in range(chunks):
        written(folder / "0" / f"{number:03}", b"chunk %06d" % number)
    return folder


def test_a_copied_slide_of_several_files_keeps_its_fingerprint(tmp_path: Path) -> None:
    one, two = mrxs(tmp_path / "a"), mrxs(tmp_path / "elsewhere")
    assert content_fingerprint(one) == content_fingerprint(two)
    assert content_fingerprint(one) != content_fingerprint(written(tmp_path / "alone.mrxs", b"\xff\xd8\xff"))


@pytest.mark.parametrize("at", [0, 1_000_000, 1_999_999])
@pytest.mark.parametrize("part", ["case.mrxs", "case/Slidedat.ini", "case/Data0000.dat", "case/Data0002.dat"])
def test_a_repaired_companion_changes_it(tmp_path: Path, part: str, at: int) -> None:
    slide = mrxs(tmp_path)
    before = content_fingerprint(slide)
    data = bytearray((tmp_path / part).read_bytes())
    data[min(at, len(data) - 1)] ^= 1
    written(tmp_path / part, bytes(data))
    assert content_fingerprint(slide) != before


def test_a_companion_that_comes_goes_or_is_renamed_changes_it(tmp_path: Path) -> None:
    slide = mrxs(tmp_path)
    found = [content_fingerprint(slide)]
    part = tmp_path / "case" / "Data0001.dat"
    for change in (
        lambda: part.rename(part.with_name("Data0009.dat")),
        lambda: part.with_name("Data0009.dat").unlink(),
    ):
        change()
        found.append(content_fingerprint(slide))
    assert len(set(found)) == 3


def test_of_many_chunks_metadata_and_sizes_always_count(tmp_path: Path) -> None:
    folder = zarr_folder(tmp_path, 600)
    found = [content_fingerprint(folder)]
    for name, content in ((".zattrs", b'{"multiscales": [1]}'), ("0/.zarray", b"{}"), ("0/301", b"a longer chunk")):
        written(folder / name, content)
        found.append(content_fingerprint(folder))
    assert len(set(found)) == 4


def test_of_many_chunks_few_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, opened = zarr_folder(tmp_path, 600), []
    plain = Path.open

    def counted(path: Path, *args: str, **options: int) -> object:
        opened.append(path.name)
        return plain(path, *args, **options)

    monkeypatch.setattr(Path, "open", counted)
    content_fingerprint(folder)
    chunks = [int(name) for name in opened if name.isdecimal()]
    assert len(chunks) == 256
    assert {0, 599} <= set(chunks)


# SHA-256 of a file


@pytest.mark.parametrize("size", [0, 3, 1024 * 1024, 2_500_001])
def test_the_sha256_is_that_of_the_whole_file(tmp_path: Path, size: int) -> None:
    content = BIG[:size]
    assert file_sha256(written(tmp_path / "a", content)) == hashlib.sha256(content).hexdigest()


def test_a_folder_has_no_sha256(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder, and only a file has a SHA-256; leave it out"):
        file_sha256(tmp_path)
