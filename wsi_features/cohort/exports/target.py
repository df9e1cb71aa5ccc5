"""Where an export goes, what is asked of it, and what a format is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from wsi_features.cohort.exports.labels import Labels
from wsi_features.cohort.exports.ledger import Entry
from wsi_features.cohort.exports.rows import ExportedSlide


@dataclass(frozen=True, slots=True)
class Target:
    """The folder of an export, and what all of its slides share.

    `encoder` is the name under which the other program knows the encoder; `pooled` asks for one vector a slide, the
    mean of its tiles, instead of one a tile.
    """

    folder: Path
    encoder: str
    labels: Labels = field(default_factory=Labels)
    pooled: bool = False


class SlideWriter(Protocol):
    """Writes the files of one slide, each complete or absent, and gives their paths."""

    def __call__(self, slide: ExportedSlide, to: Target, /) -> Sequence[Path]: ...


Finish = Callable[[Sequence[Entry], Target], Sequence[str]]
"""Writes what a format keeps for the whole cohort, of all slides in the folder; gives what the user should know."""


@dataclass(frozen=True, slots=True)
class Format:
    """One layout. `empty` is whether its readers take a slide without tiles; `pooled` writes one vector a slide.

    `tables` are the files, of all slides together, that are written besides those of each. `tells_whose` is whether a
    slide's files say its patient, stain and block, and `tissues` whether they hold its tissue. `version` is raised when
    the layout is written in another way, so that earlier exports are made anew.
    """

    write: SlideWriter
    pooled: SlideWriter | None = None
    finish: Finish | None = None
    empty: bool = False
    tables: tuple[str, ...] = ()
    tells_whose: bool = False
    tissues: bool = False
    version: int = 1
