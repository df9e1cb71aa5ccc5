"""Fetching from a hub over real sockets, with the command as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_planted_token_that_must_not_be_seen"  # noqa: S105 - a planted one
STRANGER = {"HF_TOKEN": "hf_of_someone_else"}
ON_HUB = {"source": "huggingface.co/someone/tiny, model.safetensors", "licence": "CC-BY-4.0"}


@pytest.fixture
def content(tiny_weights: Path) -> bytes:
    return tiny_weights.read_bytes()


@pytest.fixture
def hub(serving_hub: Any, repository: Any, content: bytes) -> Iterator[Any]:
    files = {"README.md": b"# tiny\n", "model.safetensors": content}
    with serving_hub({"someone/tiny": repository(files, licence="cc-by-4.0")}) as serving:
        yield serving


@pytest.fixture
def fetch(hub: Any, folder: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `weights fetch` in a process of its own, with a login of its own."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {"WSI_WEIGHTS": str(folder), "HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "login")}
        command = [sys.executable, "-m", "wsi_features", "weights", "fetch", *arguments]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        return subprocess.run(
            command, env=kept | own | environment, capture_output=True, text=True, check=False, timeout=120
        )

    return run


def stored(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


def test_what_is_fetched_is_checked_recorded_and_found(
    fetch: Any, folder: Path, content: bytes, card_file: Any
) -> None:
    done = fetch(str(card_file(**ON_HUB)))
    assert (done.returncode, done.stderr) == (0, "")
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
    refused = fetch(card, HF_TOKEN=TOKEN)
    assert refused.returncode == 2
    assert "licence   CC-BY-4.0 (gated)" in refused.stdout
    assert "weights fetch tiny --accept-licence" in refused.stderr
    assert not stored(folder)
    assert not [path for _, path, _ in hub.requests if "/resolve/" in path]
    assert fetch(card, "--accept-licence", HF_TOKEN=TOKEN).returncode == 0
    assert json.loads(next((folder / "encoders/tiny").glob("*.json")).read_text())["gated"] is True


def test_the_login_goes_to_the_hub_and_nowhere_else(
    fetch: Any, hub: Any, folder: Path, tmp_path: Path, card_file: Any
) -> None:
    (tmp_path / "login").mkdir()
    (tmp_path / "login/token").write_text(TOKEN)  # as `hf auth login` keeps it
    hub.repositories["someone/tiny"].gated = True
    done = fetch(str(card_file(**ON_HUB)), "--accept-licence", HF_DEBUG="1")
    assert done.returncode == 0
    assert {login for _, path, login in hub.requests if "someone/tiny" in path} == {f"Bearer {TOKEN}"}
    assert TOKEN not in done.stdout + done.stderr
    assert not [path for path in stored(folder) if TOKEN.encode() in path.read_bytes()]


def test_a_gated_model_without_access_is_told_how_to_get_it(fetch: Any, hub: Any, folder: Path, card_file: Any) -> None:
    hub.repositories["someone/tiny"].gated = True
    done = fetch(str(card_file(**ON_HUB)), "--accept-licence", **STRANGER)
    assert done.returncode == 2
    assert "the hub gives no access to https://huggingface.co/someone/tiny. Ask for access on that page" in done.stderr
    assert "hf_of_someone_else" not in done.stdout + done.stderr
    assert not stored(folder)


@pytest.mark.parametrize(
    ("source", "arguments", "told"),
    [
        ("huggingface.co/someone/gone, w.bin", [], "the hub has no repository 'someone/gone' that this login may see"),
        ("huggingface.co/someone/tiny", ["--revision", "v9"], "the hub has no revision 'v9' of 'someone/tiny'"),
        ("huggingface.co/someone/tiny, w.bin", [], "name the weights file of someone/tiny with --file. It has: model."),
        ("Google Drive", [], "not published on the Hugging Face hub as its card knows it (source: Google Drive)"),
        ("huggingface.co/someone/tiny", ["--repository", "no slash"], "could not be fetched (Repo id must"),
    ],
)
def test_what_the_hub_does_not_have_is_told_with_the_option_to_correct(
    fetch: Any, card_file: Any, source: str, arguments: list[str], told: str
) -> None:
    done = fetch(str(card_file(**ON_HUB | {"source": source})), *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


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
    ("environment", "told"),
    [({"HF_ENDPOINT": "http://127.0.0.1:1"}, "refused"), ({"HF_HUB_OFFLINE": "1"}, "offline")],
)
def test_without_a_network_the_other_way_is_told(
    fetch: Any, card_file: Any, environment: dict[str, str], told: str
) -> None:
    done = fetch(str(card_file(**ON_HUB)), **environment)
    assert done.returncode == 2
    assert told in done.stderr
    assert "weights add tiny FILE" in done.stderr
    assert "Traceback" not in done.stderr
