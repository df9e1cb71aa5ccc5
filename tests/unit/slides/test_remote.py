"""Slides in an object store, of a server on this machine."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from wsi_features.cohort.sheets import manifest_from
from wsi_features.errors import ManifestError, SlideFileError
from wsi_features.slides import content_fingerprint
from wsi_features.slides.identity import remote_fingerprint
from wsi_features.slides.remote import copy_remote, is_remote, remote_name, remote_stamp, shown


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of a bucket with `a.svs` of 9 MiB, `empty.svs` and `m.mrxs`."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            patch.setenv(name, "us-east-1" if name.endswith("REGION") else "test")
        import fsspec

        system = fsspec.filesystem("s3")
        system.mkdir("slides")
        for name, content in {"a.svs": data(), "empty.svs": b"", "m.mrxs": b"x"}.items():
            system.pipe_file(f"slides/{name}", content)
        yield "s3://slides"
    server.stop()


def data() -> bytes:
    return np.random.default_rng(0).bytes(9 * 2**20 + 17)


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "a.svs"
    path.write_bytes(data())
    return path


def test_a_remote_slide_has_the_fingerprint_of_its_copy(bucket: str, local: Path) -> None:
    assert remote_fingerprint("s", f"{bucket}/a.svs") == content_fingerprint(local)


def test_a_copy_has_all_bytes(bucket: str, tmp_path: Path) -> None:
    copy_remote("s", f"{bucket}/a.svs", tmp_path / "copy", lambda: True)
    assert (tmp_path / "copy").read_bytes() == data()


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.svs", "no file at 's3://slides/none.svs'"), ("empty.svs", "0 bytes"), ("m.mrxs", "several files")],
)
def test_what_cannot_be_used_is_refused(bucket: str, name: str, message: str) -> None:
    with pytest.raises(SlideFileError, match=message):
        remote_fingerprint("s", f"{bucket}/{name}")


def test_an_object_that_is_written_again_has_another_stamp(bucket: str) -> None:
    import fsspec

    before = remote_stamp(f"{bucket}/a.svs")
    fsspec.filesystem("s3").pipe_file("slides/b.svs", b"other")
    assert remote_stamp(f"{bucket}/a.svs") == before
    assert remote_stamp(f"{bucket}/b.svs") != before


def test_a_store_that_nothing_speaks_to_is_named_with_the_remedy() -> None:
    with pytest.raises(SlideFileError, match=r"slide 's'.*cannot be fetched.*then rerun"):
        remote_fingerprint("s", "nosuchprotocol://x/y.svs")


def test_neither_password_nor_query_is_shown() -> None:
    assert shown("s3://key:secret@host/b/a.svs?token=1") == "s3://host/b/a.svs"
    assert remote_name("s3://b/c/a.svs?token=1") == "a.svs"


def test_a_sheet_may_name_remote_slides(tmp_path: Path) -> None:
    sheet = tmp_path / "cohort.csv"
    sheet.write_text("slide_id,path\ns1,s3://slides/a.svs\n")
    (row,) = manifest_from([str(sheet)])
    assert row.path == "s3://slides/a.svs"
    assert is_remote(row.path)
    sheet.write_text("slide_id,path\ns1,none.svs\n")
    with pytest.raises(ManifestError, match="No such file"):
        manifest_from([str(sheet)])


@pytest.mark.usefixtures("bucket")
def test_a_remote_slide_goes_through_the_whole_chain(slide_folder: Path, tmp_path: Path) -> None:
    import fsspec

    from wsi_features import embed

    fsspec.filesystem("s3").put_file(str(slide_folder / "small.svs"), "slides/small.svs")
    tuning = {"scratch": str(tmp_path / "scratch")}
    remote = embed("s3://slides/small.svs", out=tmp_path / "remote", tuning=tuning)
    local = embed(slide_folder / "small.svs", out=tmp_path / "local")
    assert remote.record == local.record
    assert list((tmp_path / "scratch").iterdir()) == []
    quality = {"thresholds": {"tissue_share": {"min": 0.5}}, "drop": True}
    dropped = embed("s3://slides/small.svs", out=tmp_path / "remote", tuning=tuning, quality=quality)
    assert 0 < len(dropped) < len(remote)


@pytest.mark.usefixtures("bucket")
def test_a_remote_slide_is_inspected_from_a_copy(capsys: pytest.CaptureFixture[str]) -> None:
    from wsi_features.cli.main import run_command

    assert run_command(["inspect", "s3://slides/none.svs"]) == 1
    assert "no file at 's3://slides/none.svs'" in capsys.readouterr().out
    assert run_command(["inspect", "s3://slides/a.svs"]) == 1  # it is there, and no slide
    assert "not a slide that any reader knows" in capsys.readouterr().out
