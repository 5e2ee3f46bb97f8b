"""A segment as a search sees it: its head, and the postings of the terms that queries have asked for."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.index.sqlite.kernels import pack_bits
from pixie_retrievers.index.sqlite.manifest import Manifest, SegmentEntry
from pixie_retrievers.index.sqlite.read_store import ReadStore
from pixie_retrievers.index.sqlite.scoring import N_COLUMNS
from pixie_retrievers.index.sqlite.segment import Head, Segment, block_key, decode_block, decode_head, segment_key
from pixie_retrievers.index.sqlite.tables import POSTINGS, SEGMENTS

__all__ = ["SegmentView", "address", "read_view", "segment_table"]

_BLOCKS_AT_ONCE = 64  # 100 KB each: what reading many terms may take in passing


class SegmentView:
    """A segment that reads a term's postings when a query first asks for them, and keeps them.

    The arrays are as long as the segment, but terms lie in them one behind the other in the order in which they were
    asked for, and the operating system backs only the pages that were written: a term that no query asked for costs no
    memory.

    Attributes:
        number: The segment's number.
        head: What it holds.
        weights: float32 or uint8, shape (n_postings,): those of the terms that were asked for, then nothing.
        row: int64, shape (N_COLUMNS,): the segment as compiled code sees it.
    """

    def __init__(self, number: int, head: Head, weights: str, vocabulary_size: int) -> None:
        self.number = number
        self.head = head
        self._places = np.full(vocabulary_size, -1, np.int32)
        self._places[head.term_ids] = np.arange(len(head.term_ids), dtype=np.int32)
        self._ordinals = _unbacked(head.n_postings, np.uint16)
        self.weights = _unbacked(head.n_postings, np.uint8 if weights == "uint8" else np.float32)
        self._literal = _unbacked((head.n_postings + 7) // 8, np.uint8)
        self._starts = np.zeros(len(head.term_ids), np.int64)
        self._ends = np.zeros(len(head.term_ids), np.int64)
        self._n_kept = 0
        self._format = weights
        self._lock = threading.Lock()
        arrays = (
            head.docnos,
            self._places,
            self._starts,
            self._ends,
            head.max_weights,
            self._ordinals,
            self.weights,
            head.scales,
            self._literal,
        )
        lengths = (head.n_documents, len(head.term_ids), head.n_postings)
        self.row = np.array([*lengths, *(address(array) for array in arrays)], np.int64)

    def load(self, store: ReadStore, query_terms: NDArray[np.int32]) -> None:
        """Read the blocks that hold the postings of the query's terms, check them, and keep those postings.

        Raises:
            CorruptIndexError: A block is missing or damaged.
        """
        head = self.head
        places = self._places[query_terms]
        places = places[places >= 0]
        with self._lock:
            missing = places[self._ends[places] == 0]
            blocks = np.searchsorted(head.blocks, missing, side="right") - 1
            wanted = np.unique(blocks).tolist()
            for first in range(0, len(wanted), _BLOCKS_AT_ONCE):
                part = wanted[first : first + _BLOCKS_AT_ONCE]
                frames = store.get_many(POSTINGS, [block_key(self.number, block) for block in part])
                for block in part:
                    frame = frames.pop(block_key(self.number, block), None)
                    ordinals, weights, literal = decode_block(self.number, block, frame, head, self._format)
                    offset = head.starts[head.blocks[block]]
                    for place in missing[blocks == block].tolist():
                        start, end = head.starts[place] - offset, head.starts[place + 1] - offset
                        kept = self._n_kept + int(end - start)
                        self._ordinals[self._n_kept : kept] = ordinals[start:end]
                        self.weights[self._n_kept : kept] = weights[start:end]
                        pack_bits(literal[start:end], self._literal, self._n_kept)
                        self._starts[place] = self._n_kept
                        self._ends[place] = self._n_kept = kept  # last: another thread looks here first

    def n_postings_of(self, query_terms: NDArray[np.int32]) -> int:
        """How many postings the terms have, in memory or not."""
        places = self._places[query_terms]
        places = places[places >= 0]
        return int((self.head.starts[places + 1] - self.head.starts[places]).sum())

    def renew_lock(self) -> None:
        """Forget a lock that another thread may have held when this process was forked."""
        self._lock = threading.Lock()

    def whole(self, store: ReadStore) -> Segment:
        """All postings, read afresh and not kept: what a merge needs."""
        ordinals = np.empty(self.head.n_postings, np.uint16)
        weights = np.empty(self.head.n_postings, self.weights.dtype)
        literal = np.empty(self.head.n_postings, np.bool_)
        for block in range(len(self.head.blocks) - 1):
            frame = store.get(POSTINGS, block_key(self.number, block))
            part, values, bits = decode_block(self.number, block, frame, self.head, self._format)
            start = self.head.starts[self.head.blocks[block]]
            ordinals[start : start + len(part)] = part
            weights[start : start + len(part)] = values
            literal[start : start + len(part)] = bits
        stored = weights.astype(np.float16) if self._format == "float16" else weights
        return Segment(self.head, ordinals, stored, literal)


def read_view(store: ReadStore, manifest: Manifest, entry: SegmentEntry) -> SegmentView:
    """A segment of a commit point, its head read and held to the manifest.

    Raises:
        CorruptIndexError: The head is missing or damaged, or contradicts the manifest.
    """
    head = decode_head(
        entry.number,
        store.get(SEGMENTS, segment_key(entry.number)),
        n_documents=entry.n_documents,
        n_postings=entry.n_postings,
        vocabulary_size=manifest.vocabulary_size,
    )
    return SegmentView(entry.number, head, manifest.weights, manifest.vocabulary_size)


def segment_table(views: Sequence[SegmentView]) -> NDArray[np.int64]:
    """int64, shape (len(views), N_COLUMNS): segments as compiled code sees them, for as long as the views live."""
    return np.array([view.row for view in views], np.int64).reshape(len(views), N_COLUMNS)


def address(array: NDArray[Any]) -> int:
    """Where an array lies; 0 for one that is empty."""
    return int(array.__array_interface__["data"][0]) if len(array) else 0


def _unbacked(length: int, dtype: type[Any]) -> NDArray[Any]:
    """An array whose memory counts page by page, as it is written.

    numpy's own large arrays ask for huge pages, of which a single posting would fill 2 MB.
    """
    size = length * np.dtype(dtype).itemsize
    if size == 0:
        return np.empty(0, dtype)
    if os.name == "nt":
        return np.frombuffer(mmap.mmap(-1, size), dtype)
    return np.frombuffer(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), dtype)  # not shared with a fork
