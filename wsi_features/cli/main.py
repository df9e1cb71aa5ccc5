"""The command `wsi-features`: its subcommands, and the exit code of whatever happens."""

from __future__ import annotations

from collections.abc import Sequence

import click

from wsi_features import __version__
from wsi_features.cli.about import demo, doctor
from wsi_features.cli.cohort import check, clean, collect, prompt, report, retry, status
from wsi_features.cli.compare import compare
from wsi_features.cli.curation import annotate, curate, geojson
from wsi_features.cli.encoders import encoders
from wsi_features.cli.exchange import export, import_, tile_table
from wsi_features.cli.heatmap import heatmap
from wsi_features.cli.inspect import inspect
from wsi_features.cli.manifest import manifest
from wsi_features.cli.plan import plan
from wsi_features.cli.process import embed, marks, run, tiles, tissue
from wsi_features.cli.quality import quality
from wsi_features.cli.stain import stain
from wsi_features.cli.train import predict, train
from wsi_features.cli.weights import weights
from wsi_features.stages.boundary import USAGE, exit_code

_SECTIONS = {
    "Start here": ("demo", "inspect", "run"),
    "One stage at a time": ("tissue", "tiles", "stain", "embed", "marks"),
    "A cohort": ("manifest", "plan", "collect", "status", "report", "quality", "prompt", "check", "retry", "clean"),
    "Its tiles": ("annotate", "curate", "geojson", "tile-table", "heatmap"),
    "Learning from it": ("train", "predict"),
    "Other programs": ("export", "import", "compare"),
    "This installation": ("encoders", "weights", "doctor"),
}


class _Sections(click.Group):
    """A group whose help lists its commands by what a user wants to do."""

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(90)) for name in names])


@click.group(cls=_Sections, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="wsi-features")
def wsi_features() -> None:
    """Whole-slide images in, verified feature stores out.

    Take one slide all the way:  wsi-features run SLIDE.svs --out results

    Every slide ends ok, empty, skipped or failed with a reason. Exit code 0: none failed; 1: some
    slide failed; 2: wrong command line, config or manifest; 3: a fault of the program.
    """


for command in (
    *(demo, doctor, encoders, weights, inspect, manifest, plan, run, tissue, tiles, stain, embed, marks),
    *(collect, status, report, quality, prompt, check, retry, clean),
    *(annotate, curate, geojson, tile_table, heatmap),
    *(train, predict, export, import_, compare),
):
    wsi_features.add_command(command)


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; never raises."""
    return exit_code(lambda: _invoke(arguments), lambda text: click.echo(_marked(text), err=True))


def _invoke(arguments: Sequence[str]) -> int:
    try:
        result = wsi_features.main(list(arguments), prog_name="wsi-features", standalone_mode=False)
    except click.exceptions.Exit as asked:
        return asked.exit_code
    except click.ClickException as error:
        error.show()
        return USAGE
    except click.Abort as abort:
        raise KeyboardInterrupt from abort
    return result if isinstance(result, int) else 0


def _marked(text: str) -> str:
    return "\n".join(f"wsi-features: {line}" for line in text.splitlines())
