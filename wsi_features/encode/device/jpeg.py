"""JPEG blocks decoded on a GPU, many at a time: nvJPEG through torchvision.

For machines whose cores cannot decode as fast as the GPU embeds. nvJPEG rounds otherwise than libjpeg-turbo and
repeats colour samples in place of interpolating them, so the pixels are a little different, and its use is part of
the recipe. What it may not take, or refuses, is left to the CPU block by block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wsi_features.encode.device.choice import choose_device
from wsi_features.encode.device.failures import lost_device_named
from wsi_features.errors import EncoderError
from wsi_features.geometry import Size

if TYPE_CHECKING:
    import torch

U8 = npt.NDArray[np.uint8]
Decode = Callable[[list["torch.Tensor"], "torch.device"], list["torch.Tensor"]]
"""Streams, uint8 (n,) each on the CPU, to pictures uint8 (3, h, w) on the device."""

_EOI = b"\xff\xd9"


class DeviceJpeg:
    """Decodes for any number of threads, one batch at a time, on a stream of its own beside the network's."""

    def __init__(self, device: torch.device, decode: Decode | None = None) -> None:
        import torch

        self._device, self._decode = device, decode or _by_torchvision
        self._lock = Lock()
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def __call__(self, streams: Sequence[bytes | None], size: Size, reduction: int) -> list[U8 | None]:
        """Blocks of `size` pixels, averaged over `reduction` x `reduction`: uint8 (h, w, 3), None where left to others.

        A stream that was cut short is never taken: nvJPEG would fill in the rest.
        """
        found: list[U8 | None] = [None] * len(streams)
        taken = [i for i, stream in enumerate(streams) if stream is not None and stream.endswith(_EOI)]
        if taken:
            with self._lock:
                blocks = self._blocks([streams[i] or b"" for i in taken], size, reduction)
            for i, block in zip(taken, blocks, strict=True):
                found[i] = block
        return found

    def _blocks(self, streams: list[bytes], size: Size, reduction: int) -> list[U8 | None]:
        """The blocks of all streams; where they are refused together, each alone, so that one costs only itself."""
        found = self._together(streams, size, reduction)
        if found is not None:
            return found
        return [None] if len(streams) == 1 else [b for one in streams for b in self._blocks([one], size, reduction)]

    def _together(self, streams: list[bytes], size: Size, reduction: int) -> list[U8 | None] | None:
        import torch

        tensors = [torch.frombuffer(bytearray(stream), dtype=torch.uint8) for stream in streams]
        with torch.inference_mode(), torch.cuda.stream(self._stream), lost_device_named(str(self._device)):
            try:
                pictures = self._decode(tensors, self._device)
            except RuntimeError as error:
                if "decode" not in str(error).lower() and "jpeg" not in str(error).lower():
                    raise
                return None
            if any(picture.shape != (3, size.height, size.width) for picture in pictures):
                return None
            return list(averaged(torch.stack(pictures), reduction).permute(0, 2, 3, 1).contiguous().cpu().numpy())


def device_jpeg(wanted: str) -> DeviceJpeg:
    """The decoder of the GPU `wanted`. Raises EncoderError where there is none: its pixels are its own."""
    device = choose_device(wanted)
    if device.type != "cuda":
        raise EncoderError.no_gpu_to_decode(str(device))
    return DeviceJpeg(device)


def averaged(pictures: torch.Tensor, reduction: int) -> torch.Tensor:
    """uint8 (b, 3, h, w), each `reduction` x `reduction` pixels as their mean, halves rounded up as OpenCV does at 2."""
    import torch

    if reduction == 1:
        return pictures
    b, c, h, w = pictures.shape
    boxes = pictures.view(b, c, h // reduction, reduction, w // reduction, reduction)
    sums = boxes.sum(dim=(3, 5), dtype=torch.int32)
    area = reduction * reduction
    return torch.div(sums + area // 2, area, rounding_mode="floor").to(torch.uint8)


def _by_torchvision(streams: list[torch.Tensor], device: torch.device) -> list[torch.Tensor]:
    from torchvision.io import ImageReadMode, decode_jpeg

    found: list[torch.Tensor] = decode_jpeg(streams, mode=ImageReadMode.RGB, device=device)
    return found
