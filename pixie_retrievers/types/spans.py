"""Where in a text its terms stand, and which of its words raised a term that it does not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["RaisedBy", "Span", "TextSpans"]

Span = tuple[int, int]
"""From where to where, in Python's own count of a string's characters (code points)."""


@dataclass(frozen=True, slots=True)
class TextSpans:
    """What of a text the model reads, and where the tokens that it makes of it stand.

    Positions are those of the caller's own string, however the tokenizer normalises it. A token that is a part of a
    character (a byte of an emoji, a letter without its accent) has the span of the whole character; the space that a
    token carries in front is left out.

    Attributes:
        n_characters: How long the text is.
        read: The stretch that the model reads: all of the text, unless it is longer than the model's length.
        terms: The spans of each term that the text is made of, ascending.
    """

    n_characters: int
    read: Span
    terms: Mapping[int, tuple[Span, ...]]

    @property
    def unread(self) -> tuple[Span, ...]:
        """The stretches that the model does not read: what is behind, or with some models before, the rest."""
        start, stop = self.read
        return tuple(span for span in ((0, start), (stop, self.n_characters)) if span[0] < span[1])

    def of(self, term_id: int) -> tuple[Span, ...]:
        """The spans of one term; none for a term that the text is not made of."""
        return self.terms.get(term_id, ())

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return {
            "n_characters": self.n_characters,
            "read": list(self.read),
            "terms": {str(term): [list(span) for span in spans] for term, spans in self.terms.items()},
        }


@dataclass(frozen=True, slots=True)
class RaisedBy:
    """The token at whose position the model's logit for a term was the largest of the text.

    Attributes:
        token_id: The term that was raised.
        weight: The weight that the model gave the text for it in the pass in which this was found.
        by: The token that raised it, as a person reads it.
        span: Where that token stands; None for a special token, which stands for the text as a whole.
    """

    token_id: int
    weight: float
    by: str
    span: Span | None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return {
            "token_id": self.token_id,
            "weight": self.weight,
            "by": self.by,
            "span": None if self.span is None else list(self.span),
        }
