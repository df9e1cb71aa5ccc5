import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from wsi_features.errors import SlideFileError
from wsi_features.geometry import Region
from wsi_features.slides import ArraySlide
from wsi_features.slides.colour import brightest, colour_remarks, photometric_lie, refused_colour, srgb
from wsi_features.slides.slide import Form
from wsi_features.slides.synthetic import SlideSpec, slide_pixels
from wsi_features.slides.synthetic.spec import Stain

SIZE = Region(0, 0, 480, 320)
GLASS = (244.0, 242.0, 245.0)

# Directions of dyes in optical density (Ruifrok and Johnston 2001).
HAEMATOXYLIN, EOSIN, DAB, ANILINE_BLUE = (0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78), (0.85, 0.52, 0.08)
SCHIFF, AZURE, FAST_GREEN, CONGO_RED = (0.17, 0.97, 0.15), (0.83, 0.49, 0.20), (0.98, 0.14, 0.13), (0.10, 0.75, 0.65)
STAINS = {
    "H&E": (HAEMATOXYLIN, EOSIN),
    "IHC brown": (HAEMATOXYLIN, DAB),
    "PAS magenta": (HAEMATOXYLIN, SCHIFF),
    "trichrome blue": (ANILINE_BLUE, EOSIN),
    "trichrome green": (FAST_GREEN, EOSIN),
    "Giemsa violet": (AZURE, EOSIN),
    "Congo red": (CONGO_RED, HAEMATOXYLIN),
    "silver": ((0.58, 0.58, 0.57), (0.50, 0.57, 0.65)),
}


def dyes() -> np.ndarray:
    """Densities of two dyes (h, w, 2) of a generated slide: glass, pale and dark tissue."""
    rgb = slide_pixels(SlideSpec(width=480, height=320, mpp=2.0, levels=(1, 4), seed=8), SIZE)
    density = -np.log((rgb + 1.0) / 246)
    return np.clip(density @ np.linalg.pinv([HAEMATOXYLIN, EOSIN]), 0, None)


DYES = dyes()


def stained(stain: str, glass: tuple[float, float, float] = GLASS, strength: float = 1.0) -> np.ndarray:
    rgb = np.array(glass) * np.exp(-strength * DYES @ np.array(STAINS[stain]))
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def only_tissue(rgb: np.ndarray) -> np.ndarray:
    """The tissue without any glass, (n, 3)."""
    return rgb[DYES.sum(axis=2) > 0.25]


def as_ycbcr(rgb: np.ndarray) -> np.ndarray:
    """What is shown where YCbCr data are declared as RGB."""
    red, green, blue = np.moveaxis(rgb.astype(float), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    shown = np.stack([luma, 128 + (blue - luma) / 1.772, 128 + (red - luma) / 1.402], axis=-1)
    return np.clip(np.rint(shown), 0, 255).astype(np.uint8)


def from_ycbcr(data: np.ndarray) -> np.ndarray:
    """What is shown where RGB data are declared as YCbCr."""
    luma, cb, cr = data[..., 0].astype(float), data[..., 1] - 128.0, data[..., 2] - 128.0
    shown = np.stack([luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb], axis=-1)
    return np.clip(np.rint(shown), 0, 255).astype(np.uint8)


def codes(rgb: np.ndarray) -> list[str]:
    return [code for code, _ in colour_remarks(rgb)]


@pytest.mark.parametrize("stain", STAINS)
def test_ycbcr_data_shown_as_rgb_is_called_so(stain: str) -> None:
    told = photometric_lie(as_ycbcr(stained(stain)))
    assert told == "YCbCr data that the file declares as RGB"


@pytest.mark.parametrize("stain", STAINS)
def test_rgb_data_decoded_as_ycbcr_is_called_so(stain: str) -> None:
    told = photometric_lie(from_ycbcr(stained(stain)))
    assert told == "RGB data that the file declares as YCbCr"


@pytest.mark.parametrize("lie", [as_ycbcr, from_ycbcr])
def test_a_lie_is_seen_on_bare_glass_and_in_pale_tissue_too(lie: Callable[[np.ndarray], np.ndarray]) -> None:
    assert photometric_lie(lie(np.full((40, 60, 3), 240, np.uint8)))
    assert photometric_lie(lie(stained("H&E", strength=0.3)))


@pytest.mark.parametrize("glass", [GLASS, (255, 255, 255), (150, 148, 145), (235, 225, 190), (245, 205, 215)])
@pytest.mark.parametrize("strength", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("stain", STAINS)
def test_no_stain_on_any_glass_is_called_a_lie(stain: str, strength: float, glass: tuple[float, float, float]) -> None:
    rgb = stained(stain, glass, strength)
    assert photometric_lie(rgb) is None
    assert photometric_lie(only_tissue(rgb)) is None


@pytest.mark.parametrize("colour", ["white", "black", "gray", "pink", "salmon", "magenta", "red", "purple", "brown"])
def test_an_even_picture_of_any_usual_colour_is_no_lie(colour: str) -> None:
    pixels = np.asarray(Image.new("RGB", (60, 40), colour))
    assert photometric_lie(pixels) is None or colour == "magenta"  # which is (255, 0, 255)
    assert codes(pixels) == ["blank"]


def test_a_red_slide_near_the_middle_of_green_and_blue_is_no_lie() -> None:
    """Congo red gives (225, 128, 133): what is thicker is darker in every channel, as no YCbCr data are."""
    amount = np.random.default_rng(0).gamma(20, 0.05, (200, 300, 1))
    rgb = np.rint(np.array(GLASS) * np.exp(-amount * np.array([0.08, 0.64, 0.61]))).astype(np.uint8)
    assert abs(np.median(rgb[..., 1:], axis=(0, 1)) - 128).max() < 10
    assert photometric_lie(rgb) is None


def test_a_magenta_marker_on_a_slide_with_glass_is_no_lie() -> None:
    marked = stained("H&E")
    marked[:, :70] = (255, 122, 255)
    assert photometric_lie(marked) is None


def test_blue_ink_on_salmon_is_no_lie_since_no_rgb_picture_has_such_ycbcr_data() -> None:
    paper = np.full((200, 300, 3), (240, 128, 128), np.uint8)
    paper[50:90, 40:250] = (60, 60, 200)
    assert photometric_lie(paper) is None


def test_a_broad_range_of_reds_is_no_lie_since_glass_is_of_one_colour() -> None:
    reds = np.random.default_rng(0).normal((190, 128, 128), 14, (200, 300, 3))
    assert photometric_lie(np.rint(reds).astype(np.uint8)) is None


def test_nothing_at_all_is_no_lie_and_unremarkable() -> None:
    nothing = np.empty((0, 3), np.uint8)
    assert photometric_lie(nothing) is None
    assert codes(nothing) == []


def test_an_ordinary_slide_is_unremarkable() -> None:
    assert codes(stained("H&E")) == []


def test_a_dark_slide_may_be_fluorescence() -> None:
    assert codes((stained("H&E") // 8)[:, :300] * np.array([0, 0, 1], np.uint8)) == ["dark"]


def test_tinted_glass_is_told_with_its_colour() -> None:
    ((code, text),) = colour_remarks(stained("H&E", glass=(240, 200, 180)))
    assert code == "background"
    assert "RGB 240, 200, 180" in text


def test_gray_content_is_told() -> None:
    assert codes(np.repeat(stained("H&E")[..., 1:2], 3, axis=2)) == ["grayscale"]


@pytest.mark.parametrize("laboratory", ["a", "b"])
def test_exchanged_red_and_blue_are_told(laboratory: Stain) -> None:
    spec = SlideSpec(width=480, height=320, mpp=2.0, levels=(1, 4), seed=9, stain=laboratory)
    rgb = slide_pixels(spec, SIZE)
    assert (codes(rgb), codes(rgb[..., ::-1])) == ([], ["channels"])


@pytest.mark.parametrize("stain", STAINS)
def test_blue_and_violet_stains_are_not_taken_for_exchanged_channels(stain: str) -> None:
    assert codes(stained(stain)) == []


def test_the_brightest_part_is_the_glass() -> None:
    np.testing.assert_allclose(brightest(stained("H&E", glass=(240, 220, 200))), (240, 220, 200), atol=1)


@pytest.mark.parametrize("colour", ["RGB", "RGBA", "YCbCr"])
def test_8_bit_colours_pass(colour: str) -> None:
    assert refused_colour("s1", "a.svs", Form(colour=colour)) is None


@pytest.mark.parametrize(
    ("bits", "colour"),
    [(16, "RGB"), (8, "grayscale"), (8, "CMYK"), (32, "floating-point RGB"), (8, "RGB with 1 extra sample")],
)
def test_other_colours_are_refused_with_what_was_found(bits: int, colour: str) -> None:
    error = refused_colour("s1", "a.svs", Form(bits=bits, colour=colour))
    assert isinstance(error, SlideFileError)
    assert f"slide 's1': 'a.svs' holds {bits}-bit {colour}; wanted 8-bit RGB" in str(error)
    assert "vips" in str(error)


class Profiled(ArraySlide):
    """An array with a colour profile."""

    icc_profile: bytes | None = None


def profiled(profile: bytes | None, pixels: np.ndarray | None = None) -> ArraySlide:
    slide = Profiled(stained("H&E") if pixels is None else pixels, downsamples=(1, 4))
    slide.icc_profile = profile
    return slide


def profile(gamma: float | None = None) -> bytes:
    """sRGB, or the same with a tone curve whose black is not 0, and a white point that is not D50."""
    content = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if gamma is None:
        return content
    changed = bytearray(content)
    for entry in range(132, 132 + 12 * int.from_bytes(content[128:132]), 12):
        name, start = content[entry : entry + 4], int.from_bytes(content[entry + 4 : entry + 8])
        if name.endswith(b"TRC"):  # parametric curve of type 2: (a x + b) ** gamma + c
            curve = (gamma, 0.97, 0.01, 0.02)
            changed[start + 8 : start + 28] = struct.pack(">HH4i", 2, 0, *(round(value * 65536) for value in curve))
        if name == b"wtpt":
            changed[start + 8 : start + 20] = struct.pack(">3i", 58_000, 65_536, 40_000)
    return bytes(changed)


def test_srgb_is_what_the_colour_management_says() -> None:
    """Golden: relative colorimetric with black point compensation, by Pillow's own one-step function."""
    slide = profiled(profile(gamma=1.8))
    part = Region(100, 40, 300, 170)
    wanted = ImageCms.profileToProfile(
        Image.fromarray(slide.read(part, 0).rgb),
        ImageCms.ImageCmsProfile(BytesIO(profile(gamma=1.8))),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    found = srgb("s1", slide).read(part, 0).rgb
    np.testing.assert_array_equal(found, np.asarray(wanted))
    assert np.abs(found.astype(int) - slide.read(part, 0).rgb).max() > 5


@pytest.mark.parametrize("level", [0, 1])
def test_a_slide_in_srgb_stays_as_it_is(level: int) -> None:
    slide, part = profiled(profile()), Region(10, 20, 150, 90)
    found = srgb("s1", slide).read(part, level).rgb.astype(int)
    assert np.abs(found - slide.read(part, level).rgb).max() <= 1


def test_without_a_profile_nothing_changes_and_the_form_says_so() -> None:
    slide = profiled(None)
    converted = srgb("s1", slide)
    np.testing.assert_array_equal(converted.read(SIZE, 0).rgb, slide.read(SIZE, 0).rgb)
    assert converted.form.notes == ("the slide has no colour profile: its colours are used as stored",)


def test_what_is_not_there_stays_white() -> None:
    found = srgb("s1", profiled(profile(gamma=1.8))).read(Region(2000, 0, 30, 20), 0)
    assert (found.status, found.coverage) == ("missing", 0.0)
    assert (found.rgb == 255).all()


def test_everything_else_is_that_of_the_slide() -> None:
    slide = profiled(profile(gamma=1.8))
    for converted in (srgb("s1", slide), srgb("s1", slide).reopened()):
        assert (converted.levels, converted.mpp_candidates) == (slide.levels, slide.mpp_candidates)
        assert (converted.reader, converted.scenes, converted.bounds) == ("array", slide.scenes, None)
        assert "sRGB" in converted.form.notes[-1]
        assert converted.icc_profile is None  # so that nobody converts twice


def test_it_is_converted_after_reopening_as_before() -> None:
    converted = srgb("s1", profiled(profile(gamma=1.8)))
    np.testing.assert_array_equal(converted.reopened().read(SIZE, 0).rgb, converted.read(SIZE, 0).rgb)


@pytest.mark.parametrize("content", [b"", b"not a profile", profile()[:300], b"\0" * 600])
def test_a_damaged_profile_is_refused_with_the_setting(content: bytes) -> None:
    with pytest.raises(SlideFileError, match=r"slide 's1': its colour profile cannot be used .*Set `read.colour`"):
        srgb("s1", profiled(content))


def test_a_profile_of_other_colours_is_refused() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    with pytest.raises(SlideFileError, match="it is one of Lab colours"):
        srgb("s1", profiled(lab))


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
def test_half_transparent_pixels_are_composed_on_white(kind: str, tmp_path: Path) -> None:
    import tifffile

    from wsi_features.slides.openslide_reader import OpenSlideReader

    rgb = stained("H&E")[:128, :192]
    share = np.linspace(0, 1, 192)[None, :, None]
    alpha = np.rint(share * 255)
    stored = np.rint(rgb * alpha / 255) if kind == "assocalpha" else rgb
    rgba = np.concatenate([stored, np.broadcast_to(alpha, (128, 192, 1))], axis=2).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", rgba, tile=(64, 64), photometric="rgb", extrasamples=[kind], metadata=None)
    with OpenSlideReader("s1", str(tmp_path / "a.tif")) as slide:
        found = slide.read(Region(0, 0, 192, 128), 0)
    assert slide.form.colour == "RGBA"
    assert found.coverage == pytest.approx(alpha.mean() / 255)
    assert np.abs(found.rgb - (rgb * alpha / 255 + 255 - alpha)).max() <= 1.5


@pytest.mark.parametrize("kind", ["16-bit RGB", "8-bit grayscale", "8-bit RGB with 1 extra sample of unstated meaning"])
def test_openslide_is_not_let_to_convert_colours(kind: str, tmp_path: Path) -> None:
    import tifffile

    from wsi_features.slides.openslide_reader import OpenSlideReader

    rgb = stained("H&E")[:128, :192]
    pixels = {"1": rgb.astype(np.uint16) * 257, "g": rgb[..., 0], "e": np.dstack([rgb, rgb[..., :1]])}
    key = "1" if kind.startswith("16") else "g" if "gray" in kind else "e"
    how = {"photometric": "minisblack"} if key == "g" else {"photometric": "rgb"}
    extra = {"extrasamples": ["unspecified"]} if key == "e" else {}
    tifffile.imwrite(tmp_path / "a.tif", pixels[key], tile=(64, 64), metadata=None, **how, **extra)
    with pytest.raises(SlideFileError, match=f"holds {kind}"):
        OpenSlideReader("s1", str(tmp_path / "a.tif"))


def test_openslide_gives_the_profile_as_it_is_stored(tmp_path: Path) -> None:
    import tifffile

    from wsi_features.slides.openslide_reader import OpenSlideReader

    rgb = stained("H&E")[:128, :192]
    tifffile.imwrite(tmp_path / "a.tif", rgb, tile=(64, 64), photometric="rgb", iccprofile=profile(1.8), metadata=None)
    with OpenSlideReader("s1", str(tmp_path / "a.tif")) as slide:
        assert slide.icc_profile == profile(1.8)
        np.testing.assert_array_equal(slide.read(Region(0, 0, 192, 128), 0).rgb, rgb)
