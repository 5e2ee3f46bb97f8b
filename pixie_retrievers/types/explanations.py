"""Which terms a query and a document share, and what a person reads of that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.types.rules import AppliedRule
from pixie_retrievers.types.showing import Shown
from pixie_retrievers.types.spans import RaisedBy, TextSpans

__all__ = [
    "Explanation",
    "KnownNames",
    "TermMatches",
    "TermNames",
    "TokenContribution",
    "TokenList",
    "is_token_list",
    "sum_contributions",
]


def sum_contributions(contributions: Iterable[float]) -> float:
    """Add up in float64, one after the other from the first to the last: how every score is made.

    The built-in ``sum`` compensates for rounding from Python 3.12 on, and ``numpy.sum`` adds in pairs: each may differ
    in its last bits from what the index's compiled loops find, and turn a tie.

    Args:
        contributions: By ascending term.
    """
    total = 0.0
    for contribution in contributions:
        total += contribution
    return total


@dataclass(frozen=True, slots=True, eq=False)
class TermMatches:
    """Every term that a query and a document share.

    Attributes:
        term_ids: int32, shape (m,), ascending.
        query_weights: float32, shape (m,).
        document_weights: float32, shape (m,): as the index stores them.
        in_query: bool, shape (m,): the query's text literally has the term; otherwise the model expanded to it.
        in_document: bool, shape (m,): the document's text literally has the term.
    """

    term_ids: NDArray[np.int32]
    query_weights: NDArray[np.float32]
    document_weights: NDArray[np.float32]
    in_query: NDArray[np.bool_]
    in_document: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.term_ids)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TermMatches):
            return NotImplemented
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__)

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash

    @classmethod
    def none(cls) -> TermMatches:
        """Nothing in common."""
        no, weights = np.zeros(0, np.bool_), np.zeros(0, np.float32)
        return cls(np.zeros(0, np.int32), weights, weights, no, no)

    @property
    def contributions(self) -> NDArray[np.float64]:
        """float64, shape (m,): query weight times document weight; their sum is the score."""
        return self.query_weights.astype(np.float64) * self.document_weights.astype(np.float64)

    @property
    def score(self) -> float:
        """The contributions added up as :func:`sum_contributions` does, terms ascending."""
        return sum_contributions(self.contributions.tolist())


@dataclass(frozen=True, slots=True)
class TokenContribution:
    """What one token added to a score.

    Attributes:
        token: The vocabulary's own spelling, markers included (``##에서``, ``▁위성``, ``ìľĦìĦ±``).
        surface: The token as a person reads it.
        token_id: The term.
        query_weight: Its weight in the query.
        document_weight: Its weight in the document.
        contribution: The product of the two weights.
        in_query: The query's text literally has the token; otherwise the model expanded to it.
        in_document: The document's text literally has the token.
        rule: The rule that made the weight in the query what it is; None where the model did.
    """

    token: str
    surface: str
    token_id: int
    query_weight: float
    document_weight: float
    contribution: float
    in_query: bool
    in_document: bool
    rule: AppliedRule | None = None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types, keys in the order of the attributes; ``rule`` where there is one."""
        plain = {name: getattr(self, name) for name in _CONTRIBUTION}
        return plain if self.rule is None else plain | {_RULE: self.rule.to_dict()}


_RULE = "rule"
_CONTRIBUTION = tuple(name for name in TokenContribution.__dataclass_fields__ if name != _RULE)
_CONTRIBUTION_KEYS = frozenset(_CONTRIBUTION)
_PRINTED = 3  # tokens


class TokenList(list[dict[str, Any]]):
    """Token explanations as metadata holds them: a list that is whole when it is read, and short when it is printed.

    People print metadata into prompts and logs, where ten tokens of eight fields each are a page.
    """

    def __repr__(self) -> str:
        if not is_token_list(self):  # a caller changed it
            return super().__repr__()
        shown = [f"{one['surface'].strip()!r} {one['contribution']:.2f}" for one in self[:_PRINTED]]
        others = [f"{len(self) - _PRINTED} more"] if len(self) > _PRINTED else []
        return f"[{', '.join(shown + others)}]"


def is_token_list(value: Any) -> bool:
    """Whether a value is what :meth:`Explanation.to_metadata` returns, or was before it went through JSON."""
    return isinstance(value, list) and all(
        isinstance(one, dict) and one.keys() - {_RULE} == _CONTRIBUTION_KEYS for one in value
    )


class TermNames(Protocol):
    """What names terms: an encoder does."""

    def tokens(self, term_ids: Sequence[int]) -> list[str]:
        """The vocabulary's own spelling of each term."""
        ...

    def surfaces(self, term_ids: Sequence[int]) -> list[str]:
        """Each term as a person reads it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Explanation(Shown):
    """Why a document got its score: contributions, largest first, and what was left out.

    The tokens are named when they are first read: a search that nobody asks for reasons does not pay for them.

    Attributes:
        score: The whole score: the contributions of all matches, summed in float64, terms ascending.
        matches: Every term that query and document share.
        top_k_tokens: At most so many tokens are shown; None shows all.
        names: Names the terms.
        raised_by: Which token of the document raised each of the terms that the document's text is not made of; None
            where nobody asked. A term that is not there is one of which that cannot be said.
        rules: What rules did to terms of the query, by term; None where none were in force.
    """

    score: float
    matches: TermMatches
    top_k_tokens: int | None
    names: TermNames = field(repr=False)
    raised_by: Mapping[int, RaisedBy] | None = field(default=None, repr=False)
    rules: Mapping[int, AppliedRule] | None = field(default=None, repr=False)
    _shown: tuple[TokenContribution, ...] | None = field(default=None, init=False, repr=False)

    @property
    def contributions(self) -> tuple[TokenContribution, ...]:
        """The tokens shown, by contribution descending, then by token id."""
        if self._shown is None:
            rules = self.rules or {}
            shown = tuple(TokenContribution(*(*values, rules.get(values[2]))) for values in self._rows())
            object.__setattr__(self, "_shown", shown)
            return shown
        return self._shown

    @property
    def residual(self) -> float:
        """The score of the tokens not shown: contributions and residual sum to the score."""
        values, order = self._order()
        return sum_contributions(values[position] for position in sorted(order[len(self._strongest(order)) :]))

    @property
    def n_tokens(self) -> int:
        """How many tokens matched, shown or not."""
        return len(self.matches)

    def spans(self) -> TextSpans | None:
        """Where the terms stand in the document's text, as the tokenizer has it.

        It is asked here, not at the search. None where no tokenizer is at hand: the encoder knows no spans, or the
        explanation came from another process.
        """
        find = getattr(self.names, "document_spans", None)
        spans: TextSpans | None = None if find is None else find()
        return spans

    def to_metadata(self) -> list[dict[str, Any]]:
        """The contributions as plain JSON types, a dict a token: what adapters attach to a document."""
        tokens = TokenList(dict(zip(_CONTRIBUTION, values, strict=True)) for values in self._rows())
        rules = self.rules or {}
        for token in tokens if rules else ():
            if (rule := rules.get(token["token_id"])) is not None:
                token[_RULE] = rule.to_dict()
        return tokens

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return {
            "score": self.score,
            "contributions": self.to_metadata(),
            "residual": self.residual,
            "n_tokens": self.n_tokens,
        } | ({} if self.raised_by is None else {"raised_by": [by.to_dict() for by in self.raised_by.values()]})

    def _order(self) -> tuple[list[float], list[int]]:
        """Every match's contribution, and the positions of the matches, strongest first, then by term."""
        weights = zip(self.matches.query_weights.tolist(), self.matches.document_weights.tolist(), strict=True)
        values = [query * document for query, document in weights]
        return values, sorted(range(len(values)), key=lambda position: -values[position])

    def _strongest(self, order: list[int]) -> list[int]:
        return order[: self.top_k_tokens]

    def _rows(self) -> list[tuple[Any, ...]]:
        """The values of each contribution shown, in the order of :class:`TokenContribution`'s attributes."""
        values, order = self._order()
        positions = self._strongest(order)
        matches = self.matches
        ids, query, document = (
            matches.term_ids.tolist(),
            matches.query_weights.tolist(),
            matches.document_weights.tolist(),
        )
        in_query, in_document = matches.in_query.tolist(), matches.in_document.tolist()
        shown = [ids[p] for p in positions]
        return [
            (token, surface, ids[p], query[p], document[p], values[p], in_query[p], in_document[p])
            for p, token, surface in zip(positions, self.names.tokens(shown), self.names.surfaces(shown), strict=True)
        ]

    def __eq__(self, other: object) -> bool:
        return self.to_dict() == other.to_dict() if isinstance(other, Explanation) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.score, len(self.matches)))

    def __reduce__(self) -> tuple[Any, ...]:
        """What travels to another process are the names of the tokens shown, not the model that names them."""
        names = {item.token_id: (item.token, item.surface) for item in self.contributions}
        rules = None if self.rules is None else dict(self.rules)
        return type(self), (self.score, self.matches, self.top_k_tokens, KnownNames(names), self.raised_by, rules)


@dataclass(frozen=True, slots=True)
class KnownNames:
    """Names of some terms: (token, surface) by term id. A term that is not there is named by its number."""

    names: Mapping[int, tuple[str, str]]

    def tokens(self, term_ids: Sequence[int]) -> list[str]:
        """The vocabulary's own spelling of each term."""
        return [self._name(term_id)[0] for term_id in term_ids]

    def surfaces(self, term_ids: Sequence[int]) -> list[str]:
        """Each term as a person reads it."""
        return [self._name(term_id)[1] for term_id in term_ids]

    def _name(self, term_id: int) -> tuple[str, str]:
        return self.names.get(term_id) or (f"[term {term_id}]", f"[term {term_id}]")
