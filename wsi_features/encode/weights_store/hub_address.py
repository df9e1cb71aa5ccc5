"""Where on the Hugging Face hub the weights of a card are, as its `source` says; nothing is looked up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from wsi_features.encode.weights_store.record import AnyCard

Kind = Literal["model", "space", "dataset"]

_FOLDERS: dict[str, Kind] = {"": "model", "spaces/": "space", "datasets/": "dataset"}
_SOURCE = re.compile(
    r"huggingface\.co/(?P<folder>spaces/|datasets/|)(?P<repository>[\w.-]+/[\w.-]*\w)"
    r"(?:, (?P<file>[\w./-]*\w\.\w+))?(?=$|[\s;,)])"
)


@dataclass(frozen=True, slots=True)
class HubAddress:
    """A repository and, where the card names one, the file in it."""

    repository: str
    file: str | None = None
    kind: Kind = "model"

    def __str__(self) -> str:
        return self._place + (f", {self.file}" if self.file else "")

    @property
    def page(self) -> str:
        """Where a person reads the terms."""
        return f"https://{self._place}"

    @property
    def _place(self) -> str:
        folder = next(folder for folder, kind in _FOLDERS.items() if kind == self.kind)
        return f"huggingface.co/{folder}{self.repository}"


def address_in(source: str) -> HubAddress | None:
    """The address in a text like `huggingface.co/OWNER/NAME, FILE`; None where it names no repository there."""
    found = _SOURCE.search(source)
    return HubAddress(found["repository"], found["file"], _FOLDERS[found["folder"]]) if found else None


def hub_address(card: AnyCard) -> HubAddress | None:
    """Where a card's weights are; None for a card that is published elsewhere."""
    return address_in(card.source)
