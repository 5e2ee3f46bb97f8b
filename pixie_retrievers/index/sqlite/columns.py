"""Columns: the values of an indexed metadata field, segment by segment, so that a filter need not read the documents.

A column names each different value once, and says for each document which one it has. A filter is then tried on the
different values instead of on every document, with the very predicate that would have been tried on the documents.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.errors import CorruptIndexError
from pixie_retrievers.filters import Predicate
from pixie_retrievers.index.sqlite.codec import Kind, decode_arrays, encode_arrays
from pixie_retrievers.index.sqlite.segment import segment_key

__all__ = [
    "Column",
    "build_column",
    "column_key",
    "decode_column",
    "encode_column",
    "merge_columns",
    "passing_documents",
]


_TABLE = 4
"""A table of all combinations of values beats sorting while it is at most so many times as long as the documents."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One field of a segment's documents.

    Attributes:
        values: The different values, as JSON texts.
        codes: int32, shape (n_documents,): each document's place in ``values``; -1 where it lacks the field.
    """

    values: tuple[str, ...]
    codes: NDArray[np.int32]


def build_column(field: str, metadata: Mapping[int, Mapping[str, Any]], n_documents: int) -> Column:
    """The column of a field, from documents' metadata by ordinal; what is not there lacks the field."""
    places: dict[str, int] = {}
    codes = np.full(n_documents, -1, np.int32)
    for ordinal, content in metadata.items():
        if field in content:
            codes[ordinal] = places.setdefault(json.dumps(content[field], sort_keys=True), len(places))
    return Column(tuple(places), codes)


def merge_columns(columns: Sequence[Column], alive: Sequence[NDArray[np.bool_]]) -> Column:
    """One column with the live documents of all, in order."""
    places: dict[str, int] = {}
    codes: list[NDArray[np.int32]] = [np.zeros(0, np.int32)]
    for column, kept in zip(columns, alive, strict=True):
        moved = np.array([places.setdefault(value, len(places)) for value in column.values] + [-1], np.int32)
        codes.append(moved[column.codes[kept]])
    return Column(tuple(places), np.concatenate(codes))


def column_key(number: int, field: str) -> str:
    """The key of a segment's column; the number has a fixed width, so that any field name may follow."""
    return f"{segment_key(number)}.{field}"


def encode_column(number: int, field: str, column: Column) -> tuple[str, bytes]:
    """A column as (key, frame)."""
    key = column_key(number, field)
    values = np.frombuffer(json.dumps(column.values).encode(), np.uint8)
    return key, encode_arrays(Kind.COLUMN, key, [column.codes, values])


def decode_column(number: int, field: str, frame: bytes | None, n_documents: int) -> Column:
    """Read a column back.

    Raises:
        CorruptIndexError: The frame is missing or damaged, or contradicts its segment.
    """
    key = column_key(number, field)
    codes, values = decode_arrays(Kind.COLUMN, key, frame, "i4 u1")
    column = Column(tuple(json.loads(values.tobytes())), codes)
    if len(codes) != n_documents or (n_documents and not -1 <= codes.min() <= codes.max() < len(column.values)):
        raise CorruptIndexError(f"column {key} contradicts its segment: restore the file from a copy")
    return column


def passing_documents(columns: Mapping[str, Column], predicate: Predicate, n_documents: int) -> NDArray[np.uint8]:
    """Which documents pass a predicate that looks at no other field: uint8, shape (n_documents,), 1 where it holds.

    Complexity:
        O(n_documents + different combinations of values) calls of nothing but the latter's predicate.
    """
    if not columns:
        return np.full(n_documents, bool(predicate({})), np.uint8)
    codes = np.stack([column.codes + 1 for column in columns.values()])  # 0: lacks the field
    sizes = [len(column.values) + 1 for column in columns.values()]
    if math.prod(sizes) <= _TABLE * (n_documents + 1):
        places = np.ravel_multi_index(tuple(codes), sizes)
        found = np.flatnonzero(np.bincount(places))
        combinations = np.stack(np.unravel_index(found, sizes))
    else:
        combinations, places = np.unique(codes, axis=1, return_inverse=True)
        found = np.arange(combinations.shape[1])
    passes = np.zeros(int(found.max(initial=-1)) + 1, np.uint8)
    for place, combination in zip(found.tolist(), combinations.T.tolist(), strict=True):
        metadata = {
            field: json.loads(column.values[code - 1])
            for (field, column), code in zip(columns.items(), combination, strict=True)
            if code > 0
        }
        passes[place] = bool(predicate(metadata))
    passing: NDArray[np.uint8] = passes[places.reshape(-1)]
    return passing
