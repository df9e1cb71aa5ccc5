"""Exporting weights: a folder to carry to a machine without a network, usable there as WSI_WEIGHTS as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from wsi_features.encode.weights_store.folder import BadRecord, Entry, put_copy
from wsi_features.encode.weights_store.registry import WeightsRegistry
from wsi_features.errors import WeightsStoreError


def exported(registry: WeightsRegistry, target: Path, keys: Sequence[str] = ()) -> Iterator[Entry]:
    """Copy the weights of these encoders, or all, into `target`; yields each copy once it is whole.

    Every file is hashed while it is copied, so that a damaged one is not carried on; links become files.
    Raises WeightsStoreError.
    """
    chosen = _chosen(registry, keys)
    for entry in chosen:
        if not entry.file.is_file():
            raise WeightsStoreError.gone(entry.record.encoder, str(entry.file), str(entry.record_file))
    for entry in chosen:
        yield put_copy(target, entry.file, entry.record)


def _chosen(registry: WeightsRegistry, keys: Sequence[str]) -> list[Entry]:
    """The entries of `keys`, or of all encoders; of equal files in several folders the first."""
    folders = [str(folder) for folder in registry.folders]
    if keys:
        found = {key: registry.known(key) for key in dict.fromkeys(keys)}
        if missing := [key for key, entries in found.items() if not entries]:
            raise WeightsStoreError.nothing_to_export(missing, folders)
        return [entry for entries in found.values() for entry in entries]
    every: dict[tuple[str, str], Entry] = {}
    for entry in registry.all():
        if isinstance(entry, BadRecord):
            raise WeightsStoreError.bad_record(str(entry.path), entry.why)
        every.setdefault((entry.record.encoder, entry.record.sha256), entry)
    if not every:
        raise WeightsStoreError.nothing_to_export((), folders)
    return list(every.values())
