import struct
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile

from wsi_features.errors import SlideFileError
from wsi_features.geometry import Region, Size
from wsi_features.slides import ArraySlide, Level, Slide, open_slide
from wsi_features.slides.plausibility import Finding, Findings, findings
from wsi_features.slides.slide import Pixels, SlideBase
from wsi_features.slides.synthetic import SlideSpec, slide_pixels, write_slide

WIDTH, HEIGHT = 1536, 1024
REAL = Path(__file__).parents[4] / "shared/slides/cmu-1-small-region.svs"
PHOTOMETRIC, OFFSETS, LENGTHS = 262, 324, 325


def tissue(seed: int, **changes: object) -> np.ndarray:
    """A generated slide of 1536 x 1024 pixels, 45 % of them tissue."""
    spec = SlideSpec(width=WIDTH, height=HEIGHT, mpp=1.0, levels=(1, 4), seed=seed, **changes)  # type: ignore[arg-type] - names and values of the spec
    return slide_pixels(spec, Region(0, 0, WIDTH, HEIGHT))


ONE, OTHER = tissue(5), tissue(6, stain="b")


def slide_of(pixels: np.ndarray, unreadable: Sequence[Region] = ()) -> ArraySlide:
    return ArraySlide(pixels, downsamples=(1, 4), unreadable=unreadable)


class Levels(SlideBase):
    """A slide whose level 0 is that of one slide and whose other levels are those of another."""

    reader = "levels"

    def __init__(self, fine: Slide, coarse: Slide) -> None:
        self._fine, self._coarse, self.levels = fine, coarse, fine.levels

    def read(self, region: Region, level: int) -> Pixels:
        return (self._coarse if level else self._fine).read(region, level)

    def reopened(self) -> Slide:
        return self


def codes(found: Sequence[Finding]) -> list[str]:
    return [finding.code for finding in found]


def changed(path: Path, target: Path, changes: dict[int, int], pages: Sequence[int]) -> Path:
    """A copy with other values of one-value SHORT tags."""
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        for page in pages:
            for code, value in changes.items():
                struct.pack_into("<H", content, tiff.pages[page].tags[code].valueoffset, value)
    target.write_bytes(content)
    return target


def without_tail(path: Path, target: Path, share: float) -> Path:
    """A copy whose last tiles of level 0 were never written, while the coarse level is whole."""
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        tags, tiles = tiff.pages[0].tags, len(tiff.pages[0].dataoffsets)
        for tile in range(round(tiles * (1 - share)), tiles):
            for tag in (OFFSETS, LENGTHS):
                struct.pack_into("<I", content, tags[tag].valueoffset + 4 * tile, 0)
    target.write_bytes(content)
    return target


@pytest.mark.parametrize("seed", range(32))
def test_a_sound_slide_is_never_refused(seed: int) -> None:
    spec = SlideSpec(
        width=(960, 704, 1280)[seed % 3],
        height=(640, 896, 512)[seed % 3],
        mpp=(1.0, 1.3)[seed % 2],
        levels=(1, 4),
        seed=200 + seed,
        stain="ab"[seed % 2],  # type: ignore[arg-type] - one of two letters
        tissue=seed % 8 != 7,
        pen=seed % 4 == 1,
        pen_colour=("blue", "green", "black")[seed % 3],
        fold=seed % 3 == 0,
        blur=seed % 5 == 0,
        bubble=seed % 4 == 2,
    )
    found = findings(slide_of(slide_pixels(spec, Region(0, 0, spec.width, spec.height))))
    assert (found.refusals, found.error("s1", "a.svs")) == ((), None)
    assert set(codes(found.warnings)) <= ({"blank"} if not spec.tissue else set())


@pytest.mark.parametrize("name", ["small", "fine"])
def test_sound_files_give_nothing_at_all(name: str, slide_folder: Path) -> None:
    with open_slide("s1", slide_folder / f"{name}.svs") as slide:
        assert findings(slide) == Findings()


def test_bare_glass_is_only_noted(slide_folder: Path) -> None:
    with open_slide("s1", slide_folder / "glass.svs") as slide:
        found = findings(slide)
    assert (found.refusals, codes(found.warnings)) == ((), ["blank"])


def test_the_real_slide_gives_nothing_at_all() -> None:
    if not REAL.exists():
        pytest.skip(f"needs {REAL.name}, a real slide that is not part of the repository")
    with open_slide("s1", REAL) as slide:
        assert findings(slide) == Findings()


def test_levels_that_were_picked_instead_of_averaged_are_sound() -> None:
    picked = ArraySlide(np.repeat(np.repeat(ONE[::4, ::4], 4, axis=0), 4, axis=1), downsamples=(1, 4))
    assert findings(Levels(slide_of(ONE), picked)) == Findings()


def test_a_level_beside_its_place_by_less_than_a_pixel_of_it_is_sound() -> None:
    moved = np.roll(ONE, (3, -3), axis=(0, 1))
    assert findings(Levels(slide_of(ONE), slide_of(moved))).refusals == ()


@pytest.mark.parametrize(("fine", "coarse"), [(ONE, OTHER), (OTHER, ONE), (ONE, ONE[::-1]), (ONE, 255 - ONE)])
def test_levels_of_different_images_are_refused(fine: np.ndarray, coarse: np.ndarray) -> None:
    found = findings(Levels(slide_of(fine), slide_of(coarse)))
    assert codes(found.refusals) == ["levels"]
    with pytest.raises(
        SlideFileError, match=r"slide 's1': 'a.svs' opens, but its levels show different images .*x=\d+"
    ):
        raise found.error("s1", "a.svs") or AssertionError


def test_one_image_in_other_colours_is_a_warning() -> None:
    toned = np.rint(ONE * 0.72).astype(np.uint8)
    found = findings(Levels(slide_of(ONE), slide_of(toned)))
    assert (found.refusals, codes(found.warnings)) == ((), ["tone"])


def test_a_few_pieces_that_differ_are_a_warning_with_their_place() -> None:
    blanked = ONE.copy()
    blanked[-256:] = 240
    found = findings(Levels(slide_of(blanked), slide_of(ONE)))
    assert found.refusals == ()
    (warning,) = [finding for finding in found.warnings if finding.code == "levels"]
    x, y = (int(part.partition("=")[2]) for part in warning.text.rsplit("first at ", 1)[1].split(", "))
    assert y >= HEIGHT - 512
    assert 0 <= x < WIDTH


def test_a_blank_level_0_under_a_good_thumbnail_is_refused() -> None:
    found = findings(Levels(slide_of(np.full_like(ONE, 240)), slide_of(ONE)))
    assert codes(found.refusals) == ["levels"]


@pytest.mark.parametrize("pages", [(0, 1), (0,), (1,)])
def test_ycbcr_files_that_are_declared_rgb_are_refused(
    pages: tuple[int, ...], slide_folder: Path, tmp_path: Path
) -> None:
    path = changed(slide_folder / "small.svs", tmp_path / "a.svs", {PHOTOMETRIC: 2}, pages)
    with open_slide("s1", path) as slide:
        found = findings(slide)
    assert "photometric" in codes(found.refusals)
    assert "YCbCr data that the file declares as RGB" in str(found.error("s1", "a.svs"))


def test_rgb_files_that_are_declared_ycbcr_are_refused(tmp_path: Path) -> None:
    spec = SlideSpec(width=WIDTH, height=HEIGHT, mpp=1.0, levels=(1, 4), seed=7, photometric="RGB", subsampling="444")
    write_slide(tmp_path / "a.svs", spec, threads=1)
    with open_slide("s1", tmp_path / "a.svs") as slide:
        assert findings(slide) == Findings()
    changed(tmp_path / "a.svs", tmp_path / "b.svs", {PHOTOMETRIC: 6}, (0, 1))
    with open_slide("s1", tmp_path / "b.svs") as slide:
        (refusal,) = findings(slide).refusals
    assert refusal.text.endswith("RGB data that the file declares as YCbCr")


def test_a_sparse_tail_after_a_good_thumbnail_is_refused_when_half_of_the_tissue_is_gone(tmp_path: Path) -> None:
    spec = SlideSpec(width=2048, height=1536, mpp=None, objective=None, levels=(1, 4), seed=7)
    write_slide(tmp_path / "a.tif", spec, threads=1)
    with open_slide("s1", without_tail(tmp_path / "a.tif", tmp_path / "most.tif", 0.8)) as slide:
        most = findings(slide)
    with open_slide("s1", without_tail(tmp_path / "a.tif", tmp_path / "some.tif", 0.3)) as slide:
        some = findings(slide)
    assert (codes(most.refusals), codes(some.refusals)) == (["sparse"], [])
    assert "of the tissue that its thumbnail shows (first at x=" in most.refusals[0].text
    assert codes(some.warnings) == ["sparse"]


@pytest.mark.parametrize(("share", "refused"), [(0.35, False), (0.65, True)])
def test_half_of_the_tissue_is_what_a_refusal_needs(share: float, refused: bool) -> None:
    rows = np.cumsum((ONE.min(axis=2) < 215).sum(axis=1)[::-1])
    lost = int(np.searchsorted(rows, share * rows[-1]))
    found = findings(Levels(slide_of(ONE, [Region(0, HEIGHT - lost, WIDTH, lost)]), slide_of(ONE)))
    assert codes(found.refusals if refused else found.warnings) == ["sparse"]
    assert bool(found.refusals) == refused


def test_the_last_row_and_the_last_column_are_always_looked_at() -> None:
    part = ONE[:1000, :1500]  # neither is a multiple of a piece
    below = findings(Levels(slide_of(part, [Region(500, 999, 500, 1)]), slide_of(part)))
    right = findings(Levels(slide_of(part, [Region(1499, 300, 1, 400)]), slide_of(part)))
    for found in (below, right):
        assert (found.refusals, codes(found.warnings)) == ((), ["sparse"])
        assert "declared unreadable" in found.warnings[0].text


class Squares(SlideBase):
    """Squares of 600 level-0 pixels between light edges, at 1:1 and 1:64; the coarse level lies `beside` its place."""

    reader = "squares"

    def __init__(self, beside: int) -> None:
        self.levels = (Level(Size(64 * 256, 64 * 192), 1.0), Level(Size(256, 192), 64.0))
        self._beside = beside

    def read(self, region: Region, level: int) -> Pixels:
        x = self._waves(region.x, region.width, 256, level)
        y = self._waves(region.y, region.height, 192, level)
        grey = np.rint(235 - 145 * np.outer(y, x)).astype(np.uint8)
        return Pixels(np.repeat(grey[..., None], 3, axis=2), 1.0, "ok")

    def _waves(self, start: int, length: int, extent: int, level: int) -> np.ndarray:
        step = 64 if level else 1
        at = np.arange(start * step, (start + length) * step) - self._beside * level
        waves = (at > 1200) & (at < 64 * extent - 1200) & (at // 600 % 2 == 0)
        return waves.reshape(length, step).mean(axis=1)

    def reopened(self) -> Slide:
        return self


def test_a_coarse_level_may_lie_one_of_its_pixels_beside() -> None:
    assert "levels" not in codes(findings(Squares(beside=64)).warnings)
    assert findings(Squares(beside=64)).refusals == ()
    assert {"levels", "tone"} & set(codes(findings(Squares(beside=200)).warnings + findings(Squares(200)).refusals))


def test_pieces_of_which_most_is_missing_are_gone() -> None:
    striped = np.dstack([ONE, np.zeros(ONE.shape[:2], np.uint8)])
    striped[:, ::3, 3] = 255
    found = findings(Levels(slide_of(striped), slide_of(ONE)))
    assert codes(found.refusals) == ["sparse"]
    assert found.refusals[0].text.endswith("not scanned)")


def test_missing_glass_is_not_worth_a_word() -> None:
    holed = np.dstack([ONE, np.full(ONE.shape[:2], 255, np.uint8)])
    glass = (ONE.min(axis=2) > 225).reshape(HEIGHT // 128, 128, WIDTH // 128, 128).all(axis=(1, 3))
    assert glass.sum() > 5
    holed[np.kron(glass, np.ones((128, 128), bool))] = 0
    assert findings(Levels(slide_of(holed), slide_of(ONE))) == Findings()


def test_a_file_of_which_nothing_can_be_decoded_is_refused() -> None:
    found = findings(slide_of(ONE, [Region(0, 0, WIDTH, HEIGHT)]))
    assert codes(found.refusals) == ["unreadable"]
    assert codes(found.warnings) == ["overview"]


def test_what_the_overview_lacks_is_told_with_its_share() -> None:
    holed = np.dstack([ONE, np.full(ONE.shape[:2], 255, np.uint8)])
    holed[:, : WIDTH // 4] = 0
    found = findings(slide_of(holed))
    assert found.refusals == ()
    assert [finding.text for finding in found.warnings if finding.code == "coverage"] == [
        "25.0% of the slide are not in the file: not scanned, or lost"
    ]


def test_a_file_that_states_bounds_may_lack_the_rest() -> None:
    holed = np.dstack([ONE, np.full(ONE.shape[:2], 255, np.uint8)])
    holed[:, : WIDTH // 4] = 0
    slide = slide_of(holed)
    slide.bounds = Region(WIDTH // 4, 0, WIDTH - WIDTH // 4, HEIGHT)
    assert "coverage" not in codes(findings(slide).warnings)


class Large(SlideBase):
    """A single level of 30,000 x 20,000 pixels: one picture again and again. Its tail may be unreadable."""

    reader = "large"

    def __init__(self, rows: int = 20_000) -> None:
        self.levels = (Level(Size(30_000, 20_000), 1.0),)
        self._rows, self.read_pixels = rows, 0

    def read(self, region: Region, level: int) -> Pixels:
        assert level == 0
        self.read_pixels += region.width * region.height
        if region.y + region.height > self._rows:
            return Pixels(np.full((region.height, region.width, 3), 255, np.uint8), 0.0, "unreadable", "cut short")
        left, top = region.x % (WIDTH - region.width), region.y % (HEIGHT - region.height)
        return Pixels(ONE[top : top + region.height, left : left + region.width], 1.0, "ok")

    def reopened(self) -> Slide:
        return self


def test_a_huge_single_level_is_looked_at_in_pieces_only() -> None:
    slide = Large()
    began = time.process_time()
    assert findings(slide) == Findings()
    assert time.process_time() - began < 0.5
    assert slide.read_pixels <= 4_000_000


def test_the_lost_tail_of_a_huge_single_level_is_told() -> None:
    found = findings(Large(rows=19_990))
    assert (found.refusals, codes(found.warnings)) == ((), ["sparse"])
    assert "y=19744: cut short" in found.warnings[0].text


def test_two_looks_give_the_same(slide_folder: Path) -> None:
    with open_slide("s1", slide_folder / "small.svs") as slide:
        first = findings(slide)
    with open_slide("s1", slide_folder / "small.svs") as slide:
        assert findings(slide) == first


@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 2), (40, 700), (900, 30)])
def test_tiny_and_thin_slides_are_no_trouble(width: int, height: int) -> None:
    assert findings(ArraySlide(ONE[:height, :width])).refusals == ()
