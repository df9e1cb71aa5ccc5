"""One array of a store read past Zarr [hot]: chunk files straight into one array of memory, rows through memory maps.

A chunk file is its values and a crc32c of them, so nothing has to be decoded. `StoredArray` reads the same numbers
through Zarr (the slow twin, which a test compares), with several copies on the way.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from wsi_features.errors import StoreError
from wsi_features.store.extents import Extent, extents_of, file_bytes
from wsi_features.store.layout import GROUP_FILE

Verify = Literal["first", "always", "never"]
"""When the checksum of a chunk that is read whole is compared: the first time that this reader reads it, each time, never."""

CHECKSUM = 4
"""Bytes of crc32c behind the values."""

_PAGE = 4096
_AHEAD = 64
"""Where in a page the values begin: processors copy many times slower to 1 to 31 bytes behind the source's own place."""

_BLOCK = 1 << 18
"""Bytes that are read and checked at a time, while they are in the processor's cache."""

_CODECS = ["bytes", "crc32c"]


@dataclass(frozen=True, slots=True, eq=False)
class RawArray:
    """An array that is cut along its first axis only, as bytes on disk. Made by `raw_array`; can be pickled.

    `extents` are of its chunks, `chunk_rows` rows each, the last one padded. `store` names the store in errors.
    """

    store: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk_rows: int
    extents: tuple[Extent, ...]
    verified: bytearray = field(repr=False)
    """1 for each chunk whose checksum this reader has compared."""

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        """Of one row."""
        return self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))

    def read(self, out: npt.NDArray[Any] | None = None, verify: Verify = "first") -> npt.NDArray[Any]:
        """The whole array, into `out` (C-contiguous, of the array's shape and type) where it is given.

        Raises StoreError for a chunk that is cut short, or whose checksum differs.
        """
        values = aligned_empty(self.shape, self.dtype) if out is None else self._fitting(out, len(self))
        for number in range(len(self.extents)):
            start = number * self.chunk_rows
            self.chunk(number, values[start : start + self.chunk_rows], verify)
        return values

    def chunk(self, number: int, out: npt.NDArray[Any], verify: Verify = "first") -> npt.NDArray[Any]:
        """Read one chunk into the C-contiguous `out`, without the rows that pad it. Raises StoreError as `read`."""
        extent = self.extents[number]
        checked = self._unverified(number, verify)
        with self._opened(extent) as file:
            _read_chunk(self.store, extent, file, out.reshape(-1).view(np.uint8), verify=checked)
        self.verified[number] |= checked
        return out

    def rows(
        self, wanted: npt.ArrayLike, out: npt.NDArray[Any] | None = None, verify: Verify = "never"
    ) -> npt.NDArray[Any]:
        """The rows `wanted` (m,), in that order and as often as they are named; fastest when they rise.

        Only their bytes are read, so no checksum is compared, unless `verify` asks for it and half of a chunk's rows or
        more are wanted: then that of all its bytes. The size of every file is compared. Raises IndexError and StoreError.
        """
        numbers = np.asarray(wanted, np.int64).reshape(-1)
        if len(numbers) and (numbers.min() < 0 or numbers.max() >= len(self)):
            raise IndexError(f"rows are 0 to {len(self) - 1}; asked for {numbers.min()} to {numbers.max()}")
        values = (
            aligned_empty((len(numbers), *self.shape[1:]), self.dtype)
            if out is None
            else self._fitting(out, len(numbers))
        )
        if (numbers[1:] < numbers[:-1]).any():
            order = np.argsort(numbers, kind="stable")
            values[order] = self.rows(numbers[order], None, verify)
            return values
        first, last = self._chunk_of(numbers[:1]), self._chunk_of(numbers[-1:])
        chunks = range(int(first[0]), int(last[0]) + 1) if len(numbers) else range(0)
        ends = np.searchsorted(numbers, [chunk * self.chunk_rows for chunk in (*chunks, chunks.stop)])
        for k, chunk in enumerate(chunks):
            if ends[k] < ends[k + 1]:
                local = numbers[ends[k] : ends[k + 1]] - chunk * self.chunk_rows
                self._take(chunk, local, values[ends[k] : ends[k + 1]], verify)
        return values

    def _chunk_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return rows // self.chunk_rows

    def _take(self, number: int, local: npt.NDArray[np.int64], out: npt.NDArray[Any], verify: Verify) -> None:
        """Rows of one chunk. They are moved as bytes, which lie right at any offset of a file."""
        width, extent = self.row_bytes, self.extents[number]
        if not width:
            return
        start = extent.offset % mmap.ALLOCATIONGRANULARITY
        most = 2 * len(local) >= min(self.chunk_rows, len(self) - number * self.chunk_rows)
        with self._opened(extent) as file:
            mapped = mmap.mmap(file, extent.size + start, prot=mmap.PROT_READ, offset=extent.offset - start)
        try:
            if most and self._unverified(number, verify):
                _compare(self.store, extent, *_checksums(np.frombuffer(mapped, np.uint8, extent.size, start)))
                self.verified[number] = True
            lines = np.frombuffer(mapped, np.uint8, self.chunk_rows * width, start).reshape(self.chunk_rows, width)
            # The default mode "raise" would gather into a buffer first, to leave `out` alone on an error.
            np.take(lines, local, axis=0, out=out.reshape(-1).view(np.uint8).reshape(-1, width), mode="clip")
            del lines
        finally:
            mapped.close()

    def _unverified(self, number: int, verify: Verify) -> bool:
        return verify == "always" or (verify == "first" and not self.verified[number])

    def _fitting(self, out: npt.NDArray[Any], rows: int) -> npt.NDArray[Any]:
        wanted = (rows, *self.shape[1:])
        if out.shape != wanted or out.dtype != self.dtype or not out.flags.c_contiguous:
            raise ValueError(
                f"`out` is {out.dtype} {out.shape}; give a C-contiguous array that is {self.dtype} {wanted}"
            )
        return out

    @contextmanager
    def _opened(self, extent: Extent) -> Iterator[int]:
        """A descriptor of the file, which is as long as the extent needs: a map beyond the end would kill the process."""
        try:
            file = os.open(extent.path, os.O_RDONLY)
        except OSError as error:
            raise StoreError.unreadable(
                self.store, _within(self.store, extent), error.strerror or str(error)
            ) from error
        try:
            found = os.fstat(file).st_size - extent.offset
            if found < extent.size:
                raise _damaged(self.store, extent, f"{max(0, found)} bytes", f"{extent.size} bytes")
            yield file
        finally:
            os.close(file)


def raw_array(root: Path, name: str) -> RawArray:
    """The array `name` of the store at `root`; reads its `zarr.json` and no values.

    Raises StoreError where that is not as FORMAT.md says.
    """
    file = f"{name}/{GROUP_FILE}"
    try:
        meta = json.loads(file_bytes(root, file))
        shape, chunk = tuple(meta["shape"]), meta["chunk_grid"]["configuration"]["chunk_shape"]
        dtype = np.dtype(meta["data_type"]).newbyteorder("<")
        codecs = [codec["name"] for codec in meta["codecs"]]
        endian = meta["codecs"][0].get("configuration", {}).get("endian", "little")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise StoreError.unreadable(str(root), file, str(error)) from error
    if codecs != _CODECS or endian != "little" or len(chunk) != len(shape):
        raise StoreError.unreadable(
            str(root), file, f"codecs {codecs}, {endian} endian, where FORMAT.md has raw values"
        )
    if any(inner != max(1, width) for inner, width in zip(chunk[1:], shape[1:], strict=True)):
        raise StoreError.unreadable(str(root), file, f"chunks {chunk} not as wide as the array {list(shape)}")
    extents = _chunks(root, name, shape, chunk, dtype)
    return RawArray(str(root), shape, dtype, chunk[0], extents, bytearray(len(extents)))


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """An array whose memory begins 64 bytes into a page.

    numpy's own large arrays begin at byte 16 of one, and from a file's byte 0 AMD's processors copy there 3 to 5 times slower.
    """
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    memory = np.empty(size + _PAGE + _AHEAD, np.uint8)
    start = -memory.ctypes.data % _PAGE + _AHEAD
    return memory[start : start + size].view(dtype).reshape(shape)


def _chunks(
    root: Path, name: str, shape: tuple[int, ...], chunk: list[int], dtype: np.dtype[Any]
) -> tuple[Extent, ...]:
    count = -(-shape[0] // chunk[0]) if np.prod(shape, dtype=np.int64) else 0
    size = int(np.prod(chunk, dtype=np.int64)) * dtype.itemsize + CHECKSUM
    inner = "/0" * (len(shape) - 1)
    return extents_of(root, [f"{name}/c/{k}{inner}" for k in range(count)], size)


def _read_chunk(store: str, extent: Extent, file: int, target: npt.NDArray[np.uint8], *, verify: bool) -> None:
    """Fill `target` with the first bytes of a chunk; to verify it, also read what pads it, and its checksum."""
    if not verify:
        _read_fully(store, extent, file, 0, target)
        return
    import google_crc32c

    padding = np.empty(extent.size - CHECKSUM - len(target), np.uint8)
    checksum, found, at = np.empty(CHECKSUM, np.uint8), 0, 0
    for part in (target, padding):
        for start in range(0, len(part), _BLOCK):
            block = part[start : start + _BLOCK]
            _read_fully(store, extent, file, at, block)
            found = google_crc32c.extend(found, block)
            at += len(block)
    _read_fully(store, extent, file, at, checksum)
    _compare(store, extent, found, _number(checksum))


def _checksums(content: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """That of a chunk's bytes, and what is written behind them. Keeps no view: an error must leave none of a map."""
    import google_crc32c

    return google_crc32c.value(content[:-CHECKSUM]), _number(content[-CHECKSUM:])


def _number(checksum: npt.NDArray[np.uint8]) -> int:
    return int.from_bytes(checksum.tobytes(), "little")


def _compare(store: str, extent: Extent, found: int, wanted: int) -> None:
    if found != wanted:
        raise StoreError.checksum(store, _within(store, extent), found, wanted)


def _read_fully(store: str, extent: Extent, file: int, start: int, out: npt.NDArray[np.uint8]) -> None:
    """Fill `out` with the extent's bytes from `start` on; the system gives at most 2 GiB at once."""
    got = 0
    while got < len(out):
        try:
            more = os.preadv(file, [out[got:].data], extent.offset + start + got)
        except OSError as error:
            raise StoreError.unreadable(store, _within(store, extent), error.strerror or str(error)) from error
        if not more:
            raise _damaged(store, extent, f"{start + got} bytes", f"{extent.size} bytes")
        got += more


def _within(store: str, extent: Extent) -> str:
    return extent.name or os.path.relpath(extent.path, store)


def _damaged(store: str, extent: Extent, found: str, wanted: str) -> StoreError:
    return StoreError.damaged(store, _within(store, extent), found, wanted)
