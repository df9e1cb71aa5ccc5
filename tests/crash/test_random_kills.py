"""`wsi-features run` killed at random moments of every stage, and started again until it ends by itself."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.store import FeatureStore, abandoned, find_stores

ROOT = Path(__file__).parents[2]
Undisturbed = tuple[dict[str, float], dict[str, bytes]]
TILES = {"size": 64, "mpp": 0.5, "min_tissue": 0.01}


class Runs:
    """Starts runs over two slides, into an output folder in which a third is done already."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self.folder = process, folder
        config = {"tiles": TILES, "tuning": {"batch": 3, "workers": 2, "slides_per_shard": 2}}
        config["encoders"] = [{"name": "histo-texture", "scale": "any"}]
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        for name, seed in (("a", 6), ("b", 7), ("done", 8)):
            (folder / name).mkdir()
            spec = SlideSpec(width=640, height=512, seed=seed, mpp=0.5, objective=20, levels=(1, 4))
            write_slide(folder / name / f"{name}.tif", spec)

    def life(self, out: Path, *slides: str, seconds: float = 0.0) -> dict[str, Any]:
        """One run from its start to its end."""
        paths = [str(self.folder / name / f"{name}.tif") for name in slides]
        options = ["--out", str(out), "--config", str(self.folder / "config.yaml"), "--device", "cpu", "--no-report"]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"arguments": ["run", *options, *paths], "seconds": seconds}) + "\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def out(self, name: str, state: str = "before") -> Path:
        """A new output folder in which the one slide is done, and of the others nothing, or all but the embedding."""
        return Path(shutil.copytree(self.folder / state, self.folder / name))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    command, pipe = [sys.executable, "-m", "tests.crash.running_process"], subprocess.PIPE
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        yield Runs(process, tmp_path_factory.mktemp("kills"))
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="module")
def undisturbed(runs: Runs) -> Undisturbed:
    """How long a run takes from either state, and what it stores."""
    out = runs.folder / "undisturbed"
    life = runs.life(out, "a", "b", "done")
    wanted = stored(out)
    for store in out.glob("features/*/[ab].zarr"):
        shutil.rmtree(store)
    shutil.copytree(out, runs.folder / "prepared")
    shutil.copytree(out / "features", runs.folder / "before" / "features")
    again = runs.life(out, "a", "b")
    assert (life["code"], again["code"], stored(out)) == (0, 0, wanted)
    return {"before": life["seconds"], "prepared": again["seconds"]}, wanted


def stored(out: Path) -> dict[str, bytes]:
    """Every file of every store, but no record of how long things took."""
    files = [path for store in find_stores(out / "features") for path in store.rglob("*") if path.is_file()]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def lives(runs: Runs, undisturbed: Undisturbed, state: str, kills: int) -> Counter[str]:
    """Kill so many runs; each that ends by itself must have left what an undisturbed one does.

    On a busy machine a run takes longer at times: how long one takes is what the last one took, and more after each kill.
    """
    chance, seen, turn, typical = random.Random(kills), Counter[str](), 0, undisturbed[0][state]
    while seen["killed"] < kills:
        turn += 1
        out = runs.out(str(turn), state)
        done = {path: path.stat().st_mtime_ns for path in (out / "features").rglob("*/done.zarr/**/*")}
        code = -1
        while code != 0:
            end = chance.uniform(0.02, 1.1) * typical
            life = runs.life(out, "a", "b", seconds=end if seen["killed"] < kills else 0)
            code = int(life["code"])
            assert code in (0, -signal.SIGKILL)
            seen["ended" if code == 0 else "killed"] += 1
            typical = float(life["seconds"]) if code == 0 else 1.05 * typical
            for store in find_stores(out / "features"):
                FeatureStore.open(store).check()
                seen["visible stores checked"] += 1
            seen["work left"] += len(abandoned(out / "features"))
        assert stored(out) == undisturbed[1]
        assert done
        assert {path: path.stat().st_mtime_ns for path in done} == done
        assert abandoned(out / "features") == []
        shutil.rmtree(out)
    return seen


@pytest.mark.ci
@pytest.mark.parametrize(("state", "kills"), [("before", 1), ("prepared", 14)])
def test_fifteen_kills(runs: Runs, undisturbed: Undisturbed, state: str, kills: int) -> None:
    sys.stdout.write(f"\n{state}: {dict(lives(runs, undisturbed, state, kills))}\n")


@pytest.mark.full
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("state", "kills"), [("before", 200), ("prepared", 800)])
def test_a_thousand_kills(runs: Runs, undisturbed: Undisturbed, state: str, kills: int) -> None:
    seen = lives(runs, undisturbed, state, kills)
    sys.stdout.write(f"\n{state}: {dict(seen)}\n")
    assert seen["work left"] > (50 if state == "prepared" else 0)
