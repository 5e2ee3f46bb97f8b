"""Columns as they stand in the store: a directory for each segment, and a frame for each column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.errors import CorruptIndexError
from pixie_retrievers.index.sqlite.codec import Kind, decode_arrays, decode_row, encode_arrays, encode_row
from pixie_retrievers.index.sqlite.columns.column import ID_SUMS, MAX_FIELDS, SEPARATOR, Column, SegmentColumns
from pixie_retrievers.index.sqlite.read_store import ReadStore
from pixie_retrievers.index.sqlite.segment import segment_key
from pixie_retrievers.index.sqlite.tables import COLUMNS

__all__ = [
    "Directory",
    "column_key",
    "column_keys",
    "encode_columns",
    "read_column",
    "read_columns",
    "read_directory",
    "read_id_sums",
]

_WIDTHS = {1: "<u1", 2: "<u2", 4: "<i4"}


@dataclass(frozen=True, slots=True)
class Directory:
    """Which columns a segment has.

    Attributes:
        number: The segment's number.
        places: The fields that have columns, and the place of each; ID_SUMS may be among them.
        complete: A field that is not among them, and may have a column, is in none of the documents.
    """

    number: int
    places: Mapping[str, int]
    complete: bool


def column_key(number: int, place: int) -> str:
    """The key of a segment's column; the directory stands under the segment's own key."""
    return f"{segment_key(number)}.{place:04d}"


def column_keys(number: int) -> tuple[str, str]:
    """The first and the last key that a segment's directory and columns may have."""
    return segment_key(number), column_key(number, MAX_FIELDS)


def encode_columns(number: int, segment: SegmentColumns) -> Iterator[tuple[str, str | bytes]]:
    """A segment's directory and columns as (key, value) pairs."""
    key = segment_key(number)
    names = [*segment.columns, *([] if segment.id_sums is None else [ID_SUMS])]
    yield key, encode_row(key, [names, segment.complete])
    for place, column in enumerate(segment.columns.values()):
        key = column_key(number, place)
        arrays: list[NDArray[Any]] = [
            _as_bytes(column.codes),
            column.floats,
            column.integers,
            np.frombuffer(column.strings, np.uint8),
            column.list_starts,
            _as_bytes(column.elements),
        ]
        yield key, encode_arrays(Kind.COLUMN, key, arrays)
    if segment.id_sums is not None:
        key = column_key(number, len(segment.columns))
        yield key, encode_arrays(Kind.IDS, key, [segment.id_sums])


def read_directory(store: ReadStore, number: int) -> Directory:
    """Which columns a segment has.

    Raises:
        CorruptIndexError: The row is missing or damaged.
    """
    key = segment_key(number)
    fields, complete = decode_row(key, store.get(COLUMNS, key), list, bool)
    if len(fields) > MAX_FIELDS + 1 or not set(map(type, fields)) <= {str} or len(set(fields)) != len(fields):
        raise CorruptIndexError(f"the columns of segment {number} have no names: restore the file from a copy")
    return Directory(number, {field: place for place, field in enumerate(fields)}, complete)


def read_column(store: ReadStore, directory: Directory, field: str, n_documents: int) -> Column:
    """A column that the directory names.

    Raises:
        CorruptIndexError: The frame is missing or damaged, or contradicts its segment.
    """
    key = column_key(directory.number, directory.places[field])
    frame = store.get(COLUMNS, key)
    codes, floats, integers, strings, list_starts, elements = decode_arrays(
        Kind.COLUMN, key, frame, "u1 f8 i8 u1 i4 u1"
    )
    n_elements = int(list_starts[-1]) if len(list_starts) else 0
    try:
        column = Column(
            _of_width(codes, n_documents),
            floats,
            integers,
            strings.tobytes(),
            list_starts,
            _of_width(elements, n_elements),
        )
    except (ValueError, KeyError):
        column = None
    if column is None or not _is_sound(column):
        raise CorruptIndexError(f"column {key} contradicts its segment: restore the file from a copy")
    return column


def read_id_sums(store: ReadStore, directory: Directory, n_documents: int) -> NDArray[np.int32] | None:
    """int32, shape (n_documents,): the CRC-32 of each document's id; None where the file has none.

    Raises:
        CorruptIndexError: The frame is missing or damaged, or contradicts its segment.
    """
    if ID_SUMS not in directory.places:
        return None
    key = column_key(directory.number, directory.places[ID_SUMS])
    (sums,) = decode_arrays(Kind.IDS, key, store.get(COLUMNS, key), "i4")
    if len(sums) != n_documents:
        raise CorruptIndexError(f"ids {key} contradict their segment: restore the file from a copy")
    return sums


def read_columns(store: ReadStore, number: int, n_documents: int) -> SegmentColumns:
    """All columns of a segment.

    Raises:
        CorruptIndexError: One is missing or damaged, or contradicts its segment.
    """
    directory = read_directory(store, number)
    fields = [field for field in directory.places if field != ID_SUMS]
    columns = {field: read_column(store, directory, field, n_documents) for field in fields}
    return SegmentColumns(columns, directory.complete, read_id_sums(store, directory, n_documents))


def _as_bytes(codes: NDArray[Any]) -> NDArray[np.uint8]:
    return codes.astype(codes.dtype.newbyteorder("<"), copy=False).view(np.uint8)


def _of_width(content: NDArray[np.uint8], length: int) -> NDArray[Any]:
    """Codes whose width is what their number leaves for each."""
    if length == 0 and len(content) == 0:
        return content
    codes: NDArray[Any] = content.view(_WIDTHS[len(content) // max(length, 1)])
    if len(codes) != length:
        raise ValueError(length)
    return codes


def _is_sound(column: Column) -> bool:
    starts, elements = column.list_starts, column.elements
    return bool(
        len(starts) > 0
        and starts[0] == 0
        and (starts[1:] >= starts[:-1]).all()
        and (not column.strings or column.strings.endswith(SEPARATOR))
        and _is_utf8(column.strings)
        and (not len(column.codes) or 0 <= column.codes.min() <= column.codes.max() < column.n_codes)
        and (not len(elements) or 0 <= elements.min() <= elements.max() < column.first_list)
        and (column.floats[1:] > column.floats[:-1]).all()
        and (column.integers[1:] > column.integers[:-1]).all()
    )


def _is_utf8(strings: bytes) -> bool:
    try:
        strings.replace(SEPARATOR, b"\0").decode()
    except UnicodeDecodeError:
        return False
    return True
