"""The devices that a job computes on: all that it was given, or on a shared machine all that no other job holds.

A lease is a lock that the system drops when its process ends, however it ends, so a dead job never keeps a GPU. A
scheduler's own choice is taken as it is.
"""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from wsi_features.config import Tuning
from wsi_features.encode.device.choice import may_compute_elsewhere, present_gpus

_GIVEN_BY = ("SLURM_JOB_ID", "LSB_JOBID", "PBS_JOBID", "KUBERNETES_SERVICE_HOST")
"""Variables of schedulers that hand out GPUs themselves."""

_POLL_SECONDS = 1.0

_log = logging.getLogger("wsi_features")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU by the name that torch gives it in this process, and by one that all processes share."""

    device: str
    identity: str


@contextmanager
def devices_of(
    tuning: Tuning, *, needs_gpu: bool, environment: Mapping[str, str] = os.environ
) -> Iterator[Sequence[str]]:
    """The devices that this job computes on, held for the `with` block: names that `choose_device` takes.

    `auto` and `cuda` are all GPUs of this process, or `tuning.gpus` of them; what is named one by one is taken as it
    is. Outside of a scheduler each GPU is leased, and where all are held the job waits. Without `needs_gpu` nothing
    is leased and no library loaded.
    """
    named = tuning.device.split(",")
    if not needs_gpu or named == ["cpu"] or not any(map(may_compute_elsewhere, named)):
        yield named
        return
    gpus = [Gpu(name, identity) for name, identity in present_gpus()]
    wanted = gpus if named in (["auto"], ["cuda"]) else [gpu for gpu in gpus if gpu.device in named]
    if not wanted or len(wanted) < len(named):  # none is there, or not this one: `choose_device` has the words for it
        yield named
    elif any(name in environment for name in _GIVEN_BY):
        yield [gpu.device for gpu in wanted[: tuning.gpus or None]]
    else:
        least = len(named) if named not in (["auto"], ["cuda"]) else 1
        with leased(wanted, least=least, most=tuning.gpus or len(wanted), jobs_each=tuning.jobs_per_gpu) as held:
            yield [gpu.device for gpu in held]


@contextmanager
def leased(
    gpus: Sequence[Gpu], *, least: int, most: int, jobs_each: int = 1, folder: Path | None = None
) -> Iterator[Sequence[Gpu]]:
    """Hold `least` to `most` of these GPUs, each with at most `jobs_each` jobs; waits until `least` are to be had."""
    place = folder or Path(tempfile.gettempdir()) / "wsi_features-gpus"
    told = False
    while True:
        with ExitStack() as locks:
            held: list[Gpu] = []
            for gpu in gpus:
                if len(held) < most and _locked(place, gpu, jobs_each, locks):
                    held.append(gpu)
            if len(held) >= least:
                yield held
                return
        if not told:
            _log.warning("other jobs hold %s; waiting for %d of them", " ".join(gpu.device for gpu in gpus), least)
            told = True
        time.sleep(_POLL_SECONDS)


def _locked(place: Path, gpu: Gpu, jobs_each: int, locks: ExitStack) -> bool:
    """Whether one of a GPU's places was free; `locks` then holds it."""
    for slot in range(jobs_each):
        descriptor = _opened(place / f"{gpu.identity}.{slot}")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            locks.callback(os.close, descriptor)
            return True
    return False


def _opened(path: Path) -> int:
    """A lock file that users share: made by the first, and only read by others, which Linux insists on in /tmp."""
    with suppress(FileExistsError):
        path.parent.mkdir(parents=True)
        path.parent.chmod(0o1777)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY, 0o644))
    return os.open(path, os.O_RDONLY)
