"""`wsi-features compare`: are these the same features, and if not, what differs?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsi_features.stages.boundary import OK, SOME_FAILED

if TYPE_CHECKING:
    from wsi_features.cohort.compare.summary import SlideSummary
    from wsi_features.stages.comparison import Comparison

_ANY = click.Path(path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command(short_help="Are two sets of features the same, and if not, what differs?")
@click.argument("one", type=_ANY, metavar="A")
@click.argument("two", type=_ANY, metavar="B")
@click.option(
    "--out", "folder", type=_FOLDER, metavar="DIR", help="Write compare.html, compare.json and tiles.parquet."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
@click.option("--feature-set", metavar="NAME", help="Of both output folders, or how its name begins.")
@click.option("--feature-set-a", metavar="NAME", help="Of A alone.")
@click.option("--feature-set-b", metavar="NAME", help="Of B alone.")
@click.option("--slide", "slides", multiple=True, metavar="ID", help="Only this slide; may be repeated.")
@click.option(
    "--slide-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The slide itself, for pictures of tiles, where no run names it.",
)
@click.option("--same-slide", is_flag=True, help="A and B are of one slide, though they are named after two.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Level-0 pixels that centres of one tile may be apart.",
)
@click.option(
    "--mpp",
    type=click.FloatRange(0.05, 20),
    help="Microns per level-0 pixel; that of the other side's store unless given.",
)
@click.option("--tile-mpp", type=click.FloatRange(0.05, 80), help="Microns per pixel asked of tiatoolbox.")
@click.option("--encoder", default="", metavar="NAME", help="Which features of a file that holds several.")
@click.option("--patches", type=_FOLDER, metavar="DIR", help="Patch files of CLAM, if not in a `patches` beside.")
@click.option(
    "--fail-below",
    type=click.FloatRange(-1, 1),
    metavar="COSINE",
    help="Exit with 1 where a tile's cosine is lower, or not all could be compared.",
)
def compare(feature_set: str | None, as_json: bool, fail_below: float | None, **asked: Any) -> int:  # fmt: skip
    """Compare the features of A with those of B, tile by tile: numbers, a verdict, and hints at what differs.

    Each is a store, an output folder, or a file of TRIDENT, CLAM, STAMP, AtlasPatch, tiatoolbox, slideflow or
    slide2vec, or features in .pt, .npy or .safetensors, or a folder of such files. Tiles are paired by position; a
    file without positions has its rows in the other's order.
    """
    from wsi_features.cohort.compare.sides import Reading
    from wsi_features.stages.comparison import CompareRequest, comparison

    reading = Reading(**{name: asked.pop(name) for name in ("mpp", "tile_mpp", "encoder", "patches")})
    for side in ("feature_set_a", "feature_set_b"):
        asked[side] = asked[side] or feature_set
    tell = (lambda _: None) if as_json else _tell_slide
    made = comparison(CompareRequest(reading=reading, **asked), tell)
    if as_json:
        click.echo(json.dumps(made.to_json(), allow_nan=False))
    else:
        _tell_end(made, asked["folder"])
    lowest = made.lowest_cosine
    below = fail_below is not None and (lowest is None or lowest < fail_below or bool(made.only_one or made.only_two))
    return SOME_FAILED if made.failed or below else OK


def _tell_slide(slide: SlideSummary) -> None:
    """A slide in a few lines, as soon as it is compared."""
    click.secho(f"{slide.slide_id}: {slide.verdict}", bold=True)
    click.echo(f"  A {_side(slide.one)}\n  B {_side(slide.two)}")
    for note in slide.notes:
        click.echo(f"  {note}")
    loud = ", BY ROW NUMBER: one side has no positions" if slide.by_order else ""
    alone = "".join(f", {n} only in {side}" for side, n in (("A", slide.only_one), ("B", slide.only_two)) if n)
    broken = f", {slide.not_finite} of them without finite features" if slide.not_finite else ""
    click.echo(f"  {slide.paired} tiles paired{loud}{alone}{broken}; {slide.equal} of them equal")
    if slide.cosine:
        click.echo(
            f"  cosine      lowest {_near_one(slide.cosine['p0'])}, 1 % below {_near_one(slide.cosine['p1'])}, "
            f"median {_near_one(slide.cosine['p50'])}"
        )
        click.echo(
            f"  difference  median {slide.max_abs['p50']:.3g}  99 % {slide.max_abs['p99']:.3g}  largest {slide.max_abs['p100']:.3g}"
        )
    if slide.baseline and slide.cosine:
        base = slide.baseline
        click.echo(
            f"  baseline    cosine of wrong pairs {base.shuffled:.4f}; {base.retrieval:.0%} of tiles find themselves among "
            f"{base.among}; a feature's correlation with itself {base.same_feature:.3f}"
        )
    for hint in slide.hints:
        values = ", ".join(f"{name} {_short(value)}" for name, value in hint.numbers.items())
        click.echo(f"  [{hint.certainty}] {hint.text}" + (f" ({values})" if values else ""))


def _near_one(cosine: float) -> str:
    """A cosine with its distance from 1 where six digits would hide it."""
    return f"1 - {1 - cosine:.1e}" if 0 < 1 - cosine < 1e-4 else f"{cosine:.6f}"


def _short(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _side(side: Any) -> str:
    span = f", {side.span:g} px wide" if side.span else ""
    encoder = f" of {side.encoder}" if side.encoder else ""
    return f"{side.layout}: {side.rows} tiles{span}, {side.dim} features in {side.dtype}{encoder}"


def _tell_end(made: Comparison, folder: Path | None) -> None:
    from wsi_features.cohort.compare.verdict import verdict_counts

    for side, names in (("A", made.only_one), ("B", made.only_two)):
        if names:
            click.echo(f"only in {side}: {', '.join(names)}")
    if made.empty:
        click.echo(f"without tiles on both sides: {', '.join(made.empty)}")
    for why in made.failed.values():
        click.echo(why, err=True)
    if len(counted := verdict_counts(made.slides)) > 1:
        click.echo("; ".join(f"{count} {name}" for name, count in counted))
    slides = "1 slide" if len(made.slides) == 1 else f"{len(made.slides)} slides"
    click.secho(f"verdict on {slides}: {made.verdict}", bold=True)
    if folder is not None:
        click.echo(folder / "compare.html")
