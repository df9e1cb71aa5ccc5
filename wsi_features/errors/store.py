"""Errors of feature stores and other artifacts."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import ClassVar

from wsi_features.errors.base import SlideError, WsiFeaturesError


class ArtifactError(SlideError):
    """A file of an earlier stage is absent, damaged or was made by another recipe."""

    reason: ClassVar[str] = "artifact"

    @classmethod
    def absent(cls, slide_id: str, what: str, path: str) -> ArtifactError:
        """The stage before has not run."""
        return cls(f"slide {slide_id!r}: no {what} at {path!r}. Run the stage before this one with the same --out.")

    @classmethod
    def mismatch(cls, slide_id: str, what: str, path: str, found: str, wanted: str) -> ArtifactError:
        """Made by another recipe, or from another version of the slide."""
        return cls(
            f"slide {slide_id!r}: {what} {path!r} has fingerprint {found[:8]}, this recipe needs {wanted[:8]}. "
            "Run the stage before this one again with the same recipe."
        )

    @classmethod
    def damaged(cls, slide_id: str, what: str, path: str, why: str) -> ArtifactError:
        """Cut short or edited by hand."""
        return cls(f"slide {slide_id!r}: {what} {path!r} cannot be read ({why}). Delete it and run its stage again.")

    @classmethod
    def unclear_marks(cls, slide_id: str, kind: str, name: str, found: Sequence[str]) -> ArtifactError:
        """No marks of that name, and of that kind where one is given, or several."""
        none = "it has none" + ("; `wsi-features quality OUT` makes some" if kind == "keep" else "")
        there = f"there are {', '.join(found)}" if found else none
        what = f"{kind} marks".strip()
        return cls(f"slide {slide_id!r}: {what} {name!r} are not one folder; {there}. Give the whole name of one.")


class StorageError(WsiFeaturesError):
    """The disk of the output folder takes nothing more: the job ends, since no other slide could be written either."""

    reason: ClassVar[str] = "storage"

    _FULL = (errno.ENOSPC, errno.EDQUOT)
    _LOST = (errno.EROFS, errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ETIMEDOUT)

    @classmethod
    def is_behind(cls, error: OSError) -> bool:
        """Whether an error of writing is the disk's, not of one file."""
        return error.errno in (*cls._FULL, *cls._LOST)

    @classmethod
    def is_full(cls, error: OSError) -> bool:
        """Whether an error can only come of writing, to a disk without room."""
        return error.errno in (*cls._FULL, errno.EROFS)

    @classmethod
    def refused(cls, slide_id: str, folder: str, why: str) -> StorageError:
        """In the middle of the work."""
        return cls(
            f"slide {slide_id!r}: the disk under {folder!r} takes nothing more ({why}). Make room or repair it, "
            "then rerun: finished work is kept and taken up."
        )

    @classmethod
    def during(cls, what: str, why: str) -> StorageError:
        """While something other than a store is written."""
        return cls(
            f"{what}: the disk of the output folder takes nothing more ({why}). Make room or repair it, then rerun."
        )

    @classmethod
    def no_room(cls, folder: str, needed: int, found: int) -> StorageError:
        """Known before the work begins."""
        return cls(
            f"the disk under {folder!r} has {_size(found)} free, and the features of these slides need "
            f"{_size(needed)}. Make room, or choose an --out with more, then rerun: finished work is kept."
        )


class ClaimedError(SlideError):
    """Another job makes the store at this moment."""

    reason: ClassVar[str] = "claimed"

    @classmethod
    def held(cls, slide_id: str, path: str, owner: str) -> ClaimedError:
        """The other job lives."""
        return cls(
            f"slide {slide_id!r}: its feature store {path!r} is being made by {owner}, and one job at a time may do that. "
            "Rerun when the other has ended."
        )

    @classmethod
    def lost(cls, slide_id: str, path: str) -> ClaimedError:
        """This job was silent for too long."""
        return cls(
            f"slide {slide_id!r}: another job has taken over its feature store {path!r}, since this one was silent for "
            "too long. Rerun when the other has ended."
        )


class StoreError(SlideError):
    """A feature store that must not be read."""

    reason: ClassVar[str] = "store"

    @classmethod
    def absent(cls, path: str) -> StoreError:
        """Nothing there."""
        return cls(f"no feature store at {path!r}. Give the path of a `<slide_id>.zarr` folder.")

    @classmethod
    def uncommitted(cls, path: str, why: str) -> StoreError:
        """No valid commit record: the store was never finished."""
        return cls(f"feature store {path!r} is not complete ({why}). Embed the slide again.")

    @classmethod
    def damaged(cls, path: str, file: str, found: str, wanted: str) -> StoreError:
        """A file inside differs from the commit record."""
        return cls(
            f"feature store {path!r} is damaged: {file} has {found}, the commit record says {wanted}. "
            "Delete the store and embed the slide again."
        )

    @classmethod
    def checksum(cls, path: str, file: str, found: int, wanted: int) -> StoreError:
        """Bytes of a chunk have changed since it was written."""
        return cls(
            f"feature store {path!r} is damaged: {file} has the checksum {found:08x}, and {wanted:08x} is written behind "
            "it. Delete the store and embed the slide again, or copy it again."
        )

    @classmethod
    def missing_file(cls, path: str, file: str) -> StoreError:
        """A file of the commit record is gone."""
        return cls(
            f"feature store {path!r} is damaged: {file} is missing. Delete the store and embed the slide again, or copy "
            "it again with every file."
        )

    @classmethod
    def extra_file(cls, path: str, file: str) -> StoreError:
        """A file that the writer did not put there."""
        return cls(
            f"feature store {path!r} holds {file}, which its commit record does not list. "
            "Remove that file if you know it; otherwise delete the store and embed the slide again."
        )

    @classmethod
    def unreadable(cls, path: str, file: str, why: str) -> StoreError:
        """The system or the decoder refuses a file."""
        return cls(
            f"feature store {path!r}: {file} cannot be read ({why}). Check the permissions and the disk; "
            "if they are right, delete the store and embed the slide again."
        )

    @classmethod
    def unwritable(cls, path: str, why: str) -> StoreError:
        """No permission, no space, no such folder."""
        return cls(
            f"feature store {path!r} cannot be written ({why}). Check the permissions and the free space of the "
            "output folder, then rerun."
        )

    @classmethod
    def refused(cls, slide_id: str, what: str, found: object, wanted: object) -> StoreError:
        """Content that must not become a store; nothing was left on disk."""
        return cls(
            f"slide {slide_id!r} cannot be stored: {what} is {found}, wanted {wanted}. "
            "Run the stages before `embed` again, and report the slide if it stays."
        )

    @classmethod
    def version(cls, path: str, found: object, newest: int) -> StoreError:
        """Written by a newer release."""
        return cls(
            f"feature store {path!r} has format version {found!r}, this release reads 1 to {newest}. Update wsi_features."
        )

    @classmethod
    def unknown(cls, slide_id: str, name: str, tool: str) -> StoreError:
        """Something that imported features come without."""
        return cls(
            f"slide {slide_id!r}: its features were imported from {tool}, whose file does not say `{name}`. "
            "Import it again with `--mpp` or a `--slide-manifest` that has the slide, or leave it out here."
        )

    @classmethod
    def unrelated(cls, path: str, other: str) -> StoreError:
        """Rows of one would be taken for rows of the other."""
        return cls(
            f"feature store {path!r} is not of the tiles around those of {other!r}. "
            "Take two stores of one slide that one run made with `tiles.nested`, next to each other in size."
        )

    @classmethod
    def inconsistent(cls, path: str, what: str, found: object, wanted: object) -> StoreError:
        """Arrays that do not belong together."""
        return cls(f"feature store {path!r}: {what} is {found}, wanted {wanted}. Delete the store and embed again.")


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
