"""From what an index found to what a search returns: each hit with its reason, in words."""

from __future__ import annotations

from collections.abc import Sequence

from pixie_retrievers.encoder.base import Encoder
from pixie_retrievers.types import Explanation, Hit, SearchResult, SearchResults
from pixie_retrievers.types.explanations import TermNames

__all__ = ["names_in", "results_of"]


def names_in(encoder: Encoder, query: str, document: str) -> TermNames:
    """What names the terms that two texts share: an encoder may know better names where it sees the texts."""
    names: TermNames = getattr(encoder, "names_in", lambda *_: encoder)(query, document)
    return names


def results_of(
    encoder: Encoder, query: str, hits: Sequence[Hit], top_k_tokens: int | None, score_threshold: float | None
) -> SearchResults:
    """The hits of a query as results.

    Args:
        encoder: Names the terms.
        query: A text.
        hits: What it found.
        top_k_tokens: At most so many tokens in an explanation; None for all; 0 for no explanation.
        score_threshold: Drop hits that score less; None keeps all.
    """
    return SearchResults(
        SearchResult(
            hit.document,
            hit.score,
            None
            if top_k_tokens == 0
            else Explanation(hit.score, hit.matches, top_k_tokens, names_in(encoder, query, hit.document.text)),
        )
        for hit in hits
        if score_threshold is None or hit.score >= score_threshold
    )
