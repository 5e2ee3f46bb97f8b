"""SqliteIndex: the embedded index in one SQLite file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from pixie_retrievers.errors import (
    DocumentNotFoundError,
    IncompatibleIndexError,
    IndexNotFoundError,
    InvalidParameterError,
    InvalidVectorError,
    StorageError,
)
from pixie_retrievers.filters import Condition, Filter, parse_filter
from pixie_retrievers.fingerprints import check_built_with
from pixie_retrievers.index.base import CheckReport, IndexStats
from pixie_retrievers.index.documents import check_documents, check_ids, check_page, check_vectors
from pixie_retrievers.index.sqlite.attachments import Attachments
from pixie_retrievers.index.sqlite.check import check_file
from pixie_retrievers.index.sqlite.facets import count_values
from pixie_retrievers.index.sqlite.files import is_begun, refuse_folder, resolved
from pixie_retrievers.index.sqlite.forks import unforked
from pixie_retrievers.index.sqlite.interrupts import was_interrupted
from pixie_retrievers.index.sqlite.manifest import MAX_VOCABULARY, WEIGHT_FORMATS, Manifest
from pixie_retrievers.index.sqlite.matching import match_documents
from pixie_retrievers.index.sqlite.pool import the_pool
from pixie_retrievers.index.sqlite.search import search_snapshot
from pixie_retrievers.index.sqlite.write_store import copy_store
from pixie_retrievers.index.sqlite.writer import Writer
from pixie_retrievers.parameters import check_number, check_whole_number
from pixie_retrievers.types import Document, Hit, SparseVectors, TermMatches

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SqliteIndex"]

_LONGEST_WAIT_S = 86_400.0
_SCANNED_AT_ONCE = 1000
_LARGE = 30_000_000
"""With so many postings, some 300,000 documents, a search spends most of its time in compiled code."""


class SqliteIndex(Attachments):
    """An inverted index in one file: add, update and delete in durable commits, search exactly.

    Any number of handles, in any process, may be open on one file. Those that write take turns, a commit each; those
    that read never wait, and see each commit at their next search. One handle may be used by many threads. After a
    write that failed, the last commit is what there is, and writing may be tried again.

    Args:
        path: The file; a new one is made at the first write, also where there is an empty one.
        vocabulary_size: The number of terms; needed for a new file, compared with an existing one.
        fingerprint: The encoder's identity; kept in a new file, compared with an existing one.
        read_only: Refuse to write; the file must exist.
        weights: How a new file stores weights: "float32" (default, exact), "float16" (2 bytes less a posting) or
            "uint8" (3 bytes less); compared with an existing file.
        max_threads: At most so many threads for one search; None takes the cores that no other search is using.
        lock_timeout_s: So long a write waits for another writer's, in this process or another. Writes take turns: one
            call is one commit, and the lock is held for that long.

    Raises:
        IndexNotFoundError: There is no file, and it is ``read_only`` or no ``vocabulary_size`` is given.
        IncompatibleIndexError: The file is of another model, vocabulary, weight format or program.
        CorruptIndexError: The file is damaged, or not a database.
        InvalidParameterError: An argument is out of its range, or of the wrong type.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        vocabulary_size: int | None = None,
        fingerprint: str | None = None,
        read_only: bool = False,
        weights: str | None = None,
        max_threads: int | None = None,
        lock_timeout_s: float = 5.0,
    ) -> None:
        if weights is not None and weights not in WEIGHT_FORMATS:
            raise InvalidParameterError(f"weights is {weights!r}; choose one of {', '.join(WEIGHT_FORMATS)}")
        check_whole_number("vocabulary_size", vocabulary_size, none_means="what an existing file has")
        if vocabulary_size is not None and vocabulary_size > MAX_VOCABULARY:
            raise InvalidParameterError(
                f"vocabulary_size is {vocabulary_size}; an index is over {MAX_VOCABULARY} at most"
            )
        if not _is_text(fingerprint):
            raise InvalidParameterError("fingerprint must be a string that UTF-8 can carry, or None")
        check_whole_number("max_threads", max_threads, none_means="as many as there are cores")
        check_number("lock_timeout_s", lock_timeout_s, low=0, high=_LONGEST_WAIT_S)
        super().__init__(resolved(path), read_only=read_only, lock_timeout_s=lock_timeout_s)
        self._max_threads = max_threads
        self._is_large = False
        if is_begun(self.path):
            with unforked(), self._reader.snapshot() as snapshot:
                self._manifest = snapshot.manifest
            self._compare(vocabulary_size=vocabulary_size, fingerprint=fingerprint, weights=weights)
            self._begin(self._manifest, has_begun=True)
            return
        if read_only or vocabulary_size is None:
            how = "build one there first" if read_only else "begin a new one with SparseRetriever.open"
            raise IndexNotFoundError(f"there is no index at {self.path}: check the path, or {how}")
        refuse_folder(self.path.parent)
        self._manifest = Manifest(vocabulary_size, fingerprint or "", weights or "float32")
        self._begin(self._manifest, has_begun=False)

    def _compare(self, **wanted: Any) -> None:
        try:
            check_built_with(self.path, self._manifest, **wanted)
        except IncompatibleIndexError:
            self._reader.close()
            raise

    @property
    def vocabulary_size(self) -> int:
        """The number of terms."""
        return self._manifest.vocabulary_size

    @property
    def fingerprint(self) -> str:
        """The identity of the encoder that the vectors came from."""
        return self._manifest.fingerprint

    @property
    def weights(self) -> str:
        """The format of the stored weights."""
        return self._manifest.weights

    def upsert(self, documents: Iterable[Document], vectors: SparseVectors) -> None:
        """Store documents, replacing those whose id is known, in one atomic and durable commit.

        A replaced document counts as newly inserted. On any error nothing is stored.

        Args:
            documents: With different ids.
            vectors: One a document, over the index's vocabulary.

        Raises:
            InvalidDocumentError, InvalidTextError, DuplicateIdError, InvalidVectorError: The arguments are at fault.
            IncompatibleIndexError: The vectors are over another vocabulary.
            IndexLockedError: Another writer holds the index.
            StorageFullError: No space is left.
            StorageError: The index was opened read-only, or the file system refused.

        Complexity:
            O(size of the documents), and O(log n) rewrites of each over the life of the index.
        """
        documents = list(documents)
        check_documents(documents)
        self._check_vectors(vectors)
        if len(vectors) != len(documents):
            raise InvalidVectorError(f"pass one vector a document, not {len(vectors)} for {len(documents)}")
        if documents:
            self._write(lambda writer: writer.upsert(documents, vectors))

    def delete(self, ids: Iterable[str]) -> int:
        """Remove documents in one atomic and durable commit; return how many existed.

        Raises:
            InvalidDocumentError: An id is not a string.
            IndexLockedError: Another writer holds the index.
            StorageError: The index was opened read-only, or the file system refused.
        """
        unique = list(dict.fromkeys(check_ids(ids)))
        self._check_open()
        if not unique or self._is_empty():
            return 0
        return self._write(lambda writer: writer.delete(unique))

    def get(self, ids: Iterable[str]) -> list[Document | None]:
        """The documents under the ids, in order; None for an id that is not there."""
        ids = check_ids(ids)
        with unforked(), self._snapshot() as snapshot:
            if snapshot is None:
                return [None] * len(ids)
            docnos = snapshot.docnos(list(dict.fromkeys(ids)))
            documents = dict(zip(docnos, snapshot.documents(list(docnos.values())), strict=True))
            return [documents.get(id) for id in ids]

    def ids(self, *, filter: Filter | None = None, limit: int | None = None, offset: int = 0) -> list[str]:
        """The ids of the documents that pass a filter, in insertion order: ``limit`` of them, behind ``offset``.

        Raises:
            FilterError: The filter means nothing.
            InvalidParameterError: ``limit`` or ``offset`` is not a whole number of 0 or more.

        Complexity:
            Reads every document that it names, and with a filter what a search with it would read.
        """
        page = check_page(limit, offset)
        condition = None if filter is None else parse_filter(filter)
        with unforked(), self._snapshot() as snapshot:
            return [] if snapshot is None else snapshot.ids(condition, page)

    def count(self, *, filter: Filter | None = None) -> int:
        """How many documents pass a filter; of one that columns decide, no document is read."""
        condition = None if filter is None else parse_filter(filter)
        with unforked(), self._snapshot() as snapshot:
            return 0 if snapshot is None else snapshot.count(condition)

    def facets(self, field: str, *, filter: Filter | None = None) -> dict[Any, int]:
        """How many documents that pass a filter have each value of a field, the most common first."""
        condition = None if filter is None else parse_filter(filter)
        with unforked(), self._snapshot() as snapshot:
            return {} if snapshot is None else count_values(snapshot, field, condition)

    def search(
        self, queries: SparseVectors, k: int, *, filter: Filter | None = None, ids: Iterable[str] | None = None
    ) -> list[list[Hit]]:
        """The k best documents of each query: score descending, ties by insertion order.

        Args:
            queries: Over the index's vocabulary; an empty vector finds nothing.
            k: 1 or more; fewer hits come back when fewer documents share a term and pass the filter.
            filter: Which documents count (see :mod:`pixie_retrievers.filters`); applied before the k best are taken.
            ids: Only these documents count; those that are not there are left out. None for all.

        Raises:
            InvalidParameterError: ``k`` is not a whole number of 1 or more.
            InvalidDocumentError: An id is not a string.
            IncompatibleIndexError: The queries are over another vocabulary.
            FilterError: The filter means nothing.
            CorruptIndexError: What the search had to read does not verify.

        Complexity:
            O(postings of the query's terms + n_documents), less what the cut skips. Queries of one call, and the
            segments of one query over a large index, are shared between idle cores.
        """
        check_whole_number("k", k)
        self._check_vectors(queries)
        condition = None if filter is None else parse_filter(filter)
        if ids is not None:
            ids = check_ids(ids)
        try:
            with self._turn(condition), unforked(), self._snapshot() as snapshot:
                if snapshot is None:
                    return [[] for _ in queries]
                self._is_large = snapshot.manifest.n_postings >= _LARGE
                allowed = snapshot.allowed(condition) if ids is None else snapshot.among(ids, condition)
                found = search_snapshot(snapshot, queries, k, allowed, self._max_threads)
                if ids is None or {hit.document.id for hits in found for hit in hits}.issubset(ids):
                    return found
                allowed = snapshot.among(ids, condition, exactly=True)
                return search_snapshot(snapshot, queries, k, allowed, self._max_threads)
        except SystemError as error:  # what numba makes of an interrupt that meets it on its way out of compiled code
            if was_interrupted(error):
                raise KeyboardInterrupt from None
            raise

    def vectors(self, ids: Iterable[str]) -> SparseVectors:
        """The whole vectors of documents, one an id, in order, with their weights as the index stores them.

        Which texts the model read only in part, ``cut``, comes back with them.

        Raises:
            InvalidDocumentError: An id is not a string.
            DocumentNotFoundError: There is no document under an id.
            CorruptIndexError: A stored vector does not verify.
        """
        ids = check_ids(ids)
        with unforked(), self._snapshot() as snapshot:
            docnos = {} if snapshot is None else snapshot.docnos(list(dict.fromkeys(ids)))
            for id in ids:
                if id not in docnos:
                    raise DocumentNotFoundError(
                        f"there is no document with id {id!r} in {self.path}: list ids() to see them"
                    )
            if snapshot is None or not ids:
                return SparseVectors.concatenate([], self.vocabulary_size)
            return snapshot.vectors([docnos[id] for id in ids]).to_sparse(self.vocabulary_size)

    def scan(self) -> Iterator[tuple[list[Document], SparseVectors]]:
        """Every document with its vector, in insertion order, a batch at a time: what copies and exports read.

        Each batch is of one commit; between batches others may write. What is there from beginning to end comes once,
        and what is replaced may come again at the end.

        Raises:
            IndexNotFoundError: Another file took the place of this one meanwhile.
            CorruptIndexError: Something stored does not verify.
        """
        last, identity = -1, None
        while True:
            with unforked(), self._snapshot() as snapshot:
                if snapshot is None:
                    return
                if identity not in (None, snapshot.manifest.identity):
                    raise IndexNotFoundError(f"{self.path} was replaced while it was read: read it again")
                identity = snapshot.manifest.identity
                docnos = snapshot.docnos_after(last, _SCANNED_AT_ONCE)
                if not docnos:
                    return
                documents = snapshot.documents(docnos)
                vectors = snapshot.vectors(docnos).to_sparse(self.vocabulary_size)
            last = docnos[-1]
            yield documents, vectors

    def match(self, query: SparseVectors, ids: Iterable[str]) -> list[TermMatches | None]:
        """The terms that one query shares with each document; None for an id that is not there."""
        ids = check_ids(ids)
        self._check_vectors(query)
        if len(query) != 1:
            raise InvalidVectorError(f"match takes one query, not {len(query)}")
        with unforked(), self._snapshot() as snapshot:
            if snapshot is None:
                return [None] * len(ids)
            docnos = snapshot.docnos(list(dict.fromkeys(ids)))
            matches = dict(zip(docnos, match_documents(snapshot, query, list(docnos.values())), strict=True))
            return [matches.get(id) for id in ids]

    def __len__(self) -> int:
        with unforked(), self._snapshot() as snapshot:
            return 0 if snapshot is None else snapshot.manifest.n_live

    def stats(self) -> IndexStats:
        """What the index holds now.

        Raises:
            CorruptIndexError: What was deleted does not verify.
        """
        with unforked(), self._snapshot() as snapshot:
            manifest = self._manifest if snapshot is None else snapshot.manifest
            files = (self.path, self.path.with_name(self.path.name + "-wal"))
            return IndexStats(
                path=str(self.path),
                n_documents=manifest.n_live,
                n_cut=0 if snapshot is None else snapshot.n_cut(),
                n_deleted=sum(entry.n_deleted for entry in manifest.segments),
                n_segments=len(manifest.segments),
                n_postings=manifest.n_postings,
                file_bytes=sum(file.stat().st_size for file in files if file.exists()),
                generation=manifest.generation,
                vocabulary_size=manifest.vocabulary_size,
                fingerprint=manifest.fingerprint,
                weights=manifest.weights,
            )

    def check(self) -> CheckReport:
        """Read everything and hold it against everything else; changes nothing."""
        self._check_open()
        if self._is_empty():
            return CheckReport(())
        with unforked():
            return check_file(self.path)

    def compact(self) -> None:
        """Merge all segments, drop tombstones for good, and give unused space back to the file system.

        Raises:
            IndexLockedError: Another writer holds the index.
            StorageError: The index was opened read-only, or the file system refused.
        """
        self._check_open()
        if not self._is_empty():
            self._write(Writer.compact)

    def backup(self, target: str | os.PathLike[str], *, progress: Callable[[int, int], Any] | None = None) -> None:
        """Copy the newest commit into a new file, whole and durable; others may read and write meanwhile.

        Args:
            target: The new file; it must not exist. It is as good an index as this one.
            progress: Called with the pages copied so far, and how many there are.

        Raises:
            StorageError: There is a target, or it cannot be written.
            StorageFullError: No space is left.
            IndexNotFoundError: Nothing was ever written to this index.
        """
        path = resolved(target)
        if path.exists():
            raise StorageError(f"{path} already exists: a backup only writes new files; name another")
        refuse_folder(path.parent)
        with unforked(), self._snapshot() as snapshot:
            if snapshot is None:
                raise IndexNotFoundError(f"there is no index at {self.path} yet: add documents first")
            copy_store(snapshot.store, path, progress)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the file for itself: what is pickled are the path and the options."""
        options = {name: getattr(self, name) for name in ("vocabulary_size", "fingerprint", "weights", "read_only")}
        return (
            partial(
                type(self), self.path, **options, max_threads=self._max_threads, lock_timeout_s=self._lock_timeout_s
            ),
            (),
        )

    def __copy__(self) -> Self:
        return self  # a second handle would keep all it reads a second time

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        return f"SqliteIndex({str(self.path)!r})"

    def _check_vectors(self, vectors: SparseVectors) -> None:
        check_vectors(vectors, self.vocabulary_size, self.path)

    def _turn(self, condition: Condition | None) -> contextlib.AbstractContextManager[Any]:
        if condition is not None and condition.key is None:
            return contextlib.nullcontext()  # a callable may itself wait for another search
        return the_pool().turn(is_large=self._is_large)


def _is_text(value: Any) -> bool:
    """Whether a value is None, or a string that can be stored."""
    try:
        return value is None or bool(str.encode(value) or True)
    except (TypeError, UnicodeEncodeError):
        return False
