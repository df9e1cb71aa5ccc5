"""Commands about this installation: `doctor` and `demo`."""

from __future__ import annotations

from pathlib import Path

import click

from wsi_features.stages.boundary import OK, SOME_FAILED


@click.command(short_help="Check this installation.")
def doctor() -> int:
    """Versions, libraries, devices and folders that a run needs; exit code 1 when something is missing."""
    from wsi_features.stages.doctor import findings

    good = True
    for finding in findings():
        mark = click.style("ok ", fg="green") if finding.ok else click.style("BAD", fg="red")
        click.echo(f"{mark} {finding.subject:<12} {finding.text}")
        good = good and finding.ok
    return OK if good else SOME_FAILED


@click.command(short_help="Make three slides and run the whole workflow on them.")
@click.option(
    "--out", default="demo", show_default=True, type=click.Path(path_type=Path), help="Folder for everything."
)
@click.option("--cores", default=2, show_default=True, help="Cores for the workflow.")
def demo(out: Path, cores: int) -> int:
    """Two slides with tissue and one without: slides, manifest, config, stores, status table and report in one folder."""
    from wsi_features.stages.demo import demo_cohort, demo_figure, run_workflow

    config = demo_cohort(out, click.echo)
    code = run_workflow(out, config, cores)
    results = out / "results"
    if code == OK:
        click.echo(f"\nconfig  {config}\nstores  {results / 'features'}")
        click.echo(f"status  {results / 'status.tsv'}\nreport  {results / 'report.html'}\nfigure  {demo_figure(out)}\n")
        click.echo((results / "status.tsv").read_text(encoding="utf-8"), nl=False)
    return code
