"""Why a text is found or not: what the model made of it, what tells two documents apart, what kept one out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pixie_retrievers.types.results import SearchResult
from pixie_retrievers.types.rules import AppliedRule
from pixie_retrievers.types.showing import Shown
from pixie_retrievers.types.spans import RaisedBy, Span

__all__ = ["Comparison", "TextExplanation", "TextToken", "TokenDifference", "Verdict", "WhyNot"]

Verdict = Literal["found", "ranked lower", "shares no token", "filtered out", "not there"]


@dataclass(frozen=True, slots=True)
class TextToken:
    """A token that the model gave a text a weight for.

    Attributes:
        token: The vocabulary's own spelling.
        surface: The token as a person reads it.
        token_id: The term.
        weight: Its weight in the text.
        literal: The text itself is made of it; otherwise the model added it for its meaning.
        spans: Where it stands in the text; none for what the model added, and where no tokenizer is at hand.
        raised_by: Which token of the text raised it; None where nobody asked, and where that cannot be said.
        rule: The rule that made its weight in a query what it is, 0 where it takes the token out; None where the model
            did.
    """

    token: str
    surface: str
    token_id: int
    weight: float
    literal: bool
    spans: tuple[Span, ...] = ()
    raised_by: RaisedBy | None = None
    rule: AppliedRule | None = None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types; ``raised_by`` where it is known, ``rule`` where there is one."""
        plain = {name: getattr(self, name) for name in ("token", "surface", "token_id", "weight", "literal")}
        plain["spans"] = [list(span) for span in self.spans]
        told = {"raised_by": self.raised_by, "rule": self.rule}
        return plain | {name: one.to_dict() for name, one in told.items() if one is not None}


@dataclass(frozen=True, slots=True)
class TextExplanation(Shown):
    """What the model made of one text.

    Attributes:
        text: The text.
        kind: "query" or "document": the two may be read differently.
        id: The document's id; None for a query.
        tokens: Every token with a weight, the largest first, then by token id.
        read: The stretch of the text that the model reads; None where no tokenizer is at hand.
    """

    text: str
    kind: Literal["query", "document"]
    id: str | None
    tokens: tuple[TextToken, ...]
    read: Span | None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return {
            "kind": self.kind,
            "id": self.id,
            "text": self.text,
            "read": None if self.read is None else list(self.read),
            "tokens": [token.to_dict() for token in self.tokens],
        }


@dataclass(frozen=True, slots=True)
class TokenDifference:
    """What one token of the query adds to two documents' scores.

    Attributes:
        token: The vocabulary's own spelling.
        surface: The token as a person reads it.
        token_id: The term.
        contribution_a: What it adds to the first one's score; 0 where that document lacks it.
        contribution_b: What it adds to the second one's.
        rule: The rule that made its weight in the query what it is; None where the model did.
    """

    token: str
    surface: str
    token_id: int
    contribution_a: float
    contribution_b: float
    rule: AppliedRule | None = None

    @property
    def difference(self) -> float:
        """How much more it adds to the first one."""
        return self.contribution_a - self.contribution_b

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types, and the difference; ``rule`` where there is one."""
        named = ("token", "surface", "token_id", "contribution_a", "contribution_b", "difference")
        plain = {name: getattr(self, name) for name in named}
        return plain if self.rule is None else plain | {"rule": self.rule.to_dict()}


@dataclass(frozen=True, slots=True)
class Comparison(Shown):
    """Why one of two documents scores more for a query than the other, token by token.

    Attributes:
        query: The query.
        a: The first document, with its explanation.
        b: The second one.
        tokens: Every token that the query shares with at least one of them, those first that tell them apart most; the
            differences sum to the difference of the scores.
    """

    query: str
    a: SearchResult
    b: SearchResult
    tokens: tuple[TokenDifference, ...]

    @property
    def difference(self) -> float:
        """How much more the first one scores."""
        return self.a.score - self.b.score

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types; of the documents their ids and scores."""
        return {
            "query": self.query,
            "a": {"id": self.a.document.id, "score": self.a.score},
            "b": {"id": self.b.document.id, "score": self.b.score},
            "difference": self.difference,
            "tokens": [token.to_dict() for token in self.tokens],
        }


@dataclass(frozen=True, slots=True)
class WhyNot(Shown):
    """Why a document is not among the k best of a query.

    Attributes:
        query: The query.
        id: The document's id.
        k: How many were asked for.
        verdict: "found": it is among them; "ranked lower": others score more; "shares no token" with the query;
            "filtered out"; "not there": no document has this id.
        rank: Its rank among the documents that the filter lets pass, from 1; None where it has none, and where it is
            beyond the first 10,000.
        score: Its score; None where it is not there.
        score_to_beat: The score of the last of the k best; None where fewer were found.
        comparison: That last one (a) beside this one (b); None where there is nothing to compare.
        cut: The model read only a part of its text.
        unread: Tokens of the query that stand in its text only where the model does not read, with their weights in the
            query: what the model's length has cost it.
    """

    query: str
    id: str
    k: int
    verdict: Verdict
    rank: int | None = None
    score: float | None = None
    score_to_beat: float | None = None
    comparison: Comparison | None = None
    cut: bool = False
    unread: tuple[TextToken, ...] = ()

    @property
    def gap(self) -> float | None:
        """How much the score lacks: 0 is a tie, which the document stored first wins."""
        return None if self.score is None or self.score_to_beat is None else self.score_to_beat - self.score

    @property
    def cost(self) -> tuple[TokenDifference, ...]:
        """The tokens that add more to the last of the k best than to this document, the costliest first."""
        return () if self.comparison is None else tuple(t for t in self.comparison.tokens if t.difference > 0)

    @property
    def summary(self) -> str:
        """The same in a sentence or two."""
        place = "beyond the first 10,000" if self.rank is None else f"rank {self.rank:,}"
        said = {
            "found": f"It is found: {place}, score {self.score or 0:.2f}.",
            "ranked lower": f"It is ranked lower: {place}, score {self.score or 0:.2f};"
            f" number {self.k:,} scores {self.score_to_beat or 0:.2f}, {self.gap or 0:.2f} more.",
            "shares no token": "It shares no token with the query: its score is 0.",
            "filtered out": "The filter keeps it out.",
            "not there": "No document has this id.",
        }[self.verdict]
        if self.unread:
            return f"{said} What the model does not read of its text has {len(self.unread)} more of the query's tokens."
        return f"{said} The model reads only a part of its text." if self.cut else said

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        plain = ("query", "id", "k", "verdict", "rank", "score", "score_to_beat", "gap", "cut", "summary")
        return {name: getattr(self, name) for name in plain} | {
            "unread": [token.to_dict() for token in self.unread],
            "cost": [token.to_dict() for token in self.cost],
            "comparison": None if self.comparison is None else self.comparison.to_dict(),
        }
