"""A whole condition over the columns of a segment."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.filters import All, Comparison, Condition, Either, Negation, PredicateCall
from pixie_retrievers.index.sqlite.columns.column import ABSENT, Column
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
        column_of: The column of a field, ABSENT where no document has it; None where only the documents know of it.
        n_documents: How many documents the segment has.
    """
    none, all_pass = _constants(n_documents)
    undecided = Verdict(none.certain, all_pass.certain)

    def verdict_on(condition: Condition) -> Verdict:
        if isinstance(condition, PredicateCall):
            return undecided
        fields = [condition.field] if isinstance(condition, Comparison) else condition.fields
        if fields is None or len(fields) != 1:
            return _combined(condition, verdict_on, none, all_pass)
        column = column_of(*fields)
        if column is ABSENT:
            return all_pass if condition.matches({}) else none
        if column is None:
            return undecided
        # Held against the values there are, and looked up once for each document: a part may be one of thousands.
        certain, possible = _over_values(condition, column)
        mask = certain[column.codes]
        if certain is possible:
            return Verdict(mask, mask)
        may_pass = possible[column.codes]
        return Verdict(mask, mask if np.array_equal(mask, may_pass) else may_pass)

    return verdict_on(condition)


def _over_values(condition: Condition, column: Column) -> Verdict:
    """The same over a column's codes, for a condition on its field alone."""
    if not isinstance(condition, Comparison):
        none, all_pass = (
            Verdict(codes, codes) for codes in (np.zeros(column.n_codes, bool), np.ones(column.n_codes, bool))
        )
        return _combined(condition, lambda part: _over_values(part, column), none, all_pass)
    certain, undecided = passing_codes(column, condition)
    if not undecided:
        return Verdict(certain, certain)
    possible = certain.copy()
    possible[undecided] = True
    return Verdict(certain, possible)


def _combined(
    condition: Condition, verdict_on: Callable[[Condition], Verdict], none: Verdict, all_pass: Verdict
) -> Verdict:
    """The verdict on a condition from those on its parts, each over the same documents or codes."""
    if isinstance(condition, Negation):
        certain, possible = verdict_on(condition.part)
        denied = ~possible
        return Verdict(denied, denied if certain is possible else ~certain)
    assert isinstance(condition, (All, Either))
    join, neutral = (np.logical_and, all_pass) if isinstance(condition, All) else (np.logical_or, none)
    certain, possible = neutral
    for part in condition.parts:
        verdict = verdict_on(part)
        if verdict is neutral:
            continue
        decided = certain is possible and verdict.certain is verdict.possible
        certain = join(certain, verdict.certain)
        possible = certain if decided else join(possible, verdict.possible)
    return Verdict(certain, possible)


def _constants(n: int) -> tuple[Verdict, Verdict]:
    """That none of ``n`` passes, and that all do."""
    none, all_pass = np.zeros(n, bool), np.ones(n, bool)
    return Verdict(none, none), Verdict(all_pass, all_pass)
