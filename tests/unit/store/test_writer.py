"""What is given is what is stored; what cannot be stored is refused before anything is visible."""

from __future__ import annotations

import dataclasses
import os
import re
import resource
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.errors import NonFiniteFeaturesError, StoreError
from wsi_features.store import FeatureStore, StoreWriter, commit, find_stores, writer


class TestStoredIsGiven:
    @given(
        n=st.sampled_from([0, 1, 4095, 4096, 4097]),
        dim=st.integers(1, 3),
        dtype=st.sampled_from(["float16", "float32"]),
    )
    @settings(max_examples=12, deadline=None)
    def test_at_the_true_chunk_size(self, samples: Any, n: int, dim: int, dtype: str) -> None:
        given_rows = samples.features(n, dim) / 16
        with TemporaryDirectory() as folder:
            store = FeatureStore.open(samples.write(Path(folder), samples.content(n, dim, dtype), given_rows))
            store.check()
            assert store.features[:].dtype == dtype
            assert np.array_equal(store.features[:], given_rows.astype(dtype))
            assert np.array_equal(store.coords, samples.content(n).coords)

    @pytest.mark.usefixtures("small_chunks")
    @given(data=st.data(), n=st.integers(0, 13), dim=st.integers(1, 3), dtype=st.sampled_from(["float16", "float32"]))
    @settings(max_examples=20, deadline=None)
    def test_with_any_rows_invalid(self, samples: Any, data: Any, n: int, dim: int, dtype: str) -> None:
        bad = sorted(data.draw(st.sets(st.integers(0, n - 1)))) if n else []
        content = samples.content(n, dim, dtype)
        with TemporaryDirectory() as folder:
            store = FeatureStore.open(samples.write(Path(folder), content, bad=bad))
            wanted = samples.features(n, dim)
            wanted[bad] = np.nan
            assert np.array_equal(store.features[:], wanted.astype(dtype), equal_nan=True)
            assert np.flatnonzero(~store.valid).tolist() == bad
            assert np.array_equal(store.grid, content.grid)
            assert np.array_equal(np.stack(list(store.columns.values()), axis=1), content.columns)
            assert store.attributes["bad_tiles"] == [[r, r % 5 * 500, r // 5 * 500, f"missing {r}"] for r in bad]

    @pytest.mark.usefixtures("small_chunks")
    @given(batches=st.lists(st.integers(0, 9), max_size=8))
    @settings(max_examples=12, deadline=None)
    def test_bytes_do_not_depend_on_the_batches(self, samples: Any, batches: list[int]) -> None:
        with TemporaryDirectory() as one, TemporaryDirectory() as other:
            whole = samples.write(Path(one), samples.content(11), bad=[2, 8])
            split = samples.write(Path(other), samples.content(11), bad=[2, 8], batches=batches)
            assert samples.tree(split) == samples.tree(whole)

    def test_a_slide_without_columns_or_names(self, tmp_path: Path, samples: Any) -> None:
        content = dataclasses.replace(samples.content(), columns=np.zeros((7, 0), np.float32), column_names=())
        store = FeatureStore.open(samples.write(tmp_path, content))
        store.check()
        assert store.columns == {}

    def test_problems_may_come_in_any_order(self, tmp_path: Path, samples: Any) -> None:
        assert FeatureStore.open(samples.write(tmp_path, bad=[5, 1])).attributes["bad_tiles"] == [
            [1, 500, 0, "missing 1"],
            [5, 0, 500, "missing 5"],
        ]

    def test_filler_values_of_invalid_rows_are_never_stored_nor_judged(self, tmp_path: Path, samples: Any) -> None:
        rows = samples.features(7)
        rows[5] = [1e6, np.inf, 255.0]
        assert np.isnan(FeatureStore.open(samples.write(tmp_path, features=rows, bad=[5])).features[5]).all()


class TestNonFiniteFeatures:
    @pytest.mark.parametrize(
        ("value", "dtype"), [(1e6, "float16"), (-65520.0, "float16"), (np.nan, "float32"), (np.inf, "float32")]
    )
    def test_are_refused_with_row_and_value(self, tmp_path: Path, samples: Any, value: float, dtype: str) -> None:
        rows = samples.features(7)
        rows[4, 1] = value
        message = re.escape(f"slide 's1': tiny returned {value:g} at row 4, which {dtype} cannot hold")
        with pytest.raises(NonFiniteFeaturesError, match=message):
            samples.write(tmp_path, samples.content(dtype=dtype), rows, batches=[2, 1])
        assert list(tmp_path.iterdir()) == []

    def test_the_largest_float16_is_kept(self, tmp_path: Path, samples: Any) -> None:
        rows = samples.features(7)
        rows[4, 1] = 65504.0
        assert FeatureStore.open(samples.write(tmp_path, features=rows)).features[4, 1] == 65504.0


class TestRefusals:
    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"dim": 0}, "the feature dimension is 0, wanted 1 or more"),
            ({"dtype": "float64"}, "the feature dtype is float64, wanted float16 or float32"),
            ({"column_names": ("tissue",)}, r"the shape of columns is \(7, 2\), wanted \(7, 1\)"),
            ({"column_names": ("blur", "blur")}, "no name twice"),
            ({"column_names": ("blur", "")}, "one text per column"),
            ({"grid": np.zeros((6, 2), np.int32)}, r"the shape of grid is \(6, 2\), wanted \(7, 2\)"),
        ],
    )
    def test_content_of_the_wrong_shape(self, tmp_path: Path, samples: Any, changed: Any, message: str) -> None:
        with pytest.raises(StoreError, match=rf"slide 's1' cannot be stored: .*{message}"):
            StoreWriter(tmp_path / "s1.zarr", dataclasses.replace(samples.content(), **changed))

    @pytest.mark.parametrize(
        ("row", "position", "message"),
        [
            (3, [2000, 0], r"the order of positions is \[2000, 0\] at row 4 after \[2000, 0\]"),
            (3, [2000, 500], r"the order of positions is \[2000, 0\] at row 4 after \[2000, 500\]"),
            (3, [-1, 0], r"the position of row 3 is \[-1, 0\], wanted x from 0 to 2000, y from 0 to 500"),
            (4, [2001, 0], r"the position of row 4 is \[2001, 0\]"),
            (6, [500, 501], r"the position of row 6 is \[500, 501\]"),
        ],
    )
    def test_positions(self, tmp_path: Path, samples: Any, row: int, position: list[int], message: str) -> None:
        content = samples.content()
        content.coords[row] = position
        with pytest.raises(StoreError, match=message):
            StoreWriter(tmp_path / "s1.zarr", content)

    def test_positions_beyond_int32(self, tmp_path: Path, samples: Any) -> None:
        content = samples.content(slide_size=(2**33, 2**33))
        content.coords[6] = [500, 2**31]
        with pytest.raises(StoreError, match="the position of row 6 .* y from 0 to 2147483647"):
            StoreWriter(tmp_path / "s1.zarr", content)

    def test_swapped_axes(self, tmp_path: Path, samples: Any) -> None:
        content = samples.content()
        with pytest.raises(StoreError, match="the position of row 2 is"):
            StoreWriter(tmp_path / "s1.zarr", dataclasses.replace(content, coords=content.coords[:, ::-1]))
        with pytest.raises(StoreError, match=r"the order of grid indices is \[1, 0\] at row 5 after"):
            StoreWriter(tmp_path / "s1.zarr", dataclasses.replace(content, grid=content.grid[:, ::-1]))

    @pytest.mark.parametrize(("n", "status"), [(7, "empty"), (0, "ok")])
    def test_a_status_against_the_rows(self, tmp_path: Path, samples: Any, n: int, status: str) -> None:
        with pytest.raises(StoreError, match=f"the status is {status}"):
            StoreWriter(tmp_path / "s1.zarr", samples.content(n, status=status))

    def test_a_folder_that_is_not_named_after_the_slide(self, tmp_path: Path, samples: Any) -> None:
        with pytest.raises(StoreError, match=r"the name of its folder is s2\.zarr, wanted s1\.zarr"):
            StoreWriter(tmp_path / "s2.zarr", samples.content())

    def test_too_few_rows(self, tmp_path: Path, samples: Any) -> None:
        with pytest.raises(StoreError, match="the number of feature rows is 6, wanted 7"):
            samples.write(tmp_path, features=samples.features(6))
        assert list(tmp_path.iterdir()) == []

    def test_too_many_rows(self, tmp_path: Path, samples: Any) -> None:
        with pytest.raises(StoreError, match="the number of feature rows is 8 or more, wanted 7"):
            samples.write(tmp_path, features=samples.features(8), batches=[4])

    @pytest.mark.parametrize("shape", [(7, 4), (6, 3), (7,)])
    def test_a_batch_of_another_shape(self, tmp_path: Path, samples: Any, shape: tuple[int, ...]) -> None:
        with (
            StoreWriter(tmp_path / "s1.zarr", samples.content()) as opened,
            pytest.raises(StoreError, match=r"the shape of a batch of features is .* wanted \(7, 3\)"),
        ):
            opened.append(np.zeros(shape, np.float32), np.ones(7, bool))

    def test_validity_that_is_not_boolean(self, tmp_path: Path, samples: Any) -> None:
        with (
            StoreWriter(tmp_path / "s1.zarr", samples.content()) as opened,
            pytest.raises(StoreError, match=r"`valid` of a batch is int64 \(7,\), wanted bool"),
        ):
            opened.append(samples.features(7), np.ones(7, int))

    @pytest.mark.parametrize(
        ("problems", "message"),
        [
            ([], r"is rows \[\], wanted rows \[5\]"),
            ([(4, "x"), (5, "x")], r"is rows \[4, 5\], wanted rows \[5\]"),
            ([(5, "x"), (5, "y")], r"is rows \[5, 5\], wanted rows \[5\]"),
            ([(5, "")], r"is \[\[5, 0, 500, ''\]\], wanted a reason for each"),
        ],
    )
    def test_a_list_of_problems_against_the_invalid_rows(
        self, tmp_path: Path, samples: Any, problems: Any, message: str
    ) -> None:
        with StoreWriter(tmp_path / "s1.zarr", samples.content()) as opened:
            samples.append(opened, samples.features(7), bad=[5])
            with pytest.raises(StoreError, match="the list of bad tiles " + message):
                opened.commit(problems)

    def test_use_outside_the_block(self, tmp_path: Path, samples: Any) -> None:
        opened = StoreWriter(tmp_path / "s1.zarr", samples.content())
        with pytest.raises(RuntimeError, match="inside its `with` block"):
            opened.append(samples.features(7), np.ones(7, bool))
        with opened:
            samples.append(opened, samples.features(7))
            opened.commit()
            with pytest.raises(RuntimeError, match="and once"):
                opened.commit()


class TestVisibility:
    def test_nothing_shows_before_the_commit(self, tmp_path: Path, samples: Any) -> None:
        with StoreWriter(tmp_path / "s1.zarr", samples.content()) as opened:
            samples.append(opened, samples.features(7))
            assert find_stores(tmp_path) == []
            assert [p.name.startswith(".s1.zarr.") for p in tmp_path.iterdir()] == [True]
            opened.commit()
            assert [p.name for p in tmp_path.iterdir()] == ["s1.zarr"]

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_leaving_without_commit_removes_the_work(
        self, tmp_path: Path, samples: Any, error: type[BaseException]
    ) -> None:
        with suppress(error), StoreWriter(tmp_path / "s1.zarr", samples.content()) as opened:
            opened.append(samples.features(3), np.ones(3, bool))
            raise error
        assert list(tmp_path.iterdir()) == []

    def test_no_host_process_or_folder_is_written_into_the_store(self, tmp_path: Path, samples: Any) -> None:
        with StoreWriter(tmp_path / "s1.zarr", samples.content()) as opened:
            token = samples.hidden(tmp_path)[0].name.removeprefix(".s1.zarr.")
            samples.append(opened, samples.features(7))
            content = b"".join(samples.tree(opened.commit()).values())
        assert token.encode() not in content
        assert os.uname().nodename.encode() not in content
        assert str(tmp_path).encode() not in content

    def test_files_get_the_permissions_of_the_umask(self, tmp_path: Path, samples: Any) -> None:
        before = os.umask(0o027)
        try:
            store = samples.write(tmp_path)
        finally:
            os.umask(before)
        modes = {(p.is_dir(), oct(p.stat().st_mode & 0o777)) for p in [store, *store.rglob("*")]}
        assert modes == {(True, "0o750"), (False, "0o640")}

    @pytest.mark.parametrize("name", ["features/c/0/0", "coords/c/0/0", "zarr.json"])
    def test_what_the_disk_alters_while_writing_is_not_published(
        self, tmp_path: Path, samples: Any, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        def altered(root: Path, *told: Any) -> None:
            commit.seal(root, *told)
            content = (root / name).read_bytes()
            (root / name).write_bytes(content[:-1] + b"?")

        monkeypatch.setattr(writer, "seal", altered)
        with pytest.raises(StoreError):
            samples.write(tmp_path)
        assert list(tmp_path.iterdir()) == []


class TestUnwritable:
    def test_a_file_in_place_of_the_folder(self, tmp_path: Path, samples: Any) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(StoreError, match=r"file/s1\.zarr' cannot be written .*Check the permissions"):
            samples.write(tmp_path / "file")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_without_permission(self, tmp_path: Path, samples: Any) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(StoreError, match=r"s1\.zarr' cannot be written \(Permission denied\)"):
            samples.write(tmp_path)

    @pytest.mark.parametrize("room", [100, 100_000])
    def test_a_disk_that_fills_up(self, tmp_path: Path, samples: Any, room: int) -> None:
        """A file size limit stands in for a full disk: in the metadata, then in a chunk."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        try:
            with pytest.raises(StoreError, match=r"s1\.zarr' cannot be written \(File too large\)"):
                samples.write(tmp_path, samples.content(4097, 30), np.zeros((4097, 30), np.float32))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert list(tmp_path.iterdir()) == []
