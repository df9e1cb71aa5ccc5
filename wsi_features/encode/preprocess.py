"""From tile pixels to what a network sees: scale to 0..1, resize, normalise.

Everything runs on the device of the pixels, so that only bytes travel there: a float
image is four times as large, and permuting it on the host costs more than the rest.
Nothing is cropped: the whole tile is the network's field of view.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsi_features.encode.card import EncoderCard

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, eq=False)
class Preprocess:
    """The input transform of one card, with `mean` and `std` (1, 3, 1, 1) already on the device.

    Made once: copying three numbers to a GPU for each batch would wait for all work queued there.
    """

    input_px: int
    interpolation: str
    mean: torch.Tensor
    std: torch.Tensor

    @classmethod
    def of(cls, card: EncoderCard, device: torch.device) -> Preprocess:
        """What `card` asks for."""
        import torch

        mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (card.mean, card.std))
        return cls(card.input_px, card.interpolation, mean, std)

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (b, h, w, 3) to normalised float32 (b, 3, input_px, input_px)."""
        image = pixels.permute(0, 3, 1, 2).float().div_(255)
        return self._resized(image).sub(self.mean).div_(self.std)

    def _resized(self, image: torch.Tensor) -> torch.Tensor:
        from torch.nn import functional

        size = (self.input_px, self.input_px)
        if image.shape[-2:] == size:
            return image
        resized = functional.interpolate(image, size=size, mode=self.interpolation, antialias=True)
        # The bicubic kernel overshoots at edges; an 8-bit image, which the network learned from, cannot.
        return resized.clamp_(0, 1)
