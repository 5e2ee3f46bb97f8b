"""From what an index found to what a search returns: each hit with its reason, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pixie_retrievers.encoder.base import Encoder
from pixie_retrievers.filters import Filter
from pixie_retrievers.index.base import Index
from pixie_retrievers.types import AppliedRule, Explanation, Hit, SearchResult, SearchResults, TermMatches
from pixie_retrievers.types.explanations import TermNames

__all__ = ["listed", "names_in", "results_of", "unscored"]


def names_in(encoder: Encoder, query: str, document: str) -> TermNames:
    """What names the terms that two texts share: an encoder may know better names where it sees the texts."""
    names: TermNames = getattr(encoder, "names_in", lambda *_: encoder)(query, document)
    return names


def results_of(
    encoder: Encoder,
    query: str,
    hits: Sequence[Hit],
    top_k_tokens: int | None,
    score_threshold: float | None,
    rules: Mapping[int, AppliedRule] | None = None,
) -> SearchResults:
    """The hits of a query as results.

    Args:
        encoder: Names the terms.
        query: A text.
        hits: What it found.
        top_k_tokens: At most so many tokens in an explanation; None for all; 0 for no explanation.
        score_threshold: Drop hits that score less; None keeps all.
        rules: What rules did to the query, by term.
    """
    return SearchResults(
        SearchResult(
            hit.document,
            hit.score,
            None
            if top_k_tokens == 0
            else Explanation(
                hit.score, hit.matches, top_k_tokens, names_in(encoder, query, hit.document.text), rules=rules
            ),
        )
        for hit in hits
        if score_threshold is None or hit.score >= score_threshold
    )


def unscored(encoder: Encoder, index: Index, ids: Sequence[str], top_k_tokens: int | None) -> SearchResults:
    """Documents by their ids as results of a query that found none of them: at score 0, explained by no token."""
    nothing = None if top_k_tokens == 0 else Explanation(0.0, TermMatches.none(), top_k_tokens, encoder)
    return SearchResults(SearchResult(document, 0.0, nothing) for document in index.get(ids) if document is not None)


def listed(
    encoder: Encoder,
    index: Index,
    k: int,
    filter: Filter,
    ids: Sequence[str] | None,
    top_k_tokens: int | None,
    score_threshold: float | None,
) -> SearchResults:
    """The first k documents that pass a filter, in insertion order: the answer to an empty query that has one.

    Args:
        ids: Only documents under these ids count; None for all.
        encoder, index, k, filter, top_k_tokens, score_threshold: Those of the search.
    """
    if score_threshold is not None and score_threshold > 0:
        return SearchResults()
    passing = index.ids(filter=filter, limit=k if ids is None else None)
    if ids is not None:
        wanted = set(ids)
        passing = [id for id in passing if id in wanted][:k]
    return unscored(encoder, index, passing, top_k_tokens)
