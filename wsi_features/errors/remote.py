"""Errors of slides that lie in an object store."""

from __future__ import annotations

from wsi_features.errors.slides import SlideFileError


class RemoteSlideError(SlideFileError):
    """The slide cannot be brought here."""

    @classmethod
    def unreachable(cls, slide_id: str, path: str, why: str) -> RemoteSlideError:
        """An object store that does not answer, or not with the slide."""
        return cls(
            f"slide {slide_id!r}: {path!r} cannot be fetched ({why}). Check the network, the credentials and, for S3, "
            "the variable AWS_ENDPOINT_URL, then rerun."
        )

    @classmethod
    def in_several_files(cls, slide_id: str, path: str) -> RemoteSlideError:
        """A slide in several files cannot be told from its one name."""
        return cls(
            f"slide {slide_id!r}: {path!r} is a slide in several files, and of an object store only slides in one file "
            "are read. Copy it to a disk and give its path there."
        )

    @classmethod
    def no_scratch(cls, slide_id: str, path: str, folder: str, why: str) -> RemoteSlideError:
        """A remote slide has to be copied before it is read."""
        return cls(
            f"slide {slide_id!r}: {path!r} cannot be copied to {folder!r} ({why}). "
            "Give a folder with space as `tuning.scratch`, then rerun."
        )
