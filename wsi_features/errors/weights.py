"""Errors of the weights registry: what is missing, doubtful, damaged or cannot be had, and the command that helps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from wsi_features.errors.encoders import WeightsError

_ADD = "`wsi-features weights add {key} FILE`"
_FETCH = "`wsi-features weights fetch {key}`"


class WeightsStoreError(WeightsError):
    """The registry cannot give, take or get the weights of an encoder; nothing is embedded with it."""

    reason: ClassVar[str] = "weights"

    @classmethod
    def ambiguous(cls, key: str, found: Sequence[str]) -> WeightsStoreError:
        """`found` describes each file with the path of its record."""
        return cls(
            f"encoder {key!r} has {len(found)} weights files: {'; '.join(found)}. Name one of them as `weights` in the "
            "config or with `--weights FILE`, or delete the record of each that you do not want."
        )

    @classmethod
    def gone(cls, key: str, path: str, record: str) -> WeightsStoreError:
        """The record is there, the file is not: deleted, or a link whose target was moved."""
        return cls(
            f"encoder {key!r}: the registry records {path!r}, but no file is there. Bring it back with "
            f"{_ADD.format(key=key)}, or delete the record {record!r}."
        )

    @classmethod
    def other_content(cls, key: str, path: str, found: str) -> WeightsStoreError:
        """A file that is named by its SHA-256 has another one."""
        return cls(
            f"encoder {key!r}: {path!r} has the SHA-256 {found}, not that of its name: it was damaged or changed. "
            f"`wsi-features weights verify` lists all such files; bring this one back with {_ADD.format(key=key)}."
        )

    @classmethod
    def changed(cls, key: str, path: str) -> WeightsStoreError:
        """Between hashing and loading."""
        return cls(
            f"encoder {key!r}: {path!r} was changed while the job ran. Start it again once the file stays as it is."
        )

    @classmethod
    def bad_record(cls, path: str, why: str) -> WeightsStoreError:
        """A record that no release wrote: edited, or cut short by a full disk."""
        return cls(f"weights record {path!r} cannot be read ({why}). Delete it and add its file again.")

    @classmethod
    def no_folder(cls) -> WeightsStoreError:
        """Neither WSI_WEIGHTS nor a home."""
        return cls("there is no weights folder: WSI_WEIGHTS is not set and this user has no home. Set WSI_WEIGHTS.")

    @classmethod
    def unwritable(cls, path: str, why: str) -> WeightsStoreError:
        """No permission, no space."""
        return cls(
            f"the weights folder {path!r} cannot be written ({why}). Give another as the first of WSI_WEIGHTS, "
            "which may list several, separated by colons."
        )

    @classmethod
    def cannot_read(cls, path: str, why: str) -> WeightsStoreError:
        """Permissions, a broken disk."""
        return cls(f"{path!r} cannot be read ({why}). Check the path and its permissions.")

    @classmethod
    def other_digest(cls, key: str, path: str, found: str, wanted: str) -> WeightsStoreError:
        """The card, or the site that publishes it, names another file; nothing was stored."""
        return cls(
            f"encoder {key!r}: {path!r} has the SHA-256 {found}, wanted is {wanted}. Nothing was stored. Get the file "
            "again from where it is published."
        )

    @classmethod
    def takes_none(cls, key: str) -> WeightsStoreError:
        """An encoder without weights."""
        return cls(f"encoder {key!r} has no weights: it works as it is. Leave the command out.")

    @classmethod
    def nothing_to_export(cls, keys: Sequence[str], folders: Sequence[str]) -> WeightsStoreError:
        """`keys` were asked for and are not there; empty when all were asked for."""
        what = f"no weights of {', '.join(map(repr, keys))}" if keys else "no weights"
        return cls(f"there are {what} in {_folders(folders)}. `wsi-features weights list` shows what is there.")


class MissingWeightsError(WeightsStoreError):
    """The registry knows no file of an encoder."""

    @classmethod
    def absent(cls, key: str, folders: Sequence[str], source: str, *, on_hub: bool) -> MissingWeightsError:
        """No record in any folder; embedding never downloads. `source` is where the card says that they are."""
        way = f"Run {_FETCH} where there is a network, or {_ADD}" if on_hub else f"Run {_ADD}"
        return cls(
            f"encoder {key!r} has no weights in {_folders(folders)}. {way.format(key=key)}, or name a file with "
            f"`--weights FILE` or as `weights` in the config. They are published at: {source}."
        )


class HubError(WeightsStoreError):
    """Weights could not be fetched from where they are published; nothing was stored."""

    @classmethod
    def not_on_hub(cls, key: str, source: str) -> HubError:
        """`source` is what the card says of where they are."""
        return cls(
            f"encoder {key!r} is not published on the Hugging Face hub as its card knows it (source: {source}). "
            f"Get the file from there and run {_ADD.format(key=key)}, or name a repository with --repository."
        )

    @classmethod
    def which_file(cls, key: str, repository: str, files: Sequence[str]) -> HubError:
        """The card names no file, or one that the repository does not have."""
        listed = ", ".join(files) or "none that looks like weights"
        return cls(f"encoder {key!r}: name the weights file of {repository} with --file. It has: {listed}.")

    @classmethod
    def licence_not_accepted(cls, key: str, licence: str, page: str) -> HubError:
        """A gated model, and --accept-licence was not given."""
        return cls(
            f"encoder {key!r} is gated: its licence is {licence}. Read the terms at {page}, and if you accept them "
            f"run `wsi-features weights fetch {key} --accept-licence`. Nothing was stored."
        )

    @classmethod
    def no_access(cls, key: str, page: str) -> HubError:
        """The hub refuses this user, or sees no login."""
        return cls(
            f"encoder {key!r}: the hub gives no access to {page}. Ask for access on that page, then log in with "
            "`hf auth login` or set HF_TOKEN. Nothing was stored."
        )

    @classmethod
    def not_found(cls, key: str, what: str) -> HubError:
        """`what` names repository, revision or file."""
        return cls(
            f"encoder {key!r}: the hub has no {what}. Correct --repository, --revision or --file; a private repository "
            "needs a login (`hf auth login` or HF_TOKEN)."
        )

    @classmethod
    def failed(cls, key: str, why: str) -> HubError:
        """Network, server or disk; `why` is the library's own word."""
        return cls(
            f"encoder {key!r} could not be fetched ({why}). Run the same command again: what has arrived is kept. "
            f"Without a network, carry a file over and run {_ADD.format(key=key)}."
        )


def _folders(folders: Sequence[str]) -> str:
    return " or ".join(map(repr, folders)) or "any weights folder"
