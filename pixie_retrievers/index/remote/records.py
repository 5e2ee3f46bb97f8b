"""What an engine stores of one document, and what comes back."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.errors import CorruptIndexError, InvalidVectorError
from pixie_retrievers.index.remote.digests import Order, digest_metadata
from pixie_retrievers.types import Document, SparseVectors

__all__ = ["CUT", "Record", "Stored", "key_of", "packed", "records_of", "vectors_of"]

CUT = "cut"
"""The token of a document of whose text the model read only a part; it is not a digest, so that none is like it."""

_HEADER = struct.Struct("<II")  # a CRC-32 of what follows it, the number of terms


def key_of(id: str) -> str:
    """The engine's own id of a document: 32 hexadecimal digits, whatever the caller's id is made of."""
    return hashlib.blake2b(id.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Stored:
    """A document as an engine gives it back.

    Attributes:
        id, text: The document's own.
        metadata: Its metadata as JSON text: engines change what they can look into.
        vector: The exact weights (:func:`packed`).
        seq: Rises with the order of insertion.
    """

    id: str
    text: str
    metadata: str
    vector: bytes
    seq: int

    def parsed_metadata(self) -> dict[str, Any]:
        """The metadata itself.

        Raises:
            CorruptIndexError: It is not a JSON object.
        """
        try:
            metadata = json.loads(self.metadata)
        except (ValueError, TypeError, RecursionError):
            metadata = None
        if not isinstance(metadata, dict):
            raise CorruptIndexError(f"the stored metadata of document {self.id!r} is damaged: add the document again")
        return metadata

    def document(self) -> Document:
        """The document itself."""
        return Document(self.id, self.text, self.parsed_metadata())

    def weights(self, vocabulary_size: int) -> SparseVectors:
        """One vector: the document's.

        Raises:
            CorruptIndexError: The stored bytes do not verify.
        """
        term_ids, weights, literal, cut = self.unpacked()
        try:
            indptr = np.array([0, len(term_ids)], np.int64)
            return SparseVectors(indptr, term_ids, weights, vocabulary_size, literal, cut)
        except InvalidVectorError:
            raise self._damaged() from None

    def unpacked(self) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
        """The vector's four arrays, as they were stored.

        Raises:
            CorruptIndexError: The stored bytes do not verify.
        """
        if len(self.vector) >= _HEADER.size:
            checksum, n = _HEADER.unpack_from(self.vector)
            body = self.vector[_HEADER.size :]
            if checksum == zlib.crc32(body) and len(body) == 8 * n + (n + 8) // 8:
                bits = np.unpackbits(np.frombuffer(body, np.uint8, offset=8 * n), count=n + 1).view(np.bool_)
                return (
                    np.frombuffer(body, "<i4", n).astype(np.int32, copy=False),
                    np.frombuffer(body, "<f4", n, 4 * n).astype(np.float32, copy=False),
                    bits[:n],
                    bits[n:],
                )
        raise self._damaged()

    def _damaged(self) -> CorruptIndexError:
        return CorruptIndexError(f"the stored vector of document {self.id!r} is damaged: add the document again")


def vectors_of(rows: Sequence[Stored], vocabulary_size: int) -> SparseVectors:
    """The vectors of documents, checked at once.

    Raises:
        CorruptIndexError: One does not verify.
    """
    if not rows:
        return SparseVectors.concatenate([], vocabulary_size)
    parts = [stored.unpacked() for stored in rows]
    term_ids, weights, literal, cut = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    indptr = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(part[0]) for part in parts], out=indptr[1:])
    try:
        return SparseVectors(indptr, term_ids, weights, vocabulary_size, literal, cut)
    except InvalidVectorError:
        for stored in rows:
            stored.weights(vocabulary_size)  # says which
        raise


@dataclass(frozen=True, slots=True)
class Record:
    """A document on its way to an engine.

    Attributes:
        key: The engine's id of it.
        stored: What comes back.
        term_ids: int32, shape (n_terms,), ascending.
        weights: float32, shape (n_terms,).
        tokens: Digests that filters look for (:mod:`pixie_retrievers.index.remote.digests`), and :data:`CUT`.
        orders: What range filters compare.
    """

    key: str
    stored: Stored
    term_ids: NDArray[np.int32]
    weights: NDArray[np.float32]
    tokens: list[str]
    orders: list[Order]


def records_of(documents: Sequence[Document], vectors: SparseVectors, first_seq: int) -> Iterator[Record]:
    """Records of documents, one after the other: as many are in memory as somebody keeps."""
    bounds = vectors.indptr.tolist()
    for row, (document, vector) in enumerate(zip(documents, packed(vectors), strict=True)):
        low, high = bounds[row], bounds[row + 1]
        tokens, orders = digest_metadata(document.metadata)
        stored = Stored(
            document.id,
            document.text,
            json.dumps(document.metadata, ensure_ascii=False, separators=(",", ":")),
            vector,
            first_seq + row,
        )
        marks = [CUT] if vectors.cut[row] else []
        yield Record(
            key_of(document.id),
            stored,
            vectors.term_ids[low:high],
            vectors.weights[low:high],
            [*tokens, *marks],
            orders,
        )


def packed(vectors: SparseVectors) -> Iterator[bytes]:
    """Each vector as bytes that verify: a header, and little-endian its terms as int32, its weights as float32, a bit
    for each term that is literal, and one that says whether the text was cut.
    """
    for row, (low, high) in enumerate(pairwise(vectors.indptr.tolist())):
        bits = np.packbits(np.append(vectors.literal[low:high], vectors.cut[row]))
        weights = vectors.weights[low:high].astype("<f4")
        body = vectors.term_ids[low:high].astype("<i4").tobytes() + weights.tobytes() + bits.tobytes()
        yield _HEADER.pack(zlib.crc32(body), high - low) + body
