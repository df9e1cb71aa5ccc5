"""What a run tells while it works. The silent one is for calls from Python and for tests."""

from __future__ import annotations

from typing import Protocol

from wsi_features.cohort.records import SlideResult


class Progress(Protocol):
    """Receives the events of a run, in the order they happen."""

    def stage(self, name: str, slides: int) -> None:
        """A stage starts over so many slides."""

    def tiles(self, slide_id: str, done: int, total: int) -> None:
        """So many tiles of a slide are embedded."""

    def slide(self, stage: str, slide_id: str, result: SlideResult) -> None:
        """A slide has ended in a stage."""


class Silent:
    """Tells nothing."""

    def stage(self, name: str, slides: int) -> None:
        """Nothing."""

    def tiles(self, slide_id: str, done: int, total: int) -> None:
        """Nothing."""

    def slide(self, stage: str, slide_id: str, result: SlideResult) -> None:
        """Nothing."""
