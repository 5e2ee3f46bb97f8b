"""What a model gives the tokens of texts, as weights that hold for a token in any text.

The weight that a model gives a token depends on the text around it. What a table can give is its mean, and of a token
that few texts have, a mean is mostly chance: it is drawn towards what tokens like it weigh (empirical Bayes, with the
mean as a linear function of what is known of every token; Robbins 1956, Morris 1983).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.encoder.inference_free.parts import Expansions
from pixie_retrievers.types import SparseVectors

__all__ = ["Observations", "fit_expansions", "fit_weights"]

_FEW = 3
"""A mean of fewer texts says nothing about what tokens like it weigh."""
_STRONGEST = 64
"""So many of a text's expansions are looked at, the strongest."""
_AT_ONCE = 256  # texts


@dataclass(frozen=True, eq=False)
class Observations:
    """Texts as a model reads them, and what it gave them.

    Attributes:
        tokens: For each text its tokens, ascending, each once.
        vectors: One a text.
    """

    tokens: Sequence[NDArray[np.int32]]
    vectors: SparseVectors

    def counts(self) -> NDArray[np.float64]:
        """Shape (vocabulary,): how many texts have each token."""
        return _count(self.tokens, self.vectors.vocabulary_size)

    def means(self) -> NDArray[np.float64]:
        """Shape (vocabulary,): the mean weight of each token over the texts that have it; 0 where none has."""
        vectors, size = self.vectors, self.vectors.vocabulary_size
        own = vectors.literal
        sums = np.bincount(vectors.term_ids[own], vectors.weights[own], minlength=size)
        return np.asarray(sums / np.maximum(self.counts(), 1))


def fit_weights(seen: Observations, known: NDArray[np.float64] | None, strength: float) -> NDArray[np.float32]:
    """A weight for every token.

    Args:
        seen: What was learned from.
        known: Shape (vocabulary, m): what is known of every token, such as how rare it is; None draws towards the mean
            of all.
        strength: As many texts as what tokens like it weigh counts for, 0 or more.

    Returns:
        float32, shape (vocabulary,): 0 or more.
    """
    counts, means = seen.counts(), seen.means()
    often = counts >= _FEW
    if not often.any():
        often = counts > 0
    usual: NDArray[np.float64] | float = float(np.average(means[often], weights=counts[often])) if often.any() else 1.0
    if known is not None and int(often.sum()) > known.shape[1]:
        factors = np.concatenate([np.ones((len(counts), 1)), known], axis=1)
        share = np.sqrt(counts[often])
        line, *_ = np.linalg.lstsq(factors[often] * share[:, None], means[often] * share, rcond=None)
        usual = factors @ line
    weights = (counts * means + strength * np.maximum(usual, 0)) / np.maximum(counts + strength, 1e-9)
    return np.asarray(weights, np.float32)


def fit_expansions(seen: Observations, *, least_share: float, least_texts: int, most: int) -> Expansions:
    """What tokens nearly always add.

    Args:
        seen: What was learned from.
        least_share: A token adds a term if so much of the texts that have it were given the term, from 0 to 1.
        least_texts: So many texts have the token at the least.
        most: At most so many terms a token, those with the largest mean.
    """
    size = seen.vectors.vocabulary_size
    keys: list[NDArray[np.int64]] = []
    sums: list[NDArray[Any]] = []
    times: list[NDArray[np.intp]] = []
    for start in range(0, len(seen.tokens), _AT_ONCE):
        pairs, weights = _pairs(seen, range(start, min(start + _AT_ONCE, len(seen.tokens))))
        unique, place = np.unique(pairs, return_inverse=True)
        keys.append(unique)
        sums.append(np.bincount(place, weights, minlength=len(unique)))
        times.append(np.bincount(place, minlength=len(unique)))
    if not keys:
        return Expansions.none(size)
    pairs, place = np.unique(np.concatenate(keys), return_inverse=True)
    total = np.bincount(place, np.concatenate(sums), minlength=len(pairs))
    often = np.bincount(place, np.concatenate(times), minlength=len(pairs))
    tokens, terms = np.divmod(pairs, size)
    counts = seen.counts()[tokens]
    kept = (counts >= least_texts) & (often >= least_share * counts)
    tokens, terms, means = tokens[kept], terms[kept], (total[kept] / counts[kept]).astype(np.float32)
    order = np.lexsort((-means, tokens))
    starts = np.searchsorted(tokens[order], tokens[order])
    chosen = np.sort(order[np.arange(len(order)) - starts < most])
    tokens, terms, means = tokens[chosen], terms[chosen], means[chosen]
    return Expansions(
        np.concatenate([[0], np.cumsum(np.bincount(tokens, minlength=size))]).astype(np.int64),
        terms.astype(np.int32),
        means,
    )


def _pairs(seen: Observations, rows: range) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of some texts every token with every term that the model added: token x vocabulary + term, and the weight."""
    keys: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    weights: list[NDArray[np.float64]] = [np.zeros(0)]
    vectors = seen.vectors
    for row in rows:
        part = slice(int(vectors.indptr[row]), int(vectors.indptr[row + 1]))
        added = ~vectors.literal[part]
        terms, given = vectors.term_ids[part][added], vectors.weights[part][added]
        strongest = np.argsort(-given, kind="stable")[:_STRONGEST]
        terms, given, tokens = terms[strongest], given[strongest], seen.tokens[row]
        keys.append((tokens.astype(np.int64)[:, None] * vectors.vocabulary_size + terms).ravel())
        weights.append(np.broadcast_to(given.astype(np.float64), (len(tokens), len(terms))).ravel())
    return np.concatenate(keys), np.concatenate(weights)


def _count(tokens: Sequence[NDArray[np.int32]], size: int) -> NDArray[np.float64]:
    together = np.concatenate([*tokens, np.zeros(0, np.int32)])
    return np.bincount(together, minlength=size).astype(np.float64)
