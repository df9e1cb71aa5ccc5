"""The feature store as a reader sees it: complete, or not there at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.errors import StoreError
from wsi_features.recipe import Json
from wsi_features.store.archive import ARCHIVE_SUFFIX
from wsi_features.store.arrays import StoredArray
from wsi_features.store.check import store_mismatches
from wsi_features.store.commit import CommitRecord, opened_file, read_record, verify_files, verify_hashes
from wsi_features.store.layout import FEATURES, GROUP_FILE, attributes_in
from wsi_features.store.provenance import Provenance
from wsi_features.store.raw import RawArray, raw_array

SUFFIX = ".zarr"
FORMS = {"directory": SUFFIX, "zip": SUFFIX + ARCHIVE_SUFFIX}
"""How the name of a store ends in each form."""


@dataclass(frozen=True, eq=False)
class FeatureStore:
    """The features of one slide under one recipe, one row per tile in raster order.

    Made by `open`, which has seen the commit record and the size of every file. Arrays
    are read when first asked for; all but `features` are then kept, and cannot be written to.
    """

    path: Path
    attributes: Json
    provenance: Provenance
    record: CommitRecord

    @classmethod
    def open(cls, path: Path | str) -> FeatureStore:
        """Open a committed store; reads two small files and hashes nothing.

        Raises StoreError when it is absent, has no valid commit record, has missing, extra or
        shorter files, or was written in a newer format.
        """
        root = Path(path)
        record = read_record(root)
        verify_files(root, record)
        attributes = stated_attributes(root)
        try:
            provenance = Provenance.of_attributes(attributes)
        except ValueError as error:
            raise StoreError.unreadable(str(root), GROUP_FILE, str(error)) from error
        for what, found, wanted in (
            ("the fingerprint", provenance.fingerprint, record.fingerprint),
            ("the format version", provenance.format_version, record.version),
        ):
            if found != wanted:
                raise StoreError.inconsistent(str(root), what, found, f"{wanted} as in the commit record")
        return cls(root, attributes, provenance, record)

    @property
    def fingerprint(self) -> str:
        """Of the recipe and everything that went in."""
        return self.record.fingerprint

    @property
    def status(self) -> str:
        """`ok`, or `empty` for a slide without tiles."""
        return self.provenance.status

    @property
    def dim(self) -> int:
        """Width of a feature vector."""
        return self.record.dim

    def __len__(self) -> int:
        return self.record.rows

    @cached_property
    def features(self) -> StoredArray:
        """(n, dim) float16 or float32 on disk; index it to read. Rows of invalid tiles are NaN."""
        return StoredArray(self.path, FEATURES)

    @cached_property
    def raw_features(self) -> RawArray:
        """The features for training: `read()` them whole or some `rows(...)`, past Zarr and at the speed of the file."""
        return raw_array(self.path, FEATURES)

    @cached_property
    def coords(self) -> npt.NDArray[np.int32]:
        """(n, 2) level-0 top-left x, y."""
        return self._whole("coords")

    @cached_property
    def grid(self) -> npt.NDArray[np.int32]:
        """(n, 2) column and row in the slide's full grid."""
        return self._whole("grid")

    @cached_property
    def valid(self) -> npt.NDArray[np.bool_]:
        """(n,) whether the tile could be read."""
        return self._whole("valid")

    @cached_property
    def columns(self) -> dict[str, npt.NDArray[np.float32]]:
        """What was measured on each tile: name -> (n,), in the stored order."""
        values = self._whole("columns")
        return {name: values[:, i] for i, name in enumerate(self.attributes["column_names"])}

    def check(self, *, fast: bool = False, features: bool = True) -> None:
        """Verify the store: `fast` the size of every file, else every byte and all that the arrays promise.

        Without `features` their numbers are not judged: their writer did that before it wrote them. Raises
        StoreError naming the file or array, what was found and what was wanted.
        """
        verify_files(self.path, self.record)
        if fast:
            return
        verify_hashes(self.path, self.record)
        for mismatch in store_mismatches(self.path, self.record, self.attributes, self.provenance, features=features):
            raise StoreError.inconsistent(str(self.path), *mismatch)

    def _whole(self, name: str) -> npt.NDArray[Any]:
        values = raw_array(self.path, name).read()
        values.flags.writeable = False
        return values


def stated_attributes(root: Path) -> Json:
    """What a store says of itself, without a look at whether it is complete. Raises StoreError."""
    try:
        with opened_file(root, GROUP_FILE) as file:
            return attributes_in(file.read())
    except (OSError, ValueError) as error:
        raise StoreError.unreadable(str(root), GROUP_FILE, str(error)) from error


def is_complete(path: Path | str, fingerprint: str) -> bool:
    """Whether a committed store of `fingerprint` is at `path`; as cheap and as strict as opening it."""
    try:
        return FeatureStore.open(path).fingerprint == fingerprint
    except StoreError:
        return False


def find_stores(root: Path) -> list[Path]:
    """Every path under `root` that ends in `.zarr` or `.zarr.zip`, sorted, finished or not; hidden ones are work in progress."""
    return sorted(_stores(root))


def _stores(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        shown = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder, name) for name in (*shown, *files) if _is_store_name(name))
        folders[:] = [name for name in shown if not _is_store_name(name)]


def _is_store_name(name: str) -> bool:
    return name.endswith(tuple(FORMS.values())) and not name.startswith(".")


def slide_of(path: Path) -> str:
    """The slide's id in the name of a store of either form."""
    return path.name.removesuffix(ARCHIVE_SUFFIX).removesuffix(SUFFIX)


def in_any_form(target: Path) -> Path:
    """The store of `target`'s slide that is there, whatever its form; `target` itself where none is."""
    others = [target.with_name(slide_of(target) + suffix) for suffix in FORMS.values()]
    return next((path for path in (target, *others) if path.exists()), target)
