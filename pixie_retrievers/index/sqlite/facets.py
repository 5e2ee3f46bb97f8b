"""How many documents have each value of a field, told by columns; a document is read where they do not tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.filters import Condition, values_at
from pixie_retrievers.index.sqlite.columns.column import ABSENT, FIRST_VALUE, NULL, Column
from pixie_retrievers.index.sqlite.columns.counting import count_codes, string_at
from pixie_retrievers.index.sqlite.snapshot import Snapshot

__all__ = ["count_values"]

_DOCUMENTS_AT_ONCE = 1000


def count_values(snapshot: Snapshot, field: str, condition: Condition | None) -> dict[Any, int]:
    """How many of the live documents that pass have each value of a field, the most common first.

    Args:
        snapshot: The commit point.
        field: A dotted path; each value of a list counts, once a document.
        condition: None for all documents.
    """
    counted: Counter[Any] = Counter()
    for position, view in enumerate(snapshot.views):
        docnos, column = snapshot.passing(position, condition), snapshot.column(position, field)
        if column is ABSENT:
            continue
        if column is None:
            for _, values in _read(snapshot, field, docnos):
                counted.update(values)
            continue
        found = count_codes(column, np.searchsorted(view.head.docnos, docnos))
        values = _values(snapshot, field, column, found.codes, view.head.docnos[found.firsts])
        parts = list(zip(found.firsts.tolist(), values, found.n_documents.tolist(), strict=True))
        unread = zip(found.unread.tolist(), _read(snapshot, field, view.head.docnos[found.unread]), strict=True)
        parts += [(ordinal, value, 1) for ordinal, (_, values) in unread for value in values]
        for _, value, n in sorted(parts, key=itemgetter(0)):  # of values as common as each other, the first comes first
            counted[value] += n
    return dict(counted.most_common())


def _values(
    snapshot: Snapshot, field: str, column: Column, codes: NDArray[np.int64], firsts: NDArray[np.int64]
) -> list[Any]:
    """What codes stand for, as the first document that has it says.

    A column has 2020, 2020.0 and, of 1 and 0, true and false as one number. A number with a fraction is a float.
    """
    values: list[Any] = []
    unsure: dict[int, list[int]] = {}
    for place, (code, first) in enumerate(zip(codes.tolist(), firsts.tolist(), strict=True)):
        if code == NULL:
            values.append(None)
        elif code >= column.first_string:
            values.append(string_at(column, code))
        elif code >= column.first_integer:
            values.append(int(column.integers[code - column.first_integer]))
        else:
            values.append(float(column.floats[code - FIRST_VALUE]))
            if values[-1].is_integer():
                unsure.setdefault(first, []).append(place)
    for docno, found in _read(snapshot, field, np.array(sorted(unsure), np.int64)):
        for place in unsure[docno]:
            values[place] = next(one for one in found if one == values[place])
    return values


def _read(snapshot: Snapshot, field: str, docnos: NDArray[np.int64]) -> Iterator[tuple[int, list[Any]]]:
    """The insertion numbers of some documents, and the values that each has."""
    for start in range(0, len(docnos), _DOCUMENTS_AT_ONCE):
        some = docnos[start : start + _DOCUMENTS_AT_ONCE].tolist()
        for docno, document in zip(some, snapshot.documents(some), strict=True):
            yield docno, values_at(document.metadata, field)
