"""Brute force in float64, and how an engine's answers compare with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from corpus import Corpus
from numpy.typing import NDArray
from peers import Answer

__all__ = ["Agreement", "Truth"]

_ROWS = 100_000
_TOLERANCE = 1e-4  # float32 sums of some forty products, relative to the score


@dataclass(frozen=True)
class Agreement:
    """How well the answers to some queries agree with brute force.

    Attributes:
        recall: The share of the k best that was found; a document that scores as much as the k-th counts as found.
        wrong_scores: The share of returned scores that are not the document's dot product, to within 1e-4 of it.
        n_queries: How many queries were compared.
    """

    recall: float
    wrong_scores: float
    n_queries: int


class Truth:
    """All scores of the first queries of a corpus, and the k best of each.

    Args:
        corpus: What is searched.
        n_queries: How many queries to compare.
        k: How many documents an engine is asked for.
    """

    def __init__(self, corpus: Corpus, n_queries: int, k: int) -> None:
        self.n_queries, self._k = min(n_queries, len(corpus.queries)), k
        queries = corpus.queries[: self.n_queries].to_scipy().toarray().astype(np.float64).T
        self._scores = np.empty((self.n_queries, len(corpus)), np.float32)
        best: list[NDArray[np.float64]] = []
        for start in range(0, len(corpus), _ROWS):
            part = np.asarray(corpus.documents[start : start + _ROWS].to_scipy().astype(np.float64) @ queries).T
            self._scores[:, start : start + part.shape[1]] = part
            best.append(-np.partition(-part, min(k, part.shape[1]) - 1, axis=1)[:, :k])
        together = -np.sort(-np.concatenate(best, axis=1), axis=1)[:, :k]
        self._kth = together[:, -1]
        self._n_best = (together > 0).sum(axis=1)

    def compare(self, answers: list[Answer]) -> Agreement:
        """Compare the answers to the first queries, in their order."""
        found = wanted = wrong = returned = 0
        for query, answer in enumerate(answers[: self.n_queries]):
            scores = self._scores[query, answer.positions].astype(np.float64)
            enough = scores >= self._kth[query] * (1 - 1e-6)
            found += min(int((enough & (scores > 0)).sum()), int(self._n_best[query]))
            wanted += int(self._n_best[query])
            wrong += int((np.abs(answer.scores - scores) > _TOLERANCE * np.maximum(scores, 1e-9)).sum())
            returned += len(scores)
        return Agreement(found / max(1, wanted), wrong / max(1, returned), min(self.n_queries, len(answers)))
