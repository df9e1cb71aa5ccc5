"""The colours of a slide: which forms are accepted, whether what is shown can be true, and the way to sRGB.

Nothing here repairs colours. A form that OpenSlide would convert by a rule of its own is refused,
and so is an image that is plausible only when it is taken for something else than its file says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from wsi_features.errors import SlideFileError, one_line
from wsi_features.geometry import Region
from wsi_features.slides.slide import Form, Pixels, Scene, Slide, SlideBase

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

Image = npt.NDArray[np.uint8]
_Whole = TypeVar("_Whole", np.uint8, np.int16)

_ACCEPTED = {"RGB", "RGBA", "YCbCr"}

_ENOUGH_PIXELS = 60_000

_GLASS = 170
"""Grey level below which nothing is taken for glass."""
_LEAST_GLASS, _RIVAL = 0.1, 0.3
"""Share of the picture that glass must have under a suspected transform, and the part of that share which neutral
bright pixels in the picture as it is must not reach."""

_ONE_COLOUR, _BLACK, _TINT = 12, 40, 40
"""Grey levels: spread of a picture of one colour, black of fluorescence, and chroma that no glass has."""

_NO_PROFILE = "the slide has no colour profile: its colours are used as stored"
_DONE = "colours are converted to sRGB (relative colorimetric, black point compensation)"


def refused_colour(slide_id: str, path: str, form: Form) -> SlideFileError | None:
    """The error for pixels that are not 8-bit RGB, YCbCr or RGBA, or None.

    OpenSlide converts 16-bit, gray, indexed, CMYK and Lab pixels to 8-bit RGB by rules that the file does not state.
    """
    if form.bits == 8 and form.colour in _ACCEPTED:
        return None
    return SlideFileError.image_not_rgb(slide_id, path, f"{form.bits}-bit {form.colour}")


def photometric_lie(rgb: Image) -> str | None:
    """What the pixels are and what their file calls them, where only that explains the picture; else None.

    `rgb` (h, w, 3) or (n, 3) stands for the whole slide. Two hypotheses are tested: RGB data decoded as
    YCbCr, and YCbCr data shown as RGB. One is believed where it gives neutral bright glass,
    while the picture as it is has none.
    """
    pixels = _thinned(rgb).astype(np.int16)
    if not len(pixels):
        return None
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    glass = float(((low >= 200) & (high - low <= 25)).mean())
    if glass < _RIVAL * _rgb_glass_decoded_as_ycbcr(pixels):
        return "RGB data that the file declares as YCbCr"
    if glass < _RIVAL * _ycbcr_glass_shown_as_rgb(pixels):
        return "YCbCr data that the file declares as RGB"
    return None


def _rgb_glass_decoded_as_ycbcr(pixels: npt.NDArray[np.int16]) -> float:
    """Share of pixels that were neutral glass before a needless transform to RGB, 0 where it is too small.

    A neutral level v >= 180 becomes (2.40 v - 179, 135.5 - 0.058 v, 2.77 v - 227): red and blue are
    clipped, and green is 121 to 125. No dye on glass does that, since it would have to leave red and blue whole.
    """
    red, green, blue = pixels.T
    share = float(((red >= 248) & (blue >= 248) & (abs(green - 122) <= 10)).mean())
    return share if share >= _LEAST_GLASS else 0.0


def _ycbcr_glass_shown_as_rgb(pixels: npt.NDArray[np.int16]) -> float:
    """Share of pixels that are neutral glass once taken for YCbCr, 0 where the whole does not make a picture.

    Glass is then a narrow peak at green and blue near 128, the pixels lie within the RGB cube, and
    what is darker than glass in red is not so in green or blue, while dyes absorb some of each.
    """
    bright = pixels[(pixels[:, 0] >= _GLASS) & (abs(pixels[:, 1:] - 128) <= 24).all(axis=1)]
    if len(bright) < _LEAST_GLASS * len(pixels):
        return 0.0
    bins, counts = np.unique(bright[:, 1:] // 4, axis=0, return_counts=True)
    glass = bright[(bright[:, 1:] // 4 == bins[counts.argmax()]).all(axis=1)]
    peak = np.median(glass, axis=0)
    near = (abs(bright[:, 1:] - peak[1:]) <= 8).all(axis=1)
    share = float(near.sum()) / len(pixels)
    neutral = bool((abs(peak[1:] - 128) <= 14).all()) and near.mean() >= 0.4 and share >= _LEAST_GLASS
    return share if neutral and _within_rgb(pixels) and _undimmed(pixels, peak, share) else 0.0


def _within_rgb(pixels: npt.NDArray[np.int16]) -> bool:
    """Whether nearly all pixels, taken for YCbCr, give colours that RGB can hold."""
    y, cb, cr = pixels[:, 0], pixels[:, 1] - 128.0, pixels[:, 2] - 128.0
    rgb = np.stack([y + 1.402 * cr, y - 0.344 * cb - 0.714 * cr, y + 1.772 * cb])
    return bool(((rgb > -12) & (rgb < 267)).all(axis=0).mean() >= 0.98)


def _undimmed(pixels: npt.NDArray[np.int16], peak: npt.NDArray[np.float64], share: float) -> bool:
    """Whether half of what is clearly darker than glass in red is as light as glass in green or blue.

    Where nothing is darker, the glass has to be nearly all there is, and nearly neutral.
    """
    least = 0.005 * len(pixels)
    for bound in (0.85 * peak[0], peak[0] - 12):  # the second for pale stains
        darker = pixels[pixels[:, 0] < bound]
        if len(darker) >= least:
            return bool((darker[:, 1:] >= peak[1:] - 3).any(axis=1).mean() >= 0.5)
    return share >= 0.95 and bool((abs(peak[1:] - 128) <= 6).all())


def _thinned(rgb: npt.NDArray[_Whole]) -> npt.NDArray[_Whole]:
    """Evenly spaced pixels (n, 3), at most about 60,000."""
    step = max(1, math.ceil((rgb.size / 3 / _ENOUGH_PIXELS) ** 0.5))
    return rgb[::step, ::step].reshape(-1, 3) if rgb.ndim == 3 else rgb[:: step * step]


def mean_colour(rgb: Image) -> npt.NDArray[np.float64]:
    """Mean colour (3,) of uint8 (h, w, 3); numpy takes ten times as long over two axes."""
    import cv2

    return np.asarray(cv2.mean(rgb)[:3], np.float64)


def brightest(rgb: npt.NDArray[_Whole]) -> npt.NDArray[np.float64]:
    """Median colour (3,) of the brightest tenth of a picture, (h, w, 3) or (n, 3): the glass, where there is any."""
    pixels = _thinned(rgb)
    light = pixels.sum(axis=1)
    return np.asarray(np.median(pixels[light >= np.percentile(light, 90)], axis=0), np.float64)


def colour_remarks(rgb: Image) -> Iterator[tuple[str, str]]:
    """What is unusual in the colours of a picture, uint8 (h, w, 3) or (n, 3): a short code and a sentence each."""
    pixels = _thinned(rgb).astype(np.int16)
    if not len(pixels):
        return
    spread = np.percentile(pixels, 99.5, axis=0) - np.percentile(pixels, 0.5, axis=0)
    if spread.max() <= _ONE_COLOUR:
        yield "blank", f"the slide is of one colour, {_shown(np.median(pixels, axis=0))}"
        return
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    if (high < _BLACK).mean() > 0.5:
        yield "dark", "most of the slide is black: fluorescence? Tissue and stains are looked for as on bright glass"
    elif (background := brightest(pixels)).max() - background.min() > _TINT:
        yield "background", f"the brightest part of the slide is {_shown(background)}, far from neutral"
    if (high - low <= 2).mean() >= 0.995:
        yield "grayscale", "red, green and blue are equal everywhere: grayscale content"
    elif _eosin_is_blue(pixels):
        yield "channels", "what should be pink is violet-blue and nuclei are red: red and blue may be exchanged"


def _eosin_is_blue(pixels: npt.NDArray[np.int16]) -> bool:
    """Whether a picture looks like H&E only once red and blue are exchanged.

    Eosin absorbs green most, then blue, and red hardly; haematoxylin absorbs red more than blue (Ruifrok and Johnston
    2001). Exchanged, the pale stain absorbs red and hardly any blue, and the dark one more blue than red.
    """
    density = -np.log((pixels + 1.0) / (brightest(pixels) + 1.0))
    red, green, blue = density.T
    total = density.sum(axis=1)
    stained = total > 0.3
    if stained.mean() < 0.01:
        return False
    dark = total >= np.percentile(total[stained], 90)
    pale = stained & ~dark
    like_eosin = (green > 1.2 * red) & (red > 1.2 * blue)
    return bool(like_eosin[pale].mean() > 0.4 and (blue[dark] > red[dark]).mean() > 0.5)


def _shown(colour: npt.NDArray[np.float64]) -> str:
    return "RGB " + ", ".join(f"{value:.0f}" for value in colour)


class SrgbSlide(SlideBase):
    """A slide whose pixels are converted to sRGB on reading, by relative colorimetric intent with black point compensation.

    That intent means the same for every kind of profile and keeps each colour that sRGB holds, while a perceptual
    table is each vendor's own. A slide without a profile is read unchanged, which `form` notes. What lies outside the
    scan stays white. The transform belongs to this handle: one thread.
    """

    def __init__(self, slide_id: str, slide: Slide) -> None:
        self._slide_id, self._slide = slide_id, slide
        self._transform = None if slide.icc_profile is None else _to_srgb(slide_id, slide.icc_profile)
        self.reader, self.why, self.scene, self.plane = slide.reader, slide.why, slide.scene, slide.plane
        self.levels, self.bounds, self.properties = slide.levels, slide.bounds, slide.properties
        self.mpp_candidates = slide.mpp_candidates
        self.form = replace(slide.form, notes=(*slide.form.notes, _NO_PROFILE if self._transform is None else _DONE))

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """Those of the file."""
        return self._slide.scenes

    def read(self, region: Region, level: int) -> Pixels:
        """The pixels of `region` of `level` in sRGB; without any coverage they stay as they are."""
        from PIL import Image, ImageCms

        pixels = self._slide.read(region, level)
        if self._transform is None or not pixels.coverage:
            return pixels
        picture = Image.fromarray(pixels.rgb)
        ImageCms.applyTransform(picture, self._transform, inPlace=True)
        return replace(pixels, rgb=np.asarray(picture))

    def close(self) -> None:
        """Release the file."""
        self._slide.close()

    def reopened(self) -> SrgbSlide:
        """The slide once more, converted in the same way."""
        return SrgbSlide(self._slide_id, self._slide.reopened())


def srgb(slide_id: str, slide: Slide) -> Slide:
    """The slide in sRGB through its own colour profile, as the recipe's `read.colour: srgb` asks.

    Raises SlideFileError when the profile is damaged or not one of RGB.
    """
    return SrgbSlide(slide_id, slide)


def _to_srgb(slide_id: str, profile: bytes) -> ImageCmsTransform:
    from PIL import ImageCms

    try:
        opened = ImageCms.ImageCmsProfile(BytesIO(profile))
        space = opened.profile.xcolor_space.strip()
        if space != "RGB":
            raise SlideFileError.colour_profile(slide_id, f"it is one of {space} colours")
        return ImageCms.buildTransform(
            opened,
            ImageCms.createProfile("sRGB"),
            "RGB",
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError) as error:
        raise SlideFileError.colour_profile(slide_id, one_line(error)) from error
