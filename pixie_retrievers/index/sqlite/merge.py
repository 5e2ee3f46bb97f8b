"""Merging segments: which ones, and how."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.index.sqlite import kernels
from pixie_retrievers.index.sqlite.segment import MAX_DOCUMENTS, Segment, bits, make_head

__all__ = ["merge_segments", "pack", "tail_to_merge"]

FAN_OUT = 8
_FULL = MAX_DOCUMENTS // 2


def tail_to_merge(sizes: Sequence[int]) -> int:
    """Where the run of newest segments starts that should become fewer; ``len(sizes)`` when none should.

    A segment's tier is the logarithm of its size to base FAN_OUT. When FAN_OUT neighbours at the end stand in one tier,
    counting what the tiers below are just merging into, they merge: n documents lie in O(log n) segments besides the
    full ones, and each document is rewritten O(log n) times. Only neighbours merge, so that the order of insertion is
    kept. (The logarithmic method: Bentley and Saxe 1980, "Decomposable searching problems", section 2.)

    Args:
        sizes: Live documents a segment, oldest first.
    """
    start = boundary = len(sizes)
    tier = 1
    while tier < _FULL:
        tier *= FAN_OUT
        limit = min(tier, _FULL)
        first = boundary
        while first > 0 and sizes[first - 1] < limit:
            first -= 1
        joins = start == boundary and 0 < sum(sizes[start:]) < limit
        if boundary - first + joins >= FAN_OUT:
            start = first
        boundary = first
    return start


def pack(sizes: Sequence[int]) -> list[range]:
    """Cut neighbours into runs of at most MAX_DOCUMENTS documents, each as long as it can be."""
    runs: list[range] = []
    start, total = 0, 0
    for position, size in enumerate(sizes):
        if position > start and total + size > MAX_DOCUMENTS:
            runs.append(range(start, position))
            start, total = position, 0
        total += size
    if start < len(sizes):
        runs.append(range(start, len(sizes)))
    return runs


def merge_segments(
    segments: Sequence[Segment], tombstones: Sequence[NDArray[np.uint8] | None], vocabulary_size: int
) -> Segment | None:
    """One segment with the live documents of all, in order; None when none is alive.

    Args:
        segments: Neighbours, oldest first, with at most MAX_DOCUMENTS live documents together and one weight format.
        tombstones: uint8, shape (n_documents,), a segment: 1 for a deleted document; None when there are none.
        vocabulary_size: The number of terms.

    Complexity:
        O(postings of all segments + vocabulary_size).
    """
    new_ordinals, n_live = [], 0
    for segment, dead in zip(segments, tombstones, strict=True):
        alive = np.ones(segment.head.n_documents, bool) if dead is None else dead == 0
        numbers = np.where(alive, np.cumsum(alive) - 1 + n_live, -1).astype(np.int32)
        new_ordinals.append(numbers)
        n_live += int(alive.sum())
    if n_live == 0:
        return None
    counts = np.zeros(vocabulary_size, np.int64)
    for segment, numbers in zip(segments, new_ordinals, strict=True):
        kernels.count_postings(segment.head.term_ids, segment.head.starts, segment.ordinals, numbers, counts)
    cursors = np.cumsum(counts) - counts
    ordinals = np.empty(int(counts.sum()), np.uint16)
    weights = np.empty(len(ordinals), segments[0].weights.dtype)
    literal = np.empty(len(ordinals), np.bool_)
    for segment, numbers in zip(segments, new_ordinals, strict=True):
        head = segment.head
        kernels.append_postings(
            head.term_ids,
            head.starts,
            segment.ordinals,
            bits(segment.weights),
            segment.literal,
            numbers,
            cursors,
            ordinals,
            bits(weights),
            literal,
        )
    docnos = np.concatenate([s.head.docnos[n >= 0] for s, n in zip(segments, new_ordinals, strict=True)])
    scales = np.concatenate(
        [s.head.scales[n[: len(s.head.scales)] >= 0] for s, n in zip(segments, new_ordinals, strict=True)]
    )
    cut = np.concatenate([s.head.cut[n >= 0] for s, n in zip(segments, new_ordinals, strict=True)])
    return Segment(make_head(docnos, counts, weights, ordinals, scales, cut), ordinals, weights, literal)
