"""The worker process: the same bytes as in this process, and a clean end whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from wsi_features.encode.histo_texture import tile_descriptor
from wsi_features.encode.histo_texture.worker import WorkerProcess

MODULE = "wsi_features.encode.histo_texture.worker"


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    made = WorkerProcess()
    yield made
    made.close()


def noise(height: int, width: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(4).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_it_gives_the_bytes_that_this_process_gives(worker: WorkerProcess) -> None:
    for tile in (noise(72, 100), noise(256, 128)[::2], noise(300, 310)):
        assert worker.describe(tile).tobytes() == tile_descriptor(tile).tobytes()


def test_a_worker_that_was_killed_is_reported_at_each_call(worker: WorkerProcess) -> None:
    worker._process.kill()
    for _ in range(2):
        with pytest.raises(subprocess.CalledProcessError) as ended:
            worker.describe(noise(72, 100))
        assert ended.value.returncode == -signal.SIGKILL


def test_closing_twice_is_harmless(worker: WorkerProcess) -> None:
    worker.close()


@pytest.mark.parametrize("sent", [b"", b"\x48\0", b"\x48\0\0\0\x64\0\0\0only some pixels"])
def test_it_ends_quietly_when_its_caller_is_gone(sent: bytes) -> None:
    command = [sys.executable, "-c", f"from {MODULE} import main; main()"]
    ended = subprocess.run(command, input=sent, capture_output=True, check=False, env=os.environ)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


def test_it_leaves_an_interrupt_to_its_caller(worker: WorkerProcess) -> None:
    worker.describe(noise(72, 100))  # it has started
    worker._process.send_signal(signal.SIGINT)
    assert worker.describe(noise(72, 100)).any()
