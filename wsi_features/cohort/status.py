"""The status table: one row for each slide of the manifest, made from the shard records."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from wsi_features.cohort.manifest import Manifest, ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import STAGES, Record, SlideResult, read_record
from wsi_features.errors import OutputError
from wsi_features.files import csv_text


@dataclass(frozen=True, slots=True)
class StatusRow:
    """How one slide ended. Numbers that are not known are None, and empty in the table."""

    slide_id: str
    status: str
    reason: str
    stage: str
    tiles: int | None
    tissue_mm2: float | None
    mpp: float | None
    mpp_source: str
    reader: str
    stores: str
    seconds: float
    message: str
    kept: int | None = None


def statuses(manifest: Manifest, slides_per_shard: int, out: Outputs) -> tuple[StatusRow, ...]:
    """One row for each slide of the manifest, in its order; a slide without a record has failed."""
    rows = []
    for shard, slides in manifest.shards(slides_per_shard).items():
        records = {stage: read_record(out.record(stage, shard)) for stage in STAGES}
        rows += [_status(row, records) for row in slides]
    return tuple(rows)


def write_status(rows: Iterable[StatusRow]) -> str:
    """The table as TSV text; a cell that a spreadsheet would run as a formula gets a quote before it."""
    header = [field.name for field in fields(StatusRow)]
    return csv_text([header, *([_cell(value) for value in astuple(row)] for row in rows)], "\t")


def read_status(path: Path) -> list[dict[str, str]]:
    """The rows of a status table as text. Raises OutputError when there is none."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t"))
    except OSError as error:
        raise OutputError.not_an_output(str(path.parent)) from error


def counts(status: Iterable[str]) -> dict[str, int]:
    """How many slides ended in each status, all four named."""
    found = Counter(status)
    return {name: found[name] for name in ("ok", "empty", "skipped", "failed")}


def failed(rows: Sequence[Mapping[str, str]], accepted: Sequence[str] = ()) -> list[Mapping[str, str]]:
    """The failed rows of a status table whose reason is not accepted."""
    return [row for row in rows if row["status"] == "failed" and row["reason"] not in accepted]


def _status(row: ManifestRow, records: Mapping[str, Record]) -> StatusRow:
    # Marks of a slide that is not embedded are those of an earlier run.
    stages = STAGES if row.slide_id in records["embed"] else STAGES[:-1]
    found = [records[stage][row.slide_id] for stage in stages if row.slide_id in records[stage]]
    last = _last(row, records, found)
    why = next((result for result in found if result.status == "empty" and result.reason), last)
    why = why if last.status == "empty" else last
    facts: dict[str, Any] = {}
    for result in found:
        facts |= result.facts
    stores = facts.get("stores", {})
    tiles = [store["tiles"] for store in stores.values()] or list(facts.get("tiles", {}).values())
    kept = [marks["kept"] for marks in facts.get("marks", {}).values()]
    return StatusRow(
        slide_id=row.slide_id,
        status=last.status,
        reason=why.reason,
        stage=last.stage,
        tiles=tiles[0] if tiles else None,
        tissue_mm2=facts.get("tissue_mm2"),
        mpp=facts.get("mpp"),
        mpp_source=facts.get("mpp_source") or "",
        reader=facts.get("reader") or "",
        stores=";".join(str(store["store"]) for store in stores.values()),
        seconds=round(sum(result.seconds for result in found), 3),
        message=why.message or _remark(last, found) or _left_out(facts),
        kept=kept[0] if kept else None,
    )


def _last(row: ManifestRow, records: Mapping[str, Record], found: Sequence[SlideResult]) -> SlideResult:
    """How the slide ended: as embedding did, unless its marks failed after that."""
    embedded, marked = (records[stage].get(row.slide_id) for stage in ("embed", "marks"))
    if embedded is None:
        return _without_embed(row, found)
    return marked if embedded.usable and marked is not None and not marked.usable else embedded


def _remark(last: SlideResult, found: Sequence[SlideResult]) -> str:
    """What an earlier stage has to say of a slide that came through, such as a stain that was left as it is."""
    return next((result.message for result in found if result.message), "") if last.status == "ok" else ""


def _left_out(facts: Mapping[str, Any]) -> str:
    """What a slide that ended well lacks of what its tiles' source names."""
    found = [f"{n} {reason}" for reasons in facts.get("dropped", {}).values() for reason, n in reasons.items()]
    return f"tiles left out: {', '.join(found)}" if found else ""


def _without_embed(row: ManifestRow, found: Sequence[SlideResult]) -> SlideResult:
    """A slide that has not come to the end is a failure that names where it stopped."""
    ended = next((result for result in found if not result.usable), None)
    if ended is not None:
        return ended
    stage = found[-1].stage if found else "manifest"
    message = f"slide {row.slide_id!r} was not processed after stage {stage}. Run the same command again."
    return SlideResult("failed", stage, reason="not_run", message=message)


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    text = "".join(c if c.isprintable() else " " for c in text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
