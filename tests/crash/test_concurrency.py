"""Several jobs on one slide at once, as after a requeue beside a living first copy, and readers that look on."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.unit.store.conftest import Samples
from wsi_features.errors import StoreError
from wsi_features.store import FeatureStore

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def process() -> Iterator[subprocess.Popen[str]]:
    command, pipe = [sys.executable, "-m", "tests.crash.writing_process"], subprocess.PIPE
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as started:
        yield started
        assert started.stdin is not None
        started.stdin.close()


def raced(process: subprocess.Popen[str], target: Path, seen: Counter[str], **command: Any) -> list[list[str]]:
    """What each of several jobs did, while this process opens the store all the time."""
    requests, answers = cast("Any", process.stdin), cast("Any", process.stdout)
    requests.write(json.dumps({"target": str(target)} | command) + "\n")
    requests.flush()
    while not select.select([answers], [], [], 0)[0]:
        seen[opened(target)] += 1
        time.sleep(0.0005)  # the jobs need the cores, too
    told: list[list[str]] = json.loads(answers.readline())
    return told


def opened(target: Path) -> str:
    """What a reader finds: `absent`, `complete`, or the words of an error that it must never see."""
    try:
        store = FeatureStore.open(target)
    except StoreError as error:
        return "absent" if "no feature store at" in str(error) else str(error)
    return "complete" if len(store) == 11 and store.features.shape == (11, 3) else "something else"


def race(process: subprocess.Popen[str], folder: Path, turns: int, *, far: bool, opens: int = 0) -> Counter[str]:
    """So many races; each must end in one store that is as if there had been one job."""
    seen, did, wanted, turn = Counter[str](), Counter[str](), None, 0
    while turn < turns or seen.total() < opens:
        target = folder / str(turn) / "s1.zarr"
        told = raced(process, target, seen, jobs=2 + turn % 3, far=far, seed=turn)
        assert len(told) == 2 + turn % 3, told
        assert all(deeds[-1] == "complete" for deeds in told), told
        did.update(deed for deeds in told for deed in deeds)
        if not far:
            assert [deed for deeds in told for deed in deeds if deed not in {"complete", "ClaimedError"}] == ["0"], told
        FeatureStore.open(target).check()
        wanted = wanted or Samples.tree(target)
        assert Samples.tree(target) == wanted
        assert far or [path.name for path in target.parent.iterdir()] == ["s1.zarr"]
        shutil.rmtree(target.parent)
        turn += 1
    sys.stdout.write(f"\n{turn} races, jobs did {dict(did)}, readers saw {dict(seen)}\n")
    assert set(seen) <= {"absent", "complete"}
    return did


@pytest.mark.parametrize("far", [False, True])
def test_ten_races(process: subprocess.Popen[str], tmp_path: Path, far: bool) -> None:
    race(process, tmp_path, 5, far=far)


@pytest.mark.full
@pytest.mark.parametrize("far", [False, True])
def test_a_hundred_races_and_ten_thousand_opens(process: subprocess.Popen[str], tmp_path: Path, far: bool) -> None:
    did = race(process, tmp_path, 100, far=far, opens=10_000)
    assert not far or did["ClaimedError"] + did["StoreError"] > 100
