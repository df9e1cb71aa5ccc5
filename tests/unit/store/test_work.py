"""Work directories: one rename decides, and only what nobody owns is swept."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wsi_features.errors import StoreError
from wsi_features.store import FeatureStore, StoreWriter, abandoned, is_complete, owner, sweep, work
from wsi_features.store.commit import flush_folder
from wsi_features.store.owner import token

OTHER = "cc" * 32


class TestTargetInTheWay:
    def test_a_complete_store_of_the_same_fingerprint_stays(self, tmp_path: Path, samples: Any) -> None:
        target = samples.write(tmp_path)
        before = (target / "features/c/0/0").stat().st_ino
        assert samples.write(tmp_path) == target
        assert (target / "features/c/0/0").stat().st_ino == before
        assert [p.name for p in tmp_path.iterdir()] == ["s1.zarr"]

    def test_a_store_of_another_fingerprint_is_replaced(self, tmp_path: Path, samples: Any) -> None:
        samples.write(tmp_path, samples.content(fingerprint=OTHER))
        target = samples.write(tmp_path)
        assert is_complete(target, samples.fingerprint)
        assert [p.name for p in tmp_path.iterdir()] == ["s1.zarr"]

    @pytest.mark.parametrize("lost", ["commit.json", "features/c/0/0"])
    def test_an_incomplete_store_is_replaced(self, store: Path, samples: Any, lost: str) -> None:
        before = samples.tree(store)
        (store / lost).unlink()
        samples.write(store.parent, bad=[5])
        assert samples.tree(store) == before
        assert samples.hidden(store.parent) == []

    @pytest.mark.parametrize("kind", ["file", "folder", "empty", "link", "dangling"])
    def test_anything_else_is_replaced(self, tmp_path: Path, samples: Any, kind: str) -> None:
        target = tmp_path / "s1.zarr"
        (tmp_path / "elsewhere").mkdir()
        if kind == "file":
            target.write_text("x")
        elif kind in ("link", "dangling"):
            target.symlink_to(tmp_path / ("elsewhere" if kind == "link" else "none"))
        else:
            (target / "sub" if kind == "folder" else target).mkdir(parents=True)
        FeatureStore.open(samples.write(tmp_path)).check()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere", "s1.zarr"]

    def test_the_old_store_is_gone_only_after_the_new_one_is_there(
        self, tmp_path: Path, samples: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target = samples.write(tmp_path, samples.content(fingerprint=OTHER))
        seen = []
        monkeypatch.setattr(
            work, "remove", lambda path: seen.append((is_complete(target, samples.fingerprint), path.suffix))
        )
        samples.write(tmp_path)
        assert seen == [(True, ".old")]
        assert is_complete(samples.hidden(tmp_path)[0], OTHER)

    def test_two_open_writers_leave_the_first_store(self, tmp_path: Path, samples: Any) -> None:
        with (
            StoreWriter(tmp_path / "s1.zarr", samples.content()) as one,
            StoreWriter(tmp_path / "s1.zarr", samples.content()) as other,
        ):
            samples.append(one, samples.features(7), batches=[3])
            samples.append(other, samples.features(7), batches=[5])
            target = one.commit()
            before = target.stat().st_ino
            assert other.commit() == target
        assert target.stat().st_ino == before
        assert [p.name for p in tmp_path.iterdir()] == ["s1.zarr"]

    def test_an_old_store_that_another_writer_takes_away_first_is_no_error(
        self, tmp_path: Path, samples: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target = samples.write(tmp_path, samples.content(fingerprint=OTHER))

        def found_other_and_lost(path: Path, fingerprint: str) -> bool:
            shutil.rmtree(path)
            return bool(fingerprint == OTHER)

        monkeypatch.setattr(work, "is_complete", found_other_and_lost)
        samples.write(tmp_path)
        assert is_complete(target, samples.fingerprint)
        assert samples.hidden(tmp_path) == []

    def test_a_rename_that_fails_for_good_is_an_error_and_leaves_the_old_store(
        self, tmp_path: Path, samples: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target = samples.write(tmp_path, samples.content(fingerprint=OTHER))

        def refused(self: Path, target: Path) -> None:
            raise OSError(errno.EACCES, "Permission denied", str(self), None, str(target))

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", refused)
            with pytest.raises(StoreError, match=r"s1\.zarr' cannot be written \(Permission denied\)"):
                samples.write(tmp_path)
        assert is_complete(target, OTHER)
        assert samples.hidden(tmp_path) == []


def left_behind(target: Path, *, old: bool = False, **owner: Any) -> Path:
    """A work directory of this process, except for what `owner` changes."""
    host, pid, start, random = token().split("-")
    parts = {"host": host, "pid": pid, "start": start, "random": random} | owner
    name = "-".join(str(part) for part in parts.values())
    path = target.parent / f".{target.name}.{name}{'.old' if old else ''}"
    (path / "features/c").mkdir(parents=True)
    return path


def ended_process() -> int:
    """The number of a process that is no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


class TestSweep:
    @pytest.mark.parametrize("old", [False, True])
    def test_work_of_an_ended_process_is_removed(self, tmp_path: Path, old: bool) -> None:
        dead = left_behind(tmp_path / "s1.zarr", pid=ended_process(), old=old)
        assert sweep(tmp_path / "s1.zarr") == [dead]
        assert list(tmp_path.iterdir()) == []

    def test_work_of_a_living_process_is_kept(self, tmp_path: Path) -> None:
        left_behind(tmp_path / "s1.zarr")
        assert sweep(tmp_path / "s1.zarr") == []
        assert len(list(tmp_path.iterdir())) == 1

    def test_a_process_that_only_reuses_the_number_does_not_own_it(self, tmp_path: Path) -> None:
        dead = left_behind(tmp_path / "s1.zarr", start=12)
        assert sweep(tmp_path / "s1.zarr") == [dead]

    def test_a_killed_process_that_nobody_has_reaped_is_gone(self, tmp_path: Path) -> None:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        start = owner._start_time(process.pid)
        dead = left_behind(tmp_path / "s1.zarr", pid=process.pid, start=start)
        assert sweep(tmp_path / "s1.zarr") == []
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert sweep(tmp_path / "s1.zarr") == [dead]
        process.wait()

    def test_an_unknown_start_time_is_left_alone(self, tmp_path: Path) -> None:
        left_behind(tmp_path / "s1.zarr", start=0)
        assert sweep(tmp_path / "s1.zarr") == []

    def test_work_of_another_machine_is_left_alone(self, tmp_path: Path) -> None:
        left_behind(tmp_path / "s1.zarr", host="00000000", pid=ended_process())
        assert sweep(tmp_path / "s1.zarr") == []

    @pytest.mark.parametrize("name", ["s2.zarr", "s1.zarr.zarr", "as1.zarr", "s1xzarr"])
    def test_work_of_another_slide_is_left_alone(self, tmp_path: Path, name: str) -> None:
        left_behind(tmp_path / name, pid=ended_process())
        assert sweep(tmp_path / "s1.zarr") == []

    def test_names_that_only_hold_such_a_name_are_left_alone(self, tmp_path: Path) -> None:
        dead = left_behind(tmp_path / "s1.zarr", pid=ended_process())
        kept = dead.rename(dead.with_name(dead.name + ".kept"))
        assert sweep(tmp_path / "s1.zarr") == []
        assert kept.exists()

    @pytest.mark.parametrize("name", [".s1.zarr.lock", ".s1.zarr", "s1.zarr"])
    def test_other_files_are_left_alone(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text("x")
        assert sweep(tmp_path / "s1.zarr") == []
        assert (tmp_path / name).exists()

    def test_a_folder_that_is_not_there_has_nothing_to_sweep(self, tmp_path: Path) -> None:
        assert sweep(tmp_path / "none" / "s1.zarr") == []

    def test_the_work_of_a_running_writer_is_kept(self, tmp_path: Path, samples: Any) -> None:
        with StoreWriter(tmp_path / "s1.zarr", samples.content()) as writer:
            assert sweep(tmp_path / "s1.zarr") == []
            samples.append(writer, samples.features(7))
            writer.commit()


def test_abandoned_work_is_found_in_every_folder_below_and_left_there(tmp_path: Path) -> None:
    dead = [left_behind(tmp_path / folder / "s1.zarr", pid=ended_process()) for folder in ("a", "b/c")]
    left_behind(tmp_path / "a" / "s2.zarr")
    assert abandoned(tmp_path) == dead
    assert all(path.exists() for path in dead)


def test_work_of_another_machine_is_abandoned_after_a_day_of_silence(tmp_path: Path) -> None:
    foreign = left_behind(tmp_path / "s1.zarr", host="01234567")
    assert abandoned(tmp_path) == []
    for path in (foreign, *foreign.rglob("*")):
        os.utime(path, (0, 0))
    assert abandoned(tmp_path) == [foreign]


class TestFlush:
    def test_every_file_and_folder_then_the_record_then_after_the_rename_the_parent(
        self, tmp_path: Path, samples: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        flushed: list[str] = []
        target = tmp_path / "s1.zarr"

        def note(descriptor: int) -> None:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            shown = "visible" if target.exists() else "hidden"
            flushed.append(f"{shown} {'/'.join(path.relative_to(tmp_path).parts[1:])}")

        monkeypatch.setattr(os, "fsync", note)
        samples.write(tmp_path)
        everything = {p.relative_to(target).as_posix() for p in target.rglob("*")} - {"commit.json"}
        assert flushed[0] == "hidden journal.new"
        chunk = flushed.index("hidden store/features/c/0/0")
        assert flushed[chunk + 1] == "hidden journal"
        built = {name.removeprefix("hidden store").lstrip("/") for name in flushed[:-3] if "journal" not in name}
        assert built == {*everything, ""}
        assert flushed[-3:] == ["hidden store/commit.json", "hidden store", "visible "]

    @pytest.mark.parametrize(("code", "raised"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
    def test_file_systems_that_cannot_flush_folders_are_accepted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, raised: bool
    ) -> None:
        def fail(descriptor: int) -> None:
            raise OSError(code, f"descriptor {descriptor}")

        monkeypatch.setattr(os, "fsync", fail)
        if raised:
            with pytest.raises(OSError, match="descriptor"):
                flush_folder(tmp_path)
        else:
            flush_folder(tmp_path)
