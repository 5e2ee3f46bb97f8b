"""Which questions are held out: none about a document that one learned from is about, where that can be done."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["folds", "groups_of", "split"]

_TOO_LARGE = 0.5
"""Of questions that hang together by their documents, more than this share cannot be put on one side."""


def groups_of(documents: Sequence[Collection[str]]) -> tuple[NDArray[np.int64], bool]:
    """Which questions belong together, by the documents that answer them.

    Args:
        documents: Of each question.

    Returns:
        A number for each question, from 0, equal for those that share documents, or others that do; and whether it
        is so. Where most questions hang together, each is a group of its own instead.
    """
    leader = list(range(len(documents)))

    def find(n: int) -> int:
        while leader[n] != n:
            leader[n] = leader[leader[n]]
            n = leader[n]
        return n

    first: dict[str, int] = {}
    for n, ids in enumerate(documents):
        for id in ids:
            leader[find(n)] = find(first.setdefault(id, n))
    _, groups = np.unique([find(n) for n in range(len(documents))], return_inverse=True)
    if len(groups) and np.bincount(groups).max() > _TOO_LARGE * len(groups):
        return np.arange(len(documents), dtype=np.int64), False
    return groups.astype(np.int64), True


def split(groups: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which questions are held out: whole groups, about a share of the questions."""
    sizes = np.bincount(groups)
    left = share * len(groups)
    chosen = np.zeros(len(sizes), np.bool_)
    for group in rng.permutation(len(sizes)).tolist():
        if sizes[group] <= left + 0.5:
            chosen[group] = True
            left -= sizes[group]
    held: NDArray[np.bool_] = chosen[groups]
    return held


def folds(groups: NDArray[np.int64], n_folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Which of some parts of about equal size each question belongs to; a group is in one."""
    sizes = np.bincount(groups)
    filled = np.zeros(n_folds)
    fold_of = np.zeros(len(sizes), np.int64)
    for group in rng.permutation(len(sizes)).tolist():
        fold_of[group] = int(np.argmin(filled))
        filled[fold_of[group]] += sizes[group]
    found: NDArray[np.int64] = fold_of[groups]
    return found
