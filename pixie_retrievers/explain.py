"""From the terms that matched to the tokens a person reads: pure, knows neither index nor model."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.types import Explanation, TermMatches, TokenContribution, sum_contributions

__all__ = ["check_top_k_tokens", "explain", "strongest"]


def check_top_k_tokens(top_k_tokens: int | None) -> None:
    """Refuse what is no number of tokens.

    Raises:
        InvalidParameterError: ``top_k_tokens`` is negative or no whole number.
    """
    if top_k_tokens is not None and (not isinstance(top_k_tokens, int) or top_k_tokens < 0):
        raise InvalidParameterError(f"top_k_tokens is {top_k_tokens!r}; it must be 0 or more, or None for all tokens")


def strongest(matches: TermMatches, top_k_tokens: int | None) -> list[int]:
    """Positions in ``matches`` by contribution descending, then by term; at most ``top_k_tokens`` of them.

    Raises:
        InvalidParameterError: ``top_k_tokens`` is negative or no whole number.
    """
    check_top_k_tokens(top_k_tokens)
    positions: list[int] = np.lexsort((matches.term_ids, -matches.contributions))[:top_k_tokens].tolist()
    return positions


def explain(
    matches: TermMatches,
    *,
    positions: Sequence[int],
    tokens: Sequence[str],
    surfaces: Sequence[str],
    query_terms: Collection[int],
    document_terms: Collection[int],
) -> Explanation:
    """Name the matches at ``positions`` and sum up the rest.

    Args:
        matches: All terms that query and document share.
        positions: Which of them to show, strongest first (see :func:`strongest`).
        tokens: The vocabulary's spelling of each shown term.
        surfaces: What a person reads for each shown term.
        query_terms: The terms that the query's text is literally made of.
        document_terms: The terms that the document's text is literally made of.
    """
    contributions = matches.contributions
    shown = tuple(
        TokenContribution(
            token=token,
            surface=surface,
            token_id=(term := int(matches.term_ids[position])),
            query_weight=float(matches.query_weights[position]),
            document_weight=float(matches.document_weights[position]),
            contribution=float(contributions[position]),
            in_query=term in query_terms,
            in_document=term in document_terms,
        )
        for position, token, surface in zip(positions, tokens, surfaces, strict=True)
    )
    left_out = np.ones(len(matches), bool)
    left_out[list(positions)] = False
    return Explanation(
        score=sum_contributions(contributions),
        contributions=shown,
        residual=sum_contributions(contributions[left_out]),
        n_tokens=len(matches),
    )
