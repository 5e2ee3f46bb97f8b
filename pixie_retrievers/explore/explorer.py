"""What the pages are made of: searches by a vector that a person may change, and the index in figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

import numpy as np

from pixie_retrievers.explaining import results_of
from pixie_retrievers.explore.offers import Offer, offers_of
from pixie_retrievers.explore.state import SearchState
from pixie_retrievers.index.base import IndexStats
from pixie_retrievers.render.words import printable
from pixie_retrievers.retriever import SparseRetriever
from pixie_retrievers.types import SearchResult, SparseVectors

__all__ = ["Explorer", "QueryToken", "Statistics"]

_SAMPLE = 2000
_TOKENS = 12


@dataclass(frozen=True, slots=True)
class QueryToken:
    """A token of the query, which a person may weigh anew."""

    term_id: int
    surface: str
    weight: float
    factor: float
    literal: bool


@dataclass(frozen=True, slots=True)
class Statistics:
    """An index in figures.

    Attributes:
        stats: What it says of itself.
        sampled: So many documents the rest is of: the first ones.
        n_terms: How many terms a document has: the lowest, the median and the highest.
        n_characters: How long texts are, the same way.
        heaviest: The tokens with the most weight in all, each with how many documents have it, and its weight.
    """

    stats: IndexStats
    sampled: int
    n_terms: tuple[int, int, int]
    n_characters: tuple[int, int, int]
    heaviest: tuple[tuple[str, int, float], ...]


class Explorer:
    """An index, for a page. Reads only."""

    def __init__(self, retriever: SparseRetriever) -> None:
        self.retriever = retriever

    @cached_property
    def offers(self) -> tuple[Offer, ...]:
        """The filters to offer, from the first documents."""
        index = self.retriever.index
        documents = index.get(index.ids(limit=_SAMPLE))
        return offers_of(document.metadata for document in documents if document is not None)

    def vector(self, state: SearchState) -> SparseVectors:
        """The query's vector, weighed as the state says; the model reads a query once, and the encoder remembers it."""
        vector = self.retriever.encoder.encode_queries([state.query])
        if not state.factors:
            return vector
        factors = np.array([state.factors.get(term, 1.0) for term in vector.term_ids.tolist()], np.float32)
        kept = factors > 0
        return replace(
            vector,
            indptr=np.array([0, int(kept.sum())], np.int64),
            term_ids=vector.term_ids[kept],
            weights=(vector.weights * factors)[kept],
            literal=vector.literal[kept],
        )

    def tokens(self, state: SearchState) -> list[QueryToken]:
        """The query's tokens, the heaviest first, as the model weighs them."""
        encoder = self.retriever.encoder
        vector = encoder.encode_queries([state.query])
        terms = vector.term_ids.tolist()
        rows = zip(terms, encoder.surfaces(terms), vector.weights.tolist(), vector.literal.tolist(), strict=True)
        tokens = [
            QueryToken(term, printable(surface).strip() or "␣", weight, state.factors.get(term, 1.0), literal)
            for term, surface, weight, literal in rows
        ]
        return sorted(tokens, key=lambda token: -token.weight)

    def search(self, state: SearchState) -> list[SearchResult]:
        """The best documents."""
        if not state.query.strip():
            return []
        (hits,) = self.retriever.index.search(self.vector(state), state.k, filter=state.filter)
        return results_of(self.retriever.encoder, state.query, hits, _TOKENS, None)

    def statistics(self) -> Statistics:
        """The index in figures."""
        index = self.retriever.index
        lengths: list[int] = []
        n_terms: list[int] = []
        weights = np.zeros(index.vocabulary_size)
        counts = np.zeros(index.vocabulary_size, np.int64)
        for documents, vectors in islice(index.scan(), 2):
            lengths += [len(document.text) for document in documents]
            n_terms += np.diff(vectors.indptr).tolist()
            np.add.at(weights, vectors.term_ids, vectors.weights)
            np.add.at(counts, vectors.term_ids, 1)
        best = np.argsort(-weights)[:30].tolist()
        surfaces = self.retriever.encoder.surfaces(best)
        heaviest = tuple(
            (printable(surface).strip() or "␣", int(counts[term]), float(weights[term]))
            for term, surface in zip(best, surfaces, strict=True)
            if counts[term]
        )
        return Statistics(index.stats(), len(lengths), _spread(n_terms), _spread(lengths), heaviest)


def _spread(values: Sequence[int]) -> tuple[int, int, int]:
    return (min(values), int(np.median(values)), max(values)) if values else (0, 0, 0)
