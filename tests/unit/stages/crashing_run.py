"""A run in a process of its own whose reader does what it is told on one slide.

`crashing_run.py MANIFEST OUT SLIDE DEED`: tissue, tiles and stain are as always. The first thing
that embedding reads of SLIDE does DEED: `segfault`, `abort`, the name of a signal to be killed
by, or `nothing`. The last line of the output says whether faulthandler is on at the end.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
from typing import Any

from wsi_features.cohort.sheets import manifest_from
from wsi_features.config import load_config
from wsi_features.slides import Slide
from wsi_features.stages import opened
from wsi_features.stages.plan import Plan
from wsi_features.stages.progress import Silent
from wsi_features.stages.run import collect, run, write_manifest


class Hostile:
    """A slide whose reader is foreign code at its worst."""

    def __init__(self, slide: Slide, deed: str) -> None:
        self._slide, self._deed = slide, deed

    def __getattr__(self, name: str) -> Any:
        if name in {"blocks", "decode"}:  # then every tile goes through `read`
            raise AttributeError(name)
        return getattr(self._slide, name)

    def read(self, *region: Any) -> Any:
        if self._deed == "segfault":
            ctypes.string_at(0)
        elif self._deed == "abort":
            os.abort()
        elif self._deed != "nothing":
            os.kill(os.getpid(), signal.Signals[self._deed])
        return self._slide.read(*region)

    def reopened(self) -> Hostile:
        return Hostile(self._slide.reopened(), self._deed)

    def __enter__(self) -> Hostile:
        return self

    def __exit__(self, *_: object) -> None:
        self._slide.close()


def main(manifest: str, out: str, hostile: str, deed: str) -> None:
    plan = Plan(load_config(None, {"out": out, "tuning": {"workers": 2}}), manifest_from([manifest]))
    write_manifest(plan)
    run(plan, Silent(), ("tissue", "tiles", "stain"))
    sound = vars(opened)["open_slide"]

    def open_slide(slide_id: str, *which: Any) -> Any:
        slide = sound(slide_id, *which)
        return Hostile(slide, deed) if slide_id == hostile else slide

    vars(opened)["open_slide"] = open_slide
    run(plan, Silent(), ("embed",))
    collect(plan.out)
    sys.stdout.write(f"faulthandler {faulthandler.is_enabled()}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
