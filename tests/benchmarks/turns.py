"""Taking turns: what is compared runs the same query one right after the other, so that noise hits all alike."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["one_round"]


def one_round(
    timers: Sequence[Callable[[int], float]], n_queries: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Time every query with every timer, queries and timers in random order, the timers of one query together.

    The garbage collector rests meanwhile, as it does in ``timeit``.

    Args:
        timers: Each runs the query of a number and returns its seconds.
        n_queries: The numbers go from 0 to this.
        rng: Draws the orders.

    Returns:
        float64, shape (timers, n_queries): seconds.
    """
    seconds = np.empty((len(timers), n_queries))
    gc.collect()
    gc.disable()
    try:
        for query in rng.permutation(n_queries).tolist():
            for place in rng.permutation(len(timers)).tolist():
                seconds[place, query] = timers[place](query)
    finally:
        gc.enable()
    return seconds
