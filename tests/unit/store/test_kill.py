"""Writers killed at any file operation, and writers that race: real processes, real SIGKILL."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_features.store import FeatureStore, find_stores, is_complete, sweep

OTHER = "cc" * 32
pytestmark = pytest.mark.usefixtures("small_chunks")


class Writers:
    """Writes a store of 11 tiles in other processes."""

    def __init__(self, process: subprocess.Popen[str], job: Path, samples: Any) -> None:
        self._process, self._job, self._samples = process, job, samples

    def run(self, folder: Path, command: str) -> list[int]:
        """Do `command` in `folder`; the file operations of each process that lived to the end."""
        rows = self._samples.features(11)
        job = {"target": folder / "s1.zarr", "content": self._samples.content(11), "features": rows}
        job |= {"valid": np.arange(11) != 8, "problems": [(8, "missing 8")]}
        self._job.write_bytes(pickle.dumps(job))
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{self._job} {command}\n")
        self._process.stdin.flush()
        lines = list(iter(self._process.stdout.readline, "ended\n"))
        return [int(line.removeprefix("wrote ")) for line in lines]


@pytest.fixture(scope="module")
def writers(samples: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writers]:
    script = Path(__file__).with_name("killed_writer.py")
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, str(script)], stdin=pipe, stdout=pipe, text=True) as process:
        yield Writers(process, tmp_path_factory.mktemp("job") / "job.pickle", samples)
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="module")
def undisturbed(
    writers: Writers, samples: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[int, dict[str, bytes]]:
    """How many file operations one store takes, and its bytes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (operations,) = writers.run(folder, "kill 0")
    return operations, samples.tree(folder / "s1.zarr")


def test_a_killed_writer_leaves_nothing_visible_that_is_not_complete(
    writers: Writers, undisturbed: tuple[int, dict[str, bytes]], samples: Any, tmp_path: Path
) -> None:
    operations, wanted = undisturbed
    moments = sorted(random.Random(7).sample(range(1, operations - 4), 3)) + list(range(operations - 4, operations + 1))
    visible = []
    for moment in moments:
        folder = tmp_path / str(moment)
        assert writers.run(folder, f"kill {moment}") == []
        visible.append(len(find_stores(folder)))
        for store in find_stores(folder):
            FeatureStore.open(store).check()
        sweep(folder / "s1.zarr")
        assert not samples.hidden(folder)
        writers.run(folder, "kill 0")
        assert samples.tree(folder / "s1.zarr") == wanted
    assert visible == sorted(visible)
    assert {0, 1} == set(visible)


def test_a_writer_killed_while_it_replaces_a_store_leaves_the_old_or_the_new_or_none(
    writers: Writers, undisturbed: tuple[int, dict[str, bytes]], samples: Any, tmp_path: Path
) -> None:
    found = []
    for moment in range(undisturbed[0] - 2, undisturbed[0] + 12, 2):
        folder = tmp_path / str(moment)
        samples.write(folder, samples.content(11, fingerprint=OTHER))
        writers.run(folder, f"kill {moment}")
        target = folder / "s1.zarr"
        found.append("old" if is_complete(target, OTHER) else "new" if is_complete(target, samples.fingerprint) else "")
        assert found[-1] or not target.exists()
        sweep(target)
        assert not samples.hidden(folder)
    assert found[0] == "old"
    assert found[-1] == "new"


def test_two_processes_that_write_one_target_leave_one_complete_store(
    writers: Writers, undisturbed: tuple[int, dict[str, bytes]], samples: Any, tmp_path: Path
) -> None:
    for turn in range(2):
        folder = tmp_path / str(turn)
        assert len(writers.run(folder, "race")) == 2
        assert [path.name for path in folder.iterdir()] == ["s1.zarr"]
        assert samples.tree(folder / "s1.zarr") == undisturbed[1]


def test_two_processes_that_replace_one_store_leave_one_complete_store(
    writers: Writers, undisturbed: tuple[int, dict[str, bytes]], samples: Any, tmp_path: Path
) -> None:
    for turn in range(2):
        folder = tmp_path / str(turn)
        samples.write(folder, samples.content(11, fingerprint=OTHER))
        assert len(writers.run(folder, "race")) == 2
        assert [path.name for path in folder.iterdir()] == ["s1.zarr"]
        assert samples.tree(folder / "s1.zarr") == undisturbed[1]
