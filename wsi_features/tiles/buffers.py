"""Memory for batches, used again once nobody looks at it: fresh memory costs a tenth of decoding (measured)."""

from __future__ import annotations

import sys
from math import prod

import numpy as np
import numpy.typing as npt

_OURS = 2
"""References to a block of memory that nobody else has: the list below, and the argument that asks."""


class Buffers:
    """Arrays whose memory is used again when the last array that shows a part of it is gone.

    Every numpy view, memoryview or tensor of an array keeps the memory that it lies in; so no consumer has to say
    when it is done. For one thread at a time.
    """

    def __init__(self, most: int = 16) -> None:
        self._most = most
        self._memory: list[npt.NDArray[np.uint8]] = []

    def array(self, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        """An array of `shape` that holds anything."""
        wanted = prod(shape)
        free = [i for i in range(len(self._memory)) if sys.getrefcount(self._memory[i]) == _OURS]
        for i in free:
            if wanted <= len(self._memory[i]) <= 2 * wanted:
                return self._memory[i][:wanted].reshape(shape)
        for i in reversed(free):
            del self._memory[i]
        memory = np.empty(wanted, np.uint8)
        if len(self._memory) < self._most:
            self._memory.append(memory)
        return memory[:].reshape(shape)
