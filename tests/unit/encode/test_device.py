"""The device stage. What needs a GPU runs on one where there is one; the queueing logic runs on a pretended one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.encode.device import HostStage, Uploads, cpu_split
from wsi_features.encode.device.cuda import CudaStage
from wsi_features.encode.device.failures import is_lost_device, is_out_of_memory
from wsi_features.encode.device.fixed import FixedBatch
from wsi_features.encode.device.halving import Halving
from wsi_features.encode.device.pinned import PinnedBuffers
from wsi_features.encode.device.stained import runs_on_device, stained
from wsi_features.encode.notes import Notes
from wsi_features.errors import DeviceLostError, EncoderError
from wsi_features.stain.target import MacenkoNumbers, ReinhardNumbers
from wsi_features.stain.transform import Identity, Reinhard, StainMatrix

HE = MacenkoNumbers(stains=((0.65, 0.70, 0.29), (0.07, 0.99, 0.11)), max_concentration=(1.9, 1.0))
OTHER = MacenkoNumbers(stains=((0.56, 0.72, 0.41), (0.22, 0.80, 0.56)), max_concentration=(1.5, 1.4))
MACENKO = StainMatrix(source=HE, target=OTHER)
REINHARD = Reinhard(
    source=ReinhardNumbers(mean=(60, 20, -10), std=(15, 8, 7)),
    target=ReinhardNumbers(mean=(70, 10, -5), std=(12, 6, 6)),
)


def tiles(count: int = 5, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 6, 4, 3), dtype=np.uint8)


def colours(pixels: torch.Tensor) -> torch.Tensor:
    """The smallest work: mean colour of each tile's left half."""
    return pixels[:, :, :2].float().mean((1, 2))


def wanted(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(pixels[:, :, :2].astype(np.float32).mean((1, 2)))


# The CPU


@pytest.fixture
def gated() -> Iterator[tuple[HostStage, threading.Event]]:
    """A stage that computes only once its gate is set, and the gate."""
    gate = threading.Event()

    def slow(pixels: torch.Tensor) -> torch.Tensor:
        assert gate.wait(30)
        return colours(pixels)

    stage = HostStage(slow, threads=1)
    yield stage, gate
    gate.set()
    stage.close()


def test_submit_returns_while_the_cpu_still_works(gated: tuple[HostStage, threading.Event]) -> None:
    stage, gate = gated
    first, second = stage.submit(tiles(9), Identity()), stage.submit(tiles(3, seed=2), Identity())
    gate.set()
    np.testing.assert_allclose(second.rows(), wanted(tiles(3, seed=2)), rtol=1e-6)
    np.testing.assert_allclose(first.rows(), wanted(tiles(9)), rtol=1e-6)


@pytest.mark.parametrize("stain", [MACENKO, REINHARD])
def test_the_cpu_normalises_what_it_computes(stain: Any) -> None:
    stage = HostStage(colours, threads=2)
    found = stage.submit(tiles(9), stain).rows()
    stage.close()
    np.testing.assert_allclose(found, wanted(stain.apply(tiles(9))), rtol=1e-6)


def test_an_error_on_the_cpu_reaches_the_one_who_waits() -> None:
    def broken(_: torch.Tensor) -> torch.Tensor:
        raise MemoryError("too large a batch")

    stage = HostStage(broken, threads=1)
    pending = stage.submit(tiles(1), Identity())
    with pytest.raises(MemoryError, match="too large a batch"):
        pending.rows()
    stage.close()


def test_torch_s_threads_are_as_before_once_the_last_stage_is_closed() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    one = HostStage(colours, threads=1)
    one.submit(tiles(), Identity()).rows()
    with ThreadPoolExecutor(1) as executor:  # as where a second encoder is built beside the first
        two = executor.submit(HostStage, colours, 1).result()
    one.close()
    two.close()
    two.close()
    with ThreadPoolExecutor(1) as executor:
        later = executor.submit(torch.get_num_threads).result()
    torch.set_num_threads(before)
    assert later == 3


@pytest.mark.parametrize(
    ("cores", "builder", "device", "split"),
    [
        (1, "network", "cpu", (1, 1)),
        (2, "network", "cpu", (2, 2)),
        (32, "network", "cpu", (4, 32)),
        (32, "histo-texture", "cpu", (16, 32)),
        (32, "network", "cuda", (32, 4)),
        (2, "network", "cuda", (2, 2)),
    ],
)
def test_cores_are_split_by_what_tiles_cost(cores: int, builder: Any, device: Any, split: tuple[int, int]) -> None:
    assert cpu_split(cores, builder, device) == split


# Stains on the device


def numbers(seed: int) -> MacenkoNumbers:
    """Two stains some way off common ones, and concentrations."""
    rng = np.random.default_rng(seed)
    rows = np.array(HE.stains) + rng.uniform(-0.06, 0.25, (2, 3))
    stains = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).tolist()
    return MacenkoNumbers(stains=stains, max_concentration=rng.uniform(0.4, 2.5, 2).tolist())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_the_device_s_stain_is_within_a_grey_level_of_the_host_s(source: int, target: int) -> None:
    stain, pixels = StainMatrix(source=numbers(source), target=numbers(target)), tiles(20, seed=source)
    found = stained(torch.from_numpy(pixels), stain).numpy()
    assert found.shape == pixels.shape
    assert np.abs(found - stain.apply(pixels).astype(np.float32)).max() <= 1


def test_on_plain_tissue_the_device_s_stain_is_nearly_always_the_host_s() -> None:
    pixels = tiles(400)
    found = stained(torch.from_numpy(pixels), MACENKO).numpy()
    # The host looks up whole steps of density: one value in fifty is a grey level off, see `stain.kernel`.
    assert (found == MACENKO.apply(pixels)).mean() > 0.97


def test_no_stain_leaves_the_bytes_as_they_are() -> None:
    pixels = torch.from_numpy(tiles())
    assert stained(pixels, Identity()) is pixels


def test_only_linear_stains_run_on_the_device() -> None:
    assert runs_on_device(Identity())
    assert runs_on_device(MACENKO)
    assert not runs_on_device(REINHARD)


# Memory


def limited(most: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Work on a device with memory for so many tiles."""

    def work(pixels: torch.Tensor) -> torch.Tensor:
        if len(pixels) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return colours(pixels)

    return work


@pytest.mark.parametrize(("most", "halvings"), [(9, 0), (5, 1), (3, 2), (1, 4)])
def test_a_batch_is_halved_until_it_fits(most: int, halvings: int) -> None:
    freed: list[int] = []
    halving = Halving("cuda:0", lambda: freed.append(1), Notes())
    rows = halving.rows(limited(most), torch.from_numpy(tiles(9)))
    np.testing.assert_allclose(rows.numpy(), wanted(tiles(9)), rtol=1e-6)
    assert (halving.halvings, len(freed)) == (halvings, halvings)


def test_later_batches_stay_small_and_each_halving_is_noted() -> None:
    notes = Notes()
    halving = Halving("cuda:0", lambda: None, notes)
    for _ in range(3):
        halving.rows(limited(4), torch.from_numpy(tiles(9)))
    assert halving.halvings == 2
    assert notes.texts == (
        "cuda:0 had no memory for 9 tiles at once; going on with 5",
        "cuda:0 had no memory for 5 tiles at once; going on with 3",
    )


def test_a_single_tile_that_does_not_fit_is_told_with_the_remedy() -> None:
    with pytest.raises(EncoderError, match=r"cuda:0 has no memory left for a single tile\. .*smaller encoder"):
        Halving("cuda:0", lambda: None, Notes()).rows(limited(0), torch.from_numpy(tiles(9)))


def test_another_error_is_no_reason_to_halve() -> None:
    def broken(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    halving = Halving("cuda:0", lambda: None, Notes())
    with pytest.raises(RuntimeError, match="mat1"):
        halving.rows(broken, torch.from_numpy(tiles(9)))
    assert halving.halvings == 0


@pytest.mark.parametrize(
    ("error", "memory", "lost"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True, False),
        (RuntimeError("CUDA error: out of memory"), True, False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True, False),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), False, True),
        (RuntimeError("CUDA error: unspecified launch failure"), False, True),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), False, True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`"), False, True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False, False),
    ],
)
def test_errors_of_a_gpu_are_told_apart(error: RuntimeError, memory: bool, lost: bool) -> None:
    assert (is_out_of_memory(error), is_lost_device(error)) == (memory, lost)


@dataclass
class Copy:
    """A copy that is done when it is said to be, or waited for."""

    done: bool = False
    waited: bool = False

    def query(self) -> bool:
        return self.done

    def synchronize(self) -> None:
        self.waited = self.done = True


def buffers(made: list[int], most: int = 2) -> PinnedBuffers:
    def allocate(size: int) -> torch.Tensor:
        made.append(size)
        return torch.empty(size, dtype=torch.uint8)

    return PinnedBuffers(allocate, most)


def test_a_buffer_is_used_again_once_its_copy_is_done() -> None:
    made: list[int] = []
    ring = buffers(made)
    first = ring.borrow(10)
    ring.give_back(first, Copy(done=True))
    assert ring.borrow(8) is first
    assert made == [10]


def test_a_buffer_under_way_is_not_touched_while_there_may_be_more() -> None:
    ring, copy = buffers([]), Copy()
    first = ring.borrow(10)
    ring.give_back(first, copy)
    assert ring.borrow(10) is not first
    assert not copy.waited


def test_when_there_are_enough_buffers_the_oldest_is_waited_for() -> None:
    made: list[int] = []
    ring, copies = buffers(made), [Copy(), Copy()]
    both = [ring.borrow(10), ring.borrow(10)]
    for buffer, copy in zip(both, copies, strict=True):
        ring.give_back(buffer, copy)
    assert ring.borrow(10) is both[0]
    assert [copy.waited for copy in copies] == [True, False]
    assert made == [10, 10]


def test_a_buffer_that_is_too_small_is_replaced() -> None:
    ring = buffers([])
    ring.give_back(ring.borrow(10), Copy(done=True))
    assert len(ring.borrow(20)) == 20


# Accelerated twins


def fixed(twin: Callable[[torch.Tensor], torch.Tensor], made: list[int], notes: Notes | None = None) -> FixedBatch:
    def faster(example: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        made.append(len(example))
        return twin

    return FixedBatch(colours, faster, 1e-4, notes or Notes())


def test_a_twin_gets_batches_of_one_size_and_padded_rows_are_dropped() -> None:
    made: list[int] = []
    seen: list[int] = []

    def twin(pixels: torch.Tensor) -> torch.Tensor:
        seen.append(len(pixels))
        return colours(pixels)

    work = fixed(twin, made)
    for count in (5, 5, 2, 1):
        np.testing.assert_allclose(work(torch.from_numpy(tiles(count))).numpy(), wanted(tiles(count)), rtol=1e-6)
    assert (made, seen) == ([5], [5, 5, 5, 5])


@pytest.mark.parametrize("longer", [tiles(7), tiles(5).swapaxes(1, 2).copy()])
def test_a_longer_batch_or_another_shape_gets_a_twin_of_its_own(longer: np.ndarray) -> None:
    made: list[int] = []
    work = fixed(colours, made)
    work(torch.from_numpy(tiles(5)))
    work(torch.from_numpy(longer))
    assert made == [5, len(longer)]


def wrong(pixels: torch.Tensor) -> torch.Tensor:
    return colours(pixels) * 1.01


def not_a_number(pixels: torch.Tensor) -> torch.Tensor:
    return colours(pixels) * torch.nan


def impossible(_: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("operation not permitted when stream is capturing")


@pytest.mark.parametrize(
    ("twin", "told"), [(wrong, "off by 0.01"), (not_a_number, "off by nan"), (impossible, "could not be made")]
)
def test_a_twin_that_differs_or_fails_is_given_up_with_a_note(twin: Any, told: str) -> None:
    notes, made = Notes(), []  # type: ignore[var-annotated]
    work = fixed(twin, made, notes)
    for _ in range(3):
        np.testing.assert_allclose(work(torch.from_numpy(tiles())).numpy(), wanted(tiles()), rtol=1e-6)
    assert made == [5]
    assert "the accelerated network is not used" in notes.texts[0]
    assert told in notes.texts[0]


def test_a_twin_that_runs_out_of_memory_is_given_up_before_the_batch_is_halved() -> None:
    full = False

    def twin(pixels: torch.Tensor) -> torch.Tensor:
        if full:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return colours(pixels)

    work, pixels = fixed(twin, []), torch.from_numpy(tiles())
    work(pixels)
    full = True
    halving = Halving("cuda:0", lambda: None, Notes())
    np.testing.assert_allclose(halving.rows(work, pixels).numpy(), wanted(tiles()), rtol=1e-6)
    assert halving.halvings == 1


# The GPU


class Moment(Copy):
    """An event of the pretended GPU."""

    def __init__(self, blocking: bool = False, enable_timing: bool = False) -> None:
        super().__init__()
        self.blocking, self.timed = blocking, enable_timing

    def record(self, _stream: object = None) -> None:
        self.done = False

    def elapsed_time(self, later: Moment) -> float:
        assert self.timed
        assert later.timed
        return 2.0


@dataclass
class Queue:
    """A stream of the pretended GPU, whose work is done at once."""

    device: torch.device | None = None
    waited_for: list[object] = field(default_factory=list)

    def wait_stream(self, other: object) -> None:
        self.waited_for.append(other)


def unpinned(size: int) -> torch.Tensor:
    return torch.empty(size, dtype=torch.uint8)


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """A GPU that is the CPU: its memory is the host's, its streams do at once what they are given."""
    one = Queue()
    for name, stand_in in {
        "Stream": Queue,
        "Event": Moment,
        "stream": lambda _: nullcontext(),
        "device": lambda _: nullcontext(),
        "current_stream": lambda _=None: one,
        "synchronize": lambda: None,
        "empty_cache": lambda: None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda *_: None)
    for module in ("uploads", "cuda"):
        monkeypatch.setattr(f"wsi_features.encode.device.{module}.pinned", unpinned)
    return torch.device("cpu")


def on(device: torch.device, work: Callable[[torch.Tensor], torch.Tensor], uploads: Uploads | None = None) -> CudaStage:
    return CudaStage(device, work, uploads, 2, Notes())


@pytest.mark.parametrize("stain", [Identity(), MACENKO, REINHARD])
def test_rows_of_several_batches_in_flight_are_each_their_own(pretended: torch.device, stain: Any) -> None:
    stage = on(pretended, colours)
    pending = [stage.submit(tiles(count, seed=count), stain) for count in (20, 3, 5, 20)]
    for count, one in reversed(list(zip((20, 3, 5, 20), pending, strict=True))):
        np.testing.assert_allclose(one.rows(), wanted(stain.apply(tiles(count, seed=count))), atol=0.5)
    stage.close()


def test_the_device_s_own_clock_says_how_long_it_worked(pretended: torch.device) -> None:
    stage = on(pretended, colours)
    for seed in range(8):
        stage.submit(tiles(seed=seed), Identity()).rows()
    assert stage.seconds.model == pytest.approx(8 * 0.002)
    assert 0 < stage.seconds.transfer <= 8 * 0.002


def test_a_cpu_stage_counts_what_its_threads_took() -> None:
    def slow(pixels: torch.Tensor) -> torch.Tensor:
        time.sleep(0.01)
        return colours(pixels)

    stage = HostStage(slow, 2)
    stage.submit(tiles(9), Identity()).rows()
    assert 0.03 <= stage.seconds.model < 3
    assert stage.seconds.transfer == 0
    stage.close()


def test_rows_stay_what_they_are_when_their_buffer_is_used_again(pretended: torch.device) -> None:
    stage = on(pretended, colours)
    first = stage.submit(tiles(), Identity())
    rows = first.rows()
    stage.submit(tiles(seed=2), Identity()).rows()
    assert first.rows() is rows
    np.testing.assert_allclose(rows, wanted(tiles()), rtol=1e-6)


def test_a_batch_is_copied_once_for_all_encoders_that_share_it(pretended: torch.device) -> None:
    seen: list[int] = []

    def noting(pixels: torch.Tensor) -> torch.Tensor:
        seen.append(pixels.data_ptr())
        return colours(pixels)

    uploads = Uploads()
    one, two = on(pretended, noting, uploads), on(pretended, noting, uploads)
    for batch in (tiles(), tiles(seed=2)):
        for stage in (one, two):
            np.testing.assert_allclose(stage.submit(batch, Identity()).rows(), wanted(batch), rtol=1e-6)
    assert seen[0] == seen[1]
    assert seen[2] == seen[3]


def test_a_stage_that_shares_its_uploads_leaves_them_to_the_others(pretended: torch.device) -> None:
    uploads = Uploads()
    one, two = on(pretended, colours, uploads), on(pretended, colours, uploads)
    one.close()
    np.testing.assert_allclose(two.submit(tiles(), Identity()).rows(), wanted(tiles()), rtol=1e-6)
    uploads.close()


def test_a_closed_stage_takes_no_more_batches(pretended: torch.device) -> None:
    for uploads in (Uploads(), None):
        stage = on(pretended, colours, uploads)
        stage.close()
        with pytest.raises(RuntimeError, match="closed encoder|after shutdown"):
            stage.submit(tiles(), Identity())


def test_another_stain_that_the_host_applies_is_another_copy(pretended: torch.device) -> None:
    stage, batch = on(pretended, colours), tiles()
    plain, normalised = stage.submit(batch, Identity()).rows(), stage.submit(batch, REINHARD).rows()
    np.testing.assert_allclose(plain, wanted(batch), rtol=1e-6)
    np.testing.assert_allclose(normalised, wanted(REINHARD.apply(batch)), rtol=1e-6)


def test_memory_that_runs_out_on_the_gpu_leaves_the_rows_alone(pretended: torch.device) -> None:
    rows = on(pretended, limited(2)).submit(tiles(), Identity()).rows()
    np.testing.assert_allclose(rows, wanted(tiles()), rtol=1e-6)


@pytest.mark.parametrize(
    ("error", "told", "match"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), EncoderError, "no memory left for a single tile"),
        (
            torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors might be"),
            DeviceLostError,
            r"cpu failed \(CUDA error: unspecified launch failure\); .*Run the same command again",
        ),
    ],
)
def test_errors_of_the_gpu_come_with_the_rows(
    pretended: torch.device, error: RuntimeError, told: type[Exception], match: str
) -> None:
    def broken(_: torch.Tensor) -> torch.Tensor:
        raise error

    pending = on(pretended, broken).submit(tiles(), Identity())
    with pytest.raises(told, match=match):
        pending.rows()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("stain", [Identity(), MACENKO, REINHARD])
def test_a_real_gpu_gives_the_rows_of_the_cpu(stain: Any) -> None:
    stage = on(torch.device("cuda", 0), colours)
    pending = [stage.submit(tiles(count, seed=count), stain) for count in (20, 3, 5, 20)]
    for count, one in zip((20, 3, 5, 20), pending, strict=True):
        np.testing.assert_allclose(one.rows(), wanted(stain.apply(tiles(count, seed=count))), atol=0.5)
    stage.close()
