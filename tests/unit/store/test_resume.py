"""What a writer that is gone has left is taken up, when it was made under the very same conditions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.errors import ClaimedError, StoreError
from wsi_features.store import Claims, FeatureStore, StoreWriter, abandoned, claim, owner, sweep_finished, work_left
from wsi_features.store.journal import read_journal

pytestmark = pytest.mark.usefixtures("small_chunks")
SETTING = {"batch": 2, "hardware": "a CPU"}
BAD = [2, 8, 9]


def measured_content(samples: Any, n: int, **changed: Any) -> Any:
    """With a column that is known and one that is measured."""
    whole = samples.content(n, **changed)
    return type(whole)(
        whole.coords, whole.grid, whole.columns[:, :1], ("tissue",), 3, "float16", whole.provenance, ("blur",)
    )


def feed(writer: StoreWriter, samples: Any, n: int, end: int, batch: int) -> None:
    """Rows from a batch's border on, as the embed stage gives them, up to row `end`."""
    rows, valid = samples.features(n), ~np.isin(np.arange(n), BAD)
    first = writer.rows // batch * batch
    for start in [*range(first, end, batch)]:
        stop = min(start + batch, end)
        new = slice(max(start, writer.rows), stop)
        problems = [f"missing {row}" for row in range(new.start, new.stop) if row in BAD]
        columns = -np.arange(n, dtype=np.float32)[new, None]
        writer.append(rows[new], valid[new], columns, problems)


def whole_store(folder: Path, samples: Any, n: int, batch: int) -> dict[str, bytes]:
    with StoreWriter(folder / "s1.zarr", measured_content(samples, n), SETTING) as writer:
        feed(writer, samples, n, n, batch)
        tree: dict[str, bytes] = samples.tree(writer.commit())
    return tree


def left_by(folder: Path, samples: Any, end: int, *, n: int = 11, batch: int = 2, setting: Any = None) -> Path:
    """What is left when a writer stops after `end` rows."""
    writer = StoreWriter(folder / "s1.zarr", measured_content(samples, n), setting or SETTING)
    writer.__enter__()
    feed(writer, samples, n, end, batch)
    writer.leave()
    (left,) = work_left(folder / "s1.zarr")
    return left


def resumed(folder: Path, samples: Any, *, n: int = 11, batch: int = 2) -> tuple[int, dict[str, bytes]]:
    """The rows that were taken up, and the finished store."""
    target = folder / "s1.zarr"
    with StoreWriter(target, measured_content(samples, n), SETTING, work_left(target)) as writer:
        found = writer.rows
        feed(writer, samples, n, n, batch)
        tree = samples.tree(writer.commit())
    assert [path.name for path in folder.iterdir()] == ["s1.zarr"]
    return found, tree


@given(n=st.integers(1, 19), batch=st.integers(1, 7), stops=st.lists(st.integers(0, 19), max_size=3))
@settings(max_examples=12, deadline=None)
def test_the_store_is_the_same_wherever_its_writers_stopped(samples: Any, n: int, batch: int, stops: list[int]) -> None:
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        wanted, target, known = whole_store(Path(one), samples, n, batch), Path(other, "s1.zarr"), 0
        for stop in sorted(min(stop, n) for stop in stops):
            writer = StoreWriter(target, measured_content(samples, n), SETTING, work_left(target))
            writer.__enter__()
            assert writer.rows == known
            feed(writer, samples, n, max(stop, known), batch)
            known = n if writer.rows == n else writer.rows // 4 * 4
            writer.leave()
        assert resumed(Path(other), samples, n=n, batch=batch) == (known, wanted)


def test_a_chunk_whose_bytes_changed_and_what_follows_it_are_made_again(tmp_path: Path, samples: Any) -> None:
    wanted = whole_store(tmp_path / "whole", samples, 11, 2)
    left = left_by(tmp_path / "cut", samples, 9)
    file = left / "store/features/c/1/0"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert resumed(tmp_path / "cut", samples) == (4, wanted)


@pytest.mark.parametrize("lost", ["store/features/c/0/0", "journal", "store"])
def test_without_its_journal_or_its_first_chunk_work_is_worth_nothing(tmp_path: Path, samples: Any, lost: str) -> None:
    left = left_by(tmp_path, samples, 9)
    shutil.rmtree(left / lost) if lost == "store" else (left / lost).unlink()
    found, tree = resumed(tmp_path, samples)
    assert found == 0
    assert json.loads(tree["commit.json"])["rows"] == 11


@pytest.mark.parametrize("cut", [1, 5, 60])
def test_a_journal_that_was_cut_short_counts_up_to_its_last_whole_line(tmp_path: Path, samples: Any, cut: int) -> None:
    journal = left_by(tmp_path, samples, 9) / "journal"
    journal.write_bytes(journal.read_bytes()[:-cut])
    assert resumed(tmp_path, samples)[0] == 4


@pytest.mark.parametrize("setting", [{"batch": 3, "hardware": "a CPU"}, {"batch": 2, "hardware": "another"}])
def test_chunks_of_another_batch_or_machine_are_made_again(tmp_path: Path, samples: Any, setting: Any) -> None:
    left_by(tmp_path, samples, 9, setting=setting)
    assert resumed(tmp_path, samples)[0] == 0


@pytest.mark.parametrize("changed", [{"versions": {"zarr": "4"}}, {"device": "cuda"}, {"fingerprint": "cc" * 32}])
def test_chunks_of_other_versions_or_recipes_are_made_again(tmp_path: Path, samples: Any, changed: Any) -> None:
    left_by(tmp_path, samples, 9)
    target = tmp_path / "s1.zarr"
    with StoreWriter(target, measured_content(samples, 11, **changed), SETTING, work_left(target)) as writer:
        assert writer.rows == 0


def test_of_several_the_longest_is_taken_and_the_others_go(tmp_path: Path, samples: Any) -> None:
    for end, name in ((5, "a"), (9, "b"), (4, "c")):
        left = left_by(tmp_path / name, samples, end)
        (tmp_path / "all").mkdir(exist_ok=True)
        left.rename(tmp_path / "all" / left.name)
    assert resumed(tmp_path / "all", samples)[0] == 8


def test_a_writer_whose_work_was_taken_over_fails_and_changes_nothing(tmp_path: Path, samples: Any) -> None:
    target = tmp_path / "s1.zarr"
    sleeper = StoreWriter(target, measured_content(samples, 11), SETTING)
    with sleeper:
        feed(sleeper, samples, 11, 5, 2)
        left = [path for path in tmp_path.iterdir() if path.name.startswith(".s1.zarr.")]
        with StoreWriter(target, measured_content(samples, 11), SETTING, left) as heir:
            assert heir.rows == 4
            with pytest.raises(StoreError, match="No such file"):
                feed(sleeper, samples, 11, 11, 1)
            feed(heir, samples, 11, 11, 2)
            assert samples.tree(heir.commit()) == whole_store(tmp_path / "whole", samples, 11, 2)
    assert FeatureStore.open(target).check() is None


def test_work_of_another_machine_is_left_alone_until_it_is_silent(tmp_path: Path, samples: Any) -> None:
    left = left_by(tmp_path, samples, 9)
    foreign = left.rename(left.with_name(f".s1.zarr.01234567-{owner.token().partition('-')[2]}"))
    changed = max(path.stat().st_mtime for path in [foreign, *foreign.rglob("*")])
    assert work_left(tmp_path / "s1.zarr", changed - 1) == []
    assert work_left(tmp_path / "s1.zarr", changed + 1) == [foreign]


def test_what_is_left_of_a_store_that_is_there_is_swept_and_other_work_stays(tmp_path: Path, samples: Any) -> None:
    useless = left_by(tmp_path, samples, 9)
    with StoreWriter(tmp_path / "s1.zarr", measured_content(samples, 11), SETTING) as writer:
        feed(writer, samples, 11, 11, 2)
        writer.commit()
    useful = left_by(tmp_path / "other", samples, 9)
    assert sweep_finished(tmp_path) == [useless]
    assert sweep_finished(tmp_path / "other") == []
    assert abandoned(tmp_path) == [useful]


def test_the_journal_says_what_it_was_told(tmp_path: Path, samples: Any) -> None:
    journal = left_by(tmp_path, samples, 9) / "journal"
    about = json.loads(journal.read_text().splitlines()[0].partition(" ")[2])["about"]
    first, second = read_journal(journal, about)
    assert (first.problems, second.problems) == (((2, "missing 2"),), ())
    assert second.columns.tolist() == [[-4.0], [-5.0], [-6.0], [-7.0]]
    assert read_journal(journal, about | {"fingerprint": "cc" * 32}) == []


class TestClaims:
    def test_one_of_two_gets_it_and_the_other_after_that(self, tmp_path: Path) -> None:
        target = tmp_path / "f" / "s1.zarr"
        with Claims() as one, Claims() as other:
            held = one.take(target)
            with pytest.raises(ClaimedError, match=r"slide 's1'.*is being made by process \d+ on .*Rerun when"):
                other.take(target)
            one.release(held)
            other.take(target).require()
        assert list(target.parent.iterdir()) == []

    @pytest.mark.parametrize("pid", [0, 999_999_999])
    def test_the_claim_of_a_dead_process_counts_for_nothing(self, tmp_path: Path, pid: int) -> None:
        target = tmp_path / "s1.zarr"
        stale(target, lambda host, _: f"{host}-{pid}-1-00000000")
        with Claims() as claims:
            claims.take(target).require()

    def test_a_process_number_that_was_given_again_is_another_process(self, tmp_path: Path) -> None:
        stale(tmp_path / "s1.zarr", lambda host, pid: f"{host}-{pid}-1-00000000")
        with Claims() as claims:
            claims.take(tmp_path / "s1.zarr").require()

    def test_the_claim_of_another_machine_holds_until_it_is_silent(self, tmp_path: Path) -> None:
        file = stale(tmp_path / "s1.zarr", lambda _, pid: f"01234567-{pid}-1-00000000")
        with Claims() as patient, Claims(stale_seconds=-1) as hasty:
            with pytest.raises(ClaimedError, match="by another job"):
                patient.take(tmp_path / "s1.zarr")
            hasty.take(tmp_path / "s1.zarr").require()
        assert not file.exists()

    def test_who_lost_a_claim_is_told_and_does_not_release_that_of_the_other(self, tmp_path: Path) -> None:
        target = tmp_path / "s1.zarr"
        with Claims() as one, Claims() as other:
            lost = one.take(target)
            lost.file.unlink()
            mine = other.take(target)
            with pytest.raises(ClaimedError, match="another job has taken over"):
                lost.require()
            one.release(lost)
            mine.require()

    def test_a_slow_thief_takes_nothing_from_the_fast_one(self, tmp_path: Path, monkeypatch: Any) -> None:
        """Both saw the same stale claim; the fast one has its own by the time the slow one goes on."""
        target, judged = tmp_path / "s1.zarr", claim.is_held
        stale(target, lambda host, _: f"{host}-0-0-00000000")
        with Claims() as fast, Claims() as slow:

            def meanwhile(*_: Any) -> bool:
                monkeypatch.setattr(claim, "is_held", judged)
                fast.take(target)
                return False

            monkeypatch.setattr(claim, "is_held", meanwhile)
            with pytest.raises(ClaimedError, match="is being made by process"):
                slow.take(target)

    def test_beats_keep_it_fresh(self, tmp_path: Path) -> None:
        with Claims(beat_seconds=0.005) as claims:
            file = claims.take(tmp_path / "s1.zarr").file
            times = {file.stat().st_mtime_ns for _ in range(20_000)}
        assert len(times) > 1
        assert all(one <= two for one, two in pairwise(sorted(times)))


def stale(target: Path, token: Callable[[str, str], str]) -> Path:
    """A claim of an owner whose token is made of this process's host and number."""
    host, pid, *_ = owner.token().split("-")
    folder = claim.claim_folder(target)
    folder.mkdir(parents=True)
    file = folder / token(host, pid)
    file.touch()
    return file
