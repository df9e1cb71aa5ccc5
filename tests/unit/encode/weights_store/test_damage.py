"""Damage is found by hashing everything again, and each finding says what mends it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from wsi_features.encode.weights_store import Entry, WeightsRecord, WeightsRegistry
from wsi_features.encode.weights_store.damage import bad, bytes_to_hash, findings
from wsi_features.encode.weights_store.export import exported
from wsi_features.encode.weights_store.folder import put_copy, put_link
from wsi_features.errors import WeightsStoreError

Put = Callable[..., Entry]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    def into(content: bytes, key: str, source: str = "local file", how: Callable[..., Entry] = put_copy) -> Entry:
        digest = hashlib.sha256(content).hexdigest()
        (tmp_path / f"{key}.bin").write_bytes(content)
        record = WeightsRecord(
            encoder=key,
            sha256=digest,
            size=len(content),
            file=f"{key}.bin",
            source=source,
            licence="-",
            added=date(2026, 1, 2),
            revision="c0ffee",
        )
        return how(tmp_path / "store", tmp_path / f"{key}.bin", record)

    return into


@pytest.fixture
def registry(tmp_path: Path) -> WeightsRegistry:
    return WeightsRegistry((tmp_path / "store",))


def states(registry: WeightsRegistry) -> dict[str, str]:
    return {finding.encoder or finding.path.name: finding.state for finding in findings(registry)}


def test_each_kind_of_damage_is_told_apart(put: Put, registry: WeightsRegistry) -> None:
    put(b"good", "good")
    flipped, short, gone, edited = (put(name.encode() * 9, name) for name in ("flip", "short", "gone", "edit"))
    moved = put(b"moved away", "moved", how=put_link)
    flipped.file.write_bytes(b"flop" + flipped.file.read_bytes()[4:])
    short.file.write_bytes(short.file.read_bytes()[:-1])
    gone.file.unlink()
    moved.file.readlink().unlink()
    edited.record_file.write_text("{")
    assert states(registry) == {
        "good": "ok",
        "flip": "damaged",
        "short": "damaged",
        "gone": "gone",
        "moved": "gone",
        edited.record_file.name: "bad record",
        edited.file.name: "left over",
    }


def test_a_finding_names_the_command_that_mends_it(put: Put, registry: WeightsRegistry) -> None:
    hub = put(b"a" * 9, "hub", source="huggingface.co/someone/hub, weights/hub.bin")
    local = put(b"b" * 9, "local")
    for entry in (hub, local):
        entry.file.write_bytes(b"c" * 9)
    first, second = bad(list(findings(registry)))
    assert first.text.startswith(f"its SHA-256 is {hashlib.sha256(b'c' * 9).hexdigest()}. Run `wsi-features weights ")
    wanted = "fetch hub --repository someone/hub --file weights/hub.bin --revision c0ffee`, or `wsi-features weights add hub "
    assert wanted in first.text
    assert "Run `wsi-features weights add local FILE` with a good copy of local.bin." in second.text


def test_what_a_stopped_command_left_is_listed_and_no_fault(
    put: Put, registry: WeightsRegistry, tmp_path: Path
) -> None:
    entry = put(b"good", "good")
    (entry.file.parent / f".{entry.file.name}.1a2b3c4d.tmp").write_bytes(b"half")
    (tmp_path / "store/.fetching/uni-0123").mkdir(parents=True)
    (tmp_path / "store/.fetching/uni-0123/w.incomplete").write_bytes(b"half of it")
    found = list(findings(registry))
    assert [(finding.state, finding.size) for finding in found] == [("ok", 4), ("left over", 4), ("left over", 10)]
    assert "the same fetch goes on from it" in found[-1].text
    assert not bad(found)


def test_progress_is_told_every_byte(put: Put, registry: WeightsRegistry) -> None:
    for k in range(5):
        put(bytes([k]) * 1000 * (k + 1), f"e{k}")
    read: list[int] = []
    assert len(list(findings(registry, read.append))) == 5
    assert sum(read) == bytes_to_hash(registry) == 15_000


def test_verifying_writes_nothing_so_that_a_shared_folder_may_be_read_only(
    put: Put, registry: WeightsRegistry, tmp_path: Path
) -> None:
    put(b"good", "good")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*")}
    assert states(registry) == {"good": "ok"}
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*")} == before


def test_an_export_is_a_folder_of_weights_with_files_for_links(
    put: Put, registry: WeightsRegistry, tmp_path: Path
) -> None:
    put(b"good", "good")
    linked = put(b"linked", "linked", how=put_link)
    assert len(list(exported(registry, tmp_path / "carry"))) == 2
    carried = WeightsRegistry((tmp_path / "carry",))
    assert states(carried) == {"good": "ok", "linked": "ok"}
    (entry,) = carried.known("linked")
    assert not entry.file.is_symlink()
    assert entry.record == linked.record


def test_an_export_takes_the_encoders_named_and_tells_the_missing_ones(
    put: Put, registry: WeightsRegistry, tmp_path: Path
) -> None:
    put(b"a", "a")
    put(b"b", "b")
    assert [entry.record.encoder for entry in exported(registry, tmp_path / "carry", ["b"])] == ["b"]
    with pytest.raises(WeightsStoreError, match=r"no weights of 'c', 'd' in .*weights list"):
        list(exported(registry, tmp_path / "more", ["b", "c", "d"]))
    assert not (tmp_path / "more").exists()


def test_a_damaged_file_is_not_carried_on(put: Put, registry: WeightsRegistry, tmp_path: Path) -> None:
    put(b"good", "good").file.write_bytes(b"baad")
    with pytest.raises(WeightsStoreError, match="has the SHA-256"):
        list(exported(registry, tmp_path / "carry"))
    assert not list((tmp_path / "carry").rglob("*.json"))


def test_an_empty_registry_has_nothing_to_export(registry: WeightsRegistry, tmp_path: Path) -> None:
    with pytest.raises(WeightsStoreError, match="there are no weights in "):
        list(exported(registry, tmp_path / "carry"))
