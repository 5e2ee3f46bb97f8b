"""A whole condition over the columns of a segment."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.filters import All, Comparison, Condition, Either, Negation
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
    if isinstance(condition, Comparison):
        column = column_of(condition.field)
        return _undecided(n_documents) if column is None else _compare(column, condition)
    if isinstance(condition, Negation):
        certain, possible = evaluate(condition.part, column_of, n_documents)
        denied = ~possible
        return Verdict(denied, denied if certain is possible else ~certain)
    if isinstance(condition, (All, Either)):
        join, neutral = (np.logical_and, np.ones) if isinstance(condition, All) else (np.logical_or, np.zeros)
        certain = neutral(n_documents, bool)
        possible = certain
        for part in condition.parts:
            verdict = evaluate(part, column_of, n_documents)
            decided = certain is possible and verdict.certain is verdict.possible
            certain = join(certain, verdict.certain)
            possible = certain if decided else join(possible, verdict.possible)
        return Verdict(certain, possible)
    return _undecided(n_documents)


def _compare(column: Column, comparison: Comparison) -> Verdict:
    passes, undecided = passing_codes(column, comparison)
    certain = passes[column.codes]
    unclear = [code for code in undecided if (column.codes == code).any()]
    if not unclear:
        return Verdict(certain, certain)
    passes[unclear] = True
    return Verdict(certain, passes[column.codes])


def _undecided(n_documents: int) -> Verdict:
    return Verdict(np.zeros(n_documents, bool), np.ones(n_documents, bool))
