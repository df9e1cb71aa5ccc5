"""The bytes on disk are what FORMAT.md says, read here without zarr."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest

from wsi_features.store import Provenance, layout

FORMAT = (Path(layout.__file__).parent / "FORMAT.md").read_text()


def metadata(store: Path, name: str) -> Any:
    return json.loads((store / name / "zarr.json").read_text())


def raw(store: Path, chunk: str, dtype: str) -> Any:
    """The values of one chunk file, once its checksum is found right."""
    content = (store / chunk).read_bytes()
    assert google_crc32c.value(content[:-4]) == int.from_bytes(content[-4:], "little")
    return np.frombuffer(content[:-4], dtype=dtype)


def test_a_store_holds_exactly_these_files(store: Path, samples: Any) -> None:
    chunks = ["coords/c/0/0", "grid/c/0/0", "valid/c/0", "columns/c/0/0", "features/c/0/0"]
    metadata_files = [f"{chunk.split('/')[0]}/zarr.json" for chunk in chunks]
    assert sorted(samples.tree(store)) == sorted(["commit.json", "zarr.json", *chunks, *metadata_files])


def test_raw_chunks_hold_the_rows_in_order(store: Path) -> None:
    assert raw(store, "coords/c/0/0", "<i4").reshape(-1, 2)[4:6].tolist() == [[2000, 0], [0, 500]]
    assert raw(store, "grid/c/0/0", "<i4").reshape(-1, 2)[6].tolist() == [1, 1]
    assert raw(store, "valid/c/0", "u1").tolist() == [1, 1, 1, 1, 1, 0, 1]
    assert raw(store, "columns/c/0/0", "<f4").reshape(-1, 2)[3].tolist() == [0.75, -3.0]
    assert raw(store, "features/c/0/0", "<f2").reshape(-1, 3)[6].tolist() == [6, 6.125, 6.25]


@pytest.mark.parametrize(
    ("name", "dtype", "chunk", "fill", "dimensions"),
    [
        ("features", "float16", [7, 3], "NaN", ["tile", "feature"]),
        ("coords", "int32", [7, 2], -1, ["tile", "x_y"]),
        ("grid", "int32", [7, 2], -1, ["tile", "column_row"]),
        ("valid", "bool", [7], False, ["tile"]),
        ("columns", "float32", [7, 2], "NaN", ["tile", "column"]),
    ],
)
def test_array_metadata(store: Path, name: str, dtype: str, chunk: list[int], fill: Any, dimensions: list[str]) -> None:
    found = metadata(store, name)
    assert (found["data_type"], found["shape"], found["fill_value"]) == (dtype, chunk, fill)
    assert found["chunk_grid"]["configuration"]["chunk_shape"] == chunk
    assert [codec["name"] for codec in found["codecs"]] == ["bytes", "crc32c"]
    assert found["codecs"][0].get("configuration") == (None if dtype == "bool" else {"endian": "little"})
    assert found["dimension_names"] == dimensions


def test_features_are_in_chunks_of_4096_rows_and_all_else_is_one_chunk(tmp_path: Path, samples: Any) -> None:
    store = samples.write(tmp_path, samples.content(4097, 2, "float32"), np.zeros((4097, 2), np.float32))
    assert metadata(store, "features")["chunk_grid"]["configuration"]["chunk_shape"] == [4096, 2]
    assert (store / "features/c/1/0").stat().st_size == 4096 * 2 * 4 + 4
    assert np.isnan(raw(store, "features/c/1/0", "<f4")[2:]).all()
    assert [p.name for p in (store / "coords/c").iterdir()] == ["0"]


def test_chunks_of_fill_values_are_written(tmp_path: Path, samples: Any) -> None:
    store = samples.write(tmp_path, samples.content(3), bad=[0, 1, 2])
    assert np.isnan(raw(store, "features/c/0/0", "<f2")).all()
    assert not raw(store, "valid/c/0", "u1").any()


def test_an_empty_slide_has_five_arrays_without_rows(tmp_path: Path, samples: Any) -> None:
    store = samples.write(tmp_path, samples.content(0))
    assert [metadata(store, name)["shape"] for name in ("features", "coords", "valid")] == [[0, 3], [0, 2], [0]]
    assert not list(store.rglob("c"))


def test_the_numpy_example_of_the_format_page_runs(
    tmp_path: Path, samples: Any, monkeypatch: pytest.MonkeyPatch, small_chunks: int
) -> None:
    samples.write(tmp_path, samples.content(10))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    code = re.search(r"```python\n(.*?)```", FORMAT, re.DOTALL)
    exec(code[1], names)  # type: ignore[index] # noqa: S102 - the example is ours
    assert names["features"].tolist() == samples.features(10)[2 * small_chunks :].tolist()
    assert google_crc32c.value(names["data"].tobytes()) == names["crc"]
    assert names["mapped"][1].tolist() == [9, 9.125, 9.25]


def test_the_format_page_lists_every_attribute_and_no_other(store: Path) -> None:
    table = FORMAT.split("## Attributes")[1].split("## Columns")[0]
    documented = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert documented == {*Provenance.model_fields, "column_names", "bad_tiles"}
    assert list(layout.attributes_in((store / layout.GROUP_FILE).read_bytes())) == sorted(
        documented
        - {"level_downsample_xy", "scanned_area", "outside_card", "stain_fit", "stain_outside_card", "imported"}
    )


def test_the_format_page_is_of_this_version() -> None:
    assert FORMAT.startswith(f"# The feature store, format version {layout.FORMAT_VERSION}\n")
