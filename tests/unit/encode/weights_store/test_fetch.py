"""Fetching from a hub over real sockets, with the command as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_planted_token_that_must_not_be_seen"  # noqa: S105 - a planted one
ON_HUB = {"source": "huggingface.co/someone/tiny, model.safetensors", "licence": "CC-BY-4.0"}


WORKER = """
import contextlib, io, json, os, sys
from wsi_features.cli.main import run_command
sys.stderr = err = io.StringIO()  # one for all: loggers keep the stream that they find first
for line in sys.stdin:
    arguments, environment = json.loads(line)
    out = io.StringIO()
    err.seek(0)
    err.truncate()
    with contextlib.redirect_stdout(out):
        os.environ.update(environment)
        code = run_command(arguments)
    print(json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)
"""
"""Runs command lines one after another, since loading torch takes most of their time."""


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def hub_of_module(serving_hub: Any) -> Iterator[Any]:
    with serving_hub({}) as hub:
        yield hub


@pytest.fixture(scope="module")
def worker(hub_of_module: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """A process that knows this hub only, with a login kept as `hf auth login` does."""
    home = tmp_path_factory.mktemp("login")
    (home / "token").write_text(TOKEN)
    environment = clean() | {"HF_ENDPOINT": hub_of_module.address, "HF_HOME": str(home), "HF_DEBUG": "1"}
    command = [sys.executable, "-c", WORKER]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def content(tiny_weights: Path) -> bytes:
    return tiny_weights.read_bytes()


@pytest.fixture
def hub(hub_of_module: Any, repository: Any, content: bytes) -> Any:
    files = {"README.md": b"# tiny\n", "model.safetensors": content}
    hub_of_module.repositories = {"someone/tiny": repository(files, licence="cc-by-4.0")}
    hub_of_module.requests.clear()
    return hub_of_module


@pytest.fixture
def fetch(hub: Any, worker: subprocess.Popen[str], folder: Path) -> Callable[..., Done]:
    """Runs `weights fetch` in that process."""
    assert hub.repositories

    def run(*arguments: str, login: str = "") -> Done:
        assert worker.stdin is not None
        assert worker.stdout is not None
        environment = {"WSI_WEIGHTS": str(folder), "HF_TOKEN": login}
        worker.stdin.write(json.dumps([["weights", "fetch", *arguments], environment]) + "\n")
        worker.stdin.flush()
        return Done(*json.loads(worker.stdout.readline()))

    return run


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HF_")}


def told(done: Done) -> list[str]:
    """What the command itself says on standard error, where the library logs as well."""
    return [line for line in done.stderr.splitlines() if line.startswith("wsi-features: ")]


def stored(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


def test_what_is_fetched_is_checked_recorded_and_found(
    fetch: Any, folder: Path, content: bytes, card_file: Any
) -> None:
    done = fetch(str(card_file(**ON_HUB)))
    assert (done.returncode, told(done)) == (0, [])
    assert f"revision  {COMMIT}" in done.stdout
    assert "licence   CC-BY-4.0, terms at https://huggingface.co/someone/tiny" in done.stdout
    (file,) = (folder / "sha256").glob("*/*")
    assert file.read_bytes() == content
    (record,) = (folder / "encoders/tiny").glob("*.json")
    assert json.loads(record.read_text()) | {"added": "", "sha256": ""} == {
        "encoder": "tiny",
        "sha256": "",
        "size": len(content),
        "file": "model.safetensors",
        "gated": False,
        "source": "huggingface.co/someone/tiny, model.safetensors",
        "revision": COMMIT,
        "licence": "CC-BY-4.0",
        "added": "",
    }
    assert len(stored(folder)) == 2
    (folder / "plain").touch()
    assert len({path.stat().st_mode for path in stored(folder)}) == 1  # the normal permissions


def test_what_is_there_is_not_fetched_again_and_what_is_damaged_is(
    fetch: Any, hub: Any, folder: Path, content: bytes, card_file: Any
) -> None:
    card = str(card_file(**ON_HUB))
    fetch(card)
    downloads = [path for method, path, _ in hub.requests if method == "GET" and "/resolve/" in path]
    again = fetch(card, "--revision", COMMIT)
    assert again.stdout.splitlines()[-1].startswith("there already: ")
    assert [path for method, path, _ in hub.requests if method == "GET" and "/resolve/" in path] == downloads
    (file,) = (folder / "sha256").glob("*/*")
    file.write_bytes(content[:-1] + b"?")
    assert fetch(card).returncode == 0
    assert file.read_bytes() == content


def test_a_gated_model_shows_its_licence_and_stores_nothing_until_it_is_accepted(
    fetch: Any, hub: Any, folder: Path, card_file: Any
) -> None:
    hub.repositories["someone/tiny"].gated = True
    card = str(card_file(**ON_HUB))
    refused = fetch(card)
    assert refused.returncode == 2
    assert "licence   CC-BY-4.0 (gated)" in refused.stdout
    assert "weights fetch tiny --accept-licence" in refused.stderr
    assert not stored(folder)
    assert not [path for _, path, _ in hub.requests if "/resolve/" in path]
    assert fetch(card, "--accept-licence").returncode == 0
    assert json.loads(next((folder / "encoders/tiny").glob("*.json")).read_text())["gated"] is True


def test_the_login_goes_to_the_hub_and_nowhere_else(fetch: Any, hub: Any, folder: Path, card_file: Any) -> None:
    hub.repositories["someone/tiny"].gated = True
    done = fetch(str(card_file(**ON_HUB)), "--accept-licence")
    assert done.returncode == 0
    assert "/someone/tiny/resolve/" in done.stderr  # HF_DEBUG has the library log every request
    assert {login for _, path, login in hub.requests if "someone/tiny" in path} == {f"Bearer {TOKEN}"}
    assert TOKEN not in done.stdout + done.stderr
    assert not [path for path in stored(folder) if TOKEN.encode() in path.read_bytes()]


def test_a_gated_model_without_access_is_told_how_to_get_it(fetch: Any, hub: Any, folder: Path, card_file: Any) -> None:
    hub.repositories["someone/tiny"].gated = True
    done = fetch(str(card_file(**ON_HUB)), "--accept-licence", login="hf_of_someone_else")
    assert done.returncode == 2
    assert "the hub gives no access to https://huggingface.co/someone/tiny. Ask for access on that page" in done.stderr
    assert "hf_of_someone_else" not in done.stdout + done.stderr
    assert not stored(folder)


@pytest.mark.parametrize(
    ("source", "arguments", "wanted"),
    [
        ("huggingface.co/someone/gone, w.bin", [], "the hub has no repository 'someone/gone' that this login may see"),
        ("huggingface.co/someone/tiny", ["--revision", "v9"], "the hub has no revision 'v9' of 'someone/tiny'"),
        ("huggingface.co/someone/tiny, w.bin", [], "name the weights file of someone/tiny with --file. It has: model."),
        ("Google Drive", [], "not published on the Hugging Face hub as its card knows it (source: Google Drive)"),
        ("huggingface.co/someone/tiny", ["--repository", "no slash"], "could not be fetched (Repo id must"),
    ],
)
def test_what_the_hub_does_not_have_is_told_with_the_option_to_correct(
    fetch: Any, card_file: Any, source: str, arguments: list[str], wanted: str
) -> None:
    done = fetch(str(card_file(**ON_HUB | {"source": source})), *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(told(done)) == 1
    assert wanted in told(done)[0]


def test_a_file_other_than_the_hub_states_is_refused_and_removed(
    fetch: Any, hub: Any, folder: Path, card_file: Any
) -> None:
    hub.repositories["someone/tiny"].lie = True
    done = fetch(str(card_file(**ON_HUB)))
    assert done.returncode == 2
    assert "wanted is 0000" in done.stderr
    assert not stored(folder)


def test_a_file_of_another_network_is_refused_and_removed(fetch: Any, folder: Path, card_file: Any) -> None:
    done = fetch(str(card_file(arguments={"depth": 3}, **ON_HUB)))
    assert done.returncode == 2
    assert "does not fit the architecture: 12 missing (first: blocks.2." in done.stderr
    assert not stored(folder)


def test_a_connection_that_breaks_off_is_taken_up_again(
    fetch: Any, hub: Any, folder: Path, content: bytes, card_file: Any
) -> None:
    hub.repositories["someone/tiny"].cut_once = True
    done = fetch(str(card_file(**ON_HUB)))
    if done.returncode:  # the library did not try again by itself
        assert "Run the same command again: what has arrived is kept" in done.stderr
        assert fetch(str(card_file(**ON_HUB))).returncode == 0
    (file,) = (folder / "sha256").glob("*/*")
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({"HF_ENDPOINT": "http://127.0.0.1:1"}, "refused"),
        ({"HF_ENDPOINT": "http://127.0.0.1:1", "HF_HUB_OFFLINE": "1"}, "offline"),
    ],
)
def test_without_a_network_the_other_way_is_told(
    folder: Path, tmp_path: Path, card_file: Any, environment: dict[str, str], wanted: str
) -> None:
    command = [sys.executable, "-m", "wsi_features", "weights", "fetch", str(card_file(**ON_HUB))]
    own = {"WSI_WEIGHTS": str(folder), "HF_HOME": str(tmp_path / "login")}
    done = subprocess.run(command, env=clean() | own | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert wanted in done.stderr
    assert "weights add tiny FILE" in done.stderr
    assert "Traceback" not in done.stderr
