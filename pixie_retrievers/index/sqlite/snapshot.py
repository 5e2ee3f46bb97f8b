"""A reader's view of one commit point: its segments, its documents, and which of them a filter lets pass."""

from __future__ import annotations

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
from pixie_retrievers.index.sqlite.segment import segment_key
from pixie_retrievers.index.sqlite.store import COLUMNS, DOCUMENTS, IDS, TOMBSTONES, VECTORS, ReadStore
from pixie_retrievers.index.sqlite.vectors import StoredVectors, decode_vectors
from pixie_retrievers.index.sqlite.view import SegmentView, address, segment_table
from pixie_retrievers.types import Document

__all__ = ["Allowed", "SegmentCache", "Snapshot", "docno_key"]

_ALL = np.zeros(0, np.uint8)


def docno_key(docno: int) -> str:
    """What stands for an insertion number in the checksum of a document's row."""
    return f"{docno:016d}"


class Allowed(NamedTuple):
    """Which documents a search may find.

    Attributes:
        masks: uint8, shape (n_documents,), a segment: 1 where a live document passes the filter; empty when all do.
        addresses: int64, shape (n_segments,): where the masks lie, for compiled code.
    """

    masks: Sequence[NDArray[np.uint8]]
    addresses: NDArray[np.int64]


class SegmentCache:
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
        cache: What is known of segments from searches before.
        table: :func:`segment_table` of the views, when the caller keeps it.
    """

    def __init__(
        self,
        store: ReadStore,
        manifest: Manifest,
        views: Sequence[SegmentView],
        cache: SegmentCache,
        table: NDArray[np.int64] | None = None,
    ) -> None:
        self.store = store
        self.manifest = manifest
        self.views = views
        self._cache = cache
        self._table = table

    @property
    def table(self) -> NDArray[np.int64]:
        """int64, shape (n_segments, N_COLUMNS): the segments as compiled code sees them."""
        return segment_table(self.views) if self._table is None else self._table

    def expected_postings(self, query_terms: NDArray[np.int32]) -> float:
        """About how many postings the terms have, judged by the first segment."""
        if not self.views:
            return 0.0
        first = self.views[0]
        return first.n_postings_of(query_terms) / first.head.n_documents * self.manifest.n_live

    def docnos(self, ids: Sequence[str]) -> dict[str, int]:
        """The insertion numbers of the ids that are there.

        Raises:
            CorruptIndexError: A row is damaged.
        """
        rows = self.store.get_many(IDS, ids)
        found = [str(id) for id in rows]
        return {id: int(docno) for id, (docno,) in zip(found, decode_rows(found, list(rows.values()), 1), strict=True)}

    def documents(self, docnos: Sequence[int]) -> list[Document]:
        """The documents under some insertion numbers, in order.

        Raises:
            CorruptIndexError: One is missing or damaged.
        """
        rows = self.store.get_many(DOCUMENTS, docnos)
        values = decode_rows([docno_key(docno) for docno in docnos], [rows.get(docno) for docno in docnos], 3)
        return [Document(*parts) for parts in values]

    def vectors(self, docnos: Sequence[int]) -> StoredVectors:
        """The whole vectors of the documents under some insertion numbers.

        Raises:
            CorruptIndexError: One is missing or damaged.
        """
        rows = self.store.get_many(VECTORS, docnos)
        return decode_vectors(docnos, rows, self.manifest.weights, self.manifest.vocabulary_size)

    def ids(self, filter: Filter | None, limit: int | None) -> list[str]:
        """The ids of the first live documents that pass the filter, in insertion order."""
        found: list[str] = []
        for position, entry in enumerate(self.manifest.segments):
            if limit is not None and len(found) >= limit:
                break
            allowed, docnos = self._allowed(position, entry, filter), self.views[position].head.docnos
            passing = docnos[allowed == 1] if len(allowed) else docnos
            wanted = passing[: None if limit is None else limit - len(found)].tolist()
            found.extend(document.id for document in self.documents(wanted))
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
        known = self._cache.unfiltered
        if filter is None and known is not None and known[0] is self.manifest:
            return known[1]
        masks = [self._allowed(position, entry, filter) for position, entry in enumerate(self.manifest.segments)]
        found = Allowed(masks, np.array([address(mask) for mask in masks], np.int64))
        if filter is None:
            self._cache.unfiltered = (self.manifest, found)
        return found

    def only(self, docnos: NDArray[np.int64], allowed: Allowed) -> Allowed:
        """Of the documents that are allowed, those with these insertion numbers, ascending."""
        masks = []
        for view, passing in zip(self.views, allowed.masks, strict=True):
            its_docnos = view.head.docnos
            first = np.searchsorted(docnos, its_docnos[0])
            last = np.searchsorted(docnos, its_docnos[-1], side="right")
            ordinals = np.searchsorted(its_docnos, docnos[first:last])
            if not np.array_equal(its_docnos[ordinals], docnos[first:last]):
                raise CorruptIndexError("an id leads to a document that is in no segment: restore the file from a copy")
            mask = np.zeros(len(its_docnos), np.uint8)
            mask[ordinals] = 1
            masks.append(mask * passing if len(passing) else mask)
        return Allowed(masks, np.array([address(mask) for mask in masks], np.int64))

    def _allowed(self, position: int, entry: SegmentEntry, filter: Filter | None) -> NDArray[np.uint8]:
        if filter is not None:
            passing = self._passing(position, filter)
            return passing * self._live(position) if entry.n_deleted else passing
        return self._live(position) if entry.n_deleted else _ALL

    def _live(self, position: int) -> NDArray[np.uint8]:
        entry = self.manifest.segments[position]
        mask = self._cache.live.get((entry.number, entry.n_deleted))
        if mask is None:
            dead = self.tombstones(position)
            mask = np.ones(entry.n_documents, np.uint8) if dead is None else 1 - dead
            self._cache.live[entry.number, entry.n_deleted] = mask
        return mask

    def _passing(self, position: int, filter: Filter) -> NDArray[np.uint8]:
        entry, docnos = self.manifest.segments[position], self.views[position].head.docnos
        text = filter_key(filter)
        key = None if text is None else (entry.number, entry.n_deleted, text)
        mask = None if key is None else self._cache.passing.get(key)
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
            self._cache.passing[key] = mask
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
