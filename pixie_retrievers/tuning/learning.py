"""Factors of tokens from candidates: gradient descent on a softmax over each question's documents; numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.tuning.candidates import Candidates

__all__ = ["MAX_CHANGE", "learn"]

MAX_CHANGE = 8.0
"""A factor is between one of these parts and as many times."""

_STEPS = 400
_BATCH = 256
_RATE = 0.05


def learn(
    candidates: Candidates,
    rows: NDArray[np.int64],
    *,
    strength: float,
    vocabulary_size: int,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """The factors under which the questions of chosen rows find what answers them.

    Factors are exp(theta). The loss is the cross-entropy between the grades of a row's documents and the softmax of
    their scores over a temperature that is learned too, and ``strength`` times the sum of the squares of theta. With
    two documents a row, one clicked and one not, it is the logistic loss of a pair.

    Args:
        candidates: Documents of each question.
        rows: Which rows to learn from.
        strength: How strongly factors are held to 1.
        vocabulary_size: The number of terms.
        rng: Where chance comes from.

    Returns:
        float32, shape (vocabulary_size + 1,): a factor a term; the last, which stands for no term, is 1.

    Complexity:
        400 steps of at most 256 rows: a step takes milliseconds.

    Source:
        Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1.
    """
    has_answer = (candidates.grades[rows] > 0).any(axis=1)
    rows = rows[has_answer]
    used, places = np.unique(candidates.terms[rows], return_inverse=True)
    places = places.reshape(len(rows), -1)
    is_term = used >= 0
    theta: NDArray[np.float64] = np.zeros(len(used) + 1)  # the last is the logarithm of the temperature's inverse
    mean: NDArray[np.float64] = np.zeros(len(theta))
    square: NDArray[np.float64] = np.zeros(len(theta))
    limit = np.log(MAX_CHANGE)
    for step in range(1, _STEPS + 1 if len(rows) else 1):
        some = np.arange(len(rows)) if len(rows) <= _BATCH else rng.integers(0, len(rows), _BATCH)
        chosen, place = rows[some], places[some]
        factors, sharpness = np.exp(theta[place]), np.exp(theta[-1])
        adds = candidates.adds[chosen]
        scores = candidates.base[chosen] + np.matmul(factors[:, None, :].astype(np.float32), adds)[:, 0]
        shares = np.exp(sharpness * (scores - scores.max(axis=1, keepdims=True)))
        shares = shares / shares.sum(axis=1, keepdims=True)
        wanted = candidates.grades[chosen]
        off = (shares - wanted / wanted.sum(axis=1, keepdims=True)) / len(chosen)
        slope = np.matmul(adds, (sharpness * off)[:, :, None].astype(np.float32))[:, :, 0] * factors
        gradient = np.bincount(place.ravel(), slope.ravel(), minlength=len(theta)).astype(np.float64)
        gradient[-1] = sharpness * float((off * np.where(np.isfinite(scores), scores, 0.0)).sum())
        gradient[:-1] += 2 * strength * theta[:-1]
        gradient[:-1][~is_term] = 0.0
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        rate = _RATE * (1 - (step - 1) / _STEPS)
        theta -= rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        theta[:-1] = np.clip(theta[:-1], -limit, limit)
    factors = np.ones(vocabulary_size + 1, np.float32)
    factors[used[is_term]] = np.exp(theta[:-1][is_term])
    return factors
