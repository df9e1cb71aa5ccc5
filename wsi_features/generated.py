"""Files made from the recipe classes: JSON schemas, the default config and the README's table of settings.

`make generated` writes them; a test compares them with what is committed.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.config import Config
from wsi_features.encode.card import card_file_schema
from wsi_features.files import write_text

BEGIN, END = "<!-- settings: made by `make generated` -->", "<!-- end of settings -->"


def generated_files(readme: str) -> dict[str, str]:
    """The text of every generated file by its path from the top; `readme` is the README as it is."""
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return {
        "workflow/schemas/config.schema.json": _schema(Config.model_json_schema()),
        "workflow/schemas/manifest.schema.json": _schema(ManifestRow.model_json_schema()),
        "workflow/schemas/encoder-card.schema.json": _schema(card_file_schema()),
        "resources/config.yaml": _default_config(),
        "README.md": f"{head}{BEGIN}\n{_settings_table()}{END}{tail}",
    }


def write_generated(top: Path) -> None:
    """Write all generated files below the folder `top`."""
    for path, text in generated_files((top / "README.md").read_text(encoding="utf-8")).items():
        write_text(top / path, text)


def _schema(schema: dict[str, Any]) -> str:
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"


def _settings(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, FieldInfo, Any]]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _settings(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field, value


def _settings_table() -> str:
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, field, value in _settings(Config()):
        rows.append(f"| `{name}` | `{_yaml_value(name, value)}` | {field.description} |")
    return "\n".join(rows) + "\n"


def _default_config() -> str:
    lines = [
        "# yaml-language-server: $schema=../workflow/schemas/config.schema.json",
        "# Every setting with its default. Made by `make generated` from the recipe classes: copy it, do not edit it here.",
    ]
    section = ""
    for name, field, value in _settings(Config()):
        above, _, leaf = name.rpartition(".")
        if above != section:
            lines += ["", f"{above}:"] if above else [""]
            section = above
        indent = "  " if above else ""
        lines += [f"{indent}# {line}" for line in textwrap.wrap(field.description or "", 110)]
        lines.append(f"{indent}{leaf}: {_yaml_value(name, value)}")
    return "\n".join(lines) + "\n"


def _yaml_value(name: str, value: Any) -> str:
    if name == "encoders":
        return json.dumps([choice.name for choice in value])
    return json.dumps(value) if not isinstance(value, tuple) else json.dumps(list(value))
