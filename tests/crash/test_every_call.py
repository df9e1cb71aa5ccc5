"""A writer is killed, or its disk fails, at every call that changes a file: nothing wrong is ever seen, nothing is lost.

The model is SQLite's crash tests. Each life of a writer is followed by an undisturbed one, which must end in the same
bytes as if nothing had happened. A neighbour's store, another job's claim on it and its work must stay as they are.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.unit.store.conftest import Samples
from wsi_features.errors import StoreError
from wsi_features.store import FeatureStore, find_stores, is_complete

COMPILER = shutil.which("cc") or shutil.which("gcc")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler, which makes the library that injects faults")
ROOT = Path(__file__).parents[2]
MEMORY = Path("/dev/shm")  # noqa: S108 - a kill, unlike a power cut, loses nothing written, and flushing costs nothing here

FAULTS = {"kill": (0, 0), "eio": (errno.EIO, 0), "full": (errno.ENOSPC, 1), "quota": (errno.EDQUOT, 1)}
FAULTS |= {"stale": (errno.ESTALE, 1), "readonly": (errno.EROFS, 1)}
"""An error number, 0 for SIGKILL, and whether the disk goes on to fail after the first time."""


class Writing:
    """The process that writes, and the folder it writes to, with a neighbour in it."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self._folder, self._count = process, folder, 0
        self._neighbour = Samples.write(folder, Samples.content(7, slide_id="s2"))

    def folder(self) -> Path:
        """A new one, in which only a neighbour is: its store, a claim of another machine, and work of that."""
        self._count += 1
        folder = self._folder / str(self._count)
        shutil.copytree(self._neighbour, folder / "s2.zarr")
        for name in (".s3.zarr.claim/01234567-1-1-00000000", ".s3.zarr.01234567-1-1-00000000/journal"):
            (folder / name).parent.mkdir()
            (folder / name).write_text("of another machine")
        return folder

    def write(self, folder: Path, call: int = 0, fault: str = "kill") -> dict[str, Any]:
        """How one life of a writer of `s1.zarr` ended."""
        error, sticky = FAULTS[fault]
        command = {"target": str(folder / "s1.zarr"), "watched": f"{folder}/", "call": call}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command | {"error": error, "sticky": sticky}) + "\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found


@pytest.fixture(scope="module")
def writing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writing]:
    library = tmp_path_factory.mktemp("crash") / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run([str(COMPILER), "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    environment = os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT)}
    command, pipe = [sys.executable, "-m", "tests.crash.writing_process"], subprocess.PIPE
    with (
        TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process,
    ):
        yield Writing(process, Path(folder))
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="module")
def undisturbed(writing: Writing) -> tuple[int, dict[str, bytes]]:
    """How many calls one store takes, and its bytes."""
    folder = writing.folder()
    ended = writing.write(folder)
    assert ended["ended"] == "0"
    return ended["calls"], Samples.tree(folder / "s1.zarr")


def shown(folder: Path) -> str:
    """What a reader finds of the store: `absent`, `complete`, or what is wrong with it."""
    target = folder / "s1.zarr"
    if not target.exists():
        return "absent"
    try:
        FeatureStore.open(target).check()
    except StoreError as error:
        return str(error)
    return "complete" if is_complete(target, Samples.fingerprint) else "another"


def lived_through(writing: Writing, fault: str, calls: range, wanted: dict[str, bytes]) -> Counter[str]:
    """Let the fault happen at each of `calls`, look, let another writer go on, and look again."""
    seen: Counter[str] = Counter()
    for call in calls:
        folder = writing.folder()
        others = Samples.tree(folder)
        first = writing.write(folder, call, fault)
        seen[f"visible after {fault}: {shown(folder)}"] += 1
        seen["how it ended: " + (first.get("raised") or next(iter(first)))] += 1
        assert "unplanned" not in first, (call, first)
        assert "'s1'" in first.get("message", "'s1'") or "s1.zarr" in first["message"]
        assert shown(folder) in {"absent", "complete"}, call
        second = writing.write(folder)
        seen[f"rows taken up: {second['ended']}"] += 1
        writing.write(folder)
        after = Samples.tree(folder)
        assert {name: data for name, data in after.items() if name.startswith("s1.zarr/")} == {
            f"s1.zarr/{name}": data for name, data in wanted.items()
        }, call
        assert {name: data for name, data in after.items() if not name.startswith("s1.zarr/")} == others, call
        assert sorted(path.name for path in find_stores(folder)) == ["s1.zarr", "s2.zarr"]
        shutil.rmtree(folder)
    return seen


def told(fault: str, count: int, seen: Counter[str]) -> None:
    sys.stdout.write(f"\n{fault}: {count} lives, {dict(sorted(seen.items()))}\n")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_some_calls(writing: Writing, undisturbed: tuple[int, dict[str, bytes]], fault: str) -> None:
    calls = range(3 + 5 * sorted(FAULTS).index(fault), undisturbed[0] + 1, 41)
    told(fault, len(calls), lived_through(writing, fault, calls, undisturbed[1]))


@pytest.mark.full
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_every_call(writing: Writing, undisturbed: tuple[int, dict[str, bytes]], fault: str) -> None:
    calls = range(1, undisturbed[0] + 1)
    seen = lived_through(writing, fault, calls, undisturbed[1])
    told(fault, len(calls), seen)
    assert {f"visible after {fault}: {state}" for state in ("absent", "complete")} <= set(seen)
    assert {"rows taken up: 0", "rows taken up: 4", "rows taken up: 8", "rows taken up: 11"} <= set(seen)
