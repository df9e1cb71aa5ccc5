"""No command but `weights fetch` opens a connection, in any of its processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from wsi_features.encode.card import EncoderCard

WATCH = """
import os, sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind"):
        place = arguments[-1] if event.startswith("socket.") else None
        if event in ("socket.getaddrinfo", "socket.gethostbyname") or isinstance(place, tuple):
            with open(os.environ["CONNECTIONS"], "a") as file:
                file.write(f"{event} {arguments}\\n")
            raise OSError("no network here")

sys.addaudithook(watch)
"""
"""Runs at the start of every Python process: connections but those of local pipes are noted and refused."""


COMMANDS = """
import json, sys
from wsi_features.cli.main import run_command
print(json.dumps([run_command(arguments) for arguments in json.loads(sys.argv[1])]), file=sys.stderr)
"""


@pytest.fixture
def offline(tmp_path: Path) -> Callable[..., tuple[list[int], str]]:
    """Runs command lines in a process that may not connect, nor may its children; their exit codes and what they tried."""
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch/sitecustomize.py").write_text(WATCH)
    noted = tmp_path / "connections"

    def run(*commands: list[str]) -> tuple[list[int], str]:
        path = os.pathsep.join([str(tmp_path / "watch"), *filter(None, [os.environ.get("PYTHONPATH")])])
        own = {"PYTHONPATH": path, "CONNECTIONS": str(noted), "WSI_WEIGHTS": str(tmp_path / "weights")}
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        command = [sys.executable, "-c", COMMANDS, json.dumps(commands)]
        done = subprocess.run(
            command, env=kept | own, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=200
        )
        return json.loads(done.stderr.splitlines()[-1]), noted.read_text() if noted.exists() else ""

    return run


@pytest.mark.ci
def test_adding_weights_and_embedding_with_them_tries_no_connection(
    offline: Callable[..., tuple[list[int], str]],
    tiny_card: Callable[..., EncoderCard],
    tiny_weights: Path,
    slide_folder: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny_card(tile_px=256).model_dump(mode="json")))
    assert offline(
        ["weights", "add", "tiny.yaml", str(tiny_weights)],
        ["weights", "verify"],
        ["weights", "export", "carry"],
        ["encoders", "list"],
        ["run", str(slide_folder / "small.svs"), "--encoder", "tiny.yaml"],
    ) == ([0] * 5, "")
    assert len(list((tmp_path / "results").glob("features/tiny__*/small.zarr"))) == 1


def test_fetching_is_seen_to_try_one(offline: Callable[..., tuple[list[int], str]]) -> None:
    codes, tried = offline(["weights", "fetch", "uni"])
    assert codes == [2]
    assert "socket.getaddrinfo ('huggingface.co', 443" in tried
