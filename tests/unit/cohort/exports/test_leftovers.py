"""What a killed export leaves is deleted by the next one; what a living one writes is not."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from wsi_features.cohort.exports.formats import FORMATS
from wsi_features.cohort.exports.leftovers import Leftovers
from wsi_features.stages.exports import ExportRequest, exported

To = Callable[..., Path]

KILLED = """
import os, signal, sys
import numpy as np
from pathlib import Path
from wsi_features.cohort.exports import rows
from wsi_features.stages.exports import ExportRequest, exported

def killed(self, dtype=None):
    yield 0, np.zeros((4, 3), dtype or "float16")
    os.kill(os.getpid(), signal.SIGKILL)

rows.ExportedSlide.blocks = killed
list(exported(Path(sys.argv[1]), ExportRequest(sys.argv[2], Path(sys.argv[3]), slides=("first",))))
"""


def hidden(folder: Path) -> list[str]:
    """Names beside targets; what is in a `.zarr` belongs to it."""
    return sorted(path.name for path in folder.rglob(".*") if ".zarr/" not in str(path.relative_to(folder)))


@pytest.mark.ci
@pytest.mark.parametrize("layout", ["npy", "spatialdata", "eva"])
def test_a_killed_export_leaves_nothing_after_the_next(run: Path, tmp_path: Path, layout: str) -> None:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(run), layout, str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert hidden(tmp_path) or layout == "eva"  # whose rows lie in a nameless file
    list(exported(run, ExportRequest(layout, tmp_path)))
    assert hidden(tmp_path) == []


def leave(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    return path


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("npy", ".first.npy.0123abcd.tmp"),
        ("npy", ".first.coords.npy.0123abcd.tmp"),
        ("trident", "20x_256px_2px_overlap/features_tiny/.glass.h5.0123abcd.tmp"),
        ("slideflow", ".bags_config.json.0123abcd.tmp"),
        ("clam", "pt_files/.second.pt.0123abcd.rows"),
        ("anndata", ".slides.tsv.0123abcd.tmp"),
        ("spatialdata", ".first.zarr.0123abcd.old/zarr.json"),
    ],
)
def test_it_is_deleted_beside_every_kind_of_target(to: To, tmp_path: Path, layout: str, name: str) -> None:
    left = leave(tmp_path / "export" / name)
    to(layout)
    assert not left.exists()
    leave(left)
    to(layout)  # nothing is written anew, and what was left is swept all the same
    assert not left.exists()


@pytest.mark.parametrize(
    "name",
    [".second.npy.0123abcd.tmp", ".other.npy.0123abcd.tmp", ".first.npy.swp", ".first.npy.0123abcg.tmp", "x.tmp"],
)
def test_names_of_other_slides_and_of_other_programs_stay(to: To, tmp_path: Path, name: str) -> None:
    left = leave(tmp_path / "export" / name)
    to("npy", slides=("first",))
    assert left.exists()


@pytest.mark.parametrize("name", [".first.npy.0123abcd.tmp", ".first.zarr.0123abcd.tmp/c/0"])
def test_what_has_changed_since_the_export_began_stays(tmp_path: Path, name: str) -> None:
    living, target = leave(tmp_path / name), tmp_path / name[1:].partition(".0123")[0]
    left = Leftovers.below(tmp_path)
    os.utime(living, ns=(1, living.stat().st_mtime_ns + 10))
    left.sweep([target])
    assert living.exists()
    Leftovers.below(tmp_path).sweep([target])
    assert not living.exists()


@pytest.mark.ci
def test_all_tables_of_a_format_are_swept(to: To, labels: Path, tmp_path: Path) -> None:
    for layout in FORMATS:
        folder = to(layout, labels=labels)
        slides = [path for path in folder.rglob("*") if path.stem.partition(".")[0] in {"first", "second", "glass"}]
        inside = [path for path in folder.rglob("*") if path.is_file() and not any(s in path.parents for s in slides)]
        tables = {path.name for path in inside if path not in slides and "_patches" not in path.name}
        assert tables == {*FORMATS[layout].tables, "export.jsonl", "slides.tsv"}, layout
        (tmp_path / "export").rename(tmp_path / layout)
