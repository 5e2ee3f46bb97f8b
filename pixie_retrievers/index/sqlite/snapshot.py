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
    """

    def __init__(self, number: int, head: Head, weights: str) -> None:
        self.number = number
        self.head = head
        self._format = weights
        self._ordinals = np.empty(head.n_postings, np.uint16)
        self._weights = np.empty(head.n_postings, np.uint8 if weights == "uint8" else np.float32)
        self._loaded = np.zeros(len(head.blocks) - 1, bool)
        self._lock = threading.Lock()

    def postings(
        self, store: ReadStore, query_terms: NDArray[np.int32]
    ) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16], NDArray[Any]]:
        """The postings of the query's terms that the segment has.

        Returns:
            Which of ``query_terms`` it has; where their postings start and end; all ordinals and weights.
        """
        head = self.head
        places = np.searchsorted(head.term_ids, query_terms)
        places[places == len(head.term_ids)] = 0
        present = np.flatnonzero(head.term_ids[places] == query_terms) if len(head.term_ids) else places[:0]
        places = places[present]
        blocks = np.searchsorted(head.blocks, places, side="right") - 1
        if not self._loaded[blocks].all():
            self._load(store, blocks)
        return present, head.starts[places], head.starts[places + 1], self._ordinals, self._weights

    def _load(self, store: ReadStore, blocks: NDArray[np.intp]) -> None:
        with self._lock:
            missing = np.unique(blocks[~self._loaded[blocks]]).tolist()
            frames = store.get_many(POSTINGS, [block_key(self.number, block) for block in missing])
            for block in missing:
                frame = frames.pop(block_key(self.number, block), None)
                ordinals, weights = decode_block(self.number, block, frame, self.head, self._format)
                start = self.head.starts[self.head.blocks[block]]
                self._ordinals[start : start + len(ordinals)] = ordinals
                self._weights[start : start + len(ordinals)] = weights
                self._loaded[block] = True

    def renew_lock(self) -> None:
        """Forget a lock that another thread may have held when this process was forked."""
        self._lock = threading.Lock()

    def whole(self, store: ReadStore) -> Segment:
        """All postings, read afresh and not kept: what a merge needs."""
        ordinals = np.empty(self.head.n_postings, np.uint16)
        weights = np.empty(self.head.n_postings, np.float32 if self._format == "float16" else self._weights.dtype)
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
        texts = self.store.get_many(DOCUMENTS, keys)
        metadata = self.store.get_many(METADATA, keys)
        found: dict[int, Document] = {}
        for docno, key in zip(docnos, keys, strict=True):
            id, text = decode_row(key, texts.get(key), 2)
            found[docno] = Document(id, text, decode_row(key, metadata.get(key), 1)[0])
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
        margin = np.float32(1 - (n_terms + 8) * 2.0**-23)
        best, n_best = np.empty(min(k, max(1, self.manifest.n_live)), np.float32), 0
        largest = max((view.head.n_documents for view in self.views), default=0)
        scores, found_scores = np.zeros(largest, np.float32), np.empty(largest, np.float32)
        found = np.empty(largest, np.uint16)
        candidates: list[_Candidates] = []
        for position, view in enumerate(self.views):
            present, starts, ends, ordinals, weights = view.postings(self.store, query.term_ids)
            if not len(present):
                continue
            n_best, n_found = kernels.search_segment(
                starts,
                ends,
                query.weights[present],
                ordinals,
                weights,
                view.head.scales,
                self._allowed(position, filter),
                scores[: view.head.n_documents],
                best,
                n_best,
                margin,
                found,
                found_scores,
            )
            if n_found:
                candidates.append(_Candidates(view, found[:n_found].copy(), found_scores[:n_found].copy()))
        threshold = best[0] * margin if n_best == len(best) else np.float32(0)
        return self._hits(query, k, candidates, threshold)

    def _hits(
        self, query: SparseVectors, k: int, candidates: Sequence[_Candidates], threshold: np.float32
    ) -> list[Hit]:
        docnos, rows = [], []
        for part in candidates:
            ordinals = part.ordinals[part.scores >= threshold]
            docnos.append(part.view.head.docnos[ordinals])
            rows.append(self._weights(part.view, query.term_ids, ordinals))
        if not docnos:
            return []
        all_docnos, weights = np.concatenate(docnos), np.concatenate(rows)
        scores = np.zeros(len(all_docnos), np.float64)
        for term, query_weight in enumerate(query.weights):
            scores += np.float64(query_weight) * weights[:, term]
        order = np.lexsort((all_docnos, -scores))[:k]
        documents = self.documents(all_docnos[order].tolist())
        return [
            Hit(documents[int(all_docnos[row])], float(scores[row]), _matches(query, weights[row]))
            for row in order.tolist()
        ]

    def match(self, query: SparseVectors, docno: int) -> TermMatches:
        """The terms that a query shares with one document."""
        position, ordinal = self.locate(docno)
        return _matches(query, self._weights(self.views[position], query.term_ids, np.array([ordinal], np.uint16))[0])

    def _weights(self, view: SegmentView, terms: NDArray[np.int32], wanted: NDArray[np.uint16]) -> NDArray[np.float32]:
        """float32, shape (len(wanted), len(terms)): what documents weigh under terms, 0 for none."""
        present, starts, ends, ordinals, weights = view.postings(self.store, terms)
        held = np.zeros((len(wanted), len(present)), np.float32)
        kernels.document_weights(starts, ends, ordinals, weights, wanted, held)
        if len(view.head.scales):
            held *= view.head.scales[wanted][:, np.newaxis]
        all_terms = np.zeros((len(wanted), len(terms)), np.float32)
        all_terms[:, present] = held
        return all_terms

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
