"""A reader's view of one commit point: its segments, its documents, and which of them a filter lets pass."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.errors import CorruptIndexError
from pixie_retrievers.filters import Condition
from pixie_retrievers.index.sqlite.codec import decode_rows
from pixie_retrievers.index.sqlite.columns.among import SumSet
from pixie_retrievers.index.sqlite.columns.column import Column, SegmentColumns
from pixie_retrievers.index.sqlite.columns.stored import read_columns, read_directory, read_id_sums
from pixie_retrievers.index.sqlite.manifest import Manifest, SegmentEntry
from pixie_retrievers.index.sqlite.masks import Allowed, MaskCache, Masks, read_tombstones
from pixie_retrievers.index.sqlite.read_store import ReadStore
from pixie_retrievers.index.sqlite.tables import DOCUMENTS, IDS, VECTORS
from pixie_retrievers.index.sqlite.vectors import StoredVectors, decode_vectors
from pixie_retrievers.index.sqlite.view import SegmentView, address, segment_table
from pixie_retrievers.types import Document

__all__ = ["Snapshot", "docno_key"]

_ID_BYTES = 57
"""What Python takes for an id beside its characters, and for its place in a tuple."""

_DOCUMENTS_AN_ID = 300
"""Looking one id up costs as much as reading the checksums of so many."""


def docno_key(docno: int) -> str:
    """What stands for an insertion number in the checksum of a document's row."""
    return f"{docno:016d}"


class Snapshot:
    """One commit point, for as long as the store's transaction lasts.

    Args:
        store: A reading connection inside a transaction.
        manifest: The commit point.
        views: The manifest's segments, in its order.
        cache: What is known of its masks from searches before.
        table: :func:`segment_table` of the views, when the caller keeps it.
    """

    def __init__(
        self,
        store: ReadStore,
        manifest: Manifest,
        views: Sequence[SegmentView],
        cache: MaskCache,
        table: NDArray[np.int64] | None = None,
    ) -> None:
        self.store = store
        self.manifest = manifest
        self.views = views
        self._cache = cache
        self._masks = Masks(store, manifest, views, self.documents, cache)
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
        docnos = [docno for (docno,) in decode_rows(found, list(rows.values()), int)]
        if docnos and not 0 <= min(docnos) <= max(docnos) < self.manifest.next_docno:
            raise CorruptIndexError("an id leads to a document that never was: restore the file from a copy")
        return dict(zip(found, docnos, strict=True))

    def documents(self, docnos: Sequence[int]) -> list[Document]:
        """The documents under some insertion numbers, in order.

        Raises:
            CorruptIndexError: One is missing or damaged.
        """
        rows = self.store.get_many(DOCUMENTS, docnos)
        values = decode_rows(
            [docno_key(docno) for docno in docnos], [rows.get(docno) for docno in docnos], str, str, dict
        )
        return [Document(*parts) for parts in values]

    def vectors(self, docnos: Sequence[int]) -> StoredVectors:
        """The whole vectors of the documents under some insertion numbers.

        Raises:
            CorruptIndexError: One is missing or damaged.
        """
        rows = self.store.get_many(VECTORS, docnos)
        return decode_vectors(docnos, rows, self.manifest.weights, self.manifest.vocabulary_size)

    def ids(self, condition: Condition | None, page: slice) -> list[str]:
        """The ids of a part of the live documents that pass, in insertion order."""
        found: list[str] = []
        start, stop = page.start, page.stop
        for position in range(len(self.views)):
            if stop is not None and stop <= 0:
                break
            passing = self.passing(position, condition)
            found.extend(document.id for document in self.documents(passing[start:stop].tolist()))
            start, stop = max(0, start - len(passing)), None if stop is None else stop - len(passing)
        return found

    def count(self, condition: Condition | None) -> int:
        """How many live documents pass."""
        return sum(len(self.passing(position, condition)) for position in range(len(self.views)))

    def column(self, position: int, field: str) -> Column | None:
        """A segment's column of a field, ABSENT where no document has it; None where only the documents know of it."""
        return self._masks.column(position, field)

    def passing(self, position: int, condition: Condition | None) -> NDArray[np.int64]:
        """The insertion numbers of a segment's live documents that pass."""
        allowed, docnos = self._masks.of_segment(position, condition), self.views[position].head.docnos
        return docnos[allowed == 1] if len(allowed) else docnos

    def docnos_after(self, docno: int, n: int) -> list[int]:
        """The first n insertion numbers above one, of live documents, ascending."""
        found: list[int] = []
        for position, view in enumerate(self.views):
            docnos = view.head.docnos
            if docnos[-1] > docno:
                live = self.passing(position, None)
                found += live[live > docno][: n - len(found)].tolist()
                if len(found) == n:
                    break
        return found

    def tombstones(self, position: int) -> NDArray[np.uint8] | None:
        """uint8, shape (n_documents,): 1 for each deleted document of a segment; None when it has none."""
        return read_tombstones(self.store, self.manifest.segments[position])

    def n_cut(self) -> int:
        """How many of the documents that can be found have a text of which the model read only a part.

        Raises:
            CorruptIndexError: The tombstones of a segment with such documents are damaged.
        """
        found = 0
        for position, view in enumerate(self.views):
            if view.head.cut.any():
                dead = self.tombstones(position)
                found += int(view.head.cut.sum() if dead is None else view.head.cut[dead == 0].sum())
        return found

    def columns(self, position: int) -> SegmentColumns:
        """The metadata fields of a segment's documents."""
        entry = self.manifest.segments[position]
        return read_columns(self.store, entry.number, entry.n_documents)

    def locate(self, docno: int) -> tuple[int, int]:
        """The position of the segment that holds an insertion number, and the ordinal in it."""
        position = bisect_right(self.views, docno, key=lambda view: int(view.head.docnos[0])) - 1
        if position >= 0:
            docnos = self.views[position].head.docnos
            ordinal = int(np.searchsorted(docnos, docno))
            if ordinal < len(docnos) and docnos[ordinal] == docno:
                return position, ordinal
        raise CorruptIndexError(f"document number {docno} is in no segment: restore the file from a copy")

    def allowed(self, condition: Condition | None) -> Allowed:
        """Which documents a search under this condition may find."""
        return self._masks.allowed(condition)

    def among(self, ids: Sequence[str], condition: Condition | None, *, exactly: bool = False) -> Allowed:
        """Which of the documents under some ids a search under this condition may find.

        Args:
            ids: Those that are not there are left out.
            condition: None for all documents under the ids.
            exactly: Look every id up. Otherwise a document may be allowed whose id has the checksum of one of them.
        """
        key = (None if condition is None else condition.key, tuple(ids))
        cached = condition is None or condition.key is not None
        found = self._cache.allowed(self.manifest, key) if cached and not exactly else None
        if found is None:
            are_few = len(ids) * _DOCUMENTS_AN_ID < self.manifest.n_live
            sums = [] if exactly or are_few else [self._id_sums(entry) for entry in self.manifest.segments]
            known = [part for part in sums if part is not None]
            if len(known) == len(self.views):
                wanted = SumSet(ids)
                found = _both([wanted.mask(part) for part in known], self.allowed(condition))
            else:
                docnos = np.array(sorted(self.docnos(sorted(set(ids))).values()), np.int64)
                found = self.only(docnos, self.allowed(condition))
            if cached:
                n_bytes = sum(map(len, ids)) + _ID_BYTES * len(ids) + (0 if condition is None else condition.key_bytes)
                self._cache.keep_allowed(self.manifest, key, found, n_bytes)
        return found

    def only(self, docnos: NDArray[np.int64], allowed: Allowed) -> Allowed:
        """Of the documents that are allowed, those with these insertion numbers, ascending."""
        masks = []
        for view in self.views:
            its_docnos = view.head.docnos
            first = np.searchsorted(docnos, its_docnos[0])
            last = np.searchsorted(docnos, its_docnos[-1], side="right")
            ordinals = np.searchsorted(its_docnos, docnos[first:last])
            if not np.array_equal(its_docnos[ordinals], docnos[first:last]):
                raise CorruptIndexError("an id leads to a document that is in no segment: restore the file from a copy")
            mask = np.zeros(len(its_docnos), np.uint8)
            mask[ordinals] = 1
            masks.append(mask)
        return _both(masks, allowed)

    def _id_sums(self, entry: SegmentEntry) -> NDArray[np.int32] | None:
        directory = self._cache.directory(entry, lambda: read_directory(self.store, entry.number))
        return read_id_sums(self.store, directory, entry.n_documents)


def _both(masks: Sequence[NDArray[np.uint8]], allowed: Allowed) -> Allowed:
    """The documents of these masks, a segment each, that are allowed too."""
    both = [mask & passing if len(passing) else mask for mask, passing in zip(masks, allowed.masks, strict=True)]
    return Allowed(both, np.array([address(mask) for mask in both], np.int64))
