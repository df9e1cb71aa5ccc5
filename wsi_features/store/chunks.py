"""One chunk of an array on its way to the disk [hot]: written, checksummed, hashed and flushed in one go.

Zarr writes the same bytes (a test compares), but copies them twice on the way, and its files would have to be read
again for the commit record. A chunk that is written here is on the disk before the next one is begun.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.store.commit import FileEntry


def write_chunk(root: Path, array: str, number: int, values: npt.NDArray[Any]) -> FileEntry:
    """Write chunk `number` along the first axis of `array`, which is one chunk wide, and flush it to the disk.

    `values` is the whole chunk, C-contiguous, little-endian; a crc32c of it follows it in the file. The folder of
    the array must be there. Raises OSError.
    """
    import google_crc32c

    path = f"{array}/c/{number}" + "/0" * (values.ndim - 1)
    content = values.reshape(-1).view(np.uint8)
    checksum = np.uint32(google_crc32c.value(content)).astype("<u4").tobytes()
    sha256 = hashlib.sha256(content.data)
    sha256.update(checksum)
    target = root / path
    # One by one: a writer whose directory was taken from it must fail here, not make another.
    for folder in (target.parents[1], target.parent):
        folder.mkdir(exist_ok=True)
    with target.open("xb") as file:
        file.write(content.data)
        file.write(checksum)
        file.flush()
        os.fsync(file.fileno())
    return FileEntry(path=path, size=content.nbytes + len(checksum), sha256=sha256.hexdigest())
