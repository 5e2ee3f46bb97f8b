"""Documents' whole vectors, one row a document, as the index stores their weights.

Postings answer which documents have a term; this answers which terms a document has: for results that differ from each
other, for the explanation of one document, and for a repair, which makes postings anew from it. A row, little-endian:

    0   4   CRC-32 of the row's key and everything from byte 4 on
    4   4   n, the number of terms; the highest bit: the model read only a part of the text
    8   4   with 8-bit weights alone: what they are multiplied by, float32
    ..      n weights as stored; n term ids, two bytes each up to 65,536 terms, else four; n literal bits, lowest first
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.errors import CorruptIndexError, InvalidVectorError
from pixie_retrievers.types import MAX_WEIGHT, MIN_WEIGHT, SparseVectors

__all__ = ["STORED_DTYPES", "StoredVectors", "decode_vectors", "encode_vectors", "is_vector", "round_vectors"]

STORED_DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "uint8": np.dtype("u1"),
}

_HEADER = struct.Struct("<II")
_CUT = 1 << 31  # a vocabulary has at most 1 << 20 terms
_MAX_FLOAT16 = float(np.finfo(np.float16).max)
_MIN_FLOAT16 = np.finfo(np.float16).smallest_subnormal
_NO_SCALES = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class StoredVectors:
    """Vectors with their weights as an index stores them.

    Attributes:
        indptr: int64, shape (n + 1,): row i is the slice ``indptr[i]:indptr[i + 1]`` of the arrays below.
        term_ids: int32, shape (nnz,), ascending inside a row.
        weights: float32, float16 or uint8, shape (nnz,).
        scales: float32, shape (n,): with 8-bit weights, what a row's weights are multiplied by; empty otherwise.
        literal: bool, shape (nnz,): the document's text itself has the term.
        cut: bool, shape (n,): the model read only a part of the document's text.
    """

    indptr: NDArray[np.int64]
    term_ids: NDArray[np.int32]
    weights: NDArray[Any]
    scales: NDArray[np.float32]
    literal: NDArray[np.bool_]
    cut: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, rows: slice) -> StoredVectors:
        """The rows of a slice without a step."""
        start, stop, _ = rows.indices(len(self))
        low, high = int(self.indptr[start]), int(self.indptr[max(start, stop)])
        return StoredVectors(
            self.indptr[start : max(start, stop) + 1] - low,
            self.term_ids[low:high],
            self.weights[low:high],
            self.scales[start:stop] if len(self.scales) else self.scales,
            self.literal[low:high],
            self.cut[start:stop],
        )

    def widened(self) -> NDArray[np.float32]:
        """float32, shape (nnz,): the weights that scores are made of."""
        weights = self.weights.astype(np.float32)
        if self.weights.dtype == np.uint8:
            weights *= np.repeat(self.scales, np.diff(self.indptr))
        return weights

    def to_sparse(self, vocabulary_size: int) -> SparseVectors:
        """The same as an encoder gives it."""
        weights = np.maximum(self.widened(), np.float32(MIN_WEIGHT))  # a step of 255 may be rounded to just below
        return SparseVectors(self.indptr, self.term_ids, weights, vocabulary_size, self.literal, self.cut)


def round_vectors(vectors: SparseVectors, weights: str) -> StoredVectors:
    """Vectors as an index stores them.

    Args:
        vectors: Any number of them.
        weights: "float32" keeps the weights, "float16" rounds them, "uint8" rounds each document's weights to 255 steps
            of its largest one. Rounding a document on its own terms means that no merge ever rounds it again.

    Raises:
        InvalidVectorError: A weight is too large for float16.
    """
    stored, scales = _rounded(vectors, weights)
    return StoredVectors(vectors.indptr, vectors.term_ids, stored, scales, vectors.literal, vectors.cut)


def _rounded(vectors: SparseVectors, weights: str) -> tuple[NDArray[Any], NDArray[np.float32]]:
    if weights == "float32" or not len(vectors.weights):
        scales = np.zeros(len(vectors), np.float32) if weights == "uint8" else _NO_SCALES
        return vectors.weights.astype(STORED_DTYPES[weights], copy=False), scales
    if weights == "float16":
        if float(vectors.weights.max()) > _MAX_FLOAT16:
            raise InvalidVectorError(f"a weight is above {_MAX_FLOAT16}: build the index with weights='float32'")
        return np.maximum(vectors.weights.astype(np.float16), _MIN_FLOAT16), _NO_SCALES
    lengths = np.diff(vectors.indptr)
    scales = np.zeros(len(vectors), np.float32)
    scales[lengths > 0] = np.maximum.reduceat(vectors.weights, vectors.indptr[:-1][lengths > 0]) / np.float32(255)
    steps = np.rint(vectors.weights / np.repeat(scales, lengths))
    return np.clip(steps, 1, 255).astype(np.uint8), scales


def is_vector(docno: int, row: bytes) -> bool:
    """Whether the checksum of a document's row of this table holds; a row of another kind does not pass for one."""
    return len(row) >= _HEADER.size and _HEADER.unpack_from(row)[0] == _checksum(docno, memoryview(row)[4:])


def _checksum(docno: int, body: bytes | memoryview) -> int:
    return zlib.crc32(body, zlib.crc32(b"vector %d" % docno))


def encode_vectors(vectors: StoredVectors, docnos: Sequence[int], vocabulary_size: int) -> Iterator[tuple[int, bytes]]:
    """(insertion number, row) pairs, one a vector."""
    term_ids = vectors.term_ids.astype(_term_dtype(vocabulary_size))
    weights = vectors.weights.astype(vectors.weights.dtype.newbyteorder("<"), copy=False)
    scales = vectors.scales.astype("<f4", copy=False)
    cut = np.where(vectors.cut, _CUT, 0).tolist()
    for row, (docno, (start, stop)) in enumerate(zip(docnos, pairwise(vectors.indptr.tolist()), strict=True)):
        body = b"".join(
            (
                struct.pack("<I", stop - start | cut[row]),
                scales[row : row + 1].tobytes() if weights.dtype == np.uint8 else b"",
                weights[start:stop].tobytes(),
                term_ids[start:stop].tobytes(),
                np.packbits(vectors.literal[start:stop], bitorder="little").tobytes(),
            )
        )
        yield docno, struct.pack("<I", _checksum(docno, body)) + body


def decode_vectors(
    docnos: Sequence[int], rows: Mapping[Any, bytes], weights: str, vocabulary_size: int
) -> StoredVectors:
    """Read the vectors of some documents back, checked so that a kernel may trust them.

    Args:
        docnos: The documents' insertion numbers.
        rows: The stored bytes by insertion number.
        weights: The index's format of weights.
        vocabulary_size: The number of terms.

    Raises:
        CorruptIndexError: A row is missing or damaged, or breaks the contract of a vector.
    """
    stored, term_dtype = STORED_DTYPES[weights], _term_dtype(vocabulary_size)
    start = _HEADER.size + (4 if weights == "uint8" else 0)
    lengths, parts, cut = [], [], []
    for docno in docnos:
        row = rows.get(docno)
        if not isinstance(row, bytes):
            raise CorruptIndexError(f"the vector of document number {docno} is missing: restore the file from a copy")
        if not is_vector(docno, row):
            raise CorruptIndexError(
                f"the vector of document number {docno} is damaged (its checksum differs): restore the file from a copy"
            )
        _, counted = _HEADER.unpack_from(row)
        n = counted & ~_CUT
        if len(row) != start + n * (stored.itemsize + term_dtype.itemsize) + (n + 7) // 8:
            raise CorruptIndexError(f"the vector of document number {docno} is of another length than it says")
        lengths.append(n)
        cut.append(counted != n)
        parts.append(row)
    scales: NDArray[np.float32] = _NO_SCALES
    if weights == "uint8":
        scales = np.array([struct.unpack_from("<f", row, _HEADER.size)[0] for row in parts], np.float32)
    ends = [start + n * stored.itemsize for n in lengths]
    vectors = StoredVectors(
        np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)]),
        _joined(
            [np.frombuffer(row, term_dtype, n, end) for row, n, end in zip(parts, lengths, ends, strict=True)], np.int32
        ),
        _joined([np.frombuffer(row, stored, n, start) for row, n in zip(parts, lengths, strict=True)], stored),
        scales,
        _joined([_bits(row, n) for row, n in zip(parts, lengths, strict=True)], np.bool_),
        np.array(cut, np.bool_),
    )
    if not _sound(vectors, vocabulary_size):
        raise CorruptIndexError("a stored vector breaks its contract: restore the file from a copy")
    return vectors


def _sound(vectors: StoredVectors, vocabulary_size: int) -> bool:
    if not ((vectors.scales >= 0) & (vectors.scales <= MAX_WEIGHT)).all():  # a larger one overflows when it is used
        return False
    if not len(vectors.term_ids):
        return True
    rising = vectors.term_ids[1:] > vectors.term_ids[:-1]
    firsts = vectors.indptr[1:-1]
    rising[firsts[(firsts > 0) & (firsts < len(vectors.term_ids))] - 1] = True
    weights = vectors.widened()
    return (
        bool(rising.all())
        and int(vectors.term_ids.min()) >= 0
        and int(vectors.term_ids.max()) < vocabulary_size
        and bool(((weights > 0) & (weights <= MAX_WEIGHT)).all())
    )


def _joined(parts: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    joined: NDArray[Any] = np.concatenate([np.zeros(0, dtype), *parts]).astype(dtype, copy=False)
    return joined


def _bits(row: bytes, n: int) -> NDArray[np.bool_]:
    packed = np.frombuffer(row, np.uint8, (n + 7) // 8, len(row) - (n + 7) // 8)
    return np.unpackbits(packed, count=n, bitorder="little").view(np.bool_)


def _term_dtype(vocabulary_size: int) -> np.dtype[Any]:
    return np.dtype("<u2") if vocabulary_size <= 1 << 16 else np.dtype("<i4")
