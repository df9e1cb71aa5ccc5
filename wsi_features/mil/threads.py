"""A loader whose workers are threads: batches are read ahead, in order, and handed over where they lie.

Worker processes copy each batch into shared memory, check every store once each, and take seconds to start. Reading,
checking and converting let other threads run, so that threads are faster here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2
"""Batches that a thread has ready or in work, as torch's processes do."""


def thread_loader(data: Any, threads: int, **loading: Any) -> DataLoader[Any]:
    """A DataLoader of `data` with arguments `loading`, read by so many threads of this process."""
    from torch.utils.data import DataLoader

    class ThreadLoader(DataLoader[Any]):
        """Its workers are threads. It takes no further argument, so that Lightning can make it anew with other samplers."""

        def __iter__(self) -> Any:
            order = self.sampler if self.batch_sampler is None else self.batch_sampler
            return read_ahead(self._batch, order, self.num_workers)

        def check_worker_number_rationality(self) -> None:
            """More threads than cores are no mistake where they wait for a disk."""

        def _batch(self, items: Any) -> Any:
            found = self.dataset[items] if self.batch_sampler is None else [self.dataset[k] for k in items]
            return _pinned(self.collate_fn(found)) if self.pin_memory else self.collate_fn(found)

    return ThreadLoader(data, num_workers=threads, **loading)


def read_ahead(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """`work` of each item in order, begun before it is asked for, of at most two items a thread. Raises what `work` raises."""
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, "bags") as executor:
        try:
            for item in items:
                waiting.append(executor.submit(work, item))
                if len(waiting) > _AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _pinned(batch: dict[str, Any]) -> dict[str, Any]:
    """In memory from which a GPU takes them while it computes; as they are on a machine without one."""
    import torch

    if not torch.cuda.is_available():
        return batch
    return {name: value.pin_memory() if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
