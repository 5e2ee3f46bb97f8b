"""Explanations made by hand, of tokens that no search found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pixie_retrievers.types import Explanation, KnownNames, TermMatches, TokenContribution

__all__ = ["explanation_of"]


def explanation_of(tokens: Sequence[TokenContribution], *, residual: float = 0.0, n_others: int = 0) -> Explanation:
    """An explanation that shows these tokens, strongest first, and counts some more.

    Args:
        tokens: Their ids do not count: they are numbered.
        residual: What the others add to the score together.
        n_others: How many others there are.
    """
    query = [token.query_weight for token in tokens] + [residual / max(1, n_others)] * n_others
    document = [token.document_weight for token in tokens] + [1.0] * n_others
    matches = TermMatches(
        np.arange(len(query), dtype=np.int32),
        np.array(query, np.float32),
        np.array(document, np.float32),
        np.array([token.in_query for token in tokens] + [False] * n_others, np.bool_),
        np.array([token.in_document for token in tokens] + [False] * n_others, np.bool_),
    )
    names = KnownNames({number: (token.token, token.surface) for number, token in enumerate(tokens)})
    return Explanation(float(matches.contributions.sum()), matches, len(tokens), names)
