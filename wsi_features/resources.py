"""Where the files that ship with the package lie: cards, reference numbers, templates, workflow."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def share(*parts: str) -> Path:
    """A shipped file or folder, named from the top of the repository.

    An installed wheel carries them in `_share`; a checkout has them beside the package.
    """
    installed = _PACKAGE / "_share"
    return (installed if installed.is_dir() else _PACKAGE.parent).joinpath(*parts)
