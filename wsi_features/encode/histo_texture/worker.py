"""A process that describes tiles: pixels come on its standard input, descriptors leave on its standard output.

Threads do not do. A descriptor is some hundred calls of a few microseconds each, and two
threads that pass Python's lock to and fro are no faster than one (measured: 3.2 ms a tile,
against 1.6 for two processes); they would hold up the threads that read the slide, too.
`WorkerProcess` is the calling side, and `main` the process itself.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from typing import IO, cast

import numpy as np
import numpy.typing as npt

from wsi_features.encode.histo_texture.descriptor import DIM, tile_descriptor
from wsi_features.encode.histo_texture.planes import Image, opencv

_SHAPE = struct.Struct("<II")
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 26), "MALLOC_TRIM_THRESHOLD_": str(1 << 27)}
"""Settings of the GNU C library: arrays of a tile are made again and again from the same memory. Without
them it is given back each time, and 480 page faults a tile take a quarter of the time."""


class WorkerProcess:
    """One such process, for one calling thread at a time."""

    def __init__(self) -> None:
        command = [sys.executable, "-P", "-c", f"from {__name__} import main; main()"]
        # It finds the same packages, and imports nothing of the calling program (as multiprocessing would).
        environment = os.environ | _KEEP_MEMORY | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._pixels = cast("IO[bytes]", self._process.stdin)
        self._features = cast("IO[bytes]", self._process.stdout)

    def describe(self, rgb: Image) -> npt.NDArray[np.float32]:
        """The same as `tile_descriptor`. Raises CalledProcessError when the process has ended, killed for memory say."""
        try:
            self._pixels.write(_SHAPE.pack(*rgb.shape[:2]))
            self._pixels.write(np.ascontiguousarray(rgb).data)
            self._pixels.flush()
            answer = self._features.read(4 * DIM)
        except BrokenPipeError:
            answer = b""
        if len(answer) < 4 * DIM:
            raise subprocess.CalledProcessError(self._process.wait(), self._process.args)
        return np.frombuffer(answer, np.float32)

    def close(self) -> None:
        """End the process; whatever it was doing is given up."""
        self._process.kill()
        self._process.wait()
        self._features.close()
        try:
            self._pixels.close()
        except BrokenPipeError:
            return  # what was left to send has no reader any more


def main() -> None:
    """Describe tiles until the input ends, as it does when the calling process dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller to answer
    opencv().setNumThreads(1)  # one core a process; OpenCV's own threads make small images slower by a third
    pixels, features = sys.stdin.buffer, sys.stdout.buffer
    while len(header := pixels.read(_SHAPE.size)) == _SHAPE.size:
        height, width = _SHAPE.unpack(header)
        tile = pixels.read(height * width * 3)
        if len(tile) < height * width * 3:
            return
        features.write(tile_descriptor(np.frombuffer(tile, np.uint8).reshape(height, width, 3)).tobytes())
        features.flush()


if __name__ == "__main__":
    main()
