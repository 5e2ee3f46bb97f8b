"""What the pages are made of: searches by a vector that a person may change, and the index in figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np

from pixie_retrievers.explaining import results_of
from pixie_retrievers.explore.offers import Offer, offers_of
from pixie_retrievers.explore.state import SearchState
from pixie_retrievers.index.base import IndexStats
from pixie_retrievers.render.words import printable
from pixie_retrievers.retriever import SparseRetriever
from pixie_retrievers.rules.rules import Factor, Rules, Term
from pixie_retrievers.tuning.effects import Effect, JudgedQuestions
from pixie_retrievers.types import SearchResult, SparseVectors

__all__ = ["Explorer", "QueryToken", "Statistics"]

_SAMPLE = 2000
_TOKENS = 12


@dataclass(frozen=True, slots=True)
class QueryToken:
    """A token of the query, which a person may weigh anew.

    Attributes:
        term_id, surface: The term, and what a person reads.
        weight: What the model gave it; of a token that a rule adds, what the rule gives.
        factor: What it is multiplied with now.
        kept: What the rules of the index multiply it with; 1 where they do not.
        literal: The query's own text has it.
        rule: What a rule does to it, and where that comes from; empty where none does.
        is_added: A rule adds it, and no factor weighs it.
    """

    term_id: int
    surface: str
    weight: float
    factor: float
    kept: float
    literal: bool
    rule: str
    is_added: bool


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
    """An index, for a page. Reads only.

    Args:
        retriever: What is shown.
        judged: Questions on which a change of rules is tried; None where there are none.
    """

    def __init__(self, retriever: SparseRetriever, judged: JudgedQuestions | None = None) -> None:
        self.retriever = retriever
        self.judged = judged

    @cached_property
    def offers(self) -> tuple[Offer, ...]:
        """The filters to offer, from the first documents."""
        index = self.retriever.index
        documents = index.get(index.ids(limit=_SAMPLE))
        return offers_of(document.metadata for document in documents if document is not None)

    def rules(self, state: SearchState) -> Rules:
        """The rules of the index, with what the state weighs otherwise."""
        kept = self.retriever.rules
        if not state.factors:
            return kept
        terms = list(state.factors)
        encoder = self.retriever.encoder
        names = zip(terms, encoder.tokens(terms), encoder.surfaces(terms), strict=True)
        return kept.merged(Rules(tuple(Factor(Term(*name), state.factors[name[0]]) for name in names)))

    def effect(self, state: SearchState) -> Effect | None:
        """What the state's weights would do to the judged questions as rules; None where there are none."""
        if self.judged is None or not state.factors:
            return None
        return self.judged.effect(self.retriever.rules, self.rules(state))

    def tokens(self, state: SearchState) -> list[QueryToken]:
        """The query's tokens, the heaviest first, as the model weighs them, and those that rules add."""
        encoder = self.retriever.encoder
        kept = self.retriever.rules
        vector = encoder.encode_queries([state.query])
        applied, factors = kept.applied(vector), {one.term.id: one.factor for one in kept.factors}
        rows = [(*row, False) for row in zip(*_columns(vector), strict=True)]
        added = zip(*_columns(kept.apply(vector)), strict=True)
        rows += [(*row, True) for row in added if row[0] in applied and not applied[row[0]].model_weight]
        tokens = []
        for (term, weight, literal, is_added), surface in zip(
            rows, encoder.surfaces([row[0] for row in rows]), strict=True
        ):
            rule, factor = applied.get(term), factors.get(term, 1.0)
            told = "" if rule is None else f"{rule.effect}, {rule.origin}"
            name = printable(surface).strip() or "␣"
            now = state.factors.get(term, factor)
            tokens.append(QueryToken(term, name, weight, now, factor, literal, told, is_added))
        return sorted(tokens, key=lambda token: -token.weight)

    def search(self, state: SearchState) -> list[SearchResult]:
        """The best documents; the model reads a query once, and the encoder remembers it."""
        if not state.query.strip():
            return []
        encoder, rules = self.retriever.encoder, self.rules(state)
        vector = encoder.encode_queries([state.query])
        (hits,) = self.retriever.index.search(rules.apply(vector), state.k, filter=state.filter)
        return results_of(encoder, state.query, hits, _TOKENS, None, rules.applied(vector))

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


def _columns(vector: SparseVectors) -> tuple[list[int], list[float], list[bool]]:
    return vector.term_ids.tolist(), vector.weights.tolist(), vector.literal.tolist()


def _spread(values: Sequence[int]) -> tuple[int, int, int]:
    return (min(values), int(np.median(values)), max(values)) if values else (0, 0, 0)
