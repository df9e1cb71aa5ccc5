"""DICOM whole-slide series written by hand: through OpenSlide, and through wsidicom what OpenSlide refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_features.errors import SlideFileError
from wsi_features.geometry import Region, Size
from wsi_features.slides.folders import companions, slide_folder
from wsi_features.slides.foreign.dicom import DicomFolderReader, dicom_slide
from wsi_features.slides.slide import Slide
from wsi_features.slides.tiatoolbox_reader import TiatoolboxReader, tiatoolbox_format

WSI_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.6"
HEIGHT, WIDTH = 203, 331
TILE_HEIGHT, TILE_WIDTH = 64, 96


def content(step: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)[::step, ::step]


def frames(pixels: np.ndarray, left_out: set[tuple[int, int]]) -> dict[tuple[int, int], np.ndarray]:
    """Padded tiles by column and row, row by row."""
    found = {}
    for y in range(0, pixels.shape[0], TILE_HEIGHT):
        for x in range(0, pixels.shape[1], TILE_WIDTH):
            tile = np.zeros((TILE_HEIGHT, TILE_WIDTH, *pixels.shape[2:]), pixels.dtype)
            part = pixels[y : y + TILE_HEIGHT, x : x + TILE_WIDTH]
            tile[: part.shape[0], : part.shape[1]] = part
            found[x // TILE_WIDTH, y // TILE_HEIGHT] = tile
    return {place: tile for place, tile in found.items() if place not in left_out}


def item(**fields: Any) -> Any:
    from pydicom.dataset import Dataset

    made = Dataset()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def instance(
    path: Path, pixels: np.ndarray, *, spacing: float = 0.00025, series: str = "1.2.3.4", rle: bool = False, **more: Any
) -> None:
    """One level: `left_out` tiles make it sparse, `kind` is the third value of ImageType."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid

    left_out, kind = more.get("left_out", set()), ["DERIVED", "PRIMARY", more.get("kind", "VOLUME"), "NONE"]
    tiles = frames(pixels, left_out)
    height, width = pixels.shape[:2]
    samples, bits = pixels.shape[2] if pixels.ndim == 3 else 1, pixels.dtype.itemsize * 8
    uid = generate_uid(entropy_srcs=[str(path)])
    data = item(SOPClassUID=WSI_CLASS, SOPInstanceUID=uid, StudyInstanceUID="1.2.3", SeriesInstanceUID=series)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = WSI_CLASS, uid
    data.FrameOfReferenceUID, data.Modality, data.Manufacturer = "1.2.3.5", "SM", "maker"
    data.PatientName, data.PatientID, data.ImageType = "Doe^Jane", "42", kind
    data.Rows, data.Columns, data.NumberOfFrames = TILE_HEIGHT, TILE_WIDTH, len(tiles)
    data.TotalPixelMatrixColumns, data.TotalPixelMatrixRows, data.TotalPixelMatrixFocalPlanes = width, height, 1
    data.SamplesPerPixel, data.PhotometricInterpretation = samples, "RGB" if samples == 3 else "MONOCHROME2"
    if samples == 3:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = bits
    data.HighBit, data.PixelRepresentation = bits - 1, 0
    data.ImagedVolumeWidth, data.ImagedVolumeHeight, data.ImagedVolumeDepth = width * spacing, height * spacing, 0.001
    data.TotalPixelMatrixOriginSequence = [item(XOffsetInSlideCoordinateSystem=0, YOffsetInSlideCoordinateSystem=0)]
    data.ImageOrientationSlide, data.NumberOfOpticalPaths = [0, -1, 0, -1, 0, 0], 1
    data.SpecimenLabelInImage = data.ExtendedDepthOfField = data.BurnedInAnnotation = "NO"
    data.FocusMethod, data.VolumetricProperties, data.LossyImageCompression = "AUTO", "VOLUME", "00"
    data.OpticalPathSequence = [item(OpticalPathIdentifier="0", ICCProfile=b"a profile!")]
    data.SharedFunctionalGroupsSequence = [
        item(
            PixelMeasuresSequence=[item(PixelSpacing=[spacing, spacing], SliceThickness=0.001)],
            WholeSlideMicroscopyImageFrameTypeSequence=[item(FrameType=kind)],
            OpticalPathIdentificationSequence=[item(OpticalPathIdentifier="0")],
        )
    ]
    data.DimensionOrganizationType = "TILED_SPARSE" if left_out else "TILED_FULL"
    if left_out:
        data.PerFrameFunctionalGroupsSequence = [place_of(*place) for place in tiles]
    data.PixelData = np.stack(list(tiles.values())).tobytes()
    data["PixelData"].VR = "OB" if bits == 8 else "OW"
    if rle:
        stack = np.stack(list(tiles.values()))
        data.compress(RLELossless, stack if len(stack) > 1 else stack[0], encoding_plugin="pydicom")
    data.save_as(path, enforce_file_format=True)


def place_of(column: int, row: int) -> Any:
    place = item(ColumnPositionInTotalImagePixelMatrix=column * TILE_WIDTH + 1)
    place.RowPositionInTotalImagePixelMatrix = row * TILE_HEIGHT + 1
    place.XOffsetInSlideCoordinateSystem = place.YOffsetInSlideCoordinateSystem = 0
    place.ZOffsetInSlideCoordinateSystem = 0
    return item(PlanePositionSlideSequence=[place])


def series(folder: Path, **options: Any) -> Path:
    """Levels 1, 1:2 and 1:4 by taking every second and fourth pixel, beside a file that is not DICOM."""
    folder.mkdir()
    left_out = options.pop("left_out", set())
    for number, step in enumerate((1, 2, 4)):
        sparse = {"left_out": left_out} if step == 1 else {}
        instance(folder / f"{number}.dcm", content(step), spacing=0.00025 * step, **options, **sparse)
    (folder / "notes.txt").write_text("not DICOM")
    return folder


READERS: dict[str, tuple[Callable[..., Slide], bool]] = {
    "openslide": (DicomFolderReader, False),
    "wsidicom": (TiatoolboxReader, False),
    "wsidicom, RLE": (TiatoolboxReader, True),
}


@pytest.fixture(scope="module", params=READERS)
def slide(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slide]:
    reader, rle = READERS[request.param]
    with reader("s1", str(series(tmp_path_factory.mktemp("dicom") / "slide", rle=rle))) as opened:
        yield opened


def test_sizes_and_resolution_are_those_of_the_series(slide: Slide) -> None:
    assert [level.size for level in slide.levels] == [Size(331, 203), Size(166, 102), Size(83, 51)]
    first = slide.mpp_candidates[0]
    assert (first.x, first.y, first.usable) == (pytest.approx(0.25), pytest.approx(0.25), True)


def test_level_0_is_read_exactly(slide: Slide) -> None:
    for x, y in ((0, 0), (91, 60), (200, 130)):
        read = slide.read(Region(x, y, 120, 70), 0)
        np.testing.assert_array_equal(read.rgb, content()[y : y + 70, x : x + 120])
        assert read.coverage == 1.0


def test_beyond_the_edge_is_missing_where_padding_is_stored(slide: Slide) -> None:
    read = slide.read(Region(WIDTH - 10, HEIGHT - 5, 20, 10), 0)
    assert read.coverage == pytest.approx(0.25)
    assert (read.rgb[5:] == 255).all()


def test_nothing_of_the_patient_is_passed_on(slide: Slide) -> None:
    told = f"{dict(slide.properties)} {slide.form} {slide.scenes} {slide.mpp_candidates}"
    assert not any(word in told for word in ("Doe", "42", "1.2.3"))


@pytest.mark.parametrize("level", [1, 2])
def test_coarser_levels_are_read_exactly_by_wsidicom(level: int, tmp_path: Path) -> None:
    with TiatoolboxReader("s1", str(series(tmp_path / "slide"))) as slide:
        assert slide.levels[level].downsample == 2.0**level
        wanted = content(2**level)[7:47, 11:71]
        np.testing.assert_array_equal(slide.read(Region(11, 7, 60, 40), level).rgb, wanted)
        assert slide.icc_profile == b"a profile!"


@pytest.mark.parametrize("rle", [False, True], ids=["openslide", "wsidicom"])
def test_a_frame_that_was_left_out_is_missing(rle: bool, tmp_path: Path) -> None:
    folder = series(tmp_path / "slide", rle=rle, left_out={(0, 0)})
    with dicom_slide("s1", str(folder)) as slide:
        read = slide.read(Region(0, 0, 2 * TILE_WIDTH, TILE_HEIGHT), 0)
    assert read.coverage == pytest.approx(0.5)
    assert (read.rgb[:, :TILE_WIDTH] == 255).all()
    np.testing.assert_array_equal(read.rgb[:, TILE_WIDTH:], content()[:TILE_HEIGHT, TILE_WIDTH : 2 * TILE_WIDTH])


@pytest.mark.parametrize(("rle", "reader"), [(False, "openslide"), (True, "tiatoolbox")])
def test_openslide_comes_first(rle: bool, reader: str, tmp_path: Path) -> None:
    with dicom_slide("s1", str(series(tmp_path / "slide", rle=rle))) as slide, slide.reopened() as again:
        assert (slide.reader, again.reader) == (reader, reader)
        np.testing.assert_array_equal(again.read(Region(3, 9, 50, 40), 0).rgb, content()[9:49, 3:53])


def test_each_series_of_a_folder_is_a_scene(tmp_path: Path) -> None:
    instance(tmp_path / "a.dcm", content())
    instance(tmp_path / "b.dcm", content(2, seed=1), series="1.2.3.9")
    instance(tmp_path / "c.dcm", content(4), series="1.2.3.10", kind="LABEL")
    with dicom_slide("s1", str(tmp_path), scene="1") as slide:
        assert [(scene.name, scene.size) for scene in slide.scenes] == [("0", Size(331, 203)), ("1", Size(166, 102))]
        assert slide.scene == "1"
        np.testing.assert_array_equal(slide.read(Region(0, 0, 60, 40), 0).rgb, content(2, seed=1)[:40, :60])
    with pytest.raises(SlideFileError, match="has no scene '2'; it holds '0', '1'"):
        dicom_slide("s1", str(tmp_path), scene="2")


def test_two_series_that_openslide_refuses_are_refused_with_the_remedy(tmp_path: Path) -> None:
    instance(tmp_path / "a.dcm", content(), rle=True)
    instance(tmp_path / "b.dcm", content(2), series="1.2.3.9", rle=True)
    with pytest.raises(SlideFileError, match="holds 2 series.*Put each series into a folder of its own"):
        dicom_slide("s1", str(tmp_path))


@pytest.mark.parametrize(
    ("pixels", "found"), [(content()[..., 0], "8-bit MONOCHROME2"), (content().astype(np.uint16), "16-bit RGB")]
)
def test_other_pixels_than_8_bit_rgb_are_refused(pixels: np.ndarray, found: str, tmp_path: Path) -> None:
    instance(tmp_path / "a.dcm", pixels)
    with pytest.raises(SlideFileError, match=f"holds {found}.*wanted 8-bit RGB"):
        dicom_slide("s1", str(tmp_path))


def test_a_frame_that_cannot_be_decoded_is_reported_and_the_rest_read_on(tmp_path: Path) -> None:
    instance(tmp_path / "a.dcm", content(), rle=True)
    data = bytearray((tmp_path / "a.dcm").read_bytes())
    table = data.index(b"\xfe\xff\x00\xe0", data.index(b"\xe0\x7f\x10\x00OB"))
    first = data.index(b"\xfe\xff\x00\xe0", table + 4) + 8
    data[first : first + 64] = b"\xff" * 64  # the header of the first frame
    (tmp_path / "a.dcm").write_bytes(data)
    with TiatoolboxReader("s1", str(tmp_path)) as slide:
        bad, good = slide.read(Region(0, 0, 20, 10), 0), slide.read(Region(100, 70, 20, 10), 0)
    assert (bad.status, bool(bad.reason)) == ("unreadable", True)
    np.testing.assert_array_equal(good.rgb, content()[70:80, 100:120])


def test_a_folder_of_labels_is_refused(tmp_path: Path) -> None:
    instance(tmp_path / "a.dcm", content(), kind="LABEL")
    with pytest.raises(SlideFileError, match="it holds no readable instance of type VOLUME"):
        dicom_slide("s1", str(tmp_path))


def test_the_folder_is_known_by_its_files_and_each_file_by_its_series(tmp_path: Path) -> None:
    instance(tmp_path / "a", content())
    instance(tmp_path / "b", content(2))
    instance(tmp_path / "other", content(4), series="1.2.3.9")
    assert (slide_folder(tmp_path), tiatoolbox_format(tmp_path)) == ("DICOM", "DICOM folder")
    assert companions(tmp_path / "a") == (tmp_path / "b",)
    assert companions(tmp_path / "other") == ()
