"""GPUs on a machine that several jobs share: each is held by one job, and a dead job holds none."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from wsi_features.config import Tuning
from wsi_features.stages import devices
from wsi_features.stages.devices import Gpu, devices_of, leased

TWO = (Gpu("cuda:0", "GPU-a"), Gpu("cuda:1", "GPU-b"))


@pytest.fixture(autouse=True)
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two GPUs and an empty folder of locks."""
    monkeypatch.setattr(devices, "present_gpus", lambda: [(gpu.device, gpu.identity) for gpu in TWO])
    monkeypatch.setattr(devices, "may_compute_elsewhere", lambda wanted: wanted != "cpu")
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(devices, "_POLL_SECONDS", 0.01)


def held(device: str = "auto", *, environment: dict[str, str] | None = None, **tuning: int) -> list[str]:
    with devices_of(Tuning(device=device, **tuning), needs_gpu=True, environment=environment or {}) as found:
        return list(found)


def test_a_job_takes_every_gpu_that_is_free() -> None:
    assert held() == ["cuda:0", "cuda:1"]


def test_a_job_takes_as_many_as_it_is_allowed() -> None:
    assert held(gpus=1) == ["cuda:0"]


def test_two_jobs_never_get_the_same_gpu() -> None:
    with leased(TWO, least=1, most=1):
        assert held() == ["cuda:1"]


def test_several_jobs_share_a_gpu_where_the_tuning_says_so() -> None:
    with leased(TWO, least=1, most=1, jobs_each=2):
        assert held(gpus=1, jobs_per_gpu=2) == ["cuda:0"]


def test_a_job_waits_for_the_gpu_that_it_names() -> None:
    release = threading.Event()

    def other_job() -> None:
        with leased(TWO[1:], least=1, most=1):
            taken.set()
            release.wait(10)

    taken = threading.Event()
    thread = threading.Thread(target=other_job)
    thread.start()
    taken.wait(10)
    threading.Timer(0.1, release.set).start()
    assert held("cuda:1") == ["cuda:1"]
    assert release.is_set()
    thread.join()


def test_a_killed_job_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from wsi_features.stages.devices import Gpu, leased\n"
        "with leased([Gpu('cuda:0', 'GPU-a')], least=1, most=1, folder=Path(sys.argv[1])):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    place = tmp_path / "wsi_features-gpus"
    with subprocess.Popen([sys.executable, "-c", code, str(place)], stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "held\n"
        assert held() == ["cuda:1"]
        job.kill()
        job.wait()
    assert held() == ["cuda:0", "cuda:1"]


def test_a_scheduler_s_choice_is_taken_as_it_is() -> None:
    with leased(TWO, least=2, most=2):
        assert held(environment={"SLURM_JOB_ID": "7"}) == ["cuda:0", "cuda:1"]


@pytest.mark.parametrize("device", ["cpu", "cpu,cpu"])
def test_the_cpu_is_not_leased(device: str) -> None:
    assert held(device) == device.split(",")


def test_an_encoder_that_needs_no_gpu_leases_none() -> None:
    with leased(TWO, least=2, most=2), devices_of(Tuning(), needs_gpu=False) as found:
        assert found == ["auto"]


def test_a_gpu_that_is_not_there_is_left_to_the_encoder_to_refuse() -> None:
    assert held("cuda:7") == ["cuda:7"]


def test_locks_can_be_taken_by_other_users(tmp_path: Path) -> None:
    held()
    folder = tmp_path / "wsi_features-gpus"
    assert folder.stat().st_mode & 0o7777 == 0o1777
    assert all(file.stat().st_mode & 0o444 == 0o444 for file in folder.iterdir())
