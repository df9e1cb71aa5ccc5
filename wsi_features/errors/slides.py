"""Errors of opening and reading slides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from wsi_features.errors.base import SlideError


class SlideFileError(SlideError):
    """The file is missing, or is not something a slide can be read from."""

    reason: ClassVar[str] = "unreadable_slide"

    @classmethod
    def missing(cls, slide_id: str, path: str) -> SlideFileError:
        """No file at the manifest's path."""
        return cls(f"slide {slide_id!r}: no file at {path!r}. Correct the `path` in the manifest, or set `skip`.")

    @classmethod
    def not_regular(cls, slide_id: str, path: str, kind: str) -> SlideFileError:
        """Pipes and devices block every reader."""
        return cls(f"slide {slide_id!r}: {path!r} is a {kind}, not a regular file. Give the path of the slide file.")

    @classmethod
    def empty(cls, slide_id: str, path: str) -> SlideFileError:
        """A file of zero bytes: usually a copy that never happened."""
        return cls(f"slide {slide_id!r}: {path!r} has 0 bytes. Copy the slide again, then rerun.")

    @classmethod
    def unreadable(cls, slide_id: str, path: str, why: str) -> SlideFileError:
        """The system refuses to read it: permission, a lost disk."""
        return cls(f"slide {slide_id!r}: {path!r} cannot be read ({why}). Check permissions and the disk, then rerun.")

    @classmethod
    def no_reader(cls, slide_id: str, path: str, found: str) -> SlideFileError:
        """No reader recognises the content."""
        return cls(
            f"slide {slide_id!r}: {path!r} is not a slide that any reader knows ({found}). "
            "Check that the file is complete, and its format with `wsi-features inspect`."
        )

    @classmethod
    def refused(cls, slide_id: str, path: str, reader: str, why: str) -> SlideFileError:
        """A reader knows the format but the file is damaged."""
        return cls(
            f"slide {slide_id!r}: {reader} cannot open {path!r} ({why}). "
            "The file is probably cut short or damaged: copy or export it again, then rerun."
        )

    @classmethod
    def timed_out(cls, slide_id: str, path: str, seconds: float) -> SlideFileError:
        """A reader that hangs, or a disk that does."""
        return cls(
            f"slide {slide_id!r}: {path!r} could not be opened within {seconds:g} s. "
            "Check the file and its disk, or raise `tuning.inspect_seconds`, then rerun."
        )

    @classmethod
    def stalled(cls, slide_id: str, seconds: float) -> SlideFileError:
        """A slide that does not open, in the middle of a run."""
        return cls(
            f"slide {slide_id!r}: opening it has not ended within {seconds:g} s. Check the file and its disk, then rerun."
        )

    @classmethod
    def crashed(cls, slide_id: str, path: str, ending: str) -> SlideFileError:
        """The reader's process is gone; `ending` says by which signal or exit code."""
        return cls(
            f"slide {slide_id!r}: the reader crashed on {path!r} ({ending}). "
            "The file is probably damaged: copy or export it again, then rerun."
        )

    @classmethod
    def out_of_memory(cls, slide_id: str, path: str, mib: int) -> SlideFileError:
        """Opening takes more memory than any sound slide needs."""
        return cls(
            f"slide {slide_id!r}: opening {path!r} needs more than {mib} MiB of memory. The file is probably "
            "damaged: copy or export it again, or raise `tuning.inspect_mib`, then rerun."
        )

    @classmethod
    def reader_fault(cls, slide_id: str, path: str, kind: str, why: str) -> SlideFileError:
        """The reader raised what no reader should; `kind` is the name of its class."""
        return cls(
            f"slide {slide_id!r}: the reader failed on {path!r} ({kind}: {why}). "
            "If other programs open the file, report this as a fault; until then set `skip` in the manifest."
        )

    @classmethod
    def wrong_sha256(cls, slide_id: str, path: str, found: str, wanted: str) -> SlideFileError:
        """The file is not the one that the manifest was written for."""
        return cls(
            f"slide {slide_id!r}: {path!r} has the SHA-256 {found}; the manifest says {wanted}. "
            "Copy the slide again, or correct `sha256` in the manifest."
        )

    @classmethod
    def sha256_of_folder(cls, slide_id: str, path: str) -> SlideFileError:
        """Only a file has one."""
        return cls(
            f"slide {slide_id!r}: {path!r} is a folder, and only a file has a SHA-256. Leave `sha256` empty for it."
        )

    @classmethod
    def no_scene(cls, slide_id: str, path: str, scene: str, found: Sequence[str]) -> SlideFileError:
        """The manifest chooses a scene that the file does not have."""
        names = ", ".join(repr(name) for name in found if name) or "one image without a name"
        return cls(
            f"slide {slide_id!r}: {path!r} has no scene {scene!r}; it holds {names}. Correct `scene` in the manifest."
        )

    @classmethod
    def no_plane(cls, slide_id: str, path: str, plane: int, planes: int) -> SlideFileError:
        """The manifest chooses a focal plane that the scene does not have."""
        found = "one focal plane, 0" if planes == 1 else f"{planes} focal planes, 0 to {planes - 1}"
        return cls(
            f"slide {slide_id!r}: {path!r} has {found}; the manifest asks for {plane}. Correct `plane` in the manifest."
        )

    @classmethod
    def unsupported(cls, slide_id: str, path: str, found: str, remedy: str) -> SlideFileError:
        """A sound file of a kind that no reader here handles."""
        return cls(f"slide {slide_id!r}: {path!r} holds {found}, which cannot be read here. {remedy}, then rerun.")

    @classmethod
    def no_package(cls, slide_id: str, path: str, kind: str, package: str, extra: str) -> SlideFileError:
        """An optional package reads this format."""
        return cls(
            f"slide {slide_id!r}: {path!r} is a {kind} file, and the package {package} that reads it is not installed. "
            f"Run `pip install 'wsi-features[{extra}]'`, then rerun."
        )

    @classmethod
    def image_too_large(cls, slide_id: str, path: str, *, width: int, height: int, most: int) -> SlideFileError:
        """A plain image is held in memory as a whole, so its size is limited."""
        return cls(
            f"slide {slide_id!r}: {path!r} is a plain image of {width} x {height} pixels; at most "
            f"{most / 1_000_000:g} megapixels are held in memory. "
            "Convert it to a tiled pyramidal TIFF, for example with `vips tiffsave --tile --pyramid`."
        )

    @classmethod
    def image_not_rgb(cls, slide_id: str, path: str, found: str) -> SlideFileError:
        """Other colours would have to be converted by a rule that the file does not state."""
        return cls(
            f"slide {slide_id!r}: {path!r} holds {found}; wanted 8-bit RGB, or RGBA with plain alpha. "
            "Convert it to 8-bit RGB, for example with `vips colourspace`, then rerun."
        )

    @classmethod
    def colour_profile(cls, slide_id: str, why: str) -> SlideFileError:
        """The recipe wants sRGB, and the file's profile does not lead there."""
        return cls(
            f"slide {slide_id!r}: its colour profile cannot be used ({why}). "
            "Set `read.colour` to stored, or export the slide with a sound RGB profile."
        )

    @classmethod
    def implausible(cls, slide_id: str, path: str, found: Sequence[str]) -> SlideFileError:
        """The file opens, and what it shows cannot be true."""
        return cls(
            f"slide {slide_id!r}: {path!r} opens, but {'; '.join(found)}. "
            "Look at it in a viewer, then copy or export it again, or set `skip` in the manifest."
        )

    @classmethod
    def image_turned(cls, slide_id: str, path: str, orientation: object) -> SlideFileError:
        """Programs differ in whether they turn it, so positions on it would have two meanings."""
        return cls(
            f"slide {slide_id!r}: {path!r} is stored turned (orientation tag {orientation}, wanted 1 or none). "
            "Save it upright without the tag, then rerun."
        )

    @classmethod
    def image_pages(cls, slide_id: str, path: str, pages: int) -> SlideFileError:
        """Channels, focal planes or series: which of them is the slide is not stated."""
        return cls(
            f"slide {slide_id!r}: {path!r} holds {pages} full-resolution pages; wanted one. "
            "Export the page that is the slide as an 8-bit RGB TIFF."
        )


class CrashError(SlideError):
    """Foreign code ended the whole process while it worked on the slide."""

    reason: ClassVar[str] = "crashed"

    @classmethod
    def in_stage(cls, slide_id: str, path: str, stage: str, signal: str) -> CrashError:
        """`signal` is how the process ended, in words."""
        return cls(
            f"slide {slide_id!r}: a process crashed in {stage} while it worked on {path!r} ({signal}). The file is "
            "probably damaged: copy or export it again and run `wsi-features retry`, or set `skip` in the manifest."
        )


class ResolutionError(SlideError):
    """The slide's microns per pixel are unknown, implausible or too coarse."""

    reason: ClassVar[str] = "mpp"

    @classmethod
    def missing(cls, slide_id: str, looked_at: Sequence[str]) -> ResolutionError:
        """No source states a resolution, and it is never guessed."""
        sources = ", ".join(looked_at) or "no source"
        return cls(
            f"slide {slide_id!r} does not say its microns per pixel (looked at: {sources}). "
            "Give the value in the manifest column `mpp`."
        )

    @classmethod
    def implausible(cls, slide_id: str, value: object, source: str) -> ResolutionError:
        """A resolution outside what slide scanners produce."""
        return cls(
            f"slide {slide_id!r} states {value} um/px ({source}); wanted one value from 0.05 to 20, equal in x and y "
            "within 1 %. Give the true value in the manifest column `mpp`."
        )

    @classmethod
    def against_objective(cls, slide_id: str, mpp: float, source: str, power: float, usual: float) -> ResolutionError:
        """The two statements of the file cannot both be right, and features at a wrong scale look like features."""
        return cls(
            f"slide {slide_id!r} states {mpp:g} um/px ({source}), and an objective power of {power:g}, which mostly "
            f"gives {usual:g}; they may differ by 30 %. Give the true value in the manifest column `mpp`."
        )

    @classmethod
    def too_coarse(cls, slide_id: str, *, native: float, wanted: float, tolerance: float) -> ResolutionError:
        """Tiles finer than the scan would be invented detail."""
        return cls(
            f"slide {slide_id!r} was scanned at {native:g} um/px, more than {tolerance:.0%} coarser than the "
            f"{wanted:g} um/px asked for; tiles would be invented detail. "
            f"Set `tiles.mpp` to at least {native:g}, set `tiles.upsample` to accept enlarged tiles, or drop the slide."
        )

    @classmethod
    def too_few_pixels(cls, slide_id: str, *, span: int, size: int) -> ResolutionError:
        """Tiles whose span is given, by a list, and which would have to be enlarged."""
        return cls(
            f"slide {slide_id!r}: tiles of {span} level-0 pixels were asked for as {size} px; enlarged, they would be "
            f"invented detail. Set `tiles.size` to at most {span}, or set `tiles.upsample` to accept enlarged tiles."
        )


class TileReadError(SlideError):
    """More of a slide is missing or unreadable than can be accepted."""

    reason: ClassVar[str] = "bad_tiles"

    @classmethod
    def overview(cls, slide_id: str, level: int, y: int, why: str) -> TileReadError:
        """A level that the thumbnail is made from; without it no tissue can be found."""
        return cls(
            f"slide {slide_id!r}: the thumbnail cannot be made, level {level} is unreadable from row {y} ({why}). "
            "Copy or export the slide again, then rerun."
        )

    @classmethod
    def region(cls, slide_id: str, level: int, x: int, y: int, why: str) -> TileReadError:
        """A part of the lazy array; x and y are in pixels of the level."""
        return cls(
            f"slide {slide_id!r}: level {level} cannot be read at x={x}, y={y} ({why}). "
            "Copy or export the slide again, or leave out this part."
        )

    @classmethod
    def stalled(cls, slide_id: str, x: int, y: int, seconds: float) -> TileReadError:
        """A read or decoding that does not return; x and y are in level-0 pixels."""
        return cls(
            f"slide {slide_id!r}: reading the tile at x={x}, y={y} has not ended within {seconds:g} s. "
            "Check the file and its disk, then rerun."
        )

    @classmethod
    def too_many(cls, slide_id: str, bad: Sequence[tuple[int, int, str]], total: int, allowed: float) -> TileReadError:
        """`bad` holds level-0 x, y and the reason of each tile."""
        x, y, why = bad[0]
        return cls(
            f"slide {slide_id!r}: {len(bad)} of {total} tiles cannot be read (first at x={x}, y={y}: {why}), "
            f"allowed are {allowed:.2%}. Copy or export the slide again, or raise `read.max_bad_tile_fraction`."
        )
