"""What two stores say of how they were made, where they say different things."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from wsi_features.recipe import Json, canonical_json
from wsi_features.store import Provenance

_PASSED_OVER = {
    *("fingerprint", "fingerprints", "format_version", "status", "slide_id", "slide_properties", "bad_tiles"),
    *("column_names", "encoder", "imported", "stain_fit", "licence", "scanned_area", "mpp_source"),
}
"""What follows from the rest, or changes no number."""

_LIBRARIES = ("versions.", "device")


@dataclass(frozen=True, slots=True)
class Difference:
    """A field, by the path to it, and its value on both sides; None where one side does not have it."""

    name: str
    one: Any
    two: Any

    @property
    def of_the_machine(self) -> bool:
        """Whether it is a library's version or the device: what is recorded, and may only move last digits."""
        return self.name.startswith(_LIBRARIES)

    def __str__(self) -> str:
        return f"{self.name}: {_shown(self.one)} / {_shown(self.two)}"


def recipe_differences(one: Provenance, two: Provenance) -> tuple[Difference, ...]:
    """Every field that differs, sorted by name; recipes of tissue and tiles too, which decide which tiles there are.

    What an imported store does not know is no difference.
    """
    first, second = dict(_fields(one)), dict(_fields(two))
    known = first.keys() & second.keys() if one.imported or two.imported else first.keys() | second.keys()
    names = sorted(known)
    return tuple(
        Difference(name, first.get(name), second.get(name)) for name in names if first.get(name) != second.get(name)
    )


def _fields(made: Provenance) -> Iterator[tuple[str, Any]]:
    held = {name: value for name, value in made.to_attributes().items() if name not in _PASSED_OVER}
    yield "encoder.name", made.encoder_name
    yield from _leaves("", held)


def _leaves(path: str, value: Json) -> Iterator[tuple[str, Any]]:
    for name, found in value.items():
        if isinstance(found, dict) and found:
            yield from _leaves(f"{path}{name}.", found)
        else:
            yield path + name, found


def _shown(value: Any) -> str:
    text = "not said" if value is None else value if isinstance(value, str) and value else canonical_json(value)
    return text if len(text) <= 60 else f"{text[:28]}...{text[-28:]}"
