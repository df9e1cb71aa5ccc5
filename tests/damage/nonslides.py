"""What is no slide at all: special files, other formats, error pages, bombs."""

from __future__ import annotations

import gzip
import io
import os
import socket
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from base import DEFLATE, OK, SPEC, UNREADABLE, Bases, Ending, Input, file_of, image, resolution_tags
from tiff_build import Directory, tiff_bytes

_HTML = b"<!DOCTYPE html><html><head><title>Quota exceeded</title></head><body>Too many users</body></html>\n"
_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%b\nsize 246987\n" % (b"4d" * 32)


_NOTHING = Ending("failed|empty", "|unreadable_slide|bad_tiles")


def inputs() -> tuple[Input, ...]:
    return (*_special(), *_other_formats(), *_beginnings(), *_bombs())


def _special() -> list[Input]:
    listed = [
        _made("pipe", os.mkfifo, "is a pipe"),
        _made("socket", _socket, "is a socket"),
        _made("folder", os.mkdir, "is a folder"),
        _made("device", lambda path: path.symlink_to("/dev/zero"), "is a device"),
        _made("null-device", lambda path: path.symlink_to("/dev/null"), "is a device"),
        Input("link", _link, OK, alike="clean-svs"),
        Input("link-to-folder", _link_to_folder, Ending("failed", "unreadable_slide", "is a folder")),
    ]
    if os.geteuid():
        listed.append(Input("no-permission", _locked, Ending("failed", "unreadable_slide", "[Pp]ermission")))
    return listed


def _other_formats() -> list[Input]:
    return [
        _content("empty", lambda _: b"", "has 0 bytes"),
        _content("text", lambda _: b"This is not a slide.\n", "plain text"),
        _content("error-page", lambda _: _HTML, "plain text"),
        _content("lfs-pointer", lambda _: _POINTER, "plain text"),
        _content("zip", _zipped),
        _content("gzip", lambda b: gzip.compress(b.svs, 1, mtime=0)),
        _content("pdf", lambda _: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n" + bytes(500)),
        _content("hdf5", lambda _: b"\x89HDF\r\n\x1a\n" + bytes(2000)),
        _content("sqlite", lambda _: b"SQLite format 3\0" + bytes(2000)),
        _content("program", lambda _: b"\x7fELF\x02\x01\x01" + bytes(2000)),
        _content("zeros", lambda _: bytes(100_000)),
        _content("noise", lambda _: np.random.default_rng(7).bytes(100_000)),
        _content("utf-16-text", lambda _: "not a slide".encode("utf-16")),
        _content("dicom-header-only", lambda _: bytes(128) + b"DICM" + bytes(200), suffix=".dcm"),
        _content("czi-header-only", lambda _: b"ZISRAWFILE".ljust(16, b"\0") + bytes(600), suffix=".czi"),
        _content("mrxs-without-its-folder", lambda b: b.svs[:4000], suffix=".mrxs"),
        _content("vms-of-nothing", lambda _: b"[Virtual Microscope Specimen]\nNoLayers=1\n", suffix=".vms"),
        _content("ndpi-of-text", lambda _: b"NDPI\n", suffix=".ndpi"),
    ]


def _beginnings() -> list[Input]:
    """The first bytes of a known format, and nothing after them."""
    heads = {
        "tiff-magic": b"II*\0",
        "tiff-no-directory": b"II*\0\0\0\0\0",
        "tiff-directory-far-away": b"II*\0\xf0\xff\xff\x7f",
        "tiff-big-endian-magic": b"MM\0*\0\0\0\x08",
        "big-tiff-magic": b"II+\0\x08\0\0\0" + b"\xff" * 8,
        "tiff-directory-is-header": b"II*\0\0\0\0\0".replace(b"\0\0\0\0", b"\x02\0\0\0"),
        "png-magic": b"\x89PNG\r\n\x1a\n",
        "jpeg-magic": b"\xff\xd8\xff\xe0",
    }
    return [_content(name, partial(_always, head)) for name, head in heads.items()]


def _bombs() -> list[Input]:
    """Little that becomes very much when it is unpacked."""
    return [
        file_of("bomb-in-a-tile", lambda _: _bomb_tile(), _NOTHING, ".tif"),
        _content("bomb-in-a-strip", lambda _: _bomb_strip(), suffix=".tif"),
        _content("bomb-png", lambda _: _bomb_png(), suffix=".png"),
    ]


def _content(
    name: str,
    content: Callable[[Bases], bytes],
    message: str = "",
    suffix: str = ".svs",
    reason: str = UNREADABLE.reason,
) -> Input:
    return file_of(name, content, Ending("failed", reason, message), suffix, fields={"mpp": "0.5"})


def _always(content: bytes, _bases: Bases) -> bytes:
    return content


def _made(name: str, make: Callable[[Path], object], message: str) -> Input:
    def build(folder: Path, _bases: Bases) -> Path:
        path = folder / f"{name}.svs"
        make(path)
        return path

    return Input(name, build, Ending("failed", "unreadable_slide", message))


def _socket(path: Path) -> None:
    """The name of a socket may not be long, so it is bound from its folder."""
    here = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{here}/{path.name}")
    finally:
        os.close(here)


def _link(folder: Path, bases: Bases) -> Path:
    (folder / "target.svs").write_bytes(bases.svs)
    (folder / "link.svs").symlink_to("target.svs")
    return folder / "link.svs"


def _link_to_folder(folder: Path, _bases: Bases) -> Path:
    (folder / "link.svs").symlink_to(".")
    return folder / "link.svs"


def _locked(folder: Path, bases: Bases) -> Path:
    path = folder / "locked.svs"
    path.write_bytes(bases.svs)
    path.chmod(0)
    return path


def _zipped(bases: Bases) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("slide.svs", bases.svs)
    return out.getvalue()


def _bomb_tile() -> bytes:
    """Every tile of a sound structure unpacks to 32 MiB."""
    level = image(np.zeros((SPEC.height, SPEC.width, 3), np.uint8), tags=resolution_tags(0.5))
    bomb = zlib.compress(bytes(32 << 20), 9)
    return tiff_bytes([Directory(level.tags, [bomb] * len(level.segments))])


def _bomb_strip() -> bytes:
    """A strip of 3.6 GB in 3.5 MB would be an image of 1.2 gigapixels."""
    level = image(np.zeros((16, 16, 3), np.uint8), compression=DEFLATE, tags=resolution_tags(0.5))
    packer = zlib.compressobj(1)
    strip = b"".join(packer.compress(bytes(64 << 20)) for _ in range(4)) + packer.flush()
    side = (4, (36_000,))
    tags = {t: v for t, v in level.tags.items() if t not in {322, 323}} | {256: side, 257: side, 278: side}
    return tiff_bytes([Directory(tags, [strip])])


def _bomb_png() -> bytes:
    """A header of 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    head = (60_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    body = zlib.compress(bytes(16 << 20), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
