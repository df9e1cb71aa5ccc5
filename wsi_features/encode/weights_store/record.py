"""The record of one weights file: which encoder it is of, where it came from, and under which licence.

It says nothing of who put it there: no user, host or path, so that a folder can be shared and published.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.registry import LIBRARIES


class CheckedCard(Protocol):
    """The card of something else than an encoder that has weights; it checks a file itself."""

    @property
    def name(self) -> str:
        """Unique, also among encoders."""

    @property
    def licence(self) -> str:
        """Of the weights."""

    @property
    def source(self) -> str:
        """Where they are published."""

    @property
    def gated(self) -> bool | None:
        """Whether access must be asked for; None: not known."""

    @property
    def weights_sha256(self) -> str | None:
        """Checked when known."""

    @property
    def needs_weights(self) -> bool:
        """Whether there are any."""

    def check(self, file: Path) -> None:
        """Refuse a file that does not fit to the last key and shape. Raises UsageError."""


AnyCard = EncoderCard | CheckedCard


class WeightsRecord(BaseModel):
    """One file of one encoder. Names that a later release adds are skipped when reading."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    encoder: str = Field(min_length=1, description="The card's name without its output variant")
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    size: int = Field(ge=0, description="Bytes")
    file: str = Field(description="Name under which it is published or was given, without folders")
    source: str = Field(description="Where it came from, as the card, the hub or the user says")
    revision: str = Field("", description="Commit or version there; empty when unknown")
    licence: str
    gated: bool | None = Field(False, description="None: not known")
    added: date = Field(description="Day on which it was put into its first folder, in UTC")


def weights_key(name: str) -> str:
    """The encoder that a name or variant (`virchow2:cls`) shares its weights file with: all that differs only in output."""
    before, colon, _ = name.partition(":")
    return name if not colon or before in LIBRARIES else before


def key_of(card: AnyCard) -> str:
    """The same, of a card."""
    return weights_key(card.name)


def slug(key: str) -> str:
    """A key as a folder's name; the record inside holds the key itself."""
    return key.replace(":", ".").replace("+", "-").replace("/", "-")
