"""A column: one field of a segment's documents, as a sorted dictionary of its values and a code for each document."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ABSENT",
    "FIRST_VALUE",
    "HUGE",
    "ID_SUMS",
    "LONG",
    "MAX_FIELDS",
    "MAX_LIST",
    "MAX_NAME_BYTES",
    "MAX_STRING_BYTES",
    "MISSING",
    "NESTED",
    "NULL",
    "OBJECT",
    "SEPARATOR",
    "Column",
    "SegmentColumns",
    "may_have_column",
    "narrow",
]

MISSING, NULL, OBJECT, LONG, HUGE, NESTED = range(6)
"""The codes below those of values: the field is not there, null, some dict, a string of more than MAX_STRING_BYTES, a
whole number that neither float64 nor int64 holds, a list that holds any of these or more than MAX_LIST values."""
FIRST_VALUE: Final = 6

ID_SUMS: Final = "_.id"
"""What a directory calls the checksums of ids: no field with a column has such a name."""

MAX_FIELDS = 128
"""A segment has columns for so many fields, the most common ones."""
MAX_NAME_BYTES = 512
MAX_STRING_BYTES = 256
MAX_LIST = 256

SEPARATOR: Final = b"\xff"
"""Ends each string: no byte of UTF-8."""


@dataclass(frozen=True, eq=False)
class Column:
    """One field of a segment's documents.

    Codes below FIRST_VALUE are those above; then come ``floats``, ``integers``, ``strings`` and lists, in this order.
    True and false are the numbers 1 and 0, as everywhere in Python.

    Attributes:
        codes: uint8, uint16 or int32, shape (n_documents,): what each document has.
        floats: float64, ascending: the different numbers.
        integers: int64, ascending: the different whole numbers that float64 cannot hold.
        strings: The different strings, ascending, in UTF-8, each followed by SEPARATOR.
        list_starts: int32, shape (n_lists + 1,): where each list starts in ``elements``.
        elements: uint8, uint16 or int32: the codes of the lists' values.
    """

    codes: NDArray[Any]
    floats: NDArray[np.float64]
    integers: NDArray[np.int64]
    strings: bytes
    list_starts: NDArray[np.int32]
    elements: NDArray[Any]

    @cached_property
    def string_ends(self) -> NDArray[np.int64]:
        """int64, shape (n_strings,): where in ``strings`` each one's separator stands."""
        return np.flatnonzero(np.frombuffer(self.strings, np.uint8) == SEPARATOR[0])

    @cached_property
    def first_integer(self) -> int:
        """The code of the first of ``integers``."""
        return FIRST_VALUE + len(self.floats)

    @cached_property
    def first_string(self) -> int:
        """The code of the first of ``strings``."""
        return self.first_integer + len(self.integers)

    @cached_property
    def first_list(self) -> int:
        """The code of the first list."""
        return self.first_string + len(self.string_ends)

    @property
    def n_codes(self) -> int:
        """One more than the largest code there can be."""
        return self.first_list + len(self.list_starts) - 1

    @property
    def n_bytes(self) -> int:
        """How much is stored of it."""
        arrays = (self.codes, self.floats, self.integers, self.list_starts, self.elements)
        return sum(array.nbytes for array in arrays) + len(self.strings)

    def values(self) -> list[Any]:
        """What each code stands for: a value, a tuple for a list, and the code itself below FIRST_VALUE."""
        values: list[Any] = [*range(FIRST_VALUE), *self.floats.tolist(), *self.integers.tolist()]
        values += [string.decode() for string in self.strings.split(SEPARATOR)[:-1]]
        # Codes below FIRST_VALUE could be taken for numbers, which stand in lists too.
        scalars = [(code,) if code < FIRST_VALUE else value for code, value in enumerate(values)]
        starts, elements = self.list_starts.tolist(), self.elements.tolist()
        lists = [tuple(scalars[code] for code in elements[start:end]) for start, end in pairwise(starts)]
        return [*scalars, *(("list", *values) for values in lists)]


ABSENT: Final = Column(
    np.zeros(0, np.uint8), np.zeros(0), np.zeros(0, np.int64), b"", np.zeros(1, np.int32), np.zeros(0, np.uint8)
)
"""Stands for the column of a field that no document has."""


@dataclass(frozen=True, slots=True, eq=False)
class SegmentColumns:
    """All columns of a segment.

    Attributes:
        columns: By field.
        complete: A field that is not among them, and may have a column, is in none of the documents.
        id_sums: int32, shape (n_documents,): the CRC-32 of each document's id; None where the file has none.
    """

    columns: dict[str, Column]
    complete: bool
    id_sums: NDArray[np.int32] | None = None


def may_have_column(field: str) -> bool:
    """Whether a field can have a column: what lies inside an adapter's own dict cannot."""
    return not (field.startswith("_") and "." in field)


def narrow(codes: NDArray[Any], n_codes: int) -> NDArray[Any]:
    """Codes below ``n_codes`` in the smallest type that holds them."""
    return codes.astype(np.uint8 if n_codes <= 1 << 8 else np.uint16 if n_codes <= 1 << 16 else np.int32)
