"""Progress: a bar on a terminal, otherwise one line for a slide that needs attention."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

import click

from wsi_features.cohort.records import SlideResult
from wsi_features.stages.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_log = logging.getLogger("wsi_features")


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar where standard error is a terminal; quiet lines where it is a file or a pipe."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}"),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        yield Terminal(bars)


@contextmanager
def byte_bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar of bytes where standard error is a terminal, otherwise nothing; it may be told from any thread."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn(label), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(label, total=total)
        yield lambda read: bars.advance(task, read)


@contextmanager
def fold_progress(folds: int, metric: str) -> Iterator[Callable[[int, Epoch], None]]:
    """A line for each fold that has ended, with its `metric`, and on a terminal a bar with the epoch at work."""
    if not sys.stderr.isatty():
        told = Folds(metric, partial(click.echo, err=True))
        yield told
        told.ended()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}"),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("training", total=folds, detail="reading features")
        told = Folds(metric, partial(bars.console.print, highlight=False, soft_wrap=True))

        def tell(fold: int, epoch: Epoch) -> None:
            told(fold, epoch)
            bars.update(
                task,
                completed=fold,
                detail=f"fold {fold}, epoch {epoch.number + 1}, validation loss {epoch.val_loss:.3f}",
            )

        yield tell
        told.ended()


class Epoch(Protocol):
    """One pass over the training bags, or one strength of L2."""

    @property
    def number(self) -> int: ...
    @property
    def val_loss(self) -> float: ...
    @property
    def val_error(self) -> float: ...
    @property
    def val_metric(self) -> float: ...
    @property
    def strength(self) -> float | None: ...


class Folds:
    """Tells a line of each fold when the next one begins."""

    def __init__(self, metric: str, tell: Callable[[str], object]) -> None:
        self._metric, self._tell = metric, tell
        self._fold: int | None = None
        self._epochs: list[Epoch] = []

    def __call__(self, fold: int, epoch: Epoch) -> None:
        """One epoch further."""
        if fold != self._fold:
            self.ended()
            self._fold, self._epochs = fold, []
        self._epochs.append(epoch)

    def ended(self) -> None:
        """Tell the fold that was at work."""
        if self._fold is None:
            return
        best = min(self._epochs, key=lambda epoch: epoch.val_error)
        count = f"{len(self._epochs)} {'epochs' if best.strength is None else 'strengths of L2'}"
        self._tell(
            f"fold {self._fold}: {count}, lowest error in validation {best.val_error:.3f}, with {self._metric} {best.val_metric:.2f}"
        )
        self._fold = None


class Lines:
    """Logs every slide, and names the failed ones on standard error."""

    def stage(self, name: str, slides: int) -> None:
        """Log the start."""
        _log.info("%s: %d slides", name, slides, extra={"event": "stage", "stage": name})

    def tiles(self, slide_id: str, done: int, total: int) -> None:
        """Too many to tell."""

    def slide(self, stage: str, slide_id: str, result: SlideResult) -> None:
        """Log the result; a failure is told where it happened, once."""
        about: dict[str, object] = {"event": "slide", "stage": stage, "slide_id": slide_id, "status": result.status}
        about |= {"reason": result.reason, "seconds": result.seconds}
        _log.info("%s: %s %s %.2f s %s", stage, slide_id, result.status, result.seconds, result.message, extra=about)
        if result.status == "failed" and result.stage == stage:
            click.echo(f"{slide_id} failed [{result.reason}]: {result.message}", err=True)


class Terminal(Lines):
    """One bar for each stage, with the tiles of the slide at work."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task: TaskID | None = None
        self._slide, self._done, self._tiles, self._started = "", 0, 0, 0.0

    def stage(self, name: str, slides: int) -> None:
        """A new bar."""
        super().stage(name, slides)
        self._slide, self._tiles, self._started = "", 0, perf_counter()
        self._task = self._bars.add_task(name, total=slides, detail="")

    def tiles(self, slide_id: str, done: int, total: int) -> None:
        """Tiles of the slide at work, the rate of the stage, and how long this slide takes yet at that rate."""
        self._tiles += done - (self._done if slide_id == self._slide else 0)
        self._slide, self._done = slide_id, done
        rate = self._tiles / max(perf_counter() - self._started, 1e-3)
        left = f"{rate:.0f} tiles/s, {(total - done) / max(rate, 1e-3):.0f} s left of it"
        if self._task is not None:
            self._bars.update(self._task, detail=f"{slide_id}: {done} of {total} tiles, {left}")

    def slide(self, stage: str, slide_id: str, result: SlideResult) -> None:
        """One slide further."""
        super().slide(stage, slide_id, result)
        if self._task is not None:
            self._bars.update(self._task, advance=1, detail="")
