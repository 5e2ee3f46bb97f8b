"""What an engine is asked about documents: tokens, ranges and keys, joined; engines translate just these."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = [
    "EVERYTHING",
    "NOTHING",
    "AllOf",
    "AnyOf",
    "Between",
    "Clause",
    "Keys",
    "Not",
    "Tokens",
    "all_of",
    "any_of",
    "bounded",
    "negated",
]


@dataclass(frozen=True, slots=True)
class Clause:
    """A condition on what is stored beside a document."""


@dataclass(frozen=True, slots=True)
class AllOf(Clause):
    """All parts hold; without parts, always."""

    parts: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class AnyOf(Clause):
    """At least one part holds; without parts, never."""

    parts: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Not(Clause):
    """The part does not hold."""

    part: Clause


@dataclass(frozen=True, slots=True)
class Tokens(Clause):
    """The document has at least one of these tokens: hexadecimal digests."""

    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Between(Clause):
    """The document has a value in this range under a field.

    Attributes:
        field: A digest.
        is_string: The bounds are hexadecimal beginnings of strings, and not numbers.
        low, high: One of them is None: open.
        inclusive: The bound itself is inside.
    """

    field: str
    is_string: bool
    low: float | str | None
    high: float | str | None
    inclusive: bool


@dataclass(frozen=True, slots=True)
class Keys(Clause):
    """The document is one of these."""

    keys: tuple[str, ...]


EVERYTHING: Final = AllOf(())
NOTHING: Final = AnyOf(())


def all_of(parts: Iterable[Clause]) -> Clause:
    """All parts, in the shortest form."""
    kept: dict[Clause, None] = {}
    for part in parts:
        if part == NOTHING:
            return NOTHING
        kept.update(dict.fromkeys(part.parts if isinstance(part, AllOf) else (part,)))
    return next(iter(kept)) if len(kept) == 1 else AllOf(tuple(kept))


def any_of(parts: Iterable[Clause]) -> Clause:
    """Any part, in the shortest form: tokens that stand side by side are looked for at once."""
    kept: dict[Clause, None] = {}
    tokens: dict[str, None] = {}
    for part in parts:
        if part == EVERYTHING:
            return EVERYTHING
        for one in part.parts if isinstance(part, AnyOf) else (part,):
            if isinstance(one, Tokens):
                tokens.update(dict.fromkeys(one.tokens))
            else:
                kept[one] = None
    joined = ([Tokens(tuple(tokens))] if tokens else []) + list(kept)
    return joined[0] if len(joined) == 1 else AnyOf(tuple(joined))


def negated(part: Clause) -> Clause:
    """The opposite."""
    if isinstance(part, Not):
        return part.part
    return NOTHING if part == EVERYTHING else EVERYTHING if part == NOTHING else Not(part)


def bounded(clause: Clause, otherwise: Clause, *, max_parts: int, max_depth: int, may_negate: bool = True) -> Clause:
    """The same clause, with ``otherwise`` in place of what is too much for an engine.

    Args:
        clause: Any.
        otherwise: EVERYTHING, and more is let through; or NOTHING, and less.
        max_parts: At most so many tokens, ranges and lists of keys in all.
        max_depth: At most so many levels.
        may_negate: The engine knows of negation.
    """
    left = [max_parts]

    def visit(clause: Clause, otherwise: Clause, depth: int) -> Clause:
        if isinstance(clause, AllOf | AnyOf):
            if not clause.parts:
                return clause
            if depth == max_depth:
                return otherwise
            parts = [visit(part, otherwise, depth + 1) for part in clause.parts]
            return all_of(parts) if isinstance(clause, AllOf) else any_of(parts)
        if isinstance(clause, Not):
            if not may_negate or depth == max_depth:
                return otherwise
            return negated(visit(clause.part, negated(otherwise), depth + 1))
        left[0] -= 1
        return otherwise if left[0] < 0 else clause

    return visit(clause, otherwise, 0)
