from __future__ import annotations

from wsi_features.report.model import CohortReport


def test_every_status_is_counted_also_the_absent_ones(report: CohortReport) -> None:
    assert CohortReport("t", report.rows[:2]).counts == {"ok": 1, "empty": 1, "skipped": 0, "failed": 0}


def test_totals_skip_what_is_unknown(report: CohortReport) -> None:
    assert (report.tiles, report.tissue_mm2, report.seconds) == (3, 1.25, 75.0)
