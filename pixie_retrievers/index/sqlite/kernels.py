"""The compiled loops that build, merge and check postings. They see arrays, nothing else, and trust them.

All, and those in :mod:`~pixie_retrievers.index.sqlite.scoring`, are serial and let go of the interpreter lock, so that
threads run them side by side; ``parallel=True`` is never used, because numba's default threading layer ends the process
when two Python threads enter it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.index.sqlite.compilation import compiled

__all__ = [
    "append_postings",
    "count_postings",
    "pack_bits",
    "postings_are_sound",
    "transpose",
]


@compiled
def transpose(
    indptr: NDArray[np.int64],
    term_ids: NDArray[np.int32],
    weights: NDArray[Any],
    literal: NDArray[np.bool_],
    cursors: NDArray[np.int64],
    out_ordinals: NDArray[np.uint16],
    out_weights: NDArray[Any],
    out_literal: NDArray[np.bool_],
) -> None:
    """Turn rows of vectors into postings, term by term, ordinals ascending: a counting sort.

    Args:
        indptr: int64, shape (n + 1,): the rows.
        term_ids: int32, shape (nnz,).
        weights: Any weight dtype, shape (nnz,).
        literal: bool, shape (nnz,).
        cursors: int64, shape (vocabulary_size,): where each term's postings start; moved to where they end.
        out_ordinals: uint16, shape (nnz,), filled.
        out_weights: The dtype of ``weights``, shape (nnz,), filled.
        out_literal: bool, shape (nnz,), filled.

    Complexity:
        O(nnz).
    """
    for row in range(len(indptr) - 1):
        for entry in range(indptr[row], indptr[row + 1]):
            place = cursors[term_ids[entry]]
            cursors[term_ids[entry]] = place + 1
            out_ordinals[place] = row
            out_weights[place] = weights[entry]
            out_literal[place] = literal[entry]


@compiled
def count_postings(
    term_ids: NDArray[np.int32],
    starts: NDArray[np.int64],
    ordinals: NDArray[np.uint16],
    new_ordinals: NDArray[np.int32],
    counts: NDArray[np.int64],
) -> None:
    """Add to ``counts`` (int64, shape (vocabulary_size,)) the postings that a merge will keep.

    Args:
        term_ids: int32, shape (t,): the segment's terms.
        starts: int64, shape (t + 1,): where each term's postings start.
        ordinals: uint16, shape (n_postings,).
        new_ordinals: int32, shape (n_documents,): a document's ordinal after the merge; -1 drops it.
        counts: Raised in place.

    Complexity:
        O(n_postings).
    """
    for term in range(len(term_ids)):
        kept = 0
        for posting in range(starts[term], starts[term + 1]):
            if new_ordinals[ordinals[posting]] >= 0:
                kept += 1
        counts[term_ids[term]] += kept


@compiled
def append_postings(
    term_ids: NDArray[np.int32],
    starts: NDArray[np.int64],
    ordinals: NDArray[np.uint16],
    weights: NDArray[Any],
    literal: NDArray[np.bool_],
    new_ordinals: NDArray[np.int32],
    cursors: NDArray[np.int64],
    out_ordinals: NDArray[np.uint16],
    out_weights: NDArray[Any],
    out_literal: NDArray[np.bool_],
) -> None:
    """Copy the postings that a merge keeps behind those of the segments before.

    Args:
        term_ids: int32, shape (t,): the segment's terms.
        starts: int64, shape (t + 1,): where each term's postings start.
        ordinals: uint16, shape (n_postings,).
        weights: Any weight dtype, shape (n_postings,).
        literal: bool, shape (n_postings,).
        new_ordinals: int32, shape (n_documents,): a document's ordinal after the merge; -1 drops it.
        cursors: int64, shape (vocabulary_size,): where each term's next posting goes; moved on.
        out_ordinals: uint16, filled.
        out_weights: The dtype of ``weights``, filled.
        out_literal: bool, filled.

    Complexity:
        O(n_postings).
    """
    for term in range(len(term_ids)):
        place = cursors[term_ids[term]]
        for posting in range(starts[term], starts[term + 1]):
            ordinal = new_ordinals[ordinals[posting]]
            if ordinal >= 0:
                out_ordinals[place] = ordinal
                out_weights[place] = weights[posting]
                out_literal[place] = literal[posting]
                place += 1
        cursors[term_ids[term]] = place


@compiled
def pack_bits(values: NDArray[np.bool_], packed: NDArray[np.uint8], first: int) -> None:
    """Write bits into packed ones, lowest bit first, from bit ``first`` on; the bits around them stay.

    Args:
        values: bool, shape (n,).
        packed: uint8, changed in place.
        first: The place of the first.

    Complexity:
        O(n).
    """
    for i in range(len(values)):
        place = first + i
        bit = np.uint8(1 << (place & 7))
        if values[i]:
            packed[place >> 3] |= bit
        else:
            packed[place >> 3] &= ~bit  # an interrupted call may have left something there


@compiled
def postings_are_sound(
    counts: NDArray[np.int32], ordinals: NDArray[np.uint16], weights: NDArray[Any], n_documents: int
) -> bool:
    """Whether ordinals ascend inside every term and stay below ``n_documents``, and weights are positive and finite.

    Args:
        counts: int32, shape (t,): postings a term, one term behind the other.
        ordinals: uint16, shape (n_postings,).
        weights: float32 or uint8, shape (n_postings,).
        n_documents: The segment's number of documents.

    Complexity:
        O(n_postings).
    """
    posting = 0
    for count in counts:
        last = np.int64(-1)
        for _ in range(count):
            ordinal = np.int64(ordinals[posting])
            weight = np.float32(weights[posting])
            if ordinal <= last or ordinal >= n_documents or not weight > 0 or not weight < np.inf:
                return False
            last = ordinal
            posting += 1
    return posting == len(ordinals)
