"""Explanations made by hand, of tokens that no search found."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pixie_retrievers.types import Explanation, KnownNames, RaisedBy, Span, TermMatches, TextSpans, TokenContribution

__all__ = ["NamesWithSpans", "explanation_of"]


@dataclass(frozen=True)
class NamesWithSpans:
    """Names as an encoder gives them, and a tokenizer that finds each surface wherever its letters stand."""

    names: Mapping[int, tuple[str, str]]
    text: str
    read: Span | None = None

    def tokens(self, term_ids):
        return KnownNames(self.names).tokens(term_ids)

    def surfaces(self, term_ids):
        return KnownNames(self.names).surfaces(term_ids)

    def document_spans(self):
        read = self.read or (0, len(self.text))
        surfaces = {term: surface.strip() for term, (_, surface) in self.names.items()}
        found = {
            term: tuple(match.span() for match in re.finditer(re.escape(surface), self.text) if match.end() <= read[1])
            for term, surface in surfaces.items()
            if surface
        }
        return TextSpans(len(self.text), read, found)


def explanation_of(
    tokens: Sequence[TokenContribution],
    *,
    residual: float = 0.0,
    n_others: int = 0,
    text: str | None = None,
    read: Span | None = None,
    raised_by: Mapping[int, RaisedBy] | None = None,
) -> Explanation:
    """An explanation that shows these tokens, strongest first, and counts some more.

    Args:
        tokens: Their ids do not count: they are numbered.
        residual: What the others add to the score together.
        n_others: How many others there are.
        text: Where the tokens are found; None for an explanation that came from another process.
        read: As much of the text as a model reads; None for all.
        raised_by: What raised a token, by its number.
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
    names = {number: (token.token, token.surface) for number, token in enumerate(tokens)}
    known = KnownNames(names) if text is None else NamesWithSpans(names, text, read)
    return Explanation(float(matches.contributions.sum()), matches, len(tokens), known, raised_by)
