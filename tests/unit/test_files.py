import stat
from pathlib import Path

import pytest

from wsi_features.files import read_json, replacing, write_json, write_text


def test_a_file_appears_whole_with_the_normal_permissions(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "a.txt", "å")
    (tmp_path / "plain").touch()
    assert (tmp_path / "new/a.txt").read_text(encoding="utf-8") == "å"
    assert stat.S_IMODE((tmp_path / "new/a.txt").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_after_an_error_the_old_file_is_there_and_nothing_else(tmp_path: Path) -> None:
    def write_half() -> None:
        with replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")

    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError, match="stop"):
        write_half()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_json_keeps_the_order_of_keys_and_refuses_what_json_cannot_say(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"z": 1, "a": [0.1]})
    assert list(read_json(tmp_path / "a.json")) == ["z", "a"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"z": float("nan")})
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ValueError, match="holds a list"):
        read_json(tmp_path / "list.json")
