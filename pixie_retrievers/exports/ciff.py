"""The Common Index File Format (https://github.com/osirrc/ciff): an inverted index as protocol buffers.

One file: a header, a postings list a term, a record a document, each behind its length. Impacts stand as term
frequencies.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.exports.base import Batches, Settings, quantised

__all__ = ["export_ciff"]

_RUN_POSTINGS = 4_000_000  # so many are sorted in memory
_ENCODED_AT_ONCE = 500_000
_PAIR = np.dtype("<i4")
_VARINT_BOUNDS = np.array([1 << 7, 1 << 14, 1 << 21, 1 << 28])


def export_ciff(batches: Batches, folder: Path, settings: Settings) -> Mapping[str, Any]:
    """Write ``index.ciff``. A term is its id in digits; lists stand in the order of these texts, as PISA wants them.

    Postings are sorted in runs on disk, whatever their number; a list of one term has to fit into memory.
    """
    n_documents = n_dropped = 0
    with ExitStack() as stack:
        runs = _Runs(stack.enter_context(tempfile.TemporaryFile(dir=folder)), settings.vocabulary_size)
        records = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        for documents, vectors in batches:
            impacts = quantised(documents, vectors, settings.quantise)
            lengths = np.diff(np.concatenate([[0], np.cumsum(impacts)])[vectors.indptr]).tolist()
            for n, (document, length) in enumerate(zip(documents, lengths, strict=True), start=n_documents):
                records.write(_delimited(_number(1, n) + _text(2, document.id) + _number(3, length)))
            kept = impacts > 0
            numbers = np.repeat(np.arange(n_documents, n_documents + len(vectors)), np.diff(vectors.indptr))
            runs.add(vectors.term_ids[kept], numbers[kept], impacts[kept])
            n_documents += len(vectors)
            n_dropped += len(impacts) - int(np.count_nonzero(kept))
        runs.spill()
        terms = sorted(np.flatnonzero(runs.counts).tolist(), key=str)
        file = stack.enter_context((folder / "index.ciff").open("xb"))
        about = f"pixie-retrievers, {settings.quantise} steps a unit of weight, {settings.fingerprint}"
        header = [_number(n, len(terms) if n in (2, 4) else n_documents) for n in (2, 3, 4, 5)]
        average = struct.pack("<Bd", 7 << 3 | 1, runs.total / max(n_documents, 1))
        file.write(_delimited(_number(1, 1) + b"".join(header) + _number(6, runs.total) + average + _text(8, about)))
        for term in terms:
            for piece in _postings_list(term, *runs.postings(term)):
                file.write(piece)
        records.seek(0)
        shutil.copyfileobj(records, file, 1 << 20)
    return {"quantise": settings.quantise, "n_dropped": n_dropped}


class _Runs:
    """Postings by term: gathered, sorted in memory, spilled to a file a run at a time, read back a term at a time."""

    def __init__(self, file: IO[bytes], n_terms: int) -> None:
        self.counts = np.zeros(n_terms, np.int64)
        self.total = 0  # of all impacts
        self._file = file
        self._gathered: list[tuple[NDArray[Any], ...]] = []
        self._n_gathered = 0
        self._runs: list[tuple[int, NDArray[np.int64]]] = []  # where a run begins, in pairs, and each term in it

    def add(self, terms: NDArray[Any], numbers: NDArray[Any], impacts: NDArray[Any]) -> None:
        self._gathered.append((terms, numbers.astype(_PAIR), impacts.astype(_PAIR)))
        self._n_gathered += len(terms)
        self.total += int(impacts.sum())
        if self._n_gathered >= _RUN_POSTINGS:
            self.spill()

    def spill(self) -> None:
        if not self._n_gathered:
            return
        terms, numbers, impacts = (np.concatenate(arrays) for arrays in zip(*self._gathered, strict=True))
        order = np.argsort(terms, kind="stable")  # documents stay ascending
        counts = np.bincount(terms, minlength=len(self.counts))
        begin = sum(int(bounds[-1]) for _, bounds in self._runs[-1:]) + (self._runs[-1][0] if self._runs else 0)
        self._runs.append((begin, np.concatenate([[0], np.cumsum(counts)])))
        self._file.write(np.stack([numbers[order], impacts[order]], axis=1).tobytes())
        self.counts += counts
        self._gathered, self._n_gathered = [], 0

    def postings(self, term: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The documents of a term, ascending, and its impacts in them."""
        found = []
        for begin, bounds in self._runs:
            if n := int(bounds[term + 1] - bounds[term]):
                self._file.seek((begin + int(bounds[term])) * 2 * _PAIR.itemsize)
                found.append(self._file.read(n * 2 * _PAIR.itemsize))
        pairs = np.frombuffer(b"".join(found), _PAIR).reshape(-1, 2).astype(np.int64)
        return pairs[:, 0], pairs[:, 1]


def _postings_list(term: int, numbers: NDArray[np.int64], impacts: NDArray[np.int64]) -> Iterator[bytes]:
    gaps = np.diff(numbers, prepend=0)
    head = _text(1, str(term)) + _number(2, len(numbers)) + _number(3, int(impacts.sum()))
    sizes = 2 + _varint_lengths(gaps) + _varint_lengths(impacts)
    yield _varint(len(head) + int(sizes.sum()) + 2 * len(sizes)) + head
    for start in range(0, len(gaps), _ENCODED_AT_ONCE):
        part = slice(start, start + _ENCODED_AT_ONCE)
        yield _postings(gaps[part], impacts[part], sizes[part])


def _postings(gaps: NDArray[np.int64], impacts: NDArray[np.int64], sizes: NDArray[np.int64]) -> bytes:
    """Each posting as field 4: its length, the gap as field 1, the impact as field 2. A row a posting."""
    n = len(gaps)
    cells = np.zeros((n, 14), np.uint8)
    used = np.zeros((n, 14), np.bool_)
    for column, value in ((0, 4 << 3 | 2), (1, sizes), (2, 1 << 3), (8, 2 << 3)):
        cells[:, column] = value
        used[:, column] = True
    for first, values in ((3, gaps), (9, impacts)):
        lengths = _varint_lengths(values)
        for n_before in range(5):
            more = np.where(n_before < lengths - 1, 0x80, 0)
            cells[:, first + n_before] = (values >> 7 * n_before) & 0x7F | more
            used[:, first + n_before] = n_before < lengths
    return cells[used].tobytes()


def _varint_lengths(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.searchsorted(_VARINT_BOUNDS, values, side="right") + 1


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _text(field: int, value: str) -> bytes:
    return _varint(field << 3 | 2) + _delimited(value.encode())


def _delimited(message: bytes) -> bytes:
    return _varint(len(message)) + message
