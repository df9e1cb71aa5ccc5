"""Commands about an output folder: `collect`, `status`, `report`, `prompt`, `check`, `retry`, `clean`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from wsi_features.cli.running import progress_json, tell_progress
from wsi_features.cli.summary import tell_outcome
from wsi_features.cohort.cleaning import leftovers, remove
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.running import cohort_progress, is_collected
from wsi_features.cohort.status import counts, failed, read_status
from wsi_features.config import ReportOptions
from wsi_features.files import write_json
from wsi_features.stages import run as runs
from wsi_features.stages.boundary import OK, SOME_FAILED
from wsi_features.stages.plan import retries

_OUT = click.argument("out", type=click.Path(file_okay=False, path_type=Path), metavar="OUT")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(short_help="Write the status table of a run.")
@_OUT
def collect(out: Path) -> None:
    """Write OUT/status.tsv: one row for each slide of the manifest, whatever became of it."""
    rows = runs.collect(Outputs(out))
    tell_outcome(rows, Outputs(out), report=False)


@click.command(short_help="How far a run is, or how its slides ended.")
@_OUT
@click.option("--accept", multiple=True, metavar="CODE", help="Reason code that does not count as a failure.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def status(out: Path, accept: tuple[str, ...], as_json: bool) -> int:
    """Counts and failures of OUT/status.tsv; of a run under way, slides in each stage, rate, time left and failures.

    The exit code is 1 when a slide has failed for a reason not accepted.
    """
    if not is_collected(Outputs(out)):
        progress = cohort_progress(Outputs(out))
        if as_json:
            click.echo(progress_json(progress))
        else:
            tell_progress(progress)
        return SOME_FAILED if set(progress.reasons()) - set(accept) else OK
    rows = read_status(Outputs(out).status)
    if as_json:
        click.echo(json.dumps({"finished": True, "slides": rows}))
        return runs.verdict(Outputs(out), accept)
    text = ", ".join(f"{n} {name}" for name, n in counts(row["status"] for row in rows).items() if n)
    click.echo(f"{len(rows)} slides: {text}")
    for row in failed(rows, accept):
        click.echo(f"  {row['slide_id']} failed in {row['stage']} [{row['reason']}]: {row['message']}")
    return runs.verdict(Outputs(out), accept)


@click.command(short_help="Write the HTML report of a run.")
@_OUT
@click.option("--title", default=ReportOptions().title, show_default=True, help="Heading.")
@click.option("--figures", type=int, default=ReportOptions().figures, show_default=True, help="Slides with figures.")
def report(out: Path, title: str, figures: int) -> None:
    """Write OUT/report.html: one self-contained file with the table of slides and their figures."""
    from wsi_features.stages.report import write_report

    click.echo(write_report(Outputs(out), ReportOptions(title=title, figures=figures)))


@click.command(short_help="Score stored features against prompts.")
@_OUT
@click.option("--encoder", required=True, metavar="NAME", help="Encoder whose stored, projected features are scored.")
@click.option("--prompts", required=True, type=_FILE, metavar="FILE", help="YAML: a list of prompts for each class.")
@click.option(
    "--weights", type=_FILE, metavar="FILE", help="The file of the embedding, if not the one in the weights registry."
)
@click.option(
    "--tokenizer", type=click.Path(path_type=Path), metavar="FILE", help="Tokenizer, if not beside the weights."
)
@click.option("--text", metavar="NAME", help="Card of the text tower, if it is not the encoder's own.")
@click.option("--name", metavar="NAME", help="Of the marks; the prompt file's unless given.")
def prompt(out: Path, **asked: Any) -> None:
    """Zero-shot scores of every tile in OUT: cosines of its features with each class of a prompt file.

    They lie in OUT/marks, beside the stores, and `wsi-features report` shows them as maps. Features and text
    tower come from the same weights file; nothing is embedded anew and nothing is downloaded.
    """
    from wsi_features.stages.prompt import PromptRequest, prompted

    for line in prompted(Outputs(out), PromptRequest(**asked)):
        click.echo(line)


@click.command(short_help="Verify feature stores.")
@click.argument("path", type=click.Path(exists=True, path_type=Path), metavar="STORE|OUT")
@click.option("--fast", is_flag=True, help="Commit records and file sizes only; otherwise every byte is hashed.")
@click.option("--workers", default=0, show_default="one a core", help="Stores that are checked at once.")
def check(path: Path, fast: bool, workers: int) -> int:
    """Verify a store, or every store under OUT; exit code 1 when one is not as it was committed."""
    from wsi_features.store import FORMS, checked, find_stores, slide_of

    stores = [path] if path.name.endswith(tuple(FORMS.values())) else find_stores(path)
    bad = 0
    for store, error in checked(stores, fast=fast, workers=workers):
        if error is not None:
            bad += 1
            click.echo(f"{slide_of(store)}: {error}", err=True)
    click.echo(f"{len(stores)} stores checked, {bad} bad")
    return SOME_FAILED if bad else OK


@click.command(short_help="Have failed slides tried again by the workflow's next run.")
@_OUT
@click.option("--reason", metavar="CODE", help="Only slides that failed with this reason code.")
def retry(out: Path, reason: str | None) -> None:
    """Mark the failed slides of OUT, so that the next `snakemake` run takes their shards up again.

    A slide whose file has changed is taken up without this. `wsi-features run` tries all failed slides
    again, save those whose reader crashed: these need it.
    """
    outputs = Outputs(out)
    rows = [row for row in failed(read_status(outputs.status)) if reason in (None, row["reason"])]
    asked = retries(outputs)
    asked.update({row["slide_id"]: asked.get(row["slide_id"], 0) + 1 for row in rows})
    if rows:
        write_json(outputs.retries, asked)
    slides = "1 failed slide" if len(rows) == 1 else f"{len(rows)} failed slides"
    click.echo(f"{slides} will be tried again by the next run")


@click.command(short_help="Find and delete what no current recipe refers to.")
@_OUT
@click.option("--delete", is_flag=True, help="Delete; without this the list is only shown.")
def clean(out: Path, delete: bool) -> None:
    """List stores of earlier recipes, marks of earlier thresholds, unfinished work and files of slides that are gone.

    That is work of dead jobs, and slides no longer in the manifest. Marks that you named yourself stay as long as
    their stores do.
    """
    found = leftovers(Outputs(out))
    for path in found:
        click.echo(path)
    if delete:
        remove(found)
    click.echo(
        f"{len(found)} {'deleted' if delete else 'found; add --delete to delete them'}" if found else "nothing to clean"
    )
