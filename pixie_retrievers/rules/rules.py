"""Rules: factors of query tokens, and tokens that queries with other tokens get; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.errors import IncompatibleIndexError, InvalidParameterError
from pixie_retrievers.parameters import check_number
from pixie_retrievers.types import AppliedRule, SparseVectors

__all__ = ["BY_HAND", "MAX_FACTOR", "MIN_FACTOR", "Expansion", "Factor", "Origin", "Rules", "Term"]

MIN_FACTOR, MAX_FACTOR = 0.001, 1000.0
"""Factors are 0, which mutes a token, or between these."""


class Term(NamedTuple):
    """A term with its names: its number, the vocabulary's own spelling, and what a person reads."""

    id: int
    token: str
    surface: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a rule comes from.

    Attributes:
        learned_on: The day on which it was learned, as 2026-11-27; None for a rule set by hand.
        n_questions: From how many judged questions.
    """

    learned_on: str | None = None
    n_questions: int = 0

    def __str__(self) -> str:
        """As a person reads it."""
        if self.learned_on is None:
            return "by hand"
        return f"learned on {self.learned_on} from {self.n_questions:,} question{'' if self.n_questions == 1 else 's'}"


BY_HAND = Origin()


@dataclass(frozen=True, slots=True)
class Factor:
    """What the weight of a token in a query is multiplied with; 0 mutes it."""

    term: Term
    factor: float
    origin: Origin = BY_HAND

    def __post_init__(self) -> None:
        _check("factor", self.term, self.factor)


@dataclass(frozen=True, slots=True)
class Expansion:
    """A token that a query gets which has others.

    Attributes:
        sources: The tokens that the query's own text must have, all of them.
        target: The token that it gets.
        weight: What the lowest of the weights that the model gave the sources is multiplied with.
        origin: Where the rule comes from.
    """

    sources: tuple[Term, ...]
    target: Term
    weight: float
    origin: Origin = BY_HAND

    def __post_init__(self) -> None:
        _check("weight", self.target, self.weight)
        if not self.sources or self.target in self.sources:
            raise InvalidParameterError(
                f"the expansion to {self.target.surface!r} must come from one or more other tokens"
            )

    def value(self, own: Mapping[int, float]) -> float:
        """The weight that the target gets, from the weights of the tokens of a query's own text; 0 for none."""
        return self.weight * min(own.get(term.id, 0.0) for term in self.sources)


@dataclass(frozen=True)
class Rules:
    """What an index does to the vectors of queries, and to nothing else: documents stay as they are.

    A factor multiplies the weight that the model gave a token; one of 0 takes the token out, whatever else gives it a
    weight. An expansion gives a query with certain tokens another one. Where the model or a second rule gives that
    token a weight too, the larger counts and they are not added up: so a rule says how much a token is to count at
    least, a rule twice is a rule once, and what the model knew already is not counted double.

    Attributes:
        factors: At most one a term, ascending by term.
        expansions: At most one for the same sources and target.
        version: The how many-th change of an index's rules these are; 0 for rules that no index holds.

    Raises:
        InvalidParameterError: A term has two factors, an expansion stands twice, or a number is out of its range.
    """

    factors: tuple[Factor, ...] = ()
    expansions: tuple[Expansion, ...] = ()
    version: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", tuple(sorted(self.factors, key=lambda one: one.term.id)))
        _refuse_twice("a factor", (one.term.surface for one in self.factors), [one.term.id for one in self.factors])
        names = (_arrow(one) for one in self.expansions)
        _refuse_twice("an expansion", names, [_key(one) for one in self.expansions])

    def __bool__(self) -> bool:
        return bool(self.factors or self.expansions)

    def __len__(self) -> int:
        return len(self.factors) + len(self.expansions)

    @property
    def by_hand(self) -> Rules:
        """Those of them that a person set."""
        return replace(
            self,
            factors=tuple(one for one in self.factors if one.origin.learned_on is None),
            expansions=tuple(one for one in self.expansions if one.origin.learned_on is None),
        )

    @property
    def mutes(self) -> bool:
        """Whether any token is taken out of queries."""
        return self._table.mutes

    @cached_property
    def fingerprint(self) -> str:
        """What the rules do, as a short text: equal fingerprints change queries alike. Empty where there are none."""
        if not self:
            return ""
        digest = hashlib.sha256()
        for factor in self.factors:
            digest.update(f"{factor.term.id} {factor.factor!r}\n".encode())
        for ids, target, weight in sorted((*_key(one), one.weight) for one in self.expansions):
            digest.update(f"{ids} {target} {weight!r}\n".encode())
        return digest.hexdigest()[:12]

    def merged(self, newer: Rules) -> Rules:
        """These, and newer ones, which take the place of those of the same tokens."""
        factors = {one.term.id: one for one in (*self.factors, *newer.factors)}
        expansions = {_key(one): one for one in (*self.expansions, *newer.expansions)}
        return replace(self, factors=tuple(factors.values()), expansions=tuple(expansions.values()))

    def without(self, terms: Iterable[Term]) -> Rules:
        """These, but for what names one of some terms: as a factor, or in an expansion."""
        gone = {term.id for term in terms}
        return replace(
            self,
            factors=tuple(one for one in self.factors if one.term.id not in gone),
            expansions=tuple(
                one for one in self.expansions if not gone & {one.target.id, *(term.id for term in one.sources)}
            ),
        )

    def apply(self, vectors: SparseVectors) -> SparseVectors:
        """Queries' vectors as the rules have them.

        Raises:
            IncompatibleIndexError: The rules name a term that the vocabulary lacks.
        """
        if not self:
            return vectors
        factors, is_source = self._arrays(vectors.vocabulary_size)
        weights = vectors.weights * factors[vectors.term_ids]
        if is_source is not None and is_source[vectors.term_ids].any():
            return self._expanded(vectors, weights)
        return vectors.reweighed(weights)

    def applied(self, vector: SparseVectors) -> Mapping[int, AppliedRule]:
        """What the rules do to each term of one query, given as the model made it; worked out when it is read."""
        return _Applied(self, vector)

    @cached_property
    def _table(self) -> _Table:
        return _Table(
            np.array([one.term.id for one in self.factors], np.int64),
            np.array([one.factor for one in self.factors], np.float32),
            np.array([term.id for one in self.expansions for term in one.sources], np.int64),
            1 + max((term.id for term in self._terms()), default=-1),
            any(one.factor == 0 for one in self.factors),
        )

    def _terms(self) -> Iterator[Term]:
        yield from (one.term for one in self.factors)
        for one in self.expansions:
            yield from (*one.sources, one.target)

    def _arrays(self, vocabulary_size: int) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        """A factor a term, and which terms expand to others; None where none does."""
        known: dict[int, tuple[NDArray[np.float32], NDArray[np.bool_] | None]] = self.__dict__.setdefault("_dense", {})
        if vocabulary_size not in known:
            table = self._table
            if table.n_terms > vocabulary_size:
                raise IncompatibleIndexError(
                    f"the rules name term {table.n_terms - 1}, outside a vocabulary of {vocabulary_size} terms: import"
                    " them for this model"
                )
            factors = np.ones(vocabulary_size, np.float32)
            factors[table.terms] = table.factors
            is_source = np.zeros(vocabulary_size, np.bool_)
            is_source[table.sources] = True
            known[vocabulary_size] = factors, is_source if self.expansions else None
        return known[vocabulary_size]

    def _expanded(self, vectors: SparseVectors, weights: NDArray[np.float32]) -> SparseVectors:
        factors, _ = self._arrays(vectors.vocabulary_size)
        rows = []
        for start, stop in zip(vectors.indptr[:-1].tolist(), vectors.indptr[1:].tolist(), strict=True):
            terms = vectors.term_ids[start:stop].tolist()
            literal = vectors.literal[start:stop].tolist()
            row = dict(zip(terms, zip(weights[start:stop].tolist(), literal, strict=True), strict=True))
            model = zip(terms, vectors.weights[start:stop].tolist(), literal, strict=True)
            own = {term: weight for term, weight, is_own in model if is_own}
            for one in self.expansions:
                value, there = one.value(own), row.get(one.target.id, (0.0, False))
                if value > there[0] and factors[one.target.id]:
                    row[one.target.id] = value, there[1]
            rows.append(sorted(row.items()))
        flat = [item for row in rows for item in row]
        return replace(
            vectors,
            indptr=np.cumsum([0, *map(len, rows)], dtype=np.int64),
            term_ids=np.array([term for term, _ in flat], np.int32),
            weights=np.ones(len(flat), np.float32),
            literal=np.array([literal for _, (_, literal) in flat], np.bool_),
        ).reweighed(np.array([weight for _, (weight, _) in flat], np.float32))


class _Table(NamedTuple):
    terms: NDArray[np.int64]
    factors: NDArray[np.float32]
    sources: NDArray[np.int64]
    n_terms: int
    mutes: bool


class _Applied(Mapping[int, AppliedRule]):
    """By term, what the rules did to it in one query."""

    def __init__(self, rules: Rules, vector: SparseVectors) -> None:
        self._rules = rules
        self._vector = vector

    @cached_property
    def _found(self) -> dict[int, AppliedRule]:
        terms, weights = self._vector.term_ids.tolist(), self._vector.weights.tolist()
        model = dict(zip(terms, weights, strict=True))
        own = {term: model[term] for term, literal in zip(terms, self._vector.literal.tolist(), strict=True) if literal}
        found: dict[int, AppliedRule] = {}
        reached = dict(model)
        for factor in self._rules.factors:
            if (term := factor.term.id) in model:
                found[term] = AppliedRule(str(factor.origin), model[term], factor.factor)
                reached[term] = model[term] * factor.factor
        muted = {factor.term.id for factor in self._rules.factors if factor.factor == 0}
        for one in self._rules.expansions:
            value, term = one.value(own), one.target.id
            if value > reached.get(term, 0.0) and term not in muted:
                reached[term] = value
                surfaces = tuple(source.surface for source in one.sources)
                found[term] = AppliedRule(str(one.origin), model.get(term, 0.0), one.weight, surfaces)
        return found

    def __getitem__(self, term: int) -> AppliedRule:
        return self._found[term]

    def __iter__(self) -> Iterator[int]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _key(expansion: Expansion) -> tuple[tuple[int, ...], int]:
    return tuple(sorted(term.id for term in expansion.sources)), expansion.target.id


def _arrow(expansion: Expansion) -> str:
    return f"{'+'.join(term.surface for term in expansion.sources)} -> {expansion.target.surface}"


def _check(name: str, term: Term, value: float) -> None:
    check_number(f"the {name} of {term.surface!r}", value, low=0.0, high=MAX_FACTOR)
    if 0 < value < MIN_FACTOR or (name == "weight" and value == 0):
        low = f"{MIN_FACTOR:g} or more" if name == "weight" else f"0, which mutes it, or {MIN_FACTOR:g} or more"
        raise InvalidParameterError(f"the {name} of {term.surface!r} is {value}; it must be {low}")


def _refuse_twice(what: str, names: Iterable[str], keys: Sequence[object]) -> None:
    seen: set[object] = set()
    for name, key in zip(names, keys, strict=True):
        if key in seen:
            raise InvalidParameterError(f"{name!r} has {what} twice: leave one out")
        seen.add(key)
