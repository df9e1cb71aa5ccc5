from pathlib import Path

import pytest

from wsi_features.slides import content_fingerprint

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
