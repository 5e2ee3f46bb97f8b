"""An immutable run of at most 65,536 documents: its postings, and how they lie in the store.

A segment is a head (which documents, which terms, how many postings each) and its postings, term by term, cut into
blocks at term boundaries. A reader that needs three terms reads three blocks. Inside a segment a document is a 16-bit
ordinal, so that a posting costs 2 bytes and its weight, and the scores of a segment fit into a core's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.errors import CorruptIndexError
from pixie_retrievers.index.sqlite import kernels
from pixie_retrievers.index.sqlite.codec import Kind, decode_arrays, encode_arrays
from pixie_retrievers.index.sqlite.vectors import STORED_DTYPES, StoredVectors
from pixie_retrievers.types import MAX_WEIGHT

__all__ = [
    "HEAD_DTYPES",
    "MAX_DOCUMENTS",
    "Head",
    "Segment",
    "block_key",
    "build_segment",
    "decode_block",
    "decode_head",
    "encode_blocks",
    "encode_head",
    "segment_key",
]

MAX_DOCUMENTS = 1 << 16
_BLOCK_BYTES = 6 << 14
"""A block ends at the first term that takes it past so many bytes: one read, and little lost to half-filled pages."""

HEAD_DTYPES = "i8 i4 i4 i4 f4 f4 i4 u1"
_MAX_DOCNO = 1 << 62


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """What a segment holds, without its postings.

    Attributes:
        docnos: int64, shape (n_documents,): the insertion numbers, ascending.
        term_ids: int32, shape (t,): the terms that have postings, ascending.
        starts: int64, shape (t + 1,): where each term's postings start in the segment.
        max_weights: float32, shape (t,): the largest weight of each term.
        scales: float32, shape (n_documents,): with 8-bit weights, what a document's weights are multiplied by;
            empty otherwise.
        blocks: int32, shape (b + 1,): the place in ``term_ids`` at which each block starts.
        cut: bool, shape (n_documents,): the model read only a part of the document's text. Stored as one bit a
            document, where there is such a one.
    """

    docnos: NDArray[np.int64]
    term_ids: NDArray[np.int32]
    starts: NDArray[np.int64]
    max_weights: NDArray[np.float32]
    scales: NDArray[np.float32]
    blocks: NDArray[np.int32]
    cut: NDArray[np.bool_]

    @property
    def n_documents(self) -> int:
        """How many documents, tombstones included."""
        return len(self.docnos)

    @property
    def n_postings(self) -> int:
        """How many postings, those of tombstones included."""
        return int(self.starts[-1])


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A whole segment in memory: what is built, merged and written.

    Attributes:
        head: What it holds.
        ordinals: uint16, shape (n_postings,): term by term, ascending inside a term.
        weights: float32, float16 or uint8, shape (n_postings,): as stored.
        literal: bool, shape (n_postings,): the document's text itself has the term. Stored as one bit a posting.
    """

    head: Head
    ordinals: NDArray[np.uint16]
    weights: NDArray[Any] = field(repr=False)
    literal: NDArray[np.bool_] = field(repr=False)


def build_segment(vectors: StoredVectors, docnos: NDArray[np.int64], vocabulary_size: int) -> Segment:
    """Turn vectors into a segment.

    Args:
        vectors: At most MAX_DOCUMENTS of them.
        docnos: int64, shape (len(vectors),), ascending.
        vocabulary_size: The number of terms.
    """
    counts = np.bincount(vectors.term_ids, minlength=vocabulary_size)
    cursors = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)[:-1]])
    ordinals = np.empty(len(vectors.term_ids), np.uint16)
    weights = np.empty(len(vectors.term_ids), vectors.weights.dtype)
    literal = np.empty(len(vectors.term_ids), np.bool_)
    # numba has no 16-bit floats on a CPU: they travel as the integers they are stored in.
    kernels.transpose(
        vectors.indptr,
        vectors.term_ids,
        bits(vectors.weights),
        vectors.literal,
        cursors,
        ordinals,
        bits(weights),
        literal,
    )
    head = make_head(docnos, counts, weights, ordinals, vectors.scales, vectors.cut)
    return Segment(head, ordinals, weights, literal)


def bits(weights: NDArray[Any]) -> NDArray[Any]:
    """The same memory in a dtype that the kernels take."""
    return weights.view(np.uint16) if weights.dtype == np.float16 else weights


def make_head(
    docnos: NDArray[np.int64],
    counts: NDArray[np.int64],
    weights: NDArray[Any],
    ordinals: NDArray[np.uint16],
    scales: NDArray[np.float32],
    cut: NDArray[np.bool_],
) -> Head:
    """Describe postings that lie term by term; ``counts`` (vocabulary_size,) says how many each term has."""
    term_ids = np.flatnonzero(counts).astype(np.int32)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts[term_ids])])
    values = weights.astype(np.float32)
    if len(scales):
        values *= scales[ordinals]
    max_weights = np.maximum.reduceat(values, starts[:-1]) if len(term_ids) else np.zeros(0, np.float32)
    blocks = _block_starts(starts, _BLOCK_BYTES // (2 + weights.itemsize))
    return Head(docnos, term_ids, starts, max_weights, scales, blocks, cut)


def _block_starts(starts: NDArray[np.int64], n_postings: int) -> NDArray[np.int32]:
    n_terms = len(starts) - 1
    blocks = [0]
    while blocks[-1] < n_terms:
        filled = int(np.searchsorted(starts, starts[blocks[-1]] + n_postings, side="left"))
        blocks.append(min(filled, n_terms))
    return np.array(blocks, np.int32)


def segment_key(number: int) -> str:
    """The key of a segment's head and tombstones; the order of keys is the order of numbers."""
    return f"{number:010d}"


def block_key(number: int, block: int) -> str:
    """The key of one block of postings."""
    return f"{number:010d}.{block:06d}"


def encode_head(number: int, head: Head) -> bytes:
    """A head as a frame."""
    counts = np.diff(head.starts).astype(np.int32)
    runs = np.flatnonzero(np.concatenate([[True], np.diff(head.docnos) > 1]))
    lengths = np.diff(np.append(runs, head.n_documents)).astype(np.int32)
    arrays: list[NDArray[Any]] = [head.docnos[runs], lengths]
    cut = np.packbits(head.cut, bitorder="little") if head.cut.any() else np.zeros(0, np.uint8)
    arrays += [head.term_ids, counts, head.max_weights, head.scales, head.blocks, cut]
    return encode_arrays(Kind.HEAD, segment_key(number), arrays)


def decode_head(number: int, frame: bytes | None, *, n_documents: int, n_postings: int, vocabulary_size: int) -> Head:
    """Read a head back, and hold it to what the manifest says of it.

    Raises:
        CorruptIndexError: The frame is missing or damaged, or contradicts itself or the manifest.
    """
    run_starts, run_lengths, term_ids, counts, max_weights, scales, blocks, packed = decode_arrays(
        Kind.HEAD, segment_key(number), frame, HEAD_DTYPES
    )
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
    docnos = _numbered(run_starts, run_lengths, n_documents)
    sound = (
        docnos is not None
        and _ascend(docnos)
        and len(term_ids) == len(counts) == len(max_weights)
        and len(scales) in (0, n_documents)
        and starts[-1] == n_postings
        and _ascend(term_ids)
        and (len(term_ids) == 0 or (term_ids[0] >= 0 and term_ids[-1] < vocabulary_size))
        and (len(counts) == 0 or 0 < counts.min() <= counts.max() <= n_documents)
        and bool(((max_weights > 0) & (max_weights < np.inf)).all())
        and bool(((scales >= 0) & (scales <= MAX_WEIGHT)).all())  # a larger one overflows when it is used
        and len(blocks) > 0
        and blocks[0] == 0
        and blocks[-1] == len(term_ids)
        and _ascend(blocks)
        and len(packed) in (0, (n_documents + 7) // 8)
    )
    if not sound or docnos is None:
        raise CorruptIndexError(f"the head of segment {number} contradicts itself: restore the file from a copy")
    # An array without bytes would be filled up with whatever is in memory.
    packed = packed if len(packed) else np.zeros((n_documents + 7) // 8, np.uint8)
    cut = np.unpackbits(packed, count=n_documents, bitorder="little").view(np.bool_)
    return Head(docnos, term_ids, starts, max_weights, scales, blocks, cut)


def _numbered(starts: NDArray[np.int64], lengths: NDArray[np.int32], n_documents: int) -> NDArray[np.int64] | None:
    """The insertion numbers of runs of consecutive ones; None when there are not as many as there should be."""
    if (
        len(starts) != len(lengths)
        or not 0 < n_documents <= MAX_DOCUMENTS
        or not ((starts >= 0) & (starts < _MAX_DOCNO) & (lengths > 0)).all()
        or lengths.sum(dtype=np.int64) != n_documents
    ):
        return None
    before = np.cumsum(lengths, dtype=np.int64) - lengths
    docnos: NDArray[np.int64] = np.repeat(starts - before, lengths) + np.arange(n_documents)
    return docnos


def _ascend(numbers: NDArray[Any]) -> bool:
    # Compared, not subtracted: a difference can overflow, and then looks sound.
    return bool((numbers[1:] > numbers[:-1]).all())


def encode_blocks(number: int, segment: Segment) -> Iterator[tuple[str, bytes]]:
    """The postings as (key, frame) pairs, one a block."""
    bounds = segment.head.starts[segment.head.blocks].tolist()
    for block, (start, end) in enumerate(pairwise(bounds)):
        key = block_key(number, block)
        literal = np.packbits(segment.literal[start:end], bitorder="little")
        arrays = [segment.ordinals[start:end], segment.weights[start:end], literal]
        yield key, encode_arrays(Kind.BLOCK, key, arrays)


def decode_block(
    number: int, block: int, frame: bytes | None, head: Head, weights: str
) -> tuple[NDArray[np.uint16], NDArray[Any], NDArray[np.bool_]]:
    """Read a block's ordinals, weights and literal bits back, checked so that a kernel may trust them.

    Returns:
        uint16 ordinals; weights as the kernels take them: uint8 as stored, float16 widened to float32; and bool for
        the literal bits.

    Raises:
        CorruptIndexError: The frame is missing or damaged, or contradicts the head.
    """
    key = block_key(number, block)
    ordinals, stored, packed = decode_arrays(Kind.BLOCK, key, frame, f"u2 {STORED_DTYPES[weights].str[1:]} u1")
    values = stored.astype(np.float32) if weights == "float16" else stored
    counts = np.diff(head.starts[head.blocks[block] : head.blocks[block + 1] + 1]).astype(np.int32)
    if (
        len(ordinals) != len(values)
        or len(ordinals) != counts.sum()
        or len(packed) != (len(ordinals) + 7) // 8
        or not kernels.postings_are_sound(counts, ordinals, values, head.n_documents)
    ):
        raise CorruptIndexError(f"block {key} contradicts its segment: restore the file from a copy")
    return ordinals, values, np.unpackbits(packed, count=len(ordinals), bitorder="little").view(np.bool_)
