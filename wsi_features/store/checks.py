"""Checks of many stores at once, as a cohort needs them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from wsi_features.errors import StoreError
from wsi_features.store.reader import FeatureStore


def checked(paths: Iterable[Path], *, fast: bool = False, workers: int = 0) -> Iterator[tuple[Path, StoreError | None]]:
    """Each store with what is wrong with it, in the order given; `workers` at a time, 0 for one a core.

    Threads do: hashing and reading files let others run. A `fast` check waits for the disk, so it takes several a core.
    """
    threads = workers or len(os.sched_getaffinity(0)) * (8 if fast else 1)
    with ThreadPoolExecutor(threads, "check") as executor:
        yield from executor.map(partial(_checked, fast=fast), paths)


def _checked(path: Path, *, fast: bool) -> tuple[Path, StoreError | None]:
    try:
        FeatureStore.open(path).check(fast=fast)
    except StoreError as error:
        return path, error
    return path, None
