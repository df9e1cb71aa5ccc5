"""What the README shows of bags for a trainer runs as it stands there."""

import re
from pathlib import Path

import pytest

from wsi_features.cohort.records import SlideResult, write_record

from .conftest import SETS, write_cohort

README = Path(__file__).parents[3] / "README.md"


def test_the_example_of_bags_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = README.read_text(encoding="utf-8").partition("## Bags for your own trainer\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```python\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE)
    assert blocks
    cohort = write_cohort(tmp_path / "results")
    for shard, slides in cohort.manifest.shards(4).items():
        facts = {"stores": {SETS: {"store": f"features/{SETS}/ID.zarr", "tiles": 1}}}
        results = {row.slide_id: SlideResult("ok", "embed", facts=facts) for row in slides}
        write_record(cohort.out.record("embed", shard), "embed", shard, results)
    rows = [f"p{k},{'AB'[k % 2]}" for k in range(7)]
    (tmp_path / "labels.csv").write_text("\n".join(["patient_id,grade", *rows]) + "\n")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)  # noqa: S102 - our own text
    assert {"features", "mask", "label"} <= names["batch"].keys()  # type: ignore[attr-defined]
