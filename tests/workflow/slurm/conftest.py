"""A real SLURM on this machine, and a small cohort that is carried through it."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wsi_features.slides.synthetic import SlideSpec, write_slide

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from slurm_cohort import TOP, Cluster, Cohort, Saboteur, Told  # noqa: E402

CANNOT = 77
"""How start.sh ends where there can be no SLURM."""


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("the SLURM executor of Snakemake is not installed: pip install 'wsi-features[slurm]'")
    base = tmp_path_factory.getbasetemp()
    for folder in (base.parent, base):  # munge runs as a user of its own, and must come to its socket
        folder.chmod(0o755)
    folder = base / "slurm"
    started = subprocess.run([str(HERE / "start.sh"), str(folder)], check=False, stderr=subprocess.PIPE, text=True)
    try:
        if started.returncode == CANNOT:
            pytest.skip(f"no SLURM here: {started.stderr.strip().splitlines()[-1]}")
        assert started.returncode == 0, started.stderr
        yield Cluster(folder)
    finally:
        subprocess.run([str(HERE / "stop.sh"), str(folder)], check=False)


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """The cohort as profiles/local leaves it."""
    slides = tmp_path_factory.mktemp("slides")
    for seed, name in enumerate("abcd"):
        spec = SlideSpec(width=2048, height=1536, seed=seed, mpp=0.5, objective=20, levels=(1, 4))
        write_slide(slides / f"{name}.svs", spec)
    cohort = Cohort(tmp_path_factory.mktemp("reference") / "cohort", slides).prepare()
    done = cohort.run(TOP / "profiles/local", "--cores", "2")
    assert done.returncode == 0, done.stdout
    return cohort


@pytest.fixture(scope="session")
def accidents(cluster: Cluster, reference: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """One run in which three jobs meet with what happens on clusters, each in its first try.

    tissue of shard 00001 has too little memory; tiles of shard 00001 hang until their time is over; and embed of shard
    00000 is killed by kill -9 when the first of its two slides is finished.
    """
    cohort = Cohort(tmp_path_factory.mktemp("accidents") / "cohort", reference.slides).prepare()
    killed = Saboteur(cohort, "embed", "00000", signal.SIGKILL, lambda: bool({"a", "b"} & set(cohort.commits())))
    stopped = Saboteur(cohort, "tiles", "00001", signal.SIGSTOP, lambda: True)
    for saboteur in (killed, stopped):
        saboteur.start()
    small, short = "150 * attempt ** 4", "attempt ** 6"
    changed = {
        "tissue": {"mem_mb": f"{small} if wildcards.shard == '00001' else 4000"},
        "tiles": {"runtime": f"{short} if wildcards.shard == '00001' else 60"},
    }
    done = cohort.slurm(changed=changed)
    for saboteur in (killed, stopped):
        saboteur.end()
    assert done.returncode == 0, done.stdout
    return Told(cohort, cluster.ended(), killed, stopped)
