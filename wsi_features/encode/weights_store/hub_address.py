"""Where on the Hugging Face hub the weights of a card are, as its `source` says; nothing is looked up."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wsi_features.encode.card import EncoderCard

_SOURCE = re.compile(r"huggingface\.co/(?P<repository>[\w.-]+/[\w.-]*\w)(?:, (?P<file>[\w./-]*\w\.\w+))?(?=$|[\s;,)])")


@dataclass(frozen=True, slots=True)
class HubAddress:
    """A repository and, where the card names one, the file in it."""

    repository: str
    file: str | None = None

    def __str__(self) -> str:
        return f"huggingface.co/{self.repository}" + (f", {self.file}" if self.file else "")

    @property
    def page(self) -> str:
        """Where a person reads the terms."""
        return f"https://huggingface.co/{self.repository}"


def address_in(source: str) -> HubAddress | None:
    """The address in a text like `huggingface.co/OWNER/NAME, FILE`; None where it names no repository there."""
    found = _SOURCE.search(source)
    return HubAddress(found["repository"], found["file"]) if found else None


def hub_address(card: EncoderCard) -> HubAddress | None:
    """Where a card's weights are; None for a card that is published elsewhere."""
    return address_in(card.source)
