"""File names that a shell, a template, a table or a terminal would take for something else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from base import OK, UNREADABLE, Bases, Input, Make

_STRANGE = {
    "spaces": "a slide  of mine.svs",
    "single-quote": "it's.svs",
    "double-quote": 'the "good" one.svs',
    "unicode": "Schnitt-Größe-病理-é.svs",
    "right-to-left": "\u202egvs.svs",
    "newline": "two\nlines.svs",
    "tab": "a\ttab.svs",
    "leading-dash": "--out.svs",
    "command": "$(touch X).svs",
    "backticks": "`touch X`.svs",
    "semicolon": "a;touch X;.svs",
    "percent": "100%s%d%n.svs",
    "braces": "{slide}{0}.svs",
    "glob": "*[a-z]?.svs",
    "hash": "#1.svs",
    "backslash": "a\\nb.svs",
    "equals": "=1+1.svs",
    "trailing-dot": "slide.svs.",
    "no-suffix": "slide",
    "other-suffix": "slide.jpg",
    "sheet-suffix": "slide.csv",
    "escape": "red\x1b[31m.svs",
    "longest": "n" * 251 + ".svs",
}


def inputs() -> tuple[Input, ...]:
    sound = [Input(f"name-{name}", _sound(file), OK, alike="clean-svs") for name, file in _STRANGE.items()]
    # A broken file's message shows the name, so it has to stay one line there, too.
    shown = ("newline", "escape", "percent", "braces", "command", "right-to-left")
    return (*sound, *(Input(f"broken-{name}", _broken(_STRANGE[name]), UNREADABLE) for name in shown))


def _sound(file: str) -> Make:
    return _file(file, lambda bases: bases.svs)


def _broken(file: str) -> Make:
    return _file(file, lambda _: b"not a slide")


def _file(name: str, content: Callable[[Bases], bytes]) -> Make:
    def make(folder: Path, bases: Bases) -> Path:
        (folder / name).write_bytes(content(bases))
        return folder / name

    return make
