"""Commands that learn from the features of a run: `train`, `predict`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from wsi_features.cli.progress import fold_progress
from wsi_features.stages.boundary import OK

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
Command = Callable[..., Any]

_LABELS = (
    click.option("--label", metavar="COLUMN", help="Column of classes."),
    click.option("--time", metavar="COLUMN", help="Survival: column of the time to the event or the last visit."),
    click.option(
        "--event", metavar="COLUMN", help="Survival: column that says whether the event was seen (1) or not (0)."
    ),
    click.option("--target", "targets", multiple=True, metavar="COLUMN", help="Column of numbers; may be repeated."),
)
_BAGS = (
    click.option("--feature-set", metavar="NAME", help="Feature set, or how its name begins, where there are several."),
    click.option(
        "--marks",
        metavar="NAME",
        help="Keep marks, or how their name begins; '' takes all tiles. Default: the last run's.",
    ),
    click.option(
        "--only-stain", "stains", multiple=True, metavar="NAME", help="Slides of this stain in the manifest only."
    ),
)
_END = (
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True),
    click.option("--overwrite", is_flag=True, help="Replace another result in DIR."),
    click.option("--out", "folder", type=_FOLDER, required=True, metavar="DIR", help="Where the results go."),
)


def _options(*options: Command) -> Callable[[Command], Command]:
    def decorated(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


@click.command(short_help="Can the features tell these labels? Trains, cross-validates, reports.")
@click.argument("out", type=_FOLDER, metavar="OUT")
@click.option(
    "--labels",
    "table",
    type=_FILE,
    required=True,
    metavar="CSV",
    help="Columns slide_id or patient_id, and the labels.",
)
@_options(*_LABELS)
@click.option("--model", type=click.Choice(["abmil", "mean", "max", "linear"]), help="Default: abmil, gated attention.")
@click.option(
    "--unit", type=click.Choice(["slide", "patient"]), default="slide", show_default=True, help="What is predicted."
)
@click.option("--late", is_flag=True, help="With --unit patient: a model output for each slide, then their mean.")
@click.option("--folds", type=click.IntRange(3), metavar="N", help="Parts of the cross-validation. Default: 5.")
@click.option(
    "--group", "by", multiple=True, metavar="COLUMN",
    help="Column that folds must not divide either, as a site; slide_id: slides are patients of their own. May be repeated.",
)  # fmt: skip
@click.option(
    "--folds-file", type=_FILE, metavar="CSV", help="Folds of a published split: slide_id or patient_id, fold."
)
@click.option("--seed", type=click.IntRange(0), help="Of folds, first weights and draws. Default: 0.")
@click.option(
    "--max-tiles", type=click.IntRange(1), metavar="N", help="Tiles of a bag in a training step. Default: 1024."
)
@click.option("--epochs", type=click.IntRange(1), metavar="N", help="Most passes over the training bags. Default: 80.")
@click.option("--config", type=_FILE, metavar="FILE", help="YAML with further settings, as `recipe` in metrics.json.")
@click.option("--shuffle-labels", "shuffle", is_flag=True, help="Control: permute labels among patients; shows chance.")
@_options(*_BAGS, *_END)
def train(out: Path, **asked: Any) -> int:
    """Train on the features of OUT, with folds that divide no patient, and say how well they tell the labels.

    Give one of --label, --time with --event, or --target. DIR gets training.html, metrics.json, predictions.csv,
    folds.csv, attention.parquet and the models. It takes minutes on a CPU; equal settings give equal numbers, and a
    result that is there already is kept. Training and validation never see the patients that test.
    """
    from wsi_features.cli.training import tell_plan, tell_result
    from wsi_features.stages.training import prepared, trained, training_request
    from wsi_features.stages.training_report import MAIN_METRIC

    _refuse_columns(asked, needed=True)
    if asked["folds"] and asked["folds_file"]:
        raise click.UsageError("Give --folds or --folds-file, not both: the file says how many folds there are.")
    made = prepared(out, training_request(asked))
    tell_plan(made.numbers())
    if made.there is not None:
        click.echo(f"The same training is in {asked['folder']} already and is kept.")
        numbers = made.there
    else:
        with fold_progress(len(made.splits), MAIN_METRIC[made.asked.labels.task]) as progress:
            numbers = trained(made, progress)
    tell_result(numbers, asked["folder"], made.commands)
    return OK


@click.command(short_help="Apply trained models to the features of another run.")
@click.argument("training", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="TRAINING")
@click.argument("out", type=_FOLDER, metavar="OUT")
@click.option("--labels", "table", type=_FILE, metavar="CSV", help="Labels of OUT: then predictions are judged too.")
@_options(*_LABELS, *_BAGS, *_END)
def predict(training: Path, out: Path, **asked: Any) -> int:
    """Predict the slides or patients of OUT by the models of TRAINING, a folder of `train`: the mean of all folds.

    Features of another encoder, tile size or stain normalization are refused. With --labels, whose columns are called
    as in the training unless given, metrics and prediction.html are of cases that no model has seen: a patient of the
    training among them is refused.
    """
    from wsi_features.cli.training import tell_plan, tell_result
    from wsi_features.stages.prediction import predicted_run, prediction_request, prepared_prediction

    _refuse_columns(asked, needed=False)
    made = prepared_prediction(training, out, prediction_request(asked))
    tell_plan(made.numbers())
    if made.there is not None:
        click.echo(f"The same prediction is in {asked['folder']} already and is kept.")
    tell_result(made.there or predicted_run(made), asked["folder"], made.commands)
    return OK


def _refuse_columns(asked: dict[str, Any], *, needed: bool) -> None:
    """Raise click.UsageError unless columns of one task are named."""
    kinds = [bool(asked["label"]), bool(asked["time"] or asked["event"]), bool(asked["targets"])]
    if bool(asked["time"]) != bool(asked["event"]):
        raise click.UsageError("Survival needs both --time and --event.")
    if sum(kinds) > 1:
        raise click.UsageError("Give only one of --label, --time with --event, and --target.")
    if needed and not any(kinds):
        raise click.UsageError("Say what is to be learned: --label COLUMN, --time and --event, or --target COLUMN.")
    if any(kinds) and asked["table"] is None:
        raise click.UsageError("Give the table that has these columns: --labels CSV.")
