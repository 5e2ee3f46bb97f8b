"""How good a ranking is, and whether one is better than another beyond chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["DEPTH", "chance_of", "ideal", "ndcg", "paired_interval"]

DEPTH = 10
DISCOUNTS = 1 / np.log2(np.arange(2, DEPTH + 2))
_RESAMPLES = 2000
_FLIPS = 10_000
_AT_ONCE = 100


def ideal(grades: Sequence[float]) -> float:
    """The discounted gain of the best ranking there could be."""
    best = sorted(grades, reverse=True)[:DEPTH]
    return float(np.dot(best, DISCOUNTS[: len(best)]))


def ndcg(ranked: Sequence[str], grades: Mapping[str, float]) -> float:
    """NDCG at 10 with linear gain, as `pixie eval` has it, 0 to 1.

    Args:
        ranked: Ids, best first.
        grades: How good an answer each is, above 0.
    """
    gains = [grades.get(id, 0.0) for id in ranked[:DEPTH]]
    return float(np.dot(gains, DISCOUNTS[: len(gains)])) / ideal(list(grades.values()))


def paired_interval(
    gains: NDArray[np.float64], groups: NDArray[np.int64], rng: np.random.Generator
) -> tuple[float, float]:
    """Between which bounds the mean gain lies, with 95% confidence: a paired bootstrap over groups.

    Questions about one document gain or lose together, and are drawn together.

    Args:
        gains: float64, shape (n,): after minus before, a question each.
        groups: int64, shape (n,): which questions belong together, numbered from 0.
        rng: Where chance comes from.

    Source:
        Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13: the percentile interval.
    """
    sums, counts = np.bincount(groups, gains), np.bincount(groups).astype(np.float64)
    n = len(sums)
    means: list[NDArray[np.float64]] = []
    for _ in range(0, _RESAMPLES, _AT_ONCE):
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=_AT_ONCE)
        means.append((drawn @ sums) / (drawn @ counts))
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(low), float(high)


def chance_of(gains: NDArray[np.float64], groups: NDArray[np.int64], rng: np.random.Generator) -> float:
    """How often chance alone would gain as much, 0 to 1: a one-sided randomization test over groups.

    Where few questions change, a bootstrap takes three that gained for a proof; this asks how often as many would have,
    had each gained or lost by the toss of a coin.

    Args:
        gains, groups, rng: As for :func:`paired_interval`.

    Source:
        Smucker, Allan and Carterette, "A Comparison of Statistical Significance Tests for Information Retrieval
        Evaluation", 2007: of the tests that are in use they recommend this one.
    """
    sums = np.bincount(groups, gains)
    sums = sums[sums != 0]
    reached = 1  # what was found is one of the ways in which the coins may fall
    for _ in range(0, _FLIPS, _AT_ONCE):
        signs = rng.integers(0, 2, size=(_AT_ONCE, len(sums))) * 2 - 1
        reached += int(np.count_nonzero(signs @ sums >= sums.sum() - 1e-12))
    return reached / (_FLIPS + 1)
