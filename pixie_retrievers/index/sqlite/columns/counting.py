"""How many documents have each value of a column."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.index.sqlite.columns.column import FIRST_VALUE, HUGE, LONG, NESTED, NULL, Column

__all__ = ["Counted", "count_codes", "string_at"]


class Counted(NamedTuple):
    """What some documents of a segment have in a field.

    Attributes:
        codes: int64, shape (n_values,), ascending: the values that stand there, alone or in a list.
        n_documents: int64, shape (n_values,): how many documents have each; one that has it twice counts once.
        firsts: int64, shape (n_values,): the first document that has it.
        unread: int64: the documents of which the column does not know what they have.
    """

    codes: NDArray[np.int64]
    n_documents: NDArray[np.int64]
    firsts: NDArray[np.int64]
    unread: NDArray[np.int64]


def count_codes(column: Column, ordinals: NDArray[np.int64]) -> Counted:
    """Count the values of some documents.

    Args:
        column: The field's.
        ordinals: The documents' places in the segment, ascending.
    """
    codes = column.codes[ordinals].astype(np.int64)
    counts = np.zeros(column.first_list, np.int64)
    firsts = np.full(column.first_list, len(column.codes), np.int64)
    is_value = (codes == NULL) | ((codes >= FIRST_VALUE) & (codes < column.first_list))
    found, first, n = np.unique(codes[is_value], return_index=True, return_counts=True)
    counts[found], firsts[found] = n, ordinals[is_value][first]
    is_list = codes >= column.first_list
    lists, first, n = np.unique(codes[is_list], return_index=True, return_counts=True)
    owners, elements = _elements(column, lists - column.first_list)
    np.add.at(counts, elements, n[owners])
    np.minimum.at(firsts, elements, ordinals[is_list][first][owners])
    values = np.flatnonzero(counts)
    return Counted(values, counts[values], firsts[values], ordinals[np.isin(codes, (LONG, HUGE, NESTED))])


def string_at(column: Column, code: int) -> str:
    """The string that a code stands for."""
    place, ends = code - column.first_string, column.string_ends
    start = 0 if place == 0 else int(ends[place - 1]) + 1
    return column.strings[start : int(ends[place])].decode()


def _elements(column: Column, lists: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The different values of some lists: which of the lists has each, and its code."""
    starts, ends = column.list_starts[lists].astype(np.int64), column.list_starts[lists + 1].astype(np.int64)
    lengths = ends - starts
    owners = np.repeat(np.arange(len(lists)), lengths)
    within = np.arange(len(owners)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    codes = column.elements[starts[owners] + within].astype(np.int64)
    different = np.unique(owners * column.n_codes + codes)
    return different // column.n_codes, different % column.n_codes
