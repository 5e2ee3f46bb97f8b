"""A whole condition over the columns of a segment."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.filters import All, Comparison, Condition, Either, Negation, PredicateCall
from pixie_retrievers.index.sqlite.columns.column import Column
from pixie_retrievers.index.sqlite.columns.searching import passing_codes

__all__ = ["Verdict", "evaluate"]


class Verdict(NamedTuple):
    """What columns say of a condition: where the two differ, only the documents can tell.

    Attributes:
        certain: bool, shape (n_documents,): the condition holds.
        possible: bool, shape (n_documents,): it may hold; the same array where all is decided.
    """

    certain: NDArray[np.bool_]
    possible: NDArray[np.bool_]


def evaluate(condition: Condition, column_of: Callable[[str], Column | None], n_documents: int) -> Verdict:
    """Hold a condition against the columns of a segment.

    Args:
        condition: A parsed filter.
        column_of: The column of a field; None where only the documents know of it.
        n_documents: How many documents the segment has.
    """
    if isinstance(condition, PredicateCall):
        return _undecided(n_documents)
    fields = condition.fields
    if fields is None or len(fields) != 1:
        return _combined(condition, lambda part: evaluate(part, column_of, n_documents), n_documents)
    column = column_of(*fields)
    if column is None:
        return _undecided(n_documents)
    # Held against the values there are, and looked up once for each document: a part may be one of thousands.
    certain, possible = _over_values(condition, column)
    mask = certain[column.codes]
    if certain is possible:
        return Verdict(mask, mask)
    may_pass = possible[column.codes]
    return Verdict(mask, mask if np.array_equal(mask, may_pass) else may_pass)


def _over_values(condition: Condition, column: Column) -> Verdict:
    """The same over a column's codes, for a condition on its field alone."""
    if not isinstance(condition, Comparison):
        return _combined(condition, lambda part: _over_values(part, column), column.n_codes)
    certain, undecided = passing_codes(column, condition)
    if not undecided:
        return Verdict(certain, certain)
    possible = certain.copy()
    possible[undecided] = True
    return Verdict(certain, possible)


def _combined(condition: Condition, verdict_on: Callable[[Condition], Verdict], n: int) -> Verdict:
    """The verdict on a condition from those on its parts, each over the same ``n`` documents or codes."""
    if isinstance(condition, Negation):
        certain, possible = verdict_on(condition.part)
        denied = ~possible
        return Verdict(denied, denied if certain is possible else ~certain)
    assert isinstance(condition, (All, Either))
    join, neutral = (np.logical_and, np.ones) if isinstance(condition, All) else (np.logical_or, np.zeros)
    certain = neutral(n, bool)
    possible = certain
    for part in condition.parts:
        verdict = verdict_on(part)
        decided = certain is possible and verdict.certain is verdict.possible
        certain = join(certain, verdict.certain)
        possible = certain if decided else join(possible, verdict.possible)
    return Verdict(certain, possible)


def _undecided(n_documents: int) -> Verdict:
    return Verdict(np.zeros(n_documents, bool), np.ones(n_documents, bool))
