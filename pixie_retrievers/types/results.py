"""What a caller stores, what an index finds, and what a search returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, SupportsIndex, overload

from pixie_retrievers.types.explanations import Explanation, TermMatches
from pixie_retrievers.types.showing import Shown

__all__ = ["Document", "Hit", "SearchResult", "SearchResults"]


@dataclass(frozen=True, slots=True)
class Document:
    """What a caller stores and gets back.

    Attributes:
        id: The caller's own key, not empty; storing another document under it replaces this one.
        text: The text that is encoded and shown.
        metadata: JSON types: str keys; str, int, finite float, bool, None, list and dict values. The facade
            takes what has a form in them too (:mod:`pixie_retrievers.types.plain`).
    """

    id: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that an index found.

    Attributes:
        document: The stored document.
        score: The dot product of query and document.
        matches: The terms that made it, all of them.
    """

    document: Document
    score: float
    matches: TermMatches


@dataclass(frozen=True, slots=True)
class SearchResult(Shown):
    """A document found for a query, with the reason.

    Attributes:
        document: The stored document.
        score: The dot product of query and document.
        explanation: The tokens that made the score; None when explanations were switched off.
    """

    document: Document
    score: float
    explanation: Explanation | None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return {
            "id": self.document.id,
            "score": self.score,
            "text": self.document.text,
            "metadata": dict(self.document.metadata),
            "explanation": None if self.explanation is None else self.explanation.to_dict(),
        }


class SearchResults(list[SearchResult], Shown):
    """A list of results, best first, that a notebook shows as one page."""

    __slots__ = ()

    @overload
    def __getitem__(self, at: SupportsIndex, /) -> SearchResult: ...
    @overload
    def __getitem__(self, at: slice, /) -> SearchResults: ...
    def __getitem__(self, at: SupportsIndex | slice, /) -> SearchResult | SearchResults:
        """One of them, or a part of the list, which shows itself too."""
        return SearchResults(super().__getitem__(at)) if isinstance(at, slice) else super().__getitem__(at)
