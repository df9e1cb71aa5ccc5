"""Resolutions that are absent, impossible, or contradict what else the file says."""

from __future__ import annotations

from base import APERIO, MPP, OK, Ending, Input, description, edited, file_of, svs_edit, tif_edit
from tiff_edit import RATIONAL, UNIT, X_RESOLUTION, Y_RESOLUTION, TiffEdit

_HEAD = APERIO + " JPEG/YCC Q=80"
_GIVEN = {"mpp": "0.5"}


def inputs() -> tuple[Input, ...]:
    return (*_texts(), *_objectives(), *_with_manifest(), *_tags())


def _texts() -> list[Input]:
    """What an Aperio text says: MPP, and an objective power that fits the true one."""
    bad = {
        "0": "0", "negative": "-0.5", "million": "1e6", "inf": "inf", "nan": "nan", "hex": "0x1p-1",
        "empty": "", "words": "unknown", "with-unit": "0.5 um", "tenfold": "5.0", "tenth": "0.05", "tiny": "1e-300",
        "very-long": "0." + "5" * 4000, "too-large-to-hold": "1e999", "two-points": "0.5.0",
    }  # fmt: skip
    endings = {"very-long": Ending("ok|failed", "|mpp"), "hex": Ending("ok|failed", "|mpp")}
    listed = [
        _text(f"mpp-{name}", f"|AppMag = 20|MPP = {value}", endings.get(name, MPP)) for name, value in bad.items()
    ]
    return [
        *listed,
        _text("mpp-twice", "|AppMag = 20|MPP = 0.5000|MPP = 0.2500", MPP),
        _text("mpp-twice-the-same", "|AppMag = 20|MPP = 0.5000|MPP = 0.5000", OK, alike="clean-svs"),
        _text("mpp-absent", "|AppMag = 20", MPP),
        _text("nothing-stated", "", MPP),
        _text("mpp-comma", "|AppMag = 20|MPP = 0,5", OK, alike="clean-svs"),
        _text("mpp-exponent", "|AppMag = 20|MPP = 5e-1", OK, alike="clean-svs"),
        _text("text-not-ascii", "|AppMag = 20|MPP = 0.5000|Patient = M\xfcller", OK, alike="clean-svs"),
        _text("text-with-control-bytes", "|AppMag = 20|MPP = 0.5000|Note = \x1b[31m\x07\n\n", OK, alike="clean-svs"),
        _text("coarse-scan", "|AppMag = 5|MPP = 2.0", MPP),
    ]


def _objectives() -> list[Input]:
    """A resolution more than 30 % from what the objective gives is refused: one of the two is wrong."""
    return [
        _text("objective-40-at-half-a-micron", "|AppMag = 40|MPP = 0.5000", MPP),
        _text("objective-10-at-half-a-micron", "|AppMag = 10|MPP = 0.5000", MPP),
        _text("objective-0", "|AppMag = 0|MPP = 0.5000", OK, alike="clean-svs"),
        _text("objective-negative", "|AppMag = -20|MPP = 0.5000", OK, alike="clean-svs"),
        _text("objective-not-a-number", "|AppMag = 20x|MPP = 0.5000", OK, alike="clean-svs"),
        _text("objective-absent", "|MPP = 0.5000", OK, alike="clean-svs"),
    ]


def _with_manifest() -> list[Input]:
    """What the manifest gives takes the place of what the file says."""
    broken = {"0": "0", "inf": "inf", "nan": "nan", "tenfold": "5.0", "words": "unknown"}
    more = {"fields": _GIVEN, "alike": "clean-svs"}
    return [
        *(_text(f"mpp-{name}-corrected", f"|AppMag = 20|MPP = {value}", OK, **more) for name, value in broken.items()),
        _text("objective-40-corrected", "|AppMag = 40|MPP = 0.5000", OK, **more),
        _text("nothing-stated-corrected", "", OK, **more),
        file_of("manifest-coarser-than-asked", lambda b: b.svs, MPP, fields={"mpp": "1.1"}),
    ]


def _tags() -> list[Input]:
    return [
        tif_edit("72-dpi", lambda e: _resolution(e, (72, 1), (72, 1), 2), MPP),
        tif_edit("300-dpi", lambda e: _resolution(e, (300, 1), (300, 1), 2), MPP),
        tif_edit("x-unlike-y", lambda e: _resolution(e, (20000, 1), (40000, 1), 3), MPP),
        tif_edit("x-2-percent-off", lambda e: _resolution(e, (20000, 1), (20400, 1), 3), MPP),
        tif_edit("resolution-0", lambda e: _resolution(e, (0, 1), (0, 1), 3), MPP),
        tif_edit("resolution-over-0", lambda e: _resolution(e, (20000, 0), (20000, 0), 3), MPP),
        tif_edit("resolution-without-unit", lambda e: _resolution(e, (20000, 1), (20000, 1), 1), MPP),
        tif_edit("resolution-unit-77", lambda e: _resolution(e, (20000, 1), (20000, 1), 77), MPP),
        tif_edit("resolution-x-only", lambda e: e.drop(0, Y_RESOLUTION), MPP),
        tif_edit("resolution-largest", lambda e: _resolution(e, (2**32 - 1, 1), (2**32 - 1, 1), 3), MPP),
        tif_edit("resolution-in-inches", lambda e: _resolution(e, (50800, 1), (50800, 1), 2), OK, alike="clean-tif"),
        tif_edit(
            "72-dpi-corrected", lambda e: _resolution(e, (72, 1), (72, 1), 2), OK, fields=_GIVEN, alike="clean-tif"
        ),
        tif_edit("resolution-as-bytes", lambda e: e.put_kind(0, X_RESOLUTION, 1), MPP),
        file_of("no-resolution-tags", lambda b: edited(b.tif, _none), MPP, ".tif"),
    ]


def _text(name: str, fields_of_text: str, ending: Ending, **more: object) -> Input:
    return svs_edit(name, description(_HEAD + fields_of_text), ending, **more)


def _resolution(edit: TiffEdit, x: tuple[int, int], y: tuple[int, int], unit: int) -> None:
    edit.put(0, X_RESOLUTION, x, RATIONAL).put(0, Y_RESOLUTION, y, RATIONAL).put(0, UNIT, [unit])


def _none(edit: TiffEdit) -> None:
    for tag in (X_RESOLUTION, Y_RESOLUTION, UNIT):
        edit.drop(0, tag)
