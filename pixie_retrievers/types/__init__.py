"""The values that travel between encoder, index and adapters: immutable, and plain to read."""

from pixie_retrievers.types.explanations import (
    Explanation,
    KnownNames,
    TermMatches,
    TermNames,
    TokenContribution,
    sum_contributions,
)
from pixie_retrievers.types.reasons import Comparison, TextExplanation, TextToken, TokenDifference, Verdict, WhyNot
from pixie_retrievers.types.results import Document, Hit, SearchResult, SearchResults
from pixie_retrievers.types.rules import AppliedRule
from pixie_retrievers.types.spans import RaisedBy, Span, TextSpans
from pixie_retrievers.types.vectors import MAX_WEIGHT, MIN_WEIGHT, SparseVectors

__all__ = [
    "MAX_WEIGHT",
    "MIN_WEIGHT",
    "AppliedRule",
    "Comparison",
    "Document",
    "Explanation",
    "Hit",
    "KnownNames",
    "RaisedBy",
    "SearchResult",
    "SearchResults",
    "Span",
    "SparseVectors",
    "TermMatches",
    "TermNames",
    "TextExplanation",
    "TextSpans",
    "TextToken",
    "TokenContribution",
    "TokenDifference",
    "Verdict",
    "WhyNot",
    "sum_contributions",
]
