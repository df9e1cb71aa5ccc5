"""The weights registry: one or several folders, of which the first is written to and all are read.

`WSI_WEIGHTS=mine:/shared/weights` names them; without it the user's data folder is the only one. Looking up
opens no connection and changes nothing, so a read-only folder may be shared by a whole institute.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from wsi_features.encode.weights_store.folder import BadRecord, Entry, entries
from wsi_features.encode.weights_store.hub_address import hub_address
from wsi_features.encode.weights_store.record import AnyCard, key_of
from wsi_features.errors import MissingWeightsError, WeightsStoreError

VARIABLE = "WSI_WEIGHTS"


@dataclass(frozen=True, slots=True)
class WeightsRegistry:
    """The folders, in the order in which they are searched."""

    folders: tuple[Path, ...]

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> WeightsRegistry:
        """The folders of WSI_WEIGHTS, else `wsi_features/weights` in the XDG data folder; they need not be there."""
        named = [part for part in environment.get(VARIABLE, "").split(os.pathsep) if part]
        if named:
            return cls(tuple(Path(part).expanduser().absolute() for part in named))
        data = Path(environment.get("XDG_DATA_HOME", ""))
        if not data.is_absolute():  # the XDG specification has relative ones ignored
            data = Path(os.path.expanduser("~/.local/share"))  # noqa: PTH111 - Path.expanduser raises without a home
        return cls((data / "wsi_features" / "weights",) if data.is_absolute() else ())

    @property
    def writable(self) -> Path:
        """Where weights are added. Raises WeightsStoreError."""
        if not self.folders:
            raise WeightsStoreError.no_folder()
        return self.folders[0]

    def all(self) -> Iterator[Entry | BadRecord]:
        """Every record, folder by folder."""
        for folder in self.folders:
            yield from entries(folder)

    def known(self, key: str) -> list[Entry]:
        """The files of one encoder, one entry for each SHA-256: that of the first folder where the file is there.

        Raises WeightsStoreError for a record that cannot be read.
        """
        found: dict[str, Entry] = {}
        for folder in self.folders:
            for entry in entries(folder, key):
                if isinstance(entry, BadRecord):
                    raise WeightsStoreError.bad_record(str(entry.path), entry.why)
                kept = found.setdefault(entry.record.sha256, entry)
                if not kept.file.is_file() and entry.file.is_file():
                    found[entry.record.sha256] = entry
        return list(found.values())

    def weights_of(self, card: AnyCard) -> Entry:
        """The one file of a card's encoder; of several, that whose SHA-256 the card states.

        Raises WeightsStoreError when there is none, when there are several, and when the file itself is gone.
        """
        key = key_of(card)
        found = self.known(key)
        stated = [entry for entry in found if entry.record.sha256 == card.weights_sha256]
        chosen = stated or found
        if not chosen:
            folders, on_hub = [str(folder) for folder in self.folders], hub_address(card) is not None
            raise MissingWeightsError.absent(key, folders, card.source, on_hub=on_hub)
        if len(chosen) > 1:
            raise WeightsStoreError.ambiguous(key, [_described(entry) for entry in chosen])
        if not chosen[0].file.is_file():
            raise WeightsStoreError.gone(key, str(chosen[0].file), str(chosen[0].record_file))
        return chosen[0]


def _described(entry: Entry) -> str:
    record = entry.record
    revision = f" at {record.revision}" if record.revision else ""
    return f"{record.file}{revision}, added {record.added}, {str(entry.file)!r} (record {str(entry.record_file)!r})"
