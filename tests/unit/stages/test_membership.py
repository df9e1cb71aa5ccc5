"""Shards change when rows are inserted or deleted; what is finished stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsi_features.cohort.manifest import Manifest, ManifestRow
from wsi_features.config import Config
from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.stages import run as runs
from wsi_features.stages.plan import Plan, plan_of
from wsi_features.stages.progress import Silent


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ManifestRow]:
    folder = tmp_path_factory.mktemp("glass")
    for seed, name in enumerate("abcd"):
        spec = SlideSpec(width=768, height=512, seed=seed, mpp=0.5, objective=20, levels=(1, 4), tissue=False)
        write_slide(folder / f"{name}.svs", spec)
    return {name: ManifestRow(slide_id=name, path=str(folder / f"{name}.svs")) for name in "abcd"}


def run(out: Path, slides: dict[str, ManifestRow], names: str) -> Plan:
    config = Config.model_validate({"out": str(out), "tuning": {"slides_per_shard": 2, "workers": 1}})
    plan = Plan(config, Manifest(tuple(slides[name] for name in names)))
    runs.write_manifest(plan)
    runs.run(plan, Silent())
    return plan


def finished(out: Path) -> dict[str, tuple[int, int]]:
    """The stores and tissue masks with file number and time."""
    found = [*out.glob("features/*/*.zarr/commit.json"), *out.glob("slides/*/tissue.png")]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


@pytest.mark.parametrize("names", ["dabc", "ac", "cba"], ids=["inserted", "deleted", "reordered"])
def test_a_finished_slide_is_not_redone_in_another_shard(
    tmp_path: Path, slides: dict[str, ManifestRow], names: str
) -> None:
    run(tmp_path, slides, "abc")
    before = finished(tmp_path)
    assert len(before) == 6
    plan = run(tmp_path, slides, names)
    after = finished(tmp_path)
    assert {path: after[path] for path in before} == before
    assert [row.slide_id for row in runs.collect(plan.out)] == list(names)


def test_an_appended_slide_leaves_what_earlier_shards_ask_for_alone(slides: dict[str, ManifestRow]) -> None:
    config = Config.model_validate({"tuning": {"slides_per_shard": 2}})
    short, long = (Plan(config, Manifest(tuple(slides[name] for name in names))) for names in ("abc", "abcd"))
    assert short.slides("00000") == long.slides("00000")
    assert short.slides("00001") != long.slides("00001")


def test_a_block_that_is_filled_in_later_changes_no_job_but_the_manifest(slides: dict[str, ManifestRow]) -> None:
    rows = [slides["a"], slides["b"].model_copy(update={"block": "A1"}), slides["b"].model_copy(update={"block": "A2"})]
    without, one, other = (Plan(Config(), Manifest((rows[0], row))) for row in (slides["b"], *rows[1:]))
    assert without.slides("00000") == one.slides("00000") == other.slides("00000")
    assert len({plan.manifest_digest for plan in (without, one, other)}) == 3
    assert "block" not in without.manifest.to_json(2)


def test_a_cluster_job_plans_from_the_manifest_that_the_run_wrote(
    tmp_path: Path, slides: dict[str, ManifestRow]
) -> None:
    values = {"manifest": str(tmp_path / "gone.csv"), "out": str(tmp_path), "tuning": {"slides_per_shard": 2}}
    plan = Plan(Config.model_validate(values), Manifest((slides["a"], slides["b"], slides["c"])))
    runs.write_manifest(plan)
    in_job = plan_of(values, in_job=True)
    assert {shard: in_job.slides(shard) for shard in in_job.shards} == {s: plan.slides(s) for s in plan.shards}
