"""Commands about this installation: `encoders`, `doctor` and `demo`."""

from __future__ import annotations

from pathlib import Path

import click

from wsi_features.stages.boundary import OK, SOME_FAILED


@click.group(short_help="List, show and check encoder cards.")
def encoders() -> None:
    """Encoder cards: what goes into each model, how it is built, and what comes out."""


@encoders.command("list")
def list_encoders() -> None:
    """One line for each card that ships with the package."""
    from wsi_features.encode.registry import card_named, card_names

    rows = [("NAME", "TILE", "DIM", "ARITHMETIC", "WEIGHTS", "LICENCE")]
    for name in card_names():
        card = card_named(name)
        weights = ("gated" if card.gated else "open") if card.needs_weights else "none needed"
        tile = f"{card.tile_px} px at {card.tile_mpp:g} um/px"
        rows.append((card.name, tile, str(card.dim), card.precision, weights, card.licence))
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    click.echo("\nAny timm model works as timm:NAME with a local weights file.")


@encoders.command("show")
@click.argument("name")
def show_encoder(name: str) -> None:
    """Print the card NAME (or card file, or timm:MODEL) as YAML."""
    import yaml

    from wsi_features.encode.registry import card_named

    click.echo(yaml.safe_dump(card_named(name).model_dump(mode="json"), sort_keys=False), nl=False)


@encoders.command("check")
@click.argument("name")
@click.option("--weights", type=click.Path(dir_okay=False, path_type=Path), help="Local weights file.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1")
def check_encoder(name: str, weights: Path | None, device: str) -> None:
    """Build the encoder NAME strictly and embed a few made tiles with it."""
    from wsi_features.stages.encoder_check import checked_encoder

    for line in checked_encoder(name, weights, device):
        click.echo(line)


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
