from pathlib import Path

import pytest

from wsi_features.cohort.manifest import Manifest, ManifestRow, manifest_of_output
from wsi_features.errors import OutputError


def manifest(count: int) -> Manifest:
    return Manifest(tuple(ManifestRow(slide_id=f"s{k}", path=f"/slides/{k}.svs") for k in range(count)))


def test_appending_touches_only_the_last_shard() -> None:
    before, after = manifest(7).shards(3), manifest(8).shards(3)
    assert list(after) == ["00000", "00001", "00002"]
    assert [name for name in after if after[name] != before.get(name)] == ["00002"]


def test_an_output_folder_knows_its_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(manifest(5).to_json(2))
    assert manifest_of_output(tmp_path) == (manifest(5), 2)


def test_blocks_are_written_where_there_are_any(tmp_path: Path) -> None:
    rows = tuple(row.model_copy(update={"block": block}) for row, block in zip(manifest(2), ("A1", ""), strict=True))
    (tmp_path / "manifest.json").write_text(Manifest(rows).to_json(2))
    assert [row.block for row in manifest_of_output(tmp_path)[0]] == ["A1", ""]
    assert manifest(2).to_json(2).count("block") == 0


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"slides": [{"slide_id": "../x", "path": "p"}], "slides_per_shard": 1}']
)
def test_a_folder_without_a_proper_manifest_is_no_output(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(OutputError, match="not an output folder"):
        manifest_of_output(tmp_path)
