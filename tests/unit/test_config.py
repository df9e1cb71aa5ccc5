from pathlib import Path

import jsonschema
import pytest
import yaml

from wsi_features.config import Config, load_config, merged
from wsi_features.errors import ConfigError
from wsi_features.files import read_json
from wsi_features.resources import share


def config(tmp_path: Path, text: str) -> Config:
    (tmp_path / "c.yaml").write_text(text)
    return load_config(tmp_path / "c.yaml")


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, text)
    return str(caught.value)


def test_the_shipped_default_config_is_the_default() -> None:
    assert load_config(share("resources", "config.yaml")) == Config()


def test_an_empty_config_is_the_default(tmp_path: Path) -> None:
    assert config(tmp_path, "") == Config()


def test_encoders_are_names_or_objects(tmp_path: Path) -> None:
    found = config(tmp_path, "encoders: [histo-texture, {name: uni, weights: uni.pt, precision: fp32}]").encoders
    assert [(c.name, c.weights, c.precision) for c in found] == [
        ("histo-texture", None, "auto"),
        ("uni", "uni.pt", "fp32"),
    ]


def test_a_typo_is_told_with_its_place(tmp_path: Path) -> None:
    assert "`tiles.sise` is 256" in refused(tmp_path, "tiles: {sise: 256}")


def test_all_wrong_values_are_told_at_once(tmp_path: Path) -> None:
    text = refused(tmp_path, "tissue: {mpp: -1}\nstain: {method: vahadine}\n")
    assert "`tissue.mpp` is -1; input should be greater than or equal to 1" in text
    assert "`stain.method` is 'vahadine'" in text


@pytest.mark.parametrize("text", ["- a\n- b\n", "just text", "a: [1", "\x00"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert "cannot be read" in refused(tmp_path, text)


def test_a_missing_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "gone.yaml")


def test_overrides_go_section_by_section() -> None:
    base = {"tiles": {"size": 256, "mpp": 0.5}, "out": "a"}
    assert merged(base, {"tiles": {"mpp": 1.0}, "stain": {"method": "none"}}) == {
        "tiles": {"size": 256, "mpp": 1.0},
        "out": "a",
        "stain": {"method": "none"},
    }


def test_the_schema_catches_what_the_classes_catch() -> None:
    schema = read_json(share("workflow", "schemas", "config.schema.json"))
    jsonschema.validate(yaml.safe_load(share("resources", "config.yaml").read_text()), schema)
    with pytest.raises(jsonschema.ValidationError, match="sise"):
        jsonschema.validate({"tiles": {"sise": 256}}, schema)
