"""Splits: which bags are for training, validation and test, with no patient (or site) on two sides.

Functions of group names and strata, one a bag; they know nothing of features. Equal seeds give equal splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.errors import SplitError

Items = npt.NDArray[np.int64]
PARTS = ("train", "val", "test")


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Numbers of the bags in each part, rising. A part may be empty; a bag may be in none."""

    train: Items
    val: Items
    test: Items

    def parts(self) -> dict[str, Items]:
        """The three by name."""
        return {name: getattr(self, name) for name in PARTS}

    def refuse_leaks(self, ids: Sequence[str], **groups: Sequence[str]) -> None:
        """Raise SplitError where a bag, or one of `groups` (`patient=dataset.groups()`), is in two parts; names it."""
        for bag, parts in self._places(ids).items():
            if len(parts) > 1:
                raise SplitError.overlap(bag, tuple(parts))
        for by, names in groups.items():
            for name, parts in self._places(names).items():
                if len(parts) > 1:
                    bags = [ids[k] for items in parts.values() for k in items]
                    raise SplitError.leak(by, name, tuple(parts), bags)

    def _places(self, names: Sequence[str]) -> dict[str, dict[str, list[int]]]:
        found: dict[str, dict[str, list[int]]] = {}
        for part, items in self.parts().items():
            for k in items.tolist():
                found.setdefault(names[k], {}).setdefault(part, []).append(k)
        return found


def grouped_split(
    groups: Sequence[str] | Sequence[Sequence[str]],
    shares: Sequence[float] = (0.7, 0.15, 0.15),
    strata: npt.NDArray[np.int64] | None = None,
    seed: int = 0,
) -> Split:
    """A split that divides no group, with about `shares` of the bags, and of each stratum, in train, val and test.

    `groups` are names (bags,), or several lists of them: with patients and sites, whatever shares a patient or a site
    stays together. Raises SplitError where the shares are none, or there are fewer groups than parts.
    """
    wanted = np.asarray(shares, np.float64)
    if len(wanted) != len(PARTS) or (wanted < 0).any() or abs(wanted.sum() - 1) > 1e-6:
        raise SplitError.shares(shares)
    used = np.flatnonzero(wanted)
    part = used[_assigned(groups, wanted[used], strata, seed)]
    return Split(*(np.flatnonzero(part == k) for k in range(len(PARTS))))


def k_folds(
    groups: Sequence[str] | Sequence[Sequence[str]],
    k: int = 5,
    strata: npt.NDArray[np.int64] | None = None,
    seed: int = 0,
    *,
    val: bool = True,
) -> list[Split]:
    """`k` splits in which each bag is tested once: fold i is the test, the next one validates, the others train.

    Groups and strata as in `grouped_split`; without `val` no fold validates. Raises SplitError with fewer groups than
    folds, or with `val` and two folds.
    """
    if k < (3 if val else 2):
        raise SplitError.too_few(k, 3 if val else 2, "folds")
    fold = _assigned(groups, np.full(k, 1 / k), strata, seed)
    return [_fold(fold, i, (i + 1) % k if val else -1) for i in range(k)]


def given_split(parts: Mapping[str, Sequence[str]], ids: Sequence[str]) -> Split:
    """A split whose bags are named: {"train": [...], "val": [...], "test": [...]}. Raises SplitError for an unknown name."""
    number = {name: k for k, name in enumerate(ids)}
    for part, names in parts.items():
        for name in names:
            if name not in number:
                raise SplitError.unknown(name, part)
    return Split(*(np.array(sorted(number[n] for n in parts.get(part, ())), np.int64) for part in PARTS))


def joined_groups(*groups: Sequence[str]) -> Items:
    """The number of each bag's group (bags,), from 0 in order of appearance, where sharing a name in any list joins."""
    parent = list(range(len(groups[0])))

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    for names in groups:
        first: dict[str, int] = {}
        for k, name in enumerate(names):
            one, other = sorted((root(first.setdefault(name, k)), root(k)))
            parent[other] = one
    roots = [root(k) for k in range(len(parent))]
    return np.unique(roots, return_inverse=True)[1].astype(np.int64)


def _fold(fold: Items, test: int, val: int) -> Split:
    return Split(
        np.flatnonzero((fold != test) & (fold != val)), np.flatnonzero(fold == val), np.flatnonzero(fold == test)
    )


def _assigned(
    groups: Sequence[str] | Sequence[Sequence[str]],
    shares: npt.NDArray[np.float64],
    strata: npt.NDArray[np.int64] | None,
    seed: int,
) -> Items:
    """The part of each bag: groups go, the largest first, to where they bring all strata nearest to their shares."""
    lists = list(_lists(groups))
    group = joined_groups(*lists)
    count = int(group.max(initial=-1)) + 1
    if count < len(shares):
        raise SplitError.too_few(count, len(shares), "groups of bags")
    kinds = np.zeros(len(group), np.int64) if strata is None else np.unique(strata, return_inverse=True)[1]
    table = np.zeros((count, int(kinds.max(initial=0)) + 1))
    np.add.at(table, (group, kinds), 1)
    weight = 1 / table.sum(axis=0)  # a rare stratum counts as much as a common one
    order = _largest_first(table, weight, seed)
    have = np.zeros((len(shares), table.shape[1]))
    part = np.empty(count, np.int64)
    for done, one in enumerate(order):
        excess = ((have + table[one]) * weight - shares[:, None]) ** 2 - (have * weight - shares[:, None]) ** 2
        cost = (excess / shares[:, None]).sum(axis=1)
        empty = have.sum(axis=1) == 0
        if empty.sum() >= count - done:  # just enough groups are left to give each part one
            cost[~empty] = np.inf
        part[one] = np.argmin(cost)
        have[part[one]] += table[one]
    return np.asarray(part[group])


def _largest_first(table: npt.NDArray[np.float64], weight: npt.NDArray[np.float64], seed: int) -> Items:
    """The groups by size, so that small ones can mend what large ones left uneven; equal ones by the seed, strata in turn.

    Otherwise a few patients of one class could all come last, when only a part without any is left for them.
    """
    shuffled = np.random.default_rng(seed).permutation(len(table))
    sizes, kinds = table.sum(axis=1)[shuffled], np.argmax(table * weight, axis=1)[shuffled]
    turn = np.empty(len(table), np.int64)
    for size, kind in set(zip(sizes.tolist(), kinds.tolist(), strict=True)):
        same = (sizes == size) & (kinds == kind)
        turn[same] = np.arange(np.count_nonzero(same))
    return np.asarray(shuffled[np.lexsort((turn, -sizes))])


def _lists(groups: Sequence[str] | Sequence[Sequence[str]]) -> Iterator[Sequence[str]]:
    if all(isinstance(name, str) for name in groups):
        yield [str(name) for name in groups]
    else:
        yield from groups
