"""The form of a TIFF slide by its tags: how the pixels of level 0 are stored, read from directories alone.

OpenSlide turns whatever it finds into 8-bit RGB without a word, so what it found has to be looked up.
No pixel, table or text is read, and what a damaged file says is never followed far: a few kilobytes decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice

from wsi_features.geometry import Size
from wsi_features.slides.slide import Form
from wsi_features.slides.tiff.file import SharedFile
from wsi_features.slides.tiff.ifd import DamagedTiffError, Directory, NotDirectError, directories

_MOST_DIRECTORIES = 64

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR = 256, 257, 258, 259, 262, 277, 284
_TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _SAMPLE_FORMAT = 322, 323, 338, 339
_DEFAULTS = {_BITS: (1,), _COMPRESSION: (1,), _SAMPLES: (1,), _PLANAR: (1,), _EXTRA: (), _SAMPLE_FORMAT: (1,)}
_WANTED = {_WIDTH, _HEIGHT, _PHOTOMETRIC, _TILE_WIDTH, _TILE_HEIGHT, *_DEFAULTS}

_COMPRESSIONS = {1: "none", 2: "CCITT", 3: "CCITT", 4: "CCITT", 5: "LZW", 6: "old JPEG", 7: "JPEG", 8: "deflate"}
_COMPRESSIONS |= {32773: "PackBits", 32946: "deflate", 33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000"}
_COMPRESSIONS |= {22610: "JPEG XR", 34887: "LERC", 34925: "LZMA", 34934: "JPEG XR", 50000: "Zstandard", 50001: "WebP"}
_COMPRESSIONS |= {50002: "JPEG XL", 52546: "JPEG XL"}

_COLOURS = {0: ("grayscale", 1), 1: ("grayscale", 1), 2: ("RGB", 3), 3: ("indexed colour", 1), 4: ("a mask", 1)}
_COLOURS |= {5: ("CMYK", 4), 6: ("YCbCr", 3), 8: ("CIELab", 3), 9: ("ICC Lab", 3), 10: ("ITU Lab", 3)}
_COLOURS |= {32803: ("raw sensor colours", 1), 34892: ("raw linear colours", 3)}
"""Name and number of samples by PhotometricInterpretation."""

_NUMBERS = {2: "signed ", 3: "floating-point ", 5: "complex ", 6: "complex "}
_ALPHA = {(1,), (2,)}
"""Extra samples that are transparency: premultiplied, and plain. OpenSlide reads both right (measured)."""

_UNSTATED = " of unstated meaning"

_Tags = Mapping[int, tuple[int, ...]]


def tiff_form(path: str) -> Form | None:
    """How the largest tiled image of a TIFF is stored, or None where `path` is no TIFF or is damaged there.

    A file without tiles is described by its largest image. For the notes: premultiplied and plain alpha
    both are RGBA, while an extra sample of unstated meaning becomes part of the name of the colour.
    """
    largest = max(
        _images(path), key=lambda tags: (_TILE_WIDTH in tags, tags[_WIDTH][0] * tags[_HEIGHT][0]), default=None
    )
    return None if largest is None else _form(largest)


def _images(path: str) -> Iterator[_Tags]:
    """The directories that describe an image, up to where the chain is damaged: there it ends for libtiff, too."""
    file = SharedFile(path)
    with suppress(OSError, NotDirectError), file.held():
        for directory in islice(directories(file), _MOST_DIRECTORIES):
            tags = _tags(directory)
            if tags.keys() >= {_WIDTH, _HEIGHT, _PHOTOMETRIC}:
                yield tags


def _tags(directory: Directory) -> _Tags:
    """Values of the wanted tags, with defaults; a wanted tag of no whole numbers is as good as absent."""
    found = dict(_DEFAULTS)
    for tag in sorted(_WANTED):
        try:
            values = tuple(directory.numbers(tag).tolist())
        except DamagedTiffError:
            raise
        except NotDirectError:
            continue
        if values:
            found[tag] = values
    return found


def _form(tags: _Tags) -> Form:
    tile = Size(tags[_TILE_WIDTH][0], tags[_TILE_HEIGHT][0]) if {_TILE_WIDTH, _TILE_HEIGHT} <= tags.keys() else None
    compression, colour = tags[_COMPRESSION][0], _colour(tags)
    return Form(
        compression=_COMPRESSIONS.get(compression, f"compression {compression}"),
        bits=max(tags[_BITS]),
        colour=colour,
        tile=tile,
        notes=tuple(_notes(tags, tile, colour)),
    )


def _colour(tags: _Tags) -> str:
    photometric, samples = tags[_PHOTOMETRIC][0], tags[_SAMPLES][0]
    name, own = _COLOURS.get(photometric, (f"colour of kind {photometric}", samples))
    number = next((_NUMBERS[kind] for kind in tags[_SAMPLE_FORMAT] if kind in _NUMBERS), "")
    if samples == own:
        return number + name
    if (name, samples) == ("RGB", 4) and tags[_EXTRA] in _ALPHA:
        return f"{number}RGBA"
    if samples < own:
        return f"{number}{name} with only {samples} of {own} samples a pixel"
    stated = any(tags[_EXTRA])
    return f"{number}{name} with {samples - own} extra sample{'s' * (samples > own + 1)}{_UNSTATED * (not stated)}"


def _notes(tags: _Tags, tile: Size | None, colour: str) -> Iterator[str]:
    if tile is None:
        yield "the image is stored in strips, not in tiles"
    elif tile.width % 16 or tile.height % 16:
        yield f"tiles of {tile.width} x {tile.height} pixels are no multiples of 16, which the TIFF standard asks for"
    if tags[_PLANAR][0] == 2:
        yield "each colour is stored apart (planar)"
    if colour == "RGBA":
        yield "the image has transparency: transparent pixels count as not scanned"
