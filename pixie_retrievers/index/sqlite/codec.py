"""Bytes to arrays and back, and JSON rows that carry their own checksum; no I/O.

A frame of arrays, little-endian, each part on a multiple of 8 bytes:

    0   4   magic ``PXIE``
    4   1   format version
    5   1   kind of frame (:class:`Kind`)
    6   2   number of arrays
    8   4   CRC-32 of the frame's key, bytes 0-7, and everything from byte 16 on
    12  4   zero
    16  8n  a descriptor an array: dtype (1 byte, place in DTYPES), three zero bytes, length (4 bytes)
    ..      the arrays, each padded with zeros to a multiple of 8 bytes

A JSON row is ``["crc32 in eight hexadecimal digits",rest...]``: SQLite's JSON functions read it as it stands, and the
checksum covers the row's key and all the characters from the first comma on.

The key is part of every checksum, so that two values that changed places do not verify either.
"""

from __future__ import annotations

import enum
import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.errors import CorruptIndexError

__all__ = ["FORMAT_VERSION", "Kind", "decode_arrays", "decode_row", "decode_rows", "encode_arrays", "encode_row"]

FORMAT_VERSION = 1
DTYPES = tuple(np.dtype(name) for name in ("<u1", "<u2", "<i4", "<i8", "<f2", "<f4", "<f8"))

_MAGIC = b"PXIE"
_HEADER = struct.Struct("<4sBBHII")
_DESCRIPTOR = struct.Struct("<BxxxI")
_CHECKSUM_OFFSET = 8
_COMMA = len('["00000000"')
MAX_DEPTH = 104
"""How deep a row may be nested: metadata to 100 levels, inside a document."""


class Kind(enum.IntEnum):
    """What a frame holds."""

    HEAD = 1
    BLOCK = 2
    TOMBSTONES = 3
    COLUMN = 4
    IDS = 5
    ATTACHMENT = 6


def encode_arrays(kind: Kind, key: str, arrays: Sequence[NDArray[Any]]) -> bytes:
    """Pack one-dimensional arrays into the frame that will stand under ``key``."""
    body = b"".join(
        [
            *(_DESCRIPTOR.pack(DTYPES.index(array.dtype), len(array)) for array in arrays),
            *(_padded(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()) for array in arrays),
        ]
    )
    start = _HEADER.pack(_MAGIC, FORMAT_VERSION, kind, len(arrays), 0, 0)[:_CHECKSUM_OFFSET]
    return start + struct.pack("<II", _checksum(key, start, body), 0) + body


def decode_arrays(kind: Kind, key: str, frame: bytes | None, dtypes: str) -> list[NDArray[Any]]:
    """Unpack the frame that was found under ``key``.

    Args:
        kind: What the frame must hold.
        key: The key it was stored under.
        frame: The stored bytes; None when nothing was there.
        dtypes: The dtypes it must hold, as numpy spells them ("i8 i4 f4").

    Returns:
        Read-only arrays that share the frame's memory.

    Raises:
        CorruptIndexError: The frame is missing, damaged, or of another kind, version or content.
    """
    where = f"{kind.name.lower()} {key}"
    if not isinstance(frame, bytes):
        raise CorruptIndexError(f"{where} is missing from the index: restore the file from a copy")
    if len(frame) < _HEADER.size or not frame.startswith(_MAGIC):
        raise CorruptIndexError(f"{where} is damaged (no frame): restore the file from a copy")
    _, version, found_kind, n_arrays, checksum, _ = _HEADER.unpack_from(frame)
    if checksum != _checksum(key, frame[:_CHECKSUM_OFFSET], memoryview(frame)[_HEADER.size :]):
        raise CorruptIndexError(f"{where} is damaged (its checksum differs): restore the file from a copy")
    expected = [np.dtype("<" + name) for name in dtypes.split()]
    if version != FORMAT_VERSION or found_kind != kind or n_arrays != len(expected):
        raise CorruptIndexError(f"{where} is of another kind or version than the index says")
    offset = _HEADER.size + n_arrays * _DESCRIPTOR.size
    if len(frame) < offset:
        raise CorruptIndexError(f"{where} does not hold the arrays it should: restore the file from a copy")
    arrays: list[NDArray[Any]] = []
    for i, dtype in enumerate(expected):
        code, length = _DESCRIPTOR.unpack_from(frame, _HEADER.size + i * _DESCRIPTOR.size)
        if code >= len(DTYPES) or DTYPES[code] != dtype or offset + length * dtype.itemsize > len(frame):
            raise CorruptIndexError(f"{where} does not hold the arrays it should")
        arrays.append(np.frombuffer(frame, dtype, length, offset))
        offset += length * dtype.itemsize
        offset += -offset % 8
    return arrays


def encode_row(key: str, values: Sequence[Any]) -> str:
    """Write JSON values as the row that will stand under ``key``."""
    tail = json.dumps(["", *values], ensure_ascii=False, allow_nan=False, separators=(",", ":"))[len('[""') :]
    return f'["{_checksum(key, tail.encode()):08x}"{tail}'


def decode_row(key: str, row: bytes | None, *kinds: type[Any]) -> list[Any]:
    """Read the row that was found under ``key``: the values without the checksum, of these types.

    Raises:
        CorruptIndexError: The row is missing or damaged, or holds something else.
    """
    return decode_rows([key], [row], *kinds)[0]


def decode_rows(keys: Sequence[str], rows: Sequence[bytes | None], *kinds: type[Any]) -> list[list[Any]]:
    """Read the rows that were found under some keys, in one go: of each its values, of these types; ``object`` is any.

    Whoever wrote a file can write a checksum that holds, so nothing is believed: a row is JSON, not too deep, without
    NaN and lone surrogates, and its values are what they should be.

    Raises:
        CorruptIndexError: One is missing or damaged, or holds something else.
    """
    crc32 = zlib.crc32
    for key, row in zip(keys, rows, strict=True):
        if not isinstance(row, bytes):
            raise CorruptIndexError(f"the row {key!r} is missing from the index: restore the file from a copy")
        if row[:_COMMA] != b'["%08x"' % crc32(row[_COMMA:], crc32(key.encode())):
            raise CorruptIndexError(f"the row {key!r} is damaged (its checksum differs): restore the file from a copy")
    # What was written whole is a JSON array each, and so are all of them with commas between.
    parsed = _parsed(b"[%b]" % b",".join(cast("Sequence[bytes]", rows)), cast("Sequence[bytes]", rows))
    if parsed is None or len(parsed) != len(rows):
        if len(rows) == 1:
            raise CorruptIndexError(
                f"the row {keys[0]!r} is not what this program writes: restore the file from a copy"
            )
        return [decode_row(key, row, *kinds) for key, row in zip(keys, rows, strict=True)]  # says which one
    types = [str, *kinds]
    for key, values in zip(keys, parsed, strict=True):
        found = list(map(type, values)) if type(values) is list else []
        if found != types and not _are(found, types):
            raise CorruptIndexError(f"the row {key!r} does not hold the values it should: restore the file from a copy")
        del values[0]
    return parsed


def _are(found: Sequence[Any], types: Sequence[Any]) -> bool:
    return len(found) == len(types) and all(kind in (object, one) for one, kind in zip(found, types, strict=True))


def _parsed(content: bytes, rows: Sequence[bytes]) -> list[Any] | None:
    """What a JSON array of rows holds; None where it holds what no row does."""
    try:
        parsed: list[Any] = _DECODER.decode(content.decode())
        if content.count(b"[") + content.count(b"{") > MAX_DEPTH and any(
            row.count(b"[") + row.count(b"{") > MAX_DEPTH and _is_deep(row) for row in rows
        ):
            return None
        if b"\\ud" in content or b"\\uD" in content:
            json.dumps(parsed, ensure_ascii=False).encode()  # no half of a surrogate pair
    except (ValueError, RecursionError):
        return None
    return parsed


def _is_deep(row: bytes) -> bool:
    """Whether a row that is JSON is nested too deep."""
    values: list[Any] = [_DECODER.decode(row.decode())]
    for _ in range(MAX_DEPTH):
        values = [
            item
            for value in values
            if isinstance(value, (list, dict))
            for item in (value.values() if isinstance(value, dict) else value)
        ]
    return bool(values)


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _checksum(key: str, *parts: bytes | memoryview) -> int:
    checksum = zlib.crc32(key.encode())
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return checksum


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 8)
