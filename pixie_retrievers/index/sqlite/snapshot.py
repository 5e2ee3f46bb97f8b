"""A reader's view of one commit point: look documents up, and search."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.errors import CorruptIndexError
from pixie_retrievers.filters import Filter, compile_filter, filter_key
from pixie_retrievers.index.sqlite import kernels
from pixie_retrievers.index.sqlite.codec import Kind, decode_arrays, decode_row
from pixie_retrievers.index.sqlite.manifest import Manifest
from pixie_retrievers.index.sqlite.segment import Head, Segment, block_key, decode_block, segment_key
from pixie_retrievers.index.sqlite.store import DOCUMENTS, IDS, METADATA, POSTINGS, TOMBSTONES, ReadStore
from pixie_retrievers.types import Document, Hit, SparseVectors, TermMatches

__all__ = ["SegmentView", "Snapshot", "docno_key"]


def docno_key(docno: int) -> str:
    """The key of a document's rows; the order of keys is the order of insertion."""
    return f"{docno:016d}"


class SegmentView:
    """A segment that reads its postings when they are first needed, and keeps them.

    The arrays are as long as the segment, but the operating system backs only the pages that were written: a term that
    no query asked for costs no memory.

    Attributes:
        number: The segment's number.
        head: What it holds.
        ordinals: uint16, shape (n_postings,): valid where loaded.
        weights: float32 or uint8, shape (n_postings,): valid where loaded.
        loaded: uint8, shape (n_terms,): 1 for each term whose postings are in memory.
    """

    def __init__(self, number: int, head: Head, weights: str) -> None:
        self.number = number
        self.head = head
        self.ordinals = np.empty(head.n_postings, np.uint16)
        self.weights = np.empty(head.n_postings, np.uint8 if weights == "uint8" else np.float32)
        self.loaded = np.zeros(len(head.term_ids), np.uint8)
        self._format = weights
        self._lock = threading.Lock()

    def load(self, store: ReadStore, query_terms: NDArray[np.int32]) -> None:
        """Read the blocks that hold the postings of the query's terms, and check them.

        Raises:
            CorruptIndexError: A block is missing or damaged.
        """
        head = self.head
        places = np.flatnonzero(np.isin(head.term_ids, query_terms, assume_unique=True))
        blocks = np.unique(np.searchsorted(head.blocks, places[self.loaded[places] == 0], side="right") - 1).tolist()
        with self._lock:
            frames = store.get_many(POSTINGS, [block_key(self.number, block) for block in blocks])
            for block in blocks:
                frame = frames.pop(block_key(self.number, block), None)
                ordinals, weights = decode_block(self.number, block, frame, head, self._format)
                first, last = head.blocks[block : block + 2]
                start, end = head.starts[first], head.starts[last]
                self.ordinals[start:end] = ordinals
                self.weights[start:end] = weights
                self.loaded[first:last] = 1

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


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Documents of one segment that may belong to the k best, and their scores to within a rounding."""

    view: SegmentView
    ordinals: NDArray[np.uint16]
    scores: NDArray[np.float32]


class Snapshot:
    """One commit point, for as long as the store's transaction lasts.

    Args:
        store: A reading connection inside a transaction.
        manifest: The commit point.
        views: The manifest's segments, in its order.
        passing: Which documents of a segment pass a filter, kept from query to query by (segment, filter).
    """

    def __init__(
        self,
        store: ReadStore,
        manifest: Manifest,
        views: Sequence[SegmentView],
        passing: dict[tuple[int, str], NDArray[np.uint8]],
    ) -> None:
        self.store = store
        self.manifest = manifest
        self.views = views
        self._passing = passing
        self._firsts = [int(view.head.docnos[0]) for view in views]

    def docnos(self, ids: Sequence[str]) -> dict[str, int]:
        """The insertion numbers of the ids that are there."""
        return {id: int(decode_row(id, row, 1)[0]) for id, row in self.store.get_many(IDS, ids).items()}

    def documents(self, docnos: Sequence[int]) -> dict[int, Document]:
        """The documents under some insertion numbers.

        Raises:
            CorruptIndexError: One is missing or damaged.
        """
        keys = [docno_key(docno) for docno in docnos]
        rows = self.store.get_joined(DOCUMENTS, METADATA, keys)
        found: dict[int, Document] = {}
        for docno, key in zip(docnos, keys, strict=True):
            text_row, metadata_row = rows.get(key, (None, None))
            id, text = decode_row(key, text_row, 2)
            found[docno] = Document(id, text, decode_row(key, metadata_row, 1)[0])
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
        position = bisect_right(self._firsts, docno) - 1
        if position >= 0:
            docnos = self.views[position].head.docnos
            ordinal = int(np.searchsorted(docnos, docno))
            if ordinal < len(docnos) and docnos[ordinal] == docno:
                return position, ordinal
        raise CorruptIndexError(f"document number {docno} is in no segment: restore the file from a copy")

    def search(self, query: SparseVectors, k: int, filter: Filter | None) -> list[Hit]:
        """The k best documents of one query: score descending, ties by insertion number.

        Scores are summed in float32 to choose candidates, with a margin for every rounding that can have happened, and
        then again in float64, term by term in ascending order: results do not depend on how documents lie in segments.
        """
        n_terms = len(query.term_ids)
        if n_terms == 0 or k == 0:
            return []
        # Each of the n products and sums may be off by half an ulp (2**-24), twice: for the k-th and for the candidate.
        margin = 1 - (n_terms + 8) * 2.0**-23
        best, n_best = np.empty(min(k, max(1, self.manifest.n_live)), np.float32), 0
        largest = max((view.head.n_documents for view in self.views), default=0)
        scores = np.zeros(kernels.WINDOW, np.float32)
        found, found_scores = np.empty(largest, np.uint16), np.empty(largest, np.float32)
        candidates: list[_Candidates] = []
        for position, view in enumerate(self.views):
            head, allowed = view.head, self._allowed(position, filter)
            while True:
                n_best, n_found = kernels.search_segment(
                    head.term_ids,
                    head.starts,
                    head.max_weights,
                    view.loaded,
                    view.ordinals,
                    view.weights,
                    head.scales,
                    allowed,
                    query.term_ids,
                    query.weights,
                    margin,
                    scores,
                    best,
                    n_best,
                    found[: head.n_documents],
                    found_scores,
                )
                if n_found >= 0:
                    break
                view.load(self.store, query.term_ids)
            if n_found:
                candidates.append(_Candidates(view, found[:n_found].copy(), found_scores[:n_found].copy()))
        return self._hits(query, k, candidates, best[0] * margin if n_best == len(best) else 0.0)

    def _hits(self, query: SparseVectors, k: int, candidates: Sequence[_Candidates], cutoff: float) -> list[Hit]:
        docnos, scores, rows = [], [], []
        for part in candidates:
            ordinals = part.ordinals[part.scores >= cutoff]
            part_scores, part_rows = self._scores(part.view, query, ordinals)
            docnos.append(part.view.head.docnos[ordinals])
            scores.append(part_scores)
            rows.append(part_rows)
        if not docnos:
            return []
        all_docnos, all_scores, weights = np.concatenate(docnos), np.concatenate(scores), np.concatenate(rows)
        order = np.lexsort((all_docnos, -all_scores))[:k]
        documents = self.documents(all_docnos[order].tolist())
        return [
            Hit(documents[docno], score, _matches(query, weights[row]))
            for row, docno, score in zip(
                order.tolist(), all_docnos[order].tolist(), all_scores[order].tolist(), strict=True
            )
        ]

    def match(self, query: SparseVectors, docno: int) -> TermMatches:
        """The terms that a query shares with one document."""
        position, ordinal = self.locate(docno)
        view = self.views[position]
        view.load(self.store, query.term_ids)
        return _matches(query, self._scores(view, query, np.array([ordinal], np.uint16))[1][0])

    @staticmethod
    def _scores(
        view: SegmentView, query: SparseVectors, wanted: NDArray[np.uint16]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Scores, shape (n,), and the weights that made them, shape (n, n_terms), of a segment's documents."""
        head = view.head
        scores = np.zeros(len(wanted), np.float64)
        weights = np.zeros((len(wanted), len(query.term_ids)), np.float32)
        kernels.score_documents(
            head.term_ids,
            head.starts,
            view.ordinals,
            view.weights,
            head.scales,
            wanted,
            query.term_ids,
            query.weights,
            weights,
            scores,
        )
        return scores, weights

    def _allowed(self, position: int, filter: Filter | None) -> NDArray[np.uint8]:
        """uint8, shape (n_documents,): 1 for each live document that passes the filter; empty when all do."""
        dead = self.tombstones(position)
        if filter is None:
            return np.zeros(0, np.uint8) if dead is None else 1 - dead
        passing = self._filtered(self.views[position], filter)
        return passing if dead is None else passing * (1 - dead)

    def _filtered(self, view: SegmentView, filter: Filter) -> NDArray[np.uint8]:
        key = filter_key(filter)
        if key is not None and (view.number, key) in self._passing:
            return self._passing[view.number, key]
        predicate = compile_filter(filter)
        docnos = view.head.docnos
        passing = np.zeros(len(docnos), np.uint8)
        for row_key, metadata in _metadata(self.store, int(docnos[0]), int(docnos[-1])):
            ordinal = int(np.searchsorted(docnos, row_key))
            if ordinal < len(docnos) and docnos[ordinal] == row_key and predicate(metadata):
                passing[ordinal] = 1
        if key is not None:
            self._passing[view.number, key] = passing
        return passing


def _metadata(store: ReadStore, first: int, last: int) -> list[tuple[int, Mapping[str, Any]]]:
    rows = store.range(METADATA, docno_key(first), docno_key(last))
    return [(int(key), decode_row(key, row, 1)[0]) for key, row in rows]


def _matches(query: SparseVectors, document_weights: NDArray[np.float32]) -> TermMatches:
    shared = np.flatnonzero(document_weights)
    return TermMatches(query.term_ids[shared], query.weights[shared], document_weights[shared])
