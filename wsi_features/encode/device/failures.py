"""What an error of a GPU means: too little memory, which smaller pieces help, or a device that is gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from wsi_features.errors import DeviceLostError, one_line

_NO_MEMORY = re.compile(r"out of memory|ALLOC_FAILED", re.IGNORECASE)
_LOST = re.compile(r"CUDA (driver )?error|CUBLAS_STATUS_|CUDNN_STATUS_|cuDNN error|NCCL error")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether the GPU lacked memory: torch's own error, or a library that could not allocate."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or _NO_MEMORY.search(str(error)) is not None


def is_lost_device(error: RuntimeError) -> bool:
    """Whether the process can use the GPU no more: a failed launch, an assertion there, an ECC error."""
    import torch

    if is_out_of_memory(error):
        return False
    return isinstance(error, torch.AcceleratorError) or _LOST.search(str(error)) is not None


@contextmanager
def lost_device_named(device: str) -> Iterator[None]:
    """Turn what torch raises for a lost device into DeviceLostError; other errors pass."""
    try:
        yield
    except RuntimeError as error:
        if is_lost_device(error):
            raise DeviceLostError.after(device, one_line(str(error).partition("\n")[0])) from error
        raise
