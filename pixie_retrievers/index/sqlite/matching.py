"""Which terms a query shares with documents that are named, read from their whole vectors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from pixie_retrievers.index.sqlite.snapshot import Snapshot
from pixie_retrievers.types import SparseVectors, TermMatches

__all__ = ["match_documents"]


def match_documents(snapshot: Snapshot, query: SparseVectors, docnos: Sequence[int]) -> list[TermMatches]:
    """The terms that one query shares with each of some documents, whose vectors are read whole."""
    vectors = snapshot.vectors(docnos)
    weights = vectors.widened()
    places = np.full(snapshot.manifest.vocabulary_size, -1, np.int64)
    places[query.term_ids] = np.arange(len(query.term_ids))
    its_places = places[vectors.term_ids]
    matches = []
    for start, stop in pairwise(vectors.indptr.tolist()):
        shared = np.flatnonzero(its_places[start:stop] >= 0) + start
        asked = its_places[shared]
        matches.append(
            TermMatches(
                vectors.term_ids[shared],
                query.weights[asked],
                weights[shared],
                query.literal[asked],
                vectors.literal[shared],
            )
        )
    return matches
