"""Which terms a query shares with documents whose vectors are at hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from pixie_retrievers.types import SparseVectors, TermMatches

__all__ = ["matched"]


def matched(query: SparseVectors, documents: SparseVectors) -> list[TermMatches]:
    """The terms that one query shares with each of some documents."""
    terms = documents.term_ids
    if len(query.term_ids) == 0 or len(terms) == 0:
        return [TermMatches.none() for _ in range(len(documents))]
    places = np.searchsorted(query.term_ids, terms)
    places[places == len(query.term_ids)] = 0
    shared = np.flatnonzero(query.term_ids[places] == terms)
    bounds = np.searchsorted(shared, documents.indptr).tolist()
    ours = places[shared]
    term_ids, literal = terms[shared], documents.literal[shared]
    weights, query_weights, query_literal = documents.weights[shared], query.weights[ours], query.literal[ours]
    return [
        TermMatches(term_ids[a:b], query_weights[a:b], weights[a:b], query_literal[a:b], literal[a:b])
        for a, b in pairwise(bounds)
    ]
