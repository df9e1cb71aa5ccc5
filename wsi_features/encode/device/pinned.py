"""Page-locked host memory, from and to which a GPU copies by itself.

Locking pages takes longer than a copy, so a few buffers are used in turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

Allocate = Callable[[int], "torch.Tensor"]
"""A flat uint8 tensor of so many bytes."""


class Copied(Protocol):
    """The moment at which the device is done with a buffer."""

    def query(self) -> bool:
        """Whether it has come."""

    def synchronize(self) -> None:
        """Wait for it."""


class PinnedBuffers:
    """Buffers for one calling thread; at most `most` rest between two uses."""

    def __init__(self, allocate: Allocate, most: int = 3) -> None:
        self._allocate = allocate
        self._most = most
        self._resting: deque[tuple[torch.Tensor, Copied]] = deque()

    def borrow(self, size: int) -> torch.Tensor:
        """A flat uint8 buffer of `size` bytes or more that no copy uses any more."""
        if self._resting and (self._resting[0][1].query() or len(self._resting) >= self._most):
            buffer, copied = self._resting.popleft()
            copied.synchronize()
            if len(buffer) >= size:
                return buffer
        return self._allocate(size)

    def give_back(self, buffer: torch.Tensor, copied: Copied) -> None:
        """Let a buffer be used again once `copied` has come."""
        self._resting.append((buffer, copied))


def pinned(size: int) -> torch.Tensor:
    """A page-locked buffer. Needs a GPU."""
    import torch

    return torch.empty(size, dtype=torch.uint8, pin_memory=True)
