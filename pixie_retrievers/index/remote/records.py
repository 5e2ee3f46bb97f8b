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
        return vectors_of((self,), vocabulary_size)

    def verified(self) -> tuple[int, bytes]:
        """The number of terms, and the bytes that follow the header.

        Raises:
            CorruptIndexError: They do not verify.
        """
        if len(self.vector) >= _HEADER.size:
            checksum, n = _HEADER.unpack_from(self.vector)
            body = self.vector[_HEADER.size :]
            if checksum == zlib.crc32(body) and len(body) == 8 * n + (n + 8) // 8:
                return n, body
        raise self.damaged()

    def damaged(self) -> CorruptIndexError:
        return CorruptIndexError(f"the stored vector of document {self.id!r} is damaged: add the document again")


def vectors_of(rows: Sequence[Stored], vocabulary_size: int) -> SparseVectors:
    """The vectors of documents, checked and read at once.

    Raises:
        CorruptIndexError: One does not verify.
    """
    found = [stored.verified() for stored in rows]
    sizes = np.array([n for n, _ in found], np.int64)
    indptr = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(sizes, out=indptr[1:])
    term_ids = np.frombuffer(b"".join([body[: 4 * n] for n, body in found]), "<i4").astype(np.int32, copy=False)
    weights = np.frombuffer(b"".join([body[4 * n : 8 * n] for n, body in found]), "<f4").astype(np.float32, copy=False)
    bits = np.unpackbits(np.frombuffer(b"".join([body[8 * n :] for n, body in found]), np.uint8)).view(np.bool_)
    lengths = (sizes + 8) // 8 * 8  # a bit a term, one of the text, and what fills the byte
    starts = np.cumsum(lengths) - lengths
    literal = bits[np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], sizes)]
    try:
        return SparseVectors(indptr, term_ids, weights, vocabulary_size, literal, bits[starts + sizes])
    except InvalidVectorError:
        if len(rows) == 1:
            raise rows[0].damaged() from None
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
