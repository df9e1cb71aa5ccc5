"""Commands of the weights registry: `weights list`, `add`, `fetch`, `verify` and `export`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import click

from wsi_features.cli.progress import byte_bar
from wsi_features.cli.tables import size_text, table
from wsi_features.stages.boundary import OK, SOME_FAILED

_NAME = click.argument("name", metavar="ENCODER")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object for each file, one a line.")


@click.group(short_help="Keep the weights of encoders and tissue models: list, add, fetch, verify, export.")
def weights() -> None:
    """Local weights files by their SHA-256, with source, revision and licence; a run finds them by encoder.

    Names of tissue models (`tissue.model`) are taken wherever ENCODER stands.

    They lie in the first folder of WSI_WEIGHTS, or in wsi_features/weights of your data folder. Further folders of
    WSI_WEIGHTS, separated by colons, are only read. No command but `fetch` uses a network.
    """


@weights.command("list")
@_JSON
def list_weights(as_json: bool) -> int:
    """What is there: one line for each file; exit code 1 when a record cannot be read."""
    from wsi_features.encode.weights_store import BadRecord, Entry, WeightsRegistry

    registry = WeightsRegistry.of_environment()
    found = list(registry.all())
    entries = [entry for entry in found if isinstance(entry, Entry)]
    if as_json:
        for entry in entries:
            click.echo(json.dumps(_facts(entry), ensure_ascii=False))
    else:
        for folder in registry.folders:
            click.echo(f"{folder}{'' if folder.is_dir() else ' (not there)'}")
        if entries:
            heading = ("ENCODER", "SIZE", "SHA-256", "ADDED", "LICENCE", "SOURCE")
            click.echo("\n" + table([heading, *(_cells(entry) for entry in entries)], elastic=5, numbers=(1,)))
    bad = [record for record in found if isinstance(record, BadRecord)]
    for record in bad:
        click.echo(f"{record.path}: {record.why}. Delete it and add its file again.", err=True)
    return SOME_FAILED if bad else OK


@weights.command("add")
@_NAME
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--copy", "how", flag_value="copy", default="copy", help="Copy the file in (the default).")
@click.option("--link", "how", flag_value="link", help="Link to it where it is; it must stay there, unchanged.")
@click.option("--source", default="local file", metavar="TEXT", help="Where it came from; part of the record.")
@click.option("--revision", default="", metavar="TEXT", help="Its commit or version there.")
@click.option("--licence", metavar="TEXT", help="Its licence, where the card says another.")
def add_weights(
    name: str, file: Path, how: Literal["copy", "link"], source: str, revision: str, licence: str | None
) -> None:
    """Check FILE strictly against the card of ENCODER and put it into the registry.

    Every key and shape must be those of the network, and the SHA-256 that of the card where it states one.
    """
    from wsi_features.encode.weights_store import WeightsRegistry
    from wsi_features.encode.weights_store.addition import added
    from wsi_features.stages.segmenters import weights_card

    registry = WeightsRegistry.of_environment()
    entry = added(registry, weights_card(name), file, how=how, source=source, revision=revision, licence=licence)
    _tell_added(entry)


@weights.command("fetch")
@_NAME
@click.option("--revision", metavar="REVISION", help="Branch, tag or commit; the newest when not given.")
@click.option("--repository", metavar="OWNER/NAME", help="Repository, where the card names none or another is meant.")
@click.option("--file", metavar="PATH", help="File in the repository, likewise.")
@click.option("--accept-licence", is_flag=True, help="I have read the licence of this gated model and accept it.")
def fetch_weights(
    name: str, revision: str | None, repository: str | None, file: str | None, accept_licence: bool
) -> None:
    """Download the weights of ENCODER from the Hugging Face hub: the only command that uses a network.

    Your own login is used: HF_TOKEN, or what `hf auth login` keeps. Gated models need access, which is asked for on
    their page, and --accept-licence.
    """
    from wsi_features.encode.weights_store import WeightsRegistry
    from wsi_features.encode.weights_store.hub import already_there, fetched, offer_of
    from wsi_features.stages.segmenters import weights_card

    registry, card = WeightsRegistry.of_environment(), weights_card(name)
    offer = offer_of(card, repository=repository, file=file, revision=revision)
    click.echo(f"file      {offer.address}, {size_text(offer.size) if offer.size else 'of unknown size'}")
    click.echo(f"revision  {offer.revision}")
    click.echo(f"licence   {offer.licence}{' (gated)' if offer.gated else ''}, terms at {offer.address.page}")
    if entry := already_there(registry, card, offer):
        click.echo(f"there already: {entry.file}")
        return
    _tell_added(fetched(registry, card, offer, accepted=accept_licence))


@weights.command("verify")
@_JSON
def verify_weights(as_json: bool) -> int:
    """Hash every file again; exit code 1 when one is damaged or gone, with what mends it."""
    from wsi_features.encode.weights_store import WeightsRegistry
    from wsi_features.encode.weights_store.damage import bad, bytes_to_hash, findings

    registry = WeightsRegistry.of_environment()
    with _progress(bytes_to_hash(registry), as_json) as progress:
        found = list(findings(registry, progress))
    for finding in found:
        if as_json:
            facts = {"encoder": finding.encoder, "state": finding.state, "path": str(finding.path)}
            click.echo(json.dumps({**facts, "size": finding.size, "text": finding.text}, ensure_ascii=False))
        elif finding.text:
            who = f"{finding.encoder}: " if finding.encoder else ""
            click.echo(f"{who}{finding.state}: {finding.path}: {finding.text}", err=True)
    wrong = bad(found)
    if not as_json:
        whole = sum(finding.state == "ok" for finding in found)
        click.echo(f"{whole + len(wrong)} files checked, {len(wrong)} bad")
    return SOME_FAILED if wrong else OK


@weights.command("export")
@click.argument("target", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.argument("names", metavar="[ENCODER...]", nargs=-1)
def export_weights(target: Path, names: tuple[str, ...]) -> None:
    """Copy the weights of every ENCODER, or all, into DIR, to be carried to a machine without a network."""
    from wsi_features.encode.weights_store import WeightsRegistry, weights_key
    from wsi_features.encode.weights_store.export import exported

    keys = [weights_key(name) for name in names]
    for entry in exported(WeightsRegistry.of_environment(), target, keys):
        click.echo(f"{entry.record.encoder}: {size_text(entry.record.size)}, licence {entry.record.licence}")
    click.echo(f"carry {target} over and set WSI_WEIGHTS to where it is then")


def _tell_added(entry: Any) -> None:
    record = entry.record
    click.echo(f"added     {record.encoder}: {record.file}, {size_text(record.size)}, licence {record.licence}")
    click.echo(f"sha256    {record.sha256}\npath      {entry.file}")


def _facts(entry: Any) -> dict[str, Any]:
    return {**entry.record.model_dump(mode="json"), "path": str(entry.file), "present": entry.file.is_file()}


def _cells(entry: Any) -> tuple[str, ...]:
    record = entry.record
    source = record.source + (f" @ {record.revision[:12]}" if record.revision else "")
    size = size_text(record.size) if entry.file.is_file() else "gone"
    return (record.encoder, size, record.sha256[:12], str(record.added), record.licence, source)


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    if quiet:
        yield lambda _: None
        return
    with byte_bar("hashing", total) as progress:
        yield progress
