"""The rows of an SQLite file, read page by page, without SQLite: what is left when its own structures are damaged.

Nothing is believed but what a cell says of itself; whoever reads a row holds it to its checksum. The file, and the
write-ahead log beside it, are only read. (The format: https://www.sqlite.org/fileformat2.html, sections 1.6 and 4.)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Place", "Row", "SqlitePages"]

_TABLE_LEAF, _INDEX_LEAF, _INDEX_INTERIOR = 13, 10, 2
_LOG_HEADER, _FRAME_HEADER = 32, 24


class Place(NamedTuple):
    """Where a row lies: a page, counted from 1, and a cell in it."""

    page: int
    cell: int


class Row(NamedTuple):
    """A key and a value, as they are stored; the key is a number where it is the row's own."""

    place: Place
    key: bytes | int
    value: bytes


class SqlitePages:
    """A file's pages as of the last whole commit in its write-ahead log.

    Args:
        path: The file.
        page_size: In bytes: what the file's header may say wrongly.

    Attributes:
        n_frames_lost: Frames of the log that follow one that does not verify.
    """

    def __init__(self, path: Path, page_size: int) -> None:
        self.page_size = page_size
        self.n_frames_lost = 0
        self._in_log: dict[int, int] = {}
        self._log: BinaryIO | None = None
        log = path.with_name(path.name + "-wal")
        with ExitStack() as files:
            self._file = files.enter_context(path.open("rb"))
            self._n_pages = -(-path.stat().st_size // page_size)
            if log.exists():
                self._log = files.enter_context(log.open("rb"))
                self._read_log()
            self._files = files.pop_all()

    def close(self) -> None:
        """Close the files."""
        self._files.close()

    def _read_log(self) -> None:
        assert self._log is not None
        header = self._log.read(_LOG_HEADER)
        if len(header) < _LOG_HEADER or int.from_bytes(header[:4], "big") & ~1 != 0x377F0682:
            return
        order = ">u4" if header[3] & 1 else "<u4"
        sums = _log_checksum(np.frombuffer(header[:24], order), (0, 0))
        if sums != struct.unpack(">II", header[24:]) or int.from_bytes(header[8:12], "big") != self.page_size:
            self.n_frames_lost += 1
            return
        pending: dict[int, int] = {}
        sound = True
        while True:
            offset = self._log.tell()
            frame = self._log.read(_FRAME_HEADER + self.page_size)
            if len(frame) < _FRAME_HEADER + self.page_size or frame[8:16] != header[16:24]:
                return  # the end, or what is left of an older log
            sums = _log_checksum(np.frombuffer(frame[:8] + frame[_FRAME_HEADER:], order), sums)
            sound = sound and sums == struct.unpack(">II", frame[16:24])
            if not sound:
                self.n_frames_lost += 1
                continue
            page, n_pages = struct.unpack(">II", frame[:8])
            pending[page] = offset + _FRAME_HEADER
            if n_pages:
                self._in_log.update(pending)
                self._n_pages, pending = n_pages, {}

    def _page(self, number: int) -> bytes:
        if number in self._in_log and self._log is not None:
            self._log.seek(self._in_log[number])
            return self._log.read(self.page_size)
        self._file.seek((number - 1) * self.page_size)
        return self._file.read(self.page_size)

    def rows(self) -> Iterator[Row]:
        """Every cell that reads as a key and a value, page after page."""
        for number in range(1, self._n_pages + 1):
            page = self._page(number)
            start = 100 if number == 1 else 0
            if len(page) < self.page_size or page[start] not in (_TABLE_LEAF, _INDEX_LEAF, _INDEX_INTERIOR):
                continue
            for cell in range(min(int.from_bytes(page[start + 3 : start + 5], "big"), self.page_size // 4)):
                row = self._row(page, Place(number, cell))
                if row is not None:
                    yield row

    def row(self, place: Place) -> Row | None:
        """The row at a place."""
        return self._row(self._page(place.page), place)

    def _row(self, page: bytes, place: Place) -> Row | None:
        try:
            payload, number = self._payload(page, place)
            header_size, offset = _varint(payload, 0)
            key_type, offset = _varint(payload, offset)
            value_type, offset = _varint(payload, offset)
        except (IndexError, struct.error):
            return None
        if offset != header_size or (key_type != 0 and (key_type < 13 or key_type % 2 == 0)) or value_type < 12:
            return None  # not a text, or nothing where the row's number is the key, and a text or blob
        middle = offset + (key_type - 13) // 2 if key_type else offset
        end = middle + (value_type - 12) // 2
        key = payload[offset:middle] if key_type else number
        return Row(place, key, payload[middle:end]) if end == len(payload) else None

    def _payload(self, page: bytes, place: Place) -> tuple[bytes, int]:
        """What a cell holds, and its row's number; 0 in an index."""
        start = 100 if place.page == 1 else 0
        kind = page[start]
        (offset,) = struct.unpack_from(">H", page, start + (12 if kind == _INDEX_INTERIOR else 8) + 2 * place.cell)
        if kind == _INDEX_INTERIOR:
            offset += 4  # the page of smaller keys
        size, offset = _varint(page, offset)
        number = 0
        if kind == _TABLE_LEAF:
            number, offset = _varint(page, offset)
        usable = self.page_size  # our files reserve no bytes at the end of a page
        most = usable - 35 if kind == _TABLE_LEAF else (usable - 12) * 64 // 255 - 23
        if size <= most:
            return page[offset : offset + size], number
        least = (usable - 12) * 32 // 255 - 23
        local = least + (size - least) % (usable - 4)
        local = local if local <= most else least
        parts = [page[offset : offset + local]]
        (overflow,) = struct.unpack_from(">I", page, offset + local)
        left = size - local
        if left > self._n_pages * self.page_size:
            raise IndexError(size)
        while left > 0:
            if not 0 < overflow <= self._n_pages:
                raise IndexError(overflow)
            page = self._page(overflow)
            (overflow,) = struct.unpack_from(">I", page)
            parts.append(page[4 : 4 + min(left, usable - 4)])
            left -= usable - 4
        return b"".join(parts), number


def _varint(content: bytes, offset: int) -> tuple[int, int]:
    value = 0
    for i in range(offset, offset + 8):
        value = value << 7 | content[i] & 0x7F
        if content[i] < 0x80:
            return value, i + 1
    return value << 8 | content[offset + 8], offset + 9


def _log_checksum(words: NDArray[np.uint32], sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    pairs = iter(words.tolist())
    for one, other in zip(pairs, pairs, strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return first, second
