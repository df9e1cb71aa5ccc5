"""Files that end too early: copies cut short, in both orders of levels, and copies whose tail is zeros."""

from __future__ import annotations

import io

from base import DAMAGED, HARMLESS, NONE, UNREADABLE, Bases, Ending, Input, file_of, headers_first, pyramid
from tiff_build import Directory, tiff_bytes
from tiff_edit import TiffEdit

_TINY = {"1-byte": 1, "3-bytes": 3, "4-bytes": 4, "header": 8, "first-count": 10, "in-first-directory": 100}


def inputs() -> tuple[Input, ...]:
    plain = [_cut(f"cut-at-{name}", size) for name, size in _TINY.items()]
    plain += [_cut_share(f"cut-{share:g}", share) for share in (5, 10, 25, 50, 75, 90, 97, 99.5)]
    plain += [_cut(f"cut-last-{n}", -n) for n in (1, 2, 100, 1024)]
    cog = [_cut_share(f"cog-cut-{share:g}", share, cog=True) for share in (1, 5, 10, 30, 50, 70, 90, 97, 99.9)]
    # The last tile is glass in a corner, which no row comes from.
    cog += [file_of("cog-cut-last-1", lambda b: _svs(b, cog=True)[:-1], HARMLESS, alike="clean-svs")]
    zeros = [_zeros(f"zeros-from-{share:g}", share) for share in (1, 25, 60, 90)]
    zeros += [_zeros(f"cog-zeros-from-{share:g}", share, cog=True) for share in (30, 60)]
    return (*plain, *cog, *zeros, *_others())


def _others() -> list[Input]:
    return [
        file_of("cut-before-last-directory", _before_last_directory, UNREADABLE),
        file_of("tif-cog-cut-50", lambda b: _share(headers_first(b.tif), 50), DAMAGED, ".tif"),
        file_of("tif-cog-cut-95", lambda b: _share(headers_first(b.tif), 95), DAMAGED, ".tif"),
        file_of("tif-cog-zeros-from-50", lambda b: _zeroed(headers_first(b.tif), 50), DAMAGED, ".tif"),
        file_of("raw-cog-zeros-from-50", lambda b: _zeroed(_raw(b), 50), DAMAGED, ".tif"),
        file_of("cut-photo", lambda b: _share(_photo(b, "JPEG"), 60), DAMAGED, ".jpg", fields={"mpp": "0.5"}),
        file_of("cut-png", lambda b: _share(_photo(b, "PNG"), 60), DAMAGED, ".png", fields={"mpp": "0.5"}),
        file_of("zero-tail-photo", lambda b: _zeroed(_photo(b, "JPEG"), 60), DAMAGED, ".jpg", fields={"mpp": "0.5"}),
    ]


def _cut(name: str, size: int) -> Input:
    return file_of(name, lambda b: b.svs[:size], _ending(name))


def _cut_share(name: str, percent: float, *, cog: bool = False) -> Input:
    return file_of(name, lambda b: _share(_svs(b, cog=cog), percent), DAMAGED)


def _zeros(name: str, percent: float, *, cog: bool = False) -> Input:
    """As a download leaves it that reserved the space and never came to the end."""
    return file_of(name, lambda b: _zeroed(_svs(b, cog=cog), percent), DAMAGED)


def _ending(name: str) -> Ending:
    return DAMAGED if "last" in name else UNREADABLE


def _svs(bases: Bases, *, cog: bool) -> bytes:
    return headers_first(bases.svs) if cog else bases.svs


def _share(data: bytes, percent: float) -> bytes:
    return data[: round(len(data) * percent / 100)]


def _zeroed(data: bytes, percent: float) -> bytes:
    return _share(data, percent).ljust(len(data), b"\0")


def _before_last_directory(bases: Bases) -> bytes:
    return bases.svs[: TiffEdit(bases.svs).directories[-1]]


def _raw(bases: Bases) -> bytes:
    """Without compression no decoder can notice anything: only the levels no longer show the same."""
    levels: list[Directory] = pyramid(bases.pixels, lambda tile: tile.tobytes(), compression=NONE)
    return tiff_bytes(levels, headers_first=True)


def _photo(bases: Bases, kind: str) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(bases.pixels).save(out, kind)
    return out.getvalue()
