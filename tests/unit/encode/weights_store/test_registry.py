"""Looking weights up: in several folders, without guessing, and with the command that helps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.weights_store import Entry, WeightsRecord, WeightsRegistry
from wsi_features.encode.weights_store.folder import put_copy, put_link
from wsi_features.encode.weights_store.hub_address import address_in
from wsi_features.errors import WeightsStoreError

Put = Callable[..., Entry]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Puts some bytes into a folder as the weights of an encoder."""

    def into(folder: str, content: bytes, key: str = "tiny", how: Callable[..., Entry] = put_copy) -> Entry:
        digest = hashlib.sha256(content).hexdigest()
        source = tmp_path / f"{digest[:8]}.bin"
        source.write_bytes(content)
        record = WeightsRecord(
            encoder=key,
            sha256=digest,
            size=len(content),
            file=source.name,
            source="here",
            licence="-",
            added=date(2026, 1, 2),
            revision="v1",
        )
        return how(tmp_path / folder, source, record)

    return into


@pytest.mark.parametrize(
    ("environment", "folders"),
    [
        ({"WSI_WEIGHTS": "/a:/b"}, ["/a", "/b"]),
        ({"WSI_WEIGHTS": "/a::"}, ["/a"]),
        ({"WSI_WEIGHTS": "", "XDG_DATA_HOME": "/data"}, ["/data/wsi_features/weights"]),
        ({"XDG_DATA_HOME": "relative"}, [f"{Path.home()}/.local/share/wsi_features/weights"]),
        ({}, [f"{Path.home()}/.local/share/wsi_features/weights"]),
    ],
)
def test_folders_come_from_the_variable_or_the_data_folder(environment: dict[str, str], folders: list[str]) -> None:
    registry = WeightsRegistry.of_environment(environment)
    assert [str(folder) for folder in registry.folders] == folders
    assert str(registry.writable) == folders[0]


def test_a_user_without_a_home_is_told_to_name_a_folder() -> None:
    with pytest.raises(WeightsStoreError, match="Set WSI_WEIGHTS"):
        _ = WeightsRegistry(()).writable


def test_weights_are_found_in_any_folder(put: Put, tmp_path: Path, tiny_card: Callable[..., EncoderCard]) -> None:
    entry = put("shared", b"abc")
    registry = WeightsRegistry((tmp_path / "mine", tmp_path / "shared"))
    assert registry.weights_of(tiny_card()) == entry
    assert registry.weights_of(tiny_card(name="tiny:cls")) == entry
    assert not (tmp_path / "mine").exists()


def test_the_same_file_in_two_folders_is_one_and_the_present_one_counts(
    put: Put, tmp_path: Path, tiny_card: Callable[..., EncoderCard]
) -> None:
    mine, shared = put("mine", b"abc", how=put_link), put("shared", b"abc")
    registry = WeightsRegistry((tmp_path / "mine", tmp_path / "shared"))
    assert registry.weights_of(tiny_card()) == mine
    mine.file.readlink().unlink()
    assert registry.weights_of(tiny_card()) == shared


def test_missing_weights_are_told_with_the_commands(tmp_path: Path, tiny_card: Callable[..., EncoderCard]) -> None:
    registry = WeightsRegistry((tmp_path / "mine",))
    on_hub = tiny_card(source="huggingface.co/someone/tiny, model.safetensors")
    with pytest.raises(
        WeightsStoreError, match=r"mine'. Run `wsi-features weights fetch tiny`.*weights add tiny FILE`"
    ):
        registry.weights_of(on_hub)
    with pytest.raises(WeightsStoreError, match=r"Run `wsi-features weights add tiny FILE`, or name") as caught:
        registry.weights_of(tiny_card())
    assert "fetch" not in str(caught.value)


def test_two_files_for_one_encoder_are_refused_with_both(
    put: Put, tmp_path: Path, tiny_card: Callable[..., EncoderCard]
) -> None:
    one, two = put("mine", b"abc"), put("shared", b"xyz")
    registry = WeightsRegistry((tmp_path / "mine", tmp_path / "shared"))
    with pytest.raises(WeightsStoreError, match="encoder 'tiny' has 2 weights files") as caught:
        registry.weights_of(tiny_card())
    for entry in (one, two):
        assert str(entry.file) in str(caught.value)
        assert str(entry.record_file) in str(caught.value)


def test_of_two_files_the_one_that_the_card_states_is_taken(
    put: Put, tmp_path: Path, tiny_card: Callable[..., EncoderCard]
) -> None:
    put("mine", b"abc")
    second = put("mine", b"xyz")
    registry = WeightsRegistry((tmp_path / "mine",))
    assert registry.weights_of(tiny_card(weights_sha256=second.record.sha256)) == second


def test_a_record_without_its_file_is_told(put: Put, tmp_path: Path, tiny_card: Callable[..., EncoderCard]) -> None:
    put("mine", b"abc").file.unlink()
    with pytest.raises(WeightsStoreError, match=r"but no file is there.*weights add tiny FILE"):
        WeightsRegistry((tmp_path / "mine",)).weights_of(tiny_card())


def test_a_bad_record_of_this_encoder_is_refused_and_of_another_is_no_matter(
    put: Put, tmp_path: Path, tiny_card: Callable[..., EncoderCard]
) -> None:
    entry, other = put("mine", b"abc"), put("mine", b"abc", key="other")
    registry = WeightsRegistry((tmp_path / "mine",))
    other.record_file.write_text("{")
    assert registry.weights_of(tiny_card()) == entry
    entry.record_file.write_text("{")
    with pytest.raises(WeightsStoreError, match="Delete it and add its file again"):
        registry.weights_of(tiny_card())


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("huggingface.co/MahmoodLab/UNI, pytorch_model.bin", ("model", "MahmoodLab/UNI", "pytorch_model.bin")),
        ("huggingface.co/MountSinaiCompPath/SP22M", ("model", "MountSinaiCompPath/SP22M", None)),
        ("huggingface.co/a/b-c.d, sub/w.pth; also GitHub", ("model", "a/b-c.d", "sub/w.pth")),
        ("huggingface.co/a/b, w.safetensors or w.bin", ("model", "a/b", "w.safetensors")),
        ("huggingface.co/spaces/Saghir/PathDino, PathDino512.pth", ("space", "Saghir/PathDino", "PathDino512.pth")),
        ("huggingface.co/datasets/a/b, fm/w.pth", ("dataset", "a/b", "fm/w.pth")),
        ("zenodo 10908163, DinoBloom-B.pth", None),
        ("github.com/mahmoodlab/HIPT, HIPT_4K/Checkpoints/vit256_small_dino.pth", None),
    ],
)
def test_the_source_of_a_card_says_where_on_the_hub_it_is(source: str, address: tuple[str, ...] | None) -> None:
    found = address_in(source)
    assert (found and (found.kind, found.repository, found.file)) == address
    assert found is None or address_in(f"{found}") == found
