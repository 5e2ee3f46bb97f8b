"""Which values of a column fulfil a comparison: found in its dictionary, without looking at each value in turn."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.filters import Comparison
from pixie_retrievers.index.sqlite.columns.column import (
    FIRST_VALUE,
    HUGE,
    LONG,
    MAX_STRING_BYTES,
    MISSING,
    NESTED,
    NULL,
    OBJECT,
    SEPARATOR,
    Column,
)

__all__ = ["passing_codes"]

_INT64 = np.iinfo(np.int64)

_BYTES_AT_ONCE = 3
"""So many bytes of a part are looked for everywhere, the others only where those stand."""

_HANGUL_AND_MORE = 0xEA
_HANGUL_FROM = 0xB0
"""Letters with a case, but ASCII's, have none of the bytes 0xE3 to 0xEE, with which those of Hangul, Chinese characters
and kana begin; 0xEA alone begins both: what comes before 0xB0 after it has cases, and Hangul begins there."""

_FEW = 40
"""Up to a string in so many, looking strings up one by one costs less than going through all."""


def passing_codes(column: Column, comparison: Comparison) -> tuple[NDArray[np.bool_], list[int]]:
    """Hold a comparison against a column's dictionary.

    Returns:
        bool, shape (n_codes,): which codes pass; and the codes below FIRST_VALUE of which nobody can tell without the
        documents.
    """
    passes = np.zeros(column.n_codes, bool)
    operator, operand = comparison.operator, comparison.operand
    if operator == "$exists":
        passes[MISSING + 1 :] = operand
        passes[MISSING] = not operand
        return passes, []
    if operator == "$eq":
        return passes, _mark_equal(column, [operand], passes)
    if operator == "$in":
        return passes, _mark_equal(column, operand, passes)
    if operator == "$contains":
        return passes, _mark_containing(column, operand, passes)
    if operator == "$text":
        folded = _folded(column.strings)
        ends = np.flatnonzero(np.frombuffer(folded, np.uint8) == SEPARATOR[0])
        passes[column.first_string : column.first_list] = _containing(folded, ends, operand.casefold().encode())
        return passes, [LONG]
    if isinstance(operand, str):
        text = operand.encode()
        _mark_ordered(passes[column.first_string : column.first_list], operator, *_strings_before(column, text))
        return passes, [LONG]
    _mark_ordered(passes[FIRST_VALUE : column.first_integer], operator, *_floats_before(column.floats, operand))
    _mark_ordered(
        passes[column.first_integer : column.first_string], operator, *_integers_before(column.integers, operand)
    )
    return passes, [HUGE]


def _mark_equal(column: Column, operands: Sequence[Any], passes: NDArray[np.bool_]) -> list[int]:
    """Mark the codes of all values that equal an operand; what is returned nobody can tell."""
    undecided = set()
    strings, floats, integers, lists = [], [], [], []
    for operand in operands:
        if operand is None:
            passes[NULL] = True
        elif isinstance(operand, str):
            strings.append(operand.encode())
            if len(strings[-1]) > MAX_STRING_BYTES:
                undecided.add(LONG)
        elif isinstance(operand, dict):
            undecided.add(OBJECT)
        elif isinstance(operand, list):
            undecided.add(NESTED)
            lists.append(operand)
        elif (nearest := _nearest(operand)) == operand:
            floats.append(nearest)
        elif _INT64.min <= operand <= _INT64.max:
            integers.append(operand)
        else:
            undecided.add(HUGE)
    _mark_present(passes[FIRST_VALUE : column.first_integer], column.floats, np.array(floats, np.float64))
    _mark_present(passes[column.first_integer : column.first_string], column.integers, np.array(integers, np.int64))
    if len(lists) > _FEW:
        passes[column.first_list :] |= _among_lists(column, lists)
    else:
        for operand in lists:
            passes[column.first_list :] |= _equal_lists(column, operand)
    if len(strings) * _FEW > column.first_list - column.first_string:
        wanted = set(strings)
        texts = column.strings.split(SEPARATOR)[:-1]
        found = np.fromiter(map(wanted.__contains__, texts), bool, len(texts))
        passes[column.first_string : column.first_list] |= found
    else:
        for text in strings:
            before, up_to = _strings_before(column, text)
            passes[column.first_string + before : column.first_string + up_to] = True
    return sorted(undecided)


def _mark_present(passes: NDArray[np.bool_], values: NDArray[Any], wanted: NDArray[Any]) -> None:
    """Mark which of the ascending values are wanted."""
    places = np.searchsorted(values, wanted)
    inside = places < len(values)
    places = places[inside]
    passes[places[values[places] == wanted[inside]]] = True


def _equal_lists(column: Column, operand: list[Any]) -> NDArray[np.bool_]:
    """bool, shape (n_lists,): which lists equal this one."""
    starts = column.list_starts[:-1]
    equal: NDArray[np.bool_] = np.diff(column.list_starts) == len(operand)
    for place, value in enumerate(operand):
        candidates = np.flatnonzero(equal)
        equal[candidates] = _equal_scalars(column, value)[column.elements[starts[candidates] + place]]
    return equal


def _among_lists(column: Column, operands: list[list[Any]]) -> NDArray[np.bool_]:
    """bool, shape (n_lists,): which lists equal one of many."""
    wanted = {tuple(operand) for operand in operands if not any(isinstance(value, (list, dict)) for value in operand)}
    scalars: list[Any] = [None if code == NULL else object() for code in range(FIRST_VALUE)]
    scalars += [*column.floats.tolist(), *column.integers.tolist()]
    scalars += [string.decode() for string in column.strings.split(SEPARATOR)[:-1]]
    starts, elements = column.list_starts.tolist(), column.elements.tolist()
    found = (tuple(scalars[code] for code in elements[start:end]) in wanted for start, end in pairwise(starts))
    return np.fromiter(found, bool, len(starts) - 1)


def _equal_scalars(column: Column, operand: Any) -> NDArray[np.bool_]:
    """bool, shape (first_list,): which values in lists equal the operand; those of a list are told apart exactly."""
    equal = np.zeros(column.n_codes, bool)
    if not isinstance(operand, (list, dict)):
        _mark_equal(column, [operand], equal)
    return equal[: column.first_list]


def _mark_containing(column: Column, operand: Any, passes: NDArray[np.bool_]) -> list[int]:
    """Mark the lists that have the operand as an element, and the strings that have it as a part."""
    elements = _equal_scalars(column, operand)[column.elements]
    counts = np.concatenate([np.zeros(1, np.int64), np.cumsum(elements)])
    passes[column.first_list :] = np.diff(counts[column.list_starts]) > 0
    if not isinstance(operand, str):
        return [NESTED]
    strings = passes[column.first_string : column.first_list]
    strings[:] = _containing(column.strings, column.string_ends, operand.encode())
    return [LONG, NESTED]


def _containing(strings: bytes, ends: NDArray[np.int64], part: bytes) -> NDArray[np.bool_]:
    """bool, shape (len(ends),): which of the strings that end there have the part."""
    if not part:
        return np.ones(len(ends), bool)
    content = np.frombuffer(strings, np.uint8)
    n_places = max(len(content) - len(part) + 1, 0)
    begins = content[:n_places] == part[0]
    for offset in range(1, min(_BYTES_AT_ONCE, len(part))):
        begins &= content[offset : offset + n_places] == part[offset]
    places = np.flatnonzero(begins)
    for offset in range(_BYTES_AT_ONCE, len(part)):
        places = places[content[places + offset] == part[offset]]
    found = np.zeros(len(ends), bool)
    found[np.searchsorted(ends, places)] = True  # a part never reaches across a separator
    return found


def _folded(strings: bytes) -> bytes:
    """The same strings without letter case, as str.casefold has it."""
    content = np.frombuffer(strings, np.uint8)
    if not (_has_between(content, 0xC2, 0xE2) or _has_between(content, 0xEF, 0xFE)):
        after = content[np.flatnonzero(content[:-1] == _HANGUL_AND_MORE) + 1]
        if (after >= _HANGUL_FROM).all():
            return strings.lower()  # bytes.lower knows ASCII alone
    return strings.decode(errors="surrogateescape").casefold().encode(errors="surrogateescape")


def _has_between(content: NDArray[np.uint8], first: int, last: int) -> bool:
    """Whether any of the bytes is one from ``first`` to ``last``."""
    return bool((content - np.uint8(first) <= last - first).any())  # what is less becomes more: bytes wrap around


def _mark_ordered(passes: NDArray[np.bool_], operator: str, before: int, up_to: int) -> None:
    """Mark what compares so, of ascending values of which so many are less, and so many not greater."""
    places = {"$lt": slice(before), "$lte": slice(up_to), "$gt": slice(up_to, None), "$gte": slice(before, None)}
    passes[places[operator]] = True


def _floats_before(floats: NDArray[np.float64], operand: float) -> tuple[int, int]:
    """How many of the numbers are less than the operand, and how many are not greater."""
    nearest = _nearest(operand)
    # A whole number that no float64 is lies between two of them: Python compares the two exactly.
    before = np.searchsorted(floats, nearest, side="left" if nearest >= operand else "right")
    up_to = np.searchsorted(floats, nearest, side="right" if nearest <= operand else "left")
    return int(before), int(up_to)


def _integers_before(integers: NDArray[np.int64], operand: float) -> tuple[int, int]:
    """The same of whole numbers."""
    if operand > _INT64.max:
        return len(integers), len(integers)
    if operand < _INT64.min:
        return 0, 0
    below = np.int64(math.floor(operand))
    up_to = int(np.searchsorted(integers, below, side="right"))
    return (int(np.searchsorted(integers, below)) if below == operand else up_to), up_to


def _strings_before(column: Column, text: bytes) -> tuple[int, int]:
    """The same of strings."""
    ends = column.string_ends

    def string(place: int) -> bytes:
        return column.strings[int(ends[place - 1]) + 1 if place else 0 : int(ends[place])]

    places = range(len(ends))
    return bisect_left(places, text, key=string), bisect_right(places, text, key=string)


def _nearest(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
