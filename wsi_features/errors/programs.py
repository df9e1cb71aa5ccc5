"""Errors of files that hold a finished program instead of weights, and of the libraries that run one."""

from __future__ import annotations

from wsi_features.errors.encoders import EncoderError, WeightsError


class ProgramError(WeightsError):
    """A file that is no program for this encoder."""

    @classmethod
    def unreadable(cls, name: str, path: str, why: str) -> ProgramError:
        """Damaged, of another kind, or with parts that are not read here."""
        return cls(
            f"encoder {name!r}: {path!r} is not a program that can be run here ({why}). Export the network again, as "
            "the card's `builder` says: torch.jit.save, torch.export.save or ONNX in one file."
        )

    @classmethod
    def refuses(cls, name: str, path: str, shape: tuple[int, ...], why: str) -> ProgramError:
        """A program for images of another size, or for one batch size only."""
        return cls(
            f"encoder {name!r}: the program {path!r} does not take images {shape} ({why}). Correct `input_px` in the "
            "card, or export the program with a batch of any size."
        )

    @classmethod
    def returns(cls, name: str, path: str, found: tuple[int, ...], images: tuple[int, ...]) -> ProgramError:
        """Neither rows nor tokens."""
        return cls(
            f"encoder {name!r}: the program {path!r} returns {found} for images {images}; wanted are rows (b, d) or "
            "tokens (b, n, d). Export the network without what comes after its features."
        )

    @classmethod
    def returns_nan(cls, name: str, path: str) -> ProgramError:
        """NaN or infinity for a plain image."""
        return cls(
            f"encoder {name!r}: the program {path!r} returns NaN or infinity for a plain image. "
            "Export the network again, in fp32."
        )


class LibraryError(EncoderError):
    """A library that a card needs is not installed as it must be."""

    @classmethod
    def absent(cls, name: str, library: str, extra: str) -> LibraryError:
        """An extra of this package that was not installed."""
        return cls(f"encoder {name!r} needs {library}, which is not installed. Run: pip install '{extra}'")

    @classmethod
    def not_on(cls, name: str, library: str, device: str) -> LibraryError:
        """A build of the library for another kind of device."""
        return cls(
            f"encoder {name!r} was asked for on {device}, which this {library} cannot use. "
            "Set `device` to cpu, or install a build of it for that device."
        )
