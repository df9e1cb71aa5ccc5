"""What `--profile` prints: where the time of the embedding passes went, and what would make them faster."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import read_meter


def tell_profile(out: Outputs, shards: Iterable[str]) -> None:
    """Print the meter of each shard that embedded something in its last job."""
    for shard in shards:
        if meter := read_meter(out.record("embed", shard)):
            click.echo("\n".join(_lines(shard, meter)))


def _lines(shard: str, meter: dict[str, Any]) -> list[str]:
    stream = meter["stream"]
    head = (
        f"shard {shard}: {meter['tiles']:,} tiles in {meter['seconds']:.1f} s, {meter['tiles_per_second']:.1f} a second, "
        f"encoders busy {meter['busy_share']:.0%}"
    )
    parts = ("opening", "reading", "decoding", "resampling", "measuring", "finishing")
    reading = " ".join(f"{name} {stream[name]:.2f}" for name in parts).replace("finishing", "stain")
    read = f"{stream['bytes_read'] / 1e6:,.1f} MB, {stream['blocks']:,} blocks decoded"
    waits = f"for tiles {stream['for_batches']:.2f}, for features {meter['waiting']:.2f}"
    return [
        head,
        f"  reading, s over all threads   {reading} ({read}; idle {stream['for_consumer']:.2f})",
        f"  encoders, s                   handing over {meter['submitting']:.2f}, waiting {waits}",
        *(
            f"  {name:<29} transfer {share['transfer']:.2f}, model {share['model']:.2f} on {share['device']}"
            for name, share in meter["encoders"].items()
        ),
        f"  writing, s                    {meter['writing']:.2f}",
        f"  batches ready                 {meter['queue']:.1f} when one was taken",
        *(f"  note    {note}" for note in meter["notes"]),
        f"  advice  {meter['advice']}",
    ]
