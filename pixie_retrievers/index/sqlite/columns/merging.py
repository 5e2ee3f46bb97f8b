"""Columns of segments that merge: joined as they are, without a look at the documents."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.index.sqlite.columns.building import bounded, distinct_lists, most_common
from pixie_retrievers.index.sqlite.columns.column import (
    FIRST_VALUE,
    MISSING,
    SEPARATOR,
    Column,
    SegmentColumns,
    narrow,
)

__all__ = ["merge_columns"]


def merge_columns(segments: Sequence[SegmentColumns], alive: Sequence[NDArray[np.bool_]]) -> SegmentColumns:
    """The columns of the live documents of all segments, in order.

    A field that one of the segments had left out, of which nobody knows any more what its documents have there, is left
    out of the merged one too.

    Args:
        segments: The columns of each.
        alive: bool, shape (n_documents,), for each.
    """
    fields = dict.fromkeys(field for segment in segments for field in segment.columns)
    known = [field for field in fields if all(field in part.columns or part.complete for part in segments)]
    codes = {
        field: [
            segment.columns[field].codes[kept] if field in segment.columns else np.zeros(int(kept.sum()), np.uint8)
            for segment, kept in zip(segments, alive, strict=True)
        ]
        for field in known
    }
    n_documents = {field: sum(int(np.count_nonzero(part != MISSING)) for part in codes[field]) for field in known}
    wanted = [field for field in known if n_documents[field]]
    chosen = most_common({field: n_documents[field] for field in wanted})
    columns = {field: _merge([segment.columns.get(field) for segment in segments], codes[field]) for field in chosen}
    complete = all(segment.complete for segment in segments) and len(chosen) == len(wanted)
    sums = [segment.id_sums[kept] for segment, kept in zip(segments, alive, strict=True) if segment.id_sums is not None]
    return bounded(columns, complete=complete, id_sums=np.concatenate(sums) if len(sums) == len(segments) else None)


def _merge(columns: Sequence[Column | None], codes: Sequence[NDArray[Any]]) -> Column:
    """One column of the documents with these codes, with nothing in its dictionary that none of them has."""
    parts = [_Used(column, part) if column is not None else None for column, part in zip(columns, codes, strict=True)]
    used = [part for part in parts if part is not None]
    floats = np.unique(np.concatenate([part.floats for part in used]))
    integers = np.unique(np.concatenate([part.integers for part in used]))
    strings = sorted({text for part in used for text in part.strings})
    first_string = FIRST_VALUE + len(floats) + len(integers)
    first_list = first_string + len(strings)
    places = dict(zip(strings, count(first_string), strict=False))
    for part in used:
        part.place(floats, integers, places)
    elements = np.concatenate([np.zeros(0, np.int32), *(part.elements for part in used)])
    ends = np.cumsum(np.concatenate([np.zeros(0, np.int64), *(part.list_lengths for part in used)]))
    list_places, list_starts, kept = distinct_lists(elements, [0, *ends[:-1].tolist()][: len(ends)], ends.tolist())
    list_codes = iter(np.split(list_places + first_list, np.cumsum([len(part.list_lengths) for part in used])[:-1]))
    merged = [
        np.zeros(len(own), np.int32) if part is None else part.new_codes(own, next(list_codes))
        for part, own in zip(parts, codes, strict=True)
    ]
    return Column(
        narrow(np.concatenate(merged), first_list + len(list_starts) - 1),
        floats,
        integers,
        b"".join(text + SEPARATOR for text in strings),
        list_starts,
        narrow(kept, first_list),
    )


class _Used:
    """What some documents have of a column's dictionary, and how it is coded elsewhere.

    Attributes:
        floats, integers, strings: The values that are used, those in lists too.
        elements, list_lengths: The lists that are used; with codes of the new dictionary after :meth:`place`.
    """

    def __init__(self, column: Column, codes: NDArray[Any]) -> None:
        used = np.zeros(column.n_codes, bool)
        used[codes] = True
        self._lists = used[column.first_list :]
        lengths = np.diff(column.list_starts)
        self.elements = column.elements[np.repeat(self._lists, lengths)]
        self.list_lengths = lengths[self._lists]
        used[self.elements] = True
        self._used = used[: column.first_list]
        bounds = (FIRST_VALUE, column.first_integer, column.first_string, column.first_list)
        self._floats, self._integers, self._strings = (slice(*pair) for pair in pairwise(bounds))
        self.floats = column.floats[used[self._floats]]
        self.integers = column.integers[used[self._integers]]
        texts = column.strings.split(SEPARATOR)[:-1]
        self.strings = [texts[i] for i in np.flatnonzero(used[self._strings]).tolist()]
        self._new = np.zeros(column.n_codes, np.int32)

    def place(self, floats: NDArray[np.float64], integers: NDArray[np.int64], places: dict[bytes, int]) -> None:
        """Take the codes of a dictionary that has all that is used."""
        new = self._new
        new[:FIRST_VALUE] = np.arange(FIRST_VALUE)
        for values, own, kind, first in (
            (floats, self.floats, self._floats, FIRST_VALUE),
            (integers, self.integers, self._integers, FIRST_VALUE + len(floats)),
        ):
            new[kind][self._used[kind]] = np.searchsorted(values, own) + first
        new[self._strings][self._used[self._strings]] = np.fromiter(
            map(places.__getitem__, self.strings), np.int32, len(self.strings)
        )
        self.elements = new[self.elements]

    def new_codes(self, codes: NDArray[Any], lists: NDArray[np.int32]) -> NDArray[np.int32]:
        """The documents' codes in the new dictionary, in which the used lists have these codes."""
        self._new[len(self._used) :][self._lists] = lists
        found: NDArray[np.int32] = self._new[codes]
        return found
