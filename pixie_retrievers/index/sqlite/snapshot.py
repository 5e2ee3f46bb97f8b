"""A reader's view of one commit point: its segments, its documents, and which of them a filter lets pass."""

from __future__ import annotations

import mmap
import os
import threading
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.errors import CorruptIndexError
from pixie_retrievers.filters import Filter, compile_filter, filter_fields, filter_key
from pixie_retrievers.index.sqlite.codec import Kind, decode_arrays, decode_row, decode_rows
from pixie_retrievers.index.sqlite.columns import Column, column_key, decode_column, passing_documents
from pixie_retrievers.index.sqlite.manifest import Manifest, SegmentEntry
from pixie_retrievers.index.sqlite.scoring import N_COLUMNS
from pixie_retrievers.index.sqlite.segment import Head, Segment, block_key, decode_block, decode_head, segment_key
from pixie_retrievers.index.sqlite.store import COLUMNS, DOCUMENTS, IDS, POSTINGS, SEGMENTS, TOMBSTONES, ReadStore
from pixie_retrievers.types import Document

__all__ = ["Allowed", "Kept", "SegmentView", "Snapshot", "address", "docno_key", "read_view", "segment_table"]

_ALL = np.zeros(0, np.uint8)
_BLOCKS_AT_ONCE = 64  # 100 KB each: what reading many terms may take in passing


def docno_key(docno: int) -> str:
    """What stands for an insertion number in the checksum of a document's row."""
    return f"{docno:016d}"


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
                    ordinals, weights = decode_block(self.number, block, frame, head, self._format)
                    offset = head.starts[head.blocks[block]]
                    for place in missing[blocks == block].tolist():
                        start, end = head.starts[place] - offset, head.starts[place + 1] - offset
                        kept = self._n_kept + int(end - start)
                        self._ordinals[self._n_kept : kept] = ordinals[start:end]
                        self.weights[self._n_kept : kept] = weights[start:end]
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
        for block in range(len(self.head.blocks) - 1):
            frame = store.get(POSTINGS, block_key(self.number, block))
            part, values = decode_block(self.number, block, frame, self.head, self._format)
            start = self.head.starts[self.head.blocks[block]]
            ordinals[start : start + len(part)] = part
            weights[start : start + len(part)] = values
        stored = weights.astype(np.float16) if self._format == "float16" else weights
        return Segment(self.head, ordinals, stored)


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


class Allowed(NamedTuple):
    """Which documents a search may find.

    Attributes:
        masks: uint8, shape (n_documents,), a segment: 1 where a live document passes the filter; empty when all do.
        addresses: int64, shape (n_segments,): where the masks lie, for compiled code.
    """

    masks: Sequence[NDArray[np.uint8]]
    addresses: NDArray[np.int64]


class Kept:
    """What is kept of segments from search to search: they never change, so it stays true.

    Attributes:
        live: By (segment, number of tombstones): uint8, shape (n_documents,): 1 for each document that can be found.
        passing: By (segment, number of tombstones, filter): uint8, shape (n_documents,): 1 for each live document that
            passes the filter. The number is there for a snapshot from before a delete, to which the document counts.
        unfiltered: What a search without a filter may find at one commit point.
    """

    def __init__(self) -> None:
        self.unfiltered: tuple[Manifest, Allowed] | None = None
        self.live: dict[tuple[int, int], NDArray[np.uint8]] = {}
        self.passing: dict[tuple[int, int, str], NDArray[np.uint8]] = {}

    def forget_all_but(self, entries: Sequence[SegmentEntry]) -> None:
        """Drop what belongs to segments, or to states of segments, that are gone."""
        self.unfiltered = None
        states = {(entry.number, entry.n_deleted) for entry in entries}
        # Listed first, at one go: searches of other threads add to both meanwhile.
        self.live = {key: mask for key, mask in list(self.live.items()) if key in states}
        self.passing = {key: mask for key, mask in list(self.passing.items()) if key[:2] in states}


class Snapshot:
    """One commit point, for as long as the store's transaction lasts.

    Args:
        store: A reading connection inside a transaction.
        manifest: The commit point.
        views: The manifest's segments, in its order.
        kept: What is known of segments from searches before.
        table: :func:`segment_table` of the views, when the caller keeps it.
    """

    def __init__(
        self,
        store: ReadStore,
        manifest: Manifest,
        views: Sequence[SegmentView],
        kept: Kept,
        table: NDArray[np.int64] | None = None,
    ) -> None:
        self.store = store
        self.manifest = manifest
        self.views = views
        self._kept = kept
        self._table = table

    @property
    def table(self) -> NDArray[np.int64]:
        """int64, shape (n_segments, N_COLUMNS): the segments as compiled code sees them."""
        return segment_table(self.views) if self._table is None else self._table

    def expected_postings(self, query_terms: NDArray[np.int32]) -> float:
        """About how many postings the terms have, judged by the first segment."""
        first = self.views[0]
        return first.n_postings_of(query_terms) / first.head.n_documents * self.manifest.n_live

    def docnos(self, ids: Sequence[str]) -> dict[str, int]:
        """The insertion numbers of the ids that are there."""
        return {str(id): int(decode_row(str(id), row, 1)[0]) for id, row in self.store.get_many(IDS, ids).items()}

    def documents(self, docnos: Sequence[int]) -> dict[int, Document]:
        """The documents under some insertion numbers.

        Raises:
            CorruptIndexError: One is missing or damaged.
        """
        rows = self.store.get_many(DOCUMENTS, docnos)
        values = decode_rows([docno_key(docno) for docno in docnos], [rows.get(docno) for docno in docnos], 3)
        return {docno: Document(*parts) for docno, parts in zip(docnos, values, strict=True)}

    def ids(self, filter: Filter | None, limit: int | None) -> list[str]:
        """The ids of the first live documents that pass the filter, in insertion order."""
        found: list[str] = []
        for position, entry in enumerate(self.manifest.segments):
            if limit is not None and len(found) >= limit:
                break
            allowed, docnos = self._allowed(position, entry, filter), self.views[position].head.docnos
            passing = docnos[allowed == 1] if len(allowed) else docnos
            wanted = passing[: None if limit is None else limit - len(found)].tolist()
            documents = self.documents(wanted)
            found.extend(documents[docno].id for docno in wanted)
        return found

    def tombstones(self, position: int) -> NDArray[np.uint8] | None:
        """uint8, shape (n_documents,): 1 for each deleted document of a segment; None when it has none."""
        entry, view = self.manifest.segments[position], self.views[position]
        if entry.n_deleted == 0:
            return None
        key = segment_key(entry.number)
        (bitmap,) = decode_arrays(Kind.TOMBSTONES, key, self.store.get(TOMBSTONES, key), "u1")
        dead = np.unpackbits(bitmap)[: view.head.n_documents]
        if len(dead) != view.head.n_documents or int(dead.sum()) != entry.n_deleted:
            raise CorruptIndexError(f"tombstones {key} contradict the manifest: restore the file from a copy")
        return dead

    def locate(self, docno: int) -> tuple[int, int]:
        """The position of the segment that holds an insertion number, and the ordinal in it."""
        position = bisect_right(self.views, docno, key=lambda view: int(view.head.docnos[0])) - 1
        if position >= 0:
            docnos = self.views[position].head.docnos
            ordinal = int(np.searchsorted(docnos, docno))
            if ordinal < len(docnos) and docnos[ordinal] == docno:
                return position, ordinal
        raise CorruptIndexError(f"document number {docno} is in no segment: restore the file from a copy")

    def allowed(self, filter: Filter | None) -> Allowed:
        """Which documents a search with this filter may find."""
        known = self._kept.unfiltered
        if filter is None and known is not None and known[0] is self.manifest:
            return known[1]
        masks = [self._allowed(position, entry, filter) for position, entry in enumerate(self.manifest.segments)]
        found = Allowed(masks, np.array([address(mask) for mask in masks], np.int64))
        if filter is None:
            self._kept.unfiltered = (self.manifest, found)
        return found

    def _allowed(self, position: int, entry: SegmentEntry, filter: Filter | None) -> NDArray[np.uint8]:
        if filter is not None:
            passing = self._passing(position, filter)
            return passing * self._live(position) if entry.n_deleted else passing
        return self._live(position) if entry.n_deleted else _ALL

    def _live(self, position: int) -> NDArray[np.uint8]:
        entry = self.manifest.segments[position]
        mask = self._kept.live.get((entry.number, entry.n_deleted))
        if mask is None:
            dead = self.tombstones(position)
            mask = np.ones(entry.n_documents, np.uint8) if dead is None else 1 - dead
            self._kept.live[entry.number, entry.n_deleted] = mask
        return mask

    def _passing(self, position: int, filter: Filter) -> NDArray[np.uint8]:
        entry, docnos = self.manifest.segments[position], self.views[position].head.docnos
        text = filter_key(filter)
        key = None if text is None else (entry.number, entry.n_deleted, text)
        mask = None if key is None else self._kept.passing.get(key)
        if mask is not None:
            return mask
        predicate, fields = compile_filter(filter), filter_fields(filter)
        if fields is not None and fields <= set(self.manifest.fields):
            columns = {field: self.column(position, field) for field in sorted(fields)}
            mask = passing_documents(columns, predicate, len(docnos))
        else:
            mask = np.zeros(len(docnos), np.uint8)
            for ordinal, metadata in self.metadata(position).items():
                mask[ordinal] = bool(predicate(metadata))
        if key is not None:
            self._kept.passing[key] = mask
        return mask

    def column(self, position: int, field: str) -> Column:
        """An indexed field of a segment's documents."""
        entry = self.manifest.segments[position]
        frame = self.store.get(COLUMNS, column_key(entry.number, field))
        return decode_column(entry.number, field, frame, entry.n_documents)

    def metadata(self, position: int) -> dict[int, Mapping[str, Any]]:
        """The metadata of a segment's live documents, by ordinal.

        Raises:
            CorruptIndexError: A row is missing or damaged.
        """
        entry, docnos = self.manifest.segments[position], self.views[position].head.docnos
        found: dict[int, Mapping[str, Any]] = {}
        for docno, row in self.store.range(DOCUMENTS, int(docnos[0]), int(docnos[-1])):
            _, _, metadata = decode_row(docno_key(int(docno)), row, 3)  # the key verifies with its row
            ordinal = int(np.searchsorted(docnos, int(docno)))
            if ordinal < len(docnos) and docnos[ordinal] == int(docno):
                found[ordinal] = metadata
        if len(found) != entry.n_live:
            raise CorruptIndexError(
                f"segment {entry.number} has {entry.n_live} documents, but the rows of {len(found)}: restore the file"
                " from a copy"
            )
        return found
