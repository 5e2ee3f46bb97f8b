"""Clauses as Milvus's expressions.

No text of a caller's stands in one, where some would be read as something else: tokens, bounds and keys are hexadecimal
digits.
"""

from __future__ import annotations

from collections.abc import Iterable

from pixie_retrievers.index.remote.clauses import AllOf, AnyOf, Between, Clause, Keys, Not, Tokens
from pixie_retrievers.index.remote.digests import sortable

__all__ = ["among", "expression"]


def expression(clause: Clause) -> str:
    """What documents are asked for that satisfy a clause; nothing, for all of them."""
    return "" if clause == AllOf(()) else _said(clause, holds=True)


def _said(clause: Clause, *, holds: bool) -> str:
    """A clause, or its opposite; ``not`` stands before arrays and keys alone, never before a JSON field, which may miss
    what is asked of it."""
    if isinstance(clause, Not):
        return _said(clause.part, holds=not holds)
    if isinstance(clause, AllOf | AnyOf):
        if not clause.parts:
            return "seq >= 0" if isinstance(clause, AllOf) == holds else "seq < 0"
        join = " and " if isinstance(clause, AllOf) == holds else " or "
        return "(" + join.join(_said(part, holds=holds) for part in clause.parts) + ")"
    if isinstance(clause, Tokens):
        return ("" if holds else "not ") + f"array_contains_any(f, {_quoted(clause.tokens)})"
    if isinstance(clause, Keys):
        return f"key {'' if holds else 'not '}in {_quoted(clause.keys)}"
    assert isinstance(clause, Between)
    kind, value = ("s" if clause.is_string else "n"), f'o["{clause.field}"]'
    is_low = clause.low is not None
    bound = clause.low if clause.low is not None else clause.high
    assert bound is not None
    sign = (">" if is_low == holds else "<") + ("=" if clause.inclusive == holds else "")
    within = f'{value} >= "{kind}" and {value} < "{kind}~" and {value} {sign} "{sortable(bound)}"'
    return f"({within})" if holds else f"(not array_contains_any(f, {_quoted([clause.field + kind])}) or ({within}))"


def among(keys: Iterable[str]) -> str:
    """What the documents under some keys are asked for."""
    return f"key in {_quoted(keys)}"


def _quoted(digests: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{digest}"' for digest in digests) + "]"
