"""From documents' metadata to columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, count, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.filters import flatten
from pixie_retrievers.index.sqlite.columns.among import sums_of
from pixie_retrievers.index.sqlite.columns.column import (
    FIRST_VALUE,
    HUGE,
    LONG,
    MAX_FIELDS,
    MAX_LIST,
    MAX_NAME_BYTES,
    MAX_STRING_BYTES,
    NESTED,
    NULL,
    OBJECT,
    SEPARATOR,
    Column,
    SegmentColumns,
    may_have_column,
    narrow,
)

__all__ = ["build_column", "build_columns", "field_values", "most_common"]

_MAX_COLUMN_BYTES = 1 << 26
"""A column that would take more is left out: a filter on it reads the documents."""

_NUMBERS = (int, float, bool)
_SCALARS = frozenset((type(None), str, *_NUMBERS))
_EXACT_BELOW = 2.0**53
_INT64 = range(-(1 << 63), 1 << 63)


def build_columns(metadata: Sequence[Mapping[str, Any]], ids: Sequence[str] | None = None) -> SegmentColumns:
    """The columns of a segment, from the metadata and the ids of its documents in order."""
    values = field_values(metadata)
    chosen = most_common({field: len(ordinals) for field, (ordinals, _) in values.items()})
    columns = {field: build_column(*values[field], len(metadata)) for field in chosen}
    return bounded(columns, complete=len(chosen) == len(values), id_sums=None if ids is None else sums_of(ids))


def field_values(metadata: Iterable[Mapping[str, Any]]) -> dict[str, tuple[list[int], list[Any]]]:
    """For each field that may have a column: which documents have it, and what."""
    fields: defaultdict[str, tuple[list[int], list[Any]]] = defaultdict(lambda: ([], []))
    for ordinal, content in enumerate(metadata):
        for field, value in flatten(content).items():
            ordinals, values = fields[field]
            ordinals.append(ordinal)
            values.append(value)
    return {field: found for field, found in fields.items() if may_have_column(field)}


def most_common(n_documents: Mapping[str, int]) -> list[str]:
    """Of fields, by how many documents have them, those that get a column."""
    named = [field for field in n_documents if len(field.encode()) <= MAX_NAME_BYTES]
    return sorted(named, key=lambda field: (-n_documents[field], field))[:MAX_FIELDS]


def bounded(
    columns: Mapping[str, Column], *, complete: bool, id_sums: NDArray[np.int32] | None = None
) -> SegmentColumns:
    """The columns of a segment without those that are too large to be stored."""
    kept = {field: column for field, column in columns.items() if column.n_bytes <= _MAX_COLUMN_BYTES}
    return SegmentColumns(kept, complete and len(kept) == len(columns), id_sums)


def build_column(ordinals: Sequence[int], values: Sequence[Any], n_documents: int) -> Column:
    """The column of a field: ``values`` are those of the documents at ``ordinals``; the others lack it."""
    kinds = set(map(type, values))
    if not kinds <= _SCALARS:
        values = list(map(_as_json, values))
        kinds = set(map(type, values))
    with_lists = (
        [i for i, value in enumerate(values) if type(value) is list and _is_plain(value)] if list in kinds else []
    )
    lists = [values[i] for i in with_lists]
    floats, integers, strings, codes = _encode([*values, *chain.from_iterable(lists)] if lists else values)
    first_list = FIRST_VALUE + len(floats) + len(integers) + strings.count(SEPARATOR)
    codes, elements = codes[: len(values)], codes[len(values) :]
    ends = np.cumsum([len(value) for value in lists]).tolist()
    places, list_starts, elements = distinct_lists(elements, [0, *ends[:-1]][: len(ends)], ends)
    codes[with_lists] = places + first_list
    all_codes = np.zeros(n_documents, np.int32)
    all_codes[ordinals] = codes
    return Column(
        narrow(all_codes, first_list + len(list_starts) - 1),
        floats,
        integers,
        strings,
        list_starts,
        narrow(elements, first_list),
    )


def distinct_lists(
    elements: NDArray[np.int32], starts: Sequence[int], ends: Sequence[int]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Keep one of each different run of codes.

    Returns:
        int32, shape (len(starts),): the place of each run among those that are kept; int32, one more than there are of
        these: where each starts; their codes.
    """
    content = elements.tobytes()
    kept: dict[bytes, int] = {}
    places = [kept.setdefault(content[4 * start : 4 * end], len(kept)) for start, end in zip(starts, ends, strict=True)]
    bounds = np.cumsum([0, *map(len, kept)]) // elements.itemsize
    return np.array(places, np.int32), bounds.astype(np.int32), np.frombuffer(b"".join(kept), np.int32)


def _as_json(value: Any) -> Any:
    """What is stored of a value whose type is not JSON's own: tuples, and subclasses."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if isinstance(value, (list, tuple)):
        return value if kind is list and set(map(type, value)) <= _SCALARS else list(map(_as_json, value))
    if isinstance(value, dict):
        return {}
    if isinstance(value, str):
        return str.__str__(value)
    return int(value) if isinstance(value, int) else float(value)


def _is_plain(values: list[Any]) -> bool:
    return len(values) <= MAX_LIST and all(map(_is_plain_scalar, values))


def _is_plain_scalar(value: Any) -> bool:
    kind = type(value)
    if kind is str:
        return not _is_long(value)
    return kind in _SCALARS and not (kind is int and value not in _INT64 and _is_inexact(value))


def _is_long(text: str) -> bool:
    return len(text) * 4 > MAX_STRING_BYTES and len(text.encode()) > MAX_STRING_BYTES


def _is_inexact(number: int) -> bool:
    try:
        return int(float(number)) != number
    except OverflowError:
        return True


def _encode(values: Sequence[Any]) -> tuple[NDArray[np.float64], NDArray[np.int64], bytes, NDArray[np.int32]]:
    """The dictionary of some values, and the code of each; lists count as nested ones."""
    kinds = set(map(type, values))
    codes = np.full(len(values), NULL, np.int32)
    places, numbers = _select(values, kinds, _NUMBERS)
    floats, integers, codes[places] = _encode_numbers(numbers)
    places, strings = _select(values, kinds, (str,))
    distinct = sorted(text for text in set(strings) if not _is_long(text))
    known = dict(zip(distinct, count(FIRST_VALUE + len(floats) + len(integers)), strict=False))
    codes[places] = np.fromiter(map(known.get, strings, repeat(LONG)), np.int32, len(strings))
    codes[_select(values, kinds, (dict,))[0]] = OBJECT
    codes[_select(values, kinds, (list,))[0]] = NESTED
    return floats, integers, b"".join(text.encode() + SEPARATOR for text in distinct), codes


def _select(
    values: Sequence[Any], kinds: set[type], wanted: tuple[type, ...]
) -> tuple[slice | list[int], Sequence[Any]]:
    """Where values of the wanted types stand, and the values; ``kinds`` are all types there are."""
    if kinds.isdisjoint(wanted):
        return slice(0), []
    if kinds.issubset(wanted):
        return slice(None), values
    places = [i for i, value in enumerate(values) if type(value) in wanted]
    return places, [values[i] for i in places]


def _encode_numbers(
    values: Sequence[float],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int32]]:
    """The different numbers that float64 holds, those that only int64 does, and the code of each value."""
    try:
        numbers = np.array(values, np.float64)
    except OverflowError:
        numbers = np.array([_nearest(value) for value in values])
    large = np.flatnonzero(np.abs(numbers) >= _EXACT_BELOW)
    inexact = [i for i in large.tolist() if isinstance(values[i], int) and _is_inexact(int(values[i]))]
    if not inexact:
        floats, places = np.unique(numbers, return_inverse=True)
        return floats, np.zeros(0, np.int64), places.astype(np.int32) + FIRST_VALUE
    exact = np.ones(len(values), bool)
    exact[inexact] = False
    floats, places = np.unique(numbers[exact], return_inverse=True)
    codes = np.full(len(values), HUGE, np.int32)
    codes[exact] = places + FIRST_VALUE
    whole = [i for i in inexact if values[i] in _INT64]
    integers, places = np.unique(np.array([values[i] for i in whole], np.int64), return_inverse=True)
    codes[whole] = places + FIRST_VALUE + len(floats)
    return floats, integers, codes


def _nearest(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf
