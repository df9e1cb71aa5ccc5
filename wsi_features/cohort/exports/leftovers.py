"""What an export that was killed left beside its targets: hidden files and folders that nobody writes to any more.

An export that runs at the same time writes such names too. So only what lay there when this one began, beside a target
that this one has just made or found, and has not changed since, is taken for left over.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_HIDDEN = re.compile(r"\.(?P<target>.+)\.[0-9a-f]{8}\.(tmp|old|rows)")
"""As `replacing` and `replacing_folder` name what is not finished; the target's name is cut at 200."""

State = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Hidden names by the target that they were for, and what each was like when this was made."""

    found: dict[Path, dict[Path, State]]

    @classmethod
    def below(cls, folder: Path) -> Leftovers:
        """All of an export folder; folders that are targets themselves (`.zarr`) are not looked into."""
        found: dict[Path, dict[Path, State]] = {}
        for at, folders, files in os.walk(folder):
            for name in (*folders, *files):
                hidden = _HIDDEN.fullmatch(name)
                path = Path(at) / name
                if hidden and (state := _state(path)) is not None:
                    found.setdefault(Path(at) / hidden["target"], {})[path] = state
            folders[:] = [name for name in folders if not name.startswith(".") and not name.endswith(".zarr")]
        return cls(found)

    def sweep(self, targets: Iterable[Path]) -> None:
        """Delete what was left over of `targets`."""
        for target in targets:
            for path, state in self.found.get(target.with_name(target.name[:200]), {}).items():
                if _state(path) != state:
                    continue
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def _state(path: Path) -> State | None:
    """Bytes and newest time of a file, or of all that is in a folder; None where it is gone."""
    try:
        infos = [path.stat(), *(file.stat() for file in path.rglob("*"))]
    except OSError:
        return None
    return sum(info.st_size for info in infos), max(info.st_mtime_ns for info in infos)
