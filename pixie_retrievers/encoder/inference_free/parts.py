"""What a query table consists of beside its weights: what tokens add, and where all of it comes from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Expansions", "TableOrigin"]


@dataclass(frozen=True, slots=True, eq=False)
class Expansions:
    """The terms that tokens add to a question, in compressed sparse rows, a row a token.

    Attributes:
        starts: int64, shape (vocabulary + 1,).
        terms: int32, shape (n,): ascending inside a row.
        weights: float32, shape (n,): above 0.
    """

    starts: NDArray[np.int64]
    terms: NDArray[np.int32]
    weights: NDArray[np.float32]

    @classmethod
    def none(cls, vocabulary_size: int) -> Expansions:
        """No token adds anything."""
        return cls(np.zeros(vocabulary_size + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))

    def of(self, term_ids: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """What some tokens add: each term once, ascending, with the largest weight that one of them gives it."""
        slices = [slice(*self.starts[term : term + 2].tolist()) for term in term_ids.tolist()]
        terms = np.concatenate([self.terms[part] for part in slices] or [self.terms[:0]])
        weights = np.concatenate([self.weights[part] for part in slices] or [self.weights[:0]])
        order = np.lexsort((-weights, terms))
        terms, first = np.unique(terms[order], return_index=True)
        return terms, weights[order][first]


@dataclass(frozen=True, slots=True)
class TableOrigin:
    """Where a table comes from, and what was measured of it.

    Attributes:
        model: The fingerprint of the model whose questions it stands for.
        n_texts: How many texts it was learned from.
        source: What they were: "questions", or "sentences" of the corpus.
        method: How its weights were worked out, in a word or two.
        created: The day, as YYYY-MM-DD.
        overlap: Of the ten best documents of held-out texts, the share that table and model both find; None where it
            was not measured.
    """

    model: str
    n_texts: int
    source: str
    method: str
    created: str
    overlap: float | None = None
