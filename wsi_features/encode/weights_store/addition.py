"""Adding a file to the registry: checked first, then copied or linked, then recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.loading import check_file
from wsi_features.encode.weights import sha256_of
from wsi_features.encode.weights_store.folder import Entry, put_copy, put_link
from wsi_features.encode.weights_store.record import AnyCard, WeightsRecord, key_of
from wsi_features.encode.weights_store.registry import WeightsRegistry
from wsi_features.errors import WeightsError, WeightsStoreError


def added(
    registry: WeightsRegistry,
    card: AnyCard,
    file: Path,
    *,
    how: Literal["copy", "link"] = "copy",
    source: str = "local file",
    revision: str = "",
    licence: str | None = None,
) -> Entry:
    """Put `file` into the registry as the weights of a card's encoder.

    It must be the card's network to the last key and shape, and the file that the card names, where it names one.
    Raises WeightsError and WeightsStoreError; nothing is stored then.
    """
    record = checked_record(card, file, source=source, revision=revision, licence=licence)
    put = put_link if how == "link" else put_copy
    return put(registry.writable, file, record)


def checked_record(
    card: AnyCard, file: Path, *, source: str, revision: str, licence: str | None = None, name: str | None = None
) -> WeightsRecord:
    """The record of a file that fits the card; `name` is the published one where it differs. Raises WeightsError."""
    if not card.needs_weights:
        raise WeightsStoreError.takes_none(card.name)
    if not file.is_file():
        raise WeightsError.no_file(card.name, str(file))
    if isinstance(card, EncoderCard):
        check_file(card, file)
    else:
        card.check(file)
    try:
        digest, size = sha256_of(file), file.stat().st_size
    except OSError as error:
        raise WeightsStoreError.cannot_read(str(file), error.strerror or str(error)) from error
    if card.weights_sha256 not in (None, digest):
        raise WeightsStoreError.other_digest(key_of(card), str(file), digest, str(card.weights_sha256))
    return WeightsRecord(
        encoder=key_of(card),
        sha256=digest,
        size=size,
        file=name or file.name,
        source=source,
        revision=revision,
        licence=licence or card.licence,
        gated=card.gated,
        added=datetime.now(UTC).date(),
    )
