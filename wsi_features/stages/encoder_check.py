"""A trial of one encoder: built as for a run, and taken through the contract of encoders on made tiles."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from wsi_features.encode.build import build
from wsi_features.encode.card import EncoderCard
from wsi_features.encode.contract import BETWEEN_DEVICES, Finding, agreement, findings, made_tiles
from wsi_features.encode.encoder import Encoder
from wsi_features.encode.registry import card_named
from wsi_features.errors import EncoderError
from wsi_features.stages.encoders import weights_file
from wsi_features.tiles.grid import TileBatch


def checked_encoder(name: str, weights: Path | None, device: str) -> Iterator[str]:
    """Build encoder `name` and try it; yields one line for each finding. Raises EncoderError if one is bad."""
    card = card_named(name)
    yield _line(
        "card", f"{card.name}: {card.tile_px} px at {card.tile_mpp:g} um/px, {card.dim} features, {card.precision}"
    )
    file = weights_file(card, str(weights) if weights else None)
    tiles, bad = made_tiles(card.tile_px), []
    for finding in _found(card, file, device, tiles):
        yield _line(finding.subject, finding.text, "ok " if finding.ok else "BAD")
        bad += [] if finding.ok else [finding.subject]
    if bad:
        raise EncoderError.contract_broken(card.name, bad)


def _found(card: EncoderCard, weights: Path | None, device: str, tiles: TileBatch) -> Iterator[Finding]:
    encoder = build(card, weights=weights, device=device, workers=1)
    try:
        yield Finding(ok=True, subject="weights", text=encoder.weights_digest or "none needed")
        yield from findings(encoder, tiles)
        yield _speed(encoder, tiles)
        for note in encoder.notes:
            yield Finding(ok=True, subject="note", text=note)
        yield _devices(encoder, weights, tiles)
    finally:
        encoder.close()


def _speed(encoder: Encoder, tiles: TileBatch) -> Finding:
    started = time.perf_counter()
    encoder.submit(tiles).rows()
    rate = len(tiles.pixels) / (time.perf_counter() - started)
    return Finding(ok=True, subject="speed", text=f"{rate:.1f} tiles/s on {encoder.device} with one thread")


def _devices(encoder: Encoder, weights: Path | None, tiles: TileBatch) -> Finding:
    """The GPU against the CPU, where the encoder runs on a GPU."""
    if encoder.device == "cpu":
        return Finding(ok=True, subject="cpu and gpu", text="not compared: the encoder runs on the CPU here")
    host = build(encoder.card, weights=weights, device="cpu", workers=1)
    try:
        wanted = host.submit(tiles).rows()
    finally:
        host.close()
    return agreement("cpu and gpu", encoder.submit(tiles).rows(), wanted, BETWEEN_DEVICES[encoder.precision])


def _line(subject: str, text: str, mark: str = "   ") -> str:
    return f"{mark} {subject:<12} {text}"
