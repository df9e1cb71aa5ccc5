"""Hints from positions: frames, footprints, grids, and what lies beside a tile."""

from __future__ import annotations

from collections.abc import Iterator

from wsi_features.cohort.compare.evidence import Evidence, Hint, Neighbours, Numbers

_SURE = 0.9
"""Share of tiles that find themselves, from which on two sides show the same pixels."""
_ASYMMETRY, _ERRORS = 0.05, 4.0
"""Difference between opposite neighbours, as cosines of standardised features and in its standard errors, that is no chance."""


def place_hints(found: Evidence) -> Iterator[Hint]:
    """What positions speak for."""
    if found.by_order:
        numbers: Numbers = {"tiles": len(found.pairing)}
        yield Hint(
            "order_taken",
            "possible",
            "One side has no positions: its rows are taken to be in the order of the other's.",
            numbers,
        )
        return
    yield from _frame(found)
    yield from _footprint(found)
    if found.neighbours is not None:
        yield from _displaced(found.neighbours)


def _frame(found: Evidence) -> Iterator[Hint]:
    frame = found.pairing.frame
    if frame.swapped:
        text = "x and y are exchanged in the positions of B. Write them as x, y: columns before lines."
        yield Hint("swapped", "shown", text, {"tiles": len(found.pairing)})
    if frame.factor != 1.0:
        text = (
            f"Positions of B are those of A times {frame.factor:.6g}: they are pixels of another resolution than level 0. "
            f"Multiply them by {1 / frame.factor:.6g}, or give the resolution where the file is imported."
        )
        yield Hint("factor_of_positions", "shown", text, {"factor": frame.factor, "tiles": len(found.pairing)})
    if frame.shift != (0.0, 0.0):
        yield _shift(found)


def _shift(found: Evidence) -> Hint:
    """A convention where the tiles show the same, another grid where they do not."""
    x, y = found.pairing.frame.shift
    numbers: Numbers = {"x": x, "y": y, "tiles": len(found.pairing)}
    span = found.one.span or found.two.span or 0.0
    same = found.all_equal or bool(found.rounding) or (found.baseline is not None and found.baseline.retrieval >= _SURE)
    by = f"Positions of B are those of A plus ({x:g}, {y:g}) level-0 pixels"
    if not same:
        share = max(0.0, 1 - abs(x) / span) * max(0.0, 1 - abs(y) / span) if span else 0.0
        text = f"{by}, and features differ: the grids are shifted, and paired tiles share {share:.0%} of their area."
        return Hint("grid_shift", "likely", text, numbers | {"shared area": share})
    if span and abs(abs(x) - span / 2) <= 1 and abs(abs(y) - span / 2) <= 1:
        side = "B" if x > 0 else "A"
        stated = " as slideflow stores them" if "slideflow" in (found.one.layout, found.two.layout) else ""
        text = f"{by}, half a tile, with the same features: {side} holds centres{stated}, the other corners. Take half a tile from them."
        return Hint("centres", "shown", text, numbers)
    text = f"{by}, with the same features: one side counts from another corner, as from the scanned area's (bounds). Take the shift from B."
    return Hint("offset", "shown", text, numbers)


def _footprint(found: Evidence) -> Iterator[Hint]:
    """Tiles of other widths show other pixels."""
    one, two = found.one.span, found.two.span
    if one and two:
        two /= found.pairing.frame.factor
    if one and two and abs(one - two) > max(1.0, 0.002 * one):
        text = (
            f"A tile is {one:g} level-0 pixels wide in A and {two:g} in B: another resolution or tile size, so other pixels. "
            "Make both with the same `--mpp` and `--size`."
        )
        yield Hint("footprint", "shown", text, {"A": one, "B": two, "ratio": two / one})
    near = len(found.pairing) - found.pairing.exact
    if near and found.pairing.frame.is_own:
        far = float(found.pairing.distance.max())
        text = f"{near} tiles have no corner in common and were paired by nearest centre, up to {far:.3g} pixels away."
        yield Hint("near", "shown", text, {"tiles": near, "farthest": far})


def _displaced(beside: Neighbours) -> Iterator[Hint]:
    """Opposite neighbours are equally alike unless one side's pixels lie beside their positions."""
    ways = (
        (("left", beside.left), ("right", beside.right), beside.error_across),
        (("above", beside.above), ("below", beside.below), beside.error_down),
    )
    for one, two, error in ways:
        if abs(two[1] - one[1]) > max(_ASYMMETRY, _ERRORS * error):
            yield _beside(beside, one, two)


_WHERE = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}


def _beside(beside: Neighbours, one: tuple[str, float], two: tuple[str, float]) -> Hint:
    """A's tile holds a part of what B's neighbour shows, as far as likeness goes with shared area."""
    (name, toward), (back, away) = (one, two) if one[1] > two[1] else (two, one)
    part = (toward - away) / max(1e-6, (toward - away) + max(0.0, beside.own - away))
    found = f"A's tiles are more like B's tiles {_WHERE[name]} them ({toward:.2f}) than {_WHERE[back]} them ({away:.2f}; own place {beside.own:.2f})"
    if part > 0.8:
        text = f"{found}: the features of one side belong to positions a tile away."
    else:
        text = f"{found}: B shows what lies {_WHERE[back]} its positions, by roughly {part:.0%} of a tile. The grids are shifted."
    return Hint("displaced", "likely", text, {one[0]: one[1], two[0]: two[1], "own": beside.own, "tiles": beside.tiles})
