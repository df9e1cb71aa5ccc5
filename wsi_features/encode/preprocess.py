"""From tile pixels to what a network sees: resize, cut out the middle, scale to 0..1, normalise.

Everything runs on the device of the pixels, so that only bytes travel there: a float image
is four times as large. The resize gives whole grey levels, the same as Pillow's on every
device (see `resize`), and tiles of the right size are not resampled at all. What was measured,
against other ways and against the reference transform of every card, is in PREPROCESSING.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.resize import (
    Interpolation,
    Taps,
    device_taps,
    middle_start,
    pillow_resampled,
    resampled,
)

if TYPE_CHECKING:
    import torch

PREPROCESS_VERSION = 2
"""Method version of the pixels that networks get: 1 did not round after the resize."""

_WHITE = 255


@dataclass(frozen=True, slots=True, eq=False)
class Preprocess:
    """The input transform of one card: a grey level times `scale` plus `offset`, both (1, 3, 1, 1) on the device.

    Made once: copying three numbers to a GPU for each batch would wait for all work queued there.
    The whole tile is resized to `resize_px`, of which the middle `input_px` are what the network sees.
    """

    input_px: int
    resize_px: int
    interpolation: Interpolation
    scale: torch.Tensor
    offset: torch.Tensor
    _taps: dict[int, Taps] = field(default_factory=dict)

    @classmethod
    def of(cls, card: EncoderCard, device: torch.device) -> Preprocess:
        """What `card` asks for."""
        import torch

        mean, std = (torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in (card.mean, card.std))
        scale, offset = (numbers.float().to(device) for numbers in (1 / (_WHITE * std), -mean / std))
        return cls(card.input_px, card.resize_px or card.input_px, card.interpolation, scale, offset)

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Whole grey levels (b, h, w, 3), uint8 or float32, to normalised float32 (b, 3, input_px, input_px)."""
        return self.resized(pixels).float().mul_(self.scale).add_(self.offset)

    def resized(self, pixels: torch.Tensor) -> torch.Tensor:
        """The part that the network sees, (b, 3, input_px, input_px), in the type of `pixels` or in uint8."""
        import torch

        height, width = pixels.shape[1:3]
        if (height, width) == (self.resize_px, self.resize_px):
            start = middle_start(self.resize_px, self.input_px)
            part = slice(start, start + self.input_px)
            # Put in planes before they become numbers: 0.07 ms for a 224 px tile on a core, 0.2 to 0.7 in the other order.
            return pixels[:, part, part].permute(0, 3, 1, 2).contiguous()
        if pixels.device.type == "cpu" and pixels.dtype == torch.uint8:
            tiles = pillow_resampled(pixels.numpy(), self.resize_px, self.input_px, self.interpolation)
            return torch.from_numpy(tiles).permute(0, 3, 1, 2).contiguous()
        planes = pixels.permute(0, 3, 1, 2).to(torch.uint8).contiguous()
        return resampled(planes, self._line(width, pixels.device), self._line(height, pixels.device))

    def _line(self, length: int, device: torch.device) -> Taps:
        """Made for the first batch of a size, before any of it is recorded in a CUDA graph."""
        if length not in self._taps:
            self._taps[length] = device_taps(length, self.resize_px, self.input_px, self.interpolation, device)
        return self._taps[length]
