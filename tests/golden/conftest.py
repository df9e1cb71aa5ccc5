"""Other programs from the package index, in environments of their own; `WSI_READERS` names a folder that keeps them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kept = os.environ.get("WSI_READERS")
    return Path(kept) if kept else tmp_path_factory.mktemp("readers")


@pytest.fixture(scope="session")
def environment(environments: Path) -> Callable[..., Path]:
    """Makes an environment of packages with all that they need, and of others without."""

    def made(name: str, packages: tuple[str, ...], alone: tuple[str, ...] = ()) -> Path:
        folder = environments / name
        if not is_made(folder, packages + alone):
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            python = str(folder / "bin" / "python")
            install("--python", python, *packages)
            install("--python", python, "--no-deps", *alone)
            (folder / "made.txt").write_text("\n".join(packages + alone))
        return folder

    return made


@pytest.fixture(scope="session")
def packages(environments: Path) -> Callable[..., Path]:
    """Makes a folder of packages without what they need, to be used beside what is here."""

    def made(name: str, *packages: str) -> Path:
        folder = environments / name
        if not is_made(folder, packages):
            install("--no-deps", "--target", str(folder), *packages)
            (folder / "made.txt").write_text("\n".join(packages))
        return folder

    return made


def is_made(folder: Path, packages: tuple[str, ...]) -> bool:
    """Whether it was made of these packages before, and to its end."""
    return (folder / "made.txt").is_file() and (folder / "made.txt").read_text() == "\n".join(packages)


def install(*arguments: str) -> None:
    """Skips where the package index does not give them, or there is none."""
    pip = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check"]
    tool = [sys.executable, "-m", "uv", "pip"] if importlib.util.find_spec("uv") else pip
    done = subprocess.run([*tool, "install", "--quiet", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the package index does not give {arguments[-1]} and others: {done.stderr.strip()[-300:]}")
