from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from wsi_features.errors import ConfigError, StainFitError, UsageError
from wsi_features.errors.stain import StainTargetError
from wsi_features.stain import load_target


def write(folder: Path, content: object) -> str:
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


@pytest.fixture
def content() -> dict[str, Any]:
    return load_target("standard").model_dump(mode="json")


def test_the_standard_target_is_the_published_reference_at_a_white_of_255() -> None:
    numbers = load_target("standard").macenko
    assert numbers.stains == ((0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581))
    offset = np.linalg.pinv(np.array(numbers.stains).T) @ np.full(3, np.log(255 / 240))
    assert np.round(np.array([1.9705, 1.0308]) + offset, 4).tolist() == list(numbers.max_concentration)


def test_the_angle_between_the_stains_is_in_degrees() -> None:
    assert load_target("standard").macenko.angle == pytest.approx(22.32, abs=0.01)


def test_a_file_of_the_same_schema_is_a_target(tmp_path: Path, content: dict[str, Any]) -> None:
    content["reinhard"]["mean"] = [50, 20, -5]
    assert load_target(write(tmp_path, content)).reinhard.mean == (50, 20, -5)


def test_an_edited_file_is_read_again(tmp_path: Path, content: dict[str, Any]) -> None:
    path = write(tmp_path, content)
    before = load_target(path)
    write(tmp_path, content | {"description": "edited"})
    assert (before.description, load_target(path).description) == (content["description"], "edited")


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(StainTargetError, match=r"no stain target .*Set `stain.target` to one of: standard;"):
        load_target(str(tmp_path))


@pytest.mark.parametrize("text", [b"a: [1", b"\xff\xfe\x00"])
def test_a_file_that_is_not_yaml_text_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(text)
    with pytest.raises(StainTargetError, match=r"own.yaml' cannot be read \(.*Start from"):
        load_target(str(path))


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("macenko.stains", [[1, 1, 0], [0, 1, 0]], "length 1 within 1 %, found 1.414 and 1"),
        ("macenko.stains", [[0, 1, 0], [0.05, 0.9987, 0]], "5 to 90 degrees apart, found 2.87"),
        ("macenko.stains", [[0, 1, 0], [0.6, -0.8, 0]], "5 to 90 degrees apart, found 143"),
        ("macenko.max_concentration", [2, 0], "greater than 0"),
        ("macenko.max_concentration", [2], "`macenko.max_concentration.1` is 'absent'"),
        ("reinhard.mean", [60, float("nan"), 0], "`reinhard.mean.1` is nan; .*finite number"),
        ("reinhard.std", [1, -1, 1], "`reinhard.std.1` is -1"),
        ("reinhard.median", [60, 0, 0], "`reinhard.median`"),
    ],
)
def test_a_value_off_the_schema_is_named(
    tmp_path: Path, content: dict[str, Any], section: str, value: object, message: str
) -> None:
    method, field = section.split(".")
    content[method][field] = value
    with pytest.raises(StainTargetError, match=message):
        load_target(write(tmp_path, content))


def test_a_missing_section_and_a_list_are_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    del content["reinhard"]
    with pytest.raises(StainTargetError, match="has no `reinhard` section"):
        load_target(write(tmp_path, content)).numbers("reinhard")
    with pytest.raises(StainTargetError, match="at least one of macenko, reinhard and vahadane"):
        load_target(write(tmp_path, {"description": "nothing"}))
    with pytest.raises(StainTargetError, match="`the file` is"):
        load_target(write(tmp_path, [1, 2]))


def test_a_bad_target_stops_the_run_and_a_bad_slide_does_not() -> None:
    assert issubclass(StainTargetError, ConfigError)
    assert not issubclass(StainFitError, UsageError)
