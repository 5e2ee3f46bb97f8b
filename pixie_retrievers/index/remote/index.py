"""RemoteIndex: the index that a server keeps, with the results of the embedded one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from pixie_retrievers.errors import (
    CorruptIndexError,
    DocumentNotFoundError,
    EngineError,
    EngineUnavailableError,
    IndexClosedError,
    IndexNotFoundError,
    InvalidVectorError,
    PartialWriteError,
    PixieError,
)
from pixie_retrievers.filters import Condition, Filter, parse_filter
from pixie_retrievers.fingerprints import check_built_with
from pixie_retrievers.index.base import CheckReport, IndexStats
from pixie_retrievers.index.documents import check_documents, check_ids, check_page, check_vectors
from pixie_retrievers.index.matching import matched
from pixie_retrievers.index.remote.attachments import RemoteAttachments
from pixie_retrievers.index.remote.attempts import Attempts
from pixie_retrievers.index.remote.clauses import EVERYTHING, NOTHING, Clause, Keys, Tokens, all_of, bounded
from pixie_retrievers.index.remote.digests import push_down
from pixie_retrievers.index.remote.engine import Engine
from pixie_retrievers.index.remote.exact import search_exactly
from pixie_retrievers.index.remote.manifest import RemoteManifest, check_manifest, new_manifest
from pixie_retrievers.index.remote.records import CUT, Stored, key_of, records_of, vectors_of
from pixie_retrievers.index.remote.storing import store_all
from pixie_retrievers.parameters import check_whole_number
from pixie_retrievers.types import Document, Hit, SparseVectors, TermMatches

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["RemoteIndex"]

_FETCH_AT_ONCE = 500
_SCANNED_AT_ONCE = 1000
_KEYS_AT_ONCE = 10_000
_QUERIES_AT_ONCE = 64
_SOON_S = 10.0

_Value = TypeVar("_Value")


class RemoteIndex(RemoteAttachments):
    """Documents on a server, found with the scores, the order and the explanations of the embedded engine.

    What a server does not promise, this does not either: a call that stores several documents is not one commit. It
    returns when all of them are stored and can be found; where some cannot be, PartialWriteError says which and why.

    Args:
        connect: Makes the connection: once a process, so that one that was forked does not share its parent's.
        vocabulary_size, fingerprint: What a new collection is begun with; None takes what an existing one has.
        read_only: Refuse to write.
        timeout_s: So long a call tries again what failed for a reason that may pass.

    Raises:
        IndexNotFoundError: There is no such collection, and no ``vocabulary_size`` to begin one with, or it is
            ``read_only``.
        IncompatibleIndexError: There is one, and it is not ours, or of another model or vocabulary.
        EngineUnavailableError, EngineError: The server cannot be reached, or refuses.
    """

    def __init__(
        self,
        connect: Callable[[], Engine],
        *,
        vocabulary_size: int | None = None,
        fingerprint: str | None = None,
        read_only: bool = False,
        timeout_s: float = 60.0,
    ) -> None:
        soon = min(timeout_s, _SOON_S)  # a search waits for it
        super().__init__(partial(type(self), self._connect_beside, timeout_s=soon, read_only=read_only))
        self._connect = connect
        self._connection = os.getpid(), connect()
        self._timeout_s = timeout_s
        self.read_only = read_only
        self._closed = False
        self._clock_lock = threading.Lock()
        self._last_seq = 0
        try:
            self._manifest = self._agreed(vocabulary_size, fingerprint)
        except BaseException:
            self._engine.close()
            raise

    def _agreed(self, vocabulary_size: int | None, fingerprint: str | None) -> RemoteManifest:
        """What the collection is of; begun, if there is none and it may be."""
        found = self._attempt(self._engine.manifest)
        if found is None:
            if self.read_only or vocabulary_size is None:
                raise IndexNotFoundError(
                    f"there is no index at {self.location}: check the name, or begin one with SparseRetriever.open"
                )
            self._attempt(partial(self._engine.create, new_manifest(vocabulary_size, fingerprint or "")))
            found = self._attempt(self._engine.manifest)
        manifest = check_manifest(found, self.location)
        check_built_with(self.location, manifest, vocabulary_size=vocabulary_size, fingerprint=fingerprint)
        return manifest

    @property
    def _engine(self) -> Engine:
        process_id, engine = self._connection
        if process_id != os.getpid():
            engine = self._connect()
            self._connection = os.getpid(), engine
        return engine

    @property
    def location(self) -> str:
        """Where it is, without credentials."""
        return self._engine.location

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
        """The format of the stored weights: always exact."""
        return "float32"

    def upsert(self, documents: Iterable[Document], vectors: SparseVectors) -> None:
        """Store documents, replacing those whose id is known; they can be found when it returns.

        Raises:
            InvalidDocumentError, InvalidTextError, DuplicateIdError, InvalidVectorError, IncompatibleIndexError: The
                arguments are at fault; nothing was stored.
            PartialWriteError: Some documents are stored and others not: it says which, and why. The same call may be
                made again.
            EngineUnavailableError, EngineError: The server cannot be reached, or refuses.
        """
        documents = list(documents)
        check_documents(documents)
        self._check_vectors(vectors)
        if len(vectors) != len(documents):
            raise InvalidVectorError(f"pass one vector a document, not {len(vectors)} for {len(documents)}")
        self.check_writable()
        if not documents:
            return
        records = records_of(documents, vectors, self._next_seqs(len(documents)))
        refused = store_all(self._engine, records, self._timeout_s)
        try:
            self._attempt(self._engine.publish)
        except PixieError:
            if not refused:  # otherwise for the same reason, most likely
                raise
        if refused:
            raise PartialWriteError.of(self.location, refused, len(documents))

    def delete(self, ids: Iterable[str]) -> int:
        """Remove documents; return how many existed."""
        ids = check_ids(ids)
        self.check_writable()
        keys = list(dict.fromkeys(map(key_of, ids)))
        n = 0
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            part: Sequence[str] = keys[start : start + _KEYS_AT_ONCE]
            attempts = Attempts(self.location, self._timeout_s)
            while part:
                removed = attempts.run(partial(self._engine.remove, part))
                n += removed.n
                if removed.again and not attempts.wait():
                    raise EngineUnavailableError(
                        f"{self.location} was too busy to delete {len(removed.again)} of {len(ids)} documents: delete"
                        " them again"
                    )
                part = removed.again
        if n:
            self._attempt(self._engine.publish)
        return n

    def get(self, ids: Iterable[str]) -> list[Document | None]:
        """The documents under the ids, in order; None for an id that is not there."""
        return [None if stored is None else stored.document() for stored in self._fetched(ids)]

    def ids(self, *, filter: Filter | None = None, limit: int | None = None, offset: int = 0) -> list[str]:
        """The ids of the documents that pass a filter, in insertion order: ``limit`` of them, behind ``offset``."""
        page = check_page(limit, offset)
        condition = None if filter is None else parse_filter(filter)
        return [stored.id for stored in islice(self._scanned(condition), page.start, page.stop)]

    def count(self, *, filter: Filter | None = None) -> int:
        """How many documents pass a filter; they are read where the engine cannot decide."""
        if filter is None:
            return len(self)
        self._check_open()
        condition = parse_filter(filter)
        clauses = self._bounded(push_down(condition).certain, NOTHING), self._possible(condition)
        least, most = (0 if one == NOTHING else self._attempt(partial(self._engine.count, one)) for one in clauses)
        return least if least == most else sum(1 for _ in self._scanned(condition))

    def search(
        self, queries: SparseVectors, k: int, *, filter: Filter | None = None, ids: Iterable[str] | None = None
    ) -> list[list[Hit]]:
        """The k best documents of each query, exactly: score descending, ties by insertion order.

        Raises:
            InvalidParameterError, InvalidDocumentError, IncompatibleIndexError, FilterError: An argument is at fault.
            EngineUnavailableError: Not every shard of the index answered in time: part of an answer is none.
        """
        check_whole_number("k", k)
        self._check_vectors(queries)
        condition = None if filter is None else parse_filter(filter)
        if ids is not None:
            ids = check_ids(ids)
        self._check_open()
        clause = self._possible(condition)
        if ids is not None:
            clause = all_of((clause, Keys(tuple(dict.fromkeys(map(key_of, ids)))) if ids else NOTHING))

        def read_all() -> Iterator[Stored]:
            return self._scan(clause, whole=True)

        found: list[list[Hit]] = [[] for _ in queries]
        rows = [] if clause == NOTHING else [row for row in range(len(queries)) if len(queries[row].term_ids)]
        for start in range(0, len(rows), _QUERIES_AT_ONCE):
            part = rows[start : start + _QUERIES_AT_ONCE]
            asked = [queries[row] for row in part]
            hits = self._attempt(partial(search_exactly, self._engine, asked, k, clause, condition, read_all))
            for row, some in zip(part, hits, strict=True):
                found[row] = some
        return found

    def match(self, query: SparseVectors, ids: Iterable[str]) -> list[TermMatches | None]:
        """The terms that one query shares with each document; None for an id that is not there."""
        self._check_vectors(query)
        if len(query) != 1:
            raise InvalidVectorError(f"match takes one query, not {len(query)}")
        found = self._fetched(ids)
        there = [stored for stored in found if stored is not None]
        matches = iter(matched(query, vectors_of(there, self.vocabulary_size)))
        return [None if stored is None else next(matches) for stored in found]

    def vectors(self, ids: Iterable[str]) -> SparseVectors:
        """The whole vectors of documents, one an id, in order, exactly as they were stored."""
        rows, ids = [], check_ids(ids)
        for id, stored in zip(ids, self._fetched(ids), strict=True):
            if stored is None:
                raise DocumentNotFoundError(
                    f"there is no document with id {id!r} in {self.location}: list ids() to see them"
                )
            rows.append(stored)
        return vectors_of(rows, self.vocabulary_size)

    def __len__(self) -> int:
        self._check_open()
        return self._attempt(partial(self._engine.count, EVERYTHING))

    def stats(self) -> IndexStats:
        """What the index holds now."""
        self._check_open()
        figures = self._attempt(self._engine.figures)
        return IndexStats(
            path=self.location,
            n_documents=len(self),
            n_cut=self._attempt(partial(self._engine.count, Tokens((CUT,)))),
            n_deleted=figures.n_deleted,
            n_segments=figures.n_segments,
            n_postings=figures.n_postings,
            file_bytes=figures.n_bytes,
            generation=0,
            vocabulary_size=self.vocabulary_size,
            fingerprint=self.fingerprint,
            weights=self.weights,
        )

    def check(self) -> CheckReport:
        """Read every document: whether its vector and its metadata verify; changes nothing."""
        problems = []
        for stored in self._scan(EVERYTHING, whole=True):
            try:
                stored.weights(self.vocabulary_size)
                stored.parsed_metadata()
            except CorruptIndexError as error:
                problems.append(str(error))
        return CheckReport((*problems, *self._damaged_attachments()))

    def compact(self) -> None:
        """Drop what is deleted for good, where the server leaves that to its users."""
        self.check_writable()
        self._attempt(self._engine.compact)

    def scan(self) -> Iterator[tuple[list[Document], SparseVectors]]:
        """Every document with its vector, in insertion order, a batch at a time: what copies and exports read.

        Others may write meanwhile: what is there from beginning to end comes once, and what is replaced may come again.
        """
        scanned = self._scan(EVERYTHING, whole=True)
        while rows := list(islice(scanned, _SCANNED_AT_ONCE)):
            yield [stored.document() for stored in rows], vectors_of(rows, self.vocabulary_size)

    def drop(self) -> None:
        """Remove the whole index from its server."""
        self.check_writable()
        self._drop_parts()
        self._attempt(self._engine.drop)

    def close(self) -> None:
        """Let go of the connection; everything stored is on the server."""
        if not self._closed:
            self._closed = True
            self._close_parts()
            self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process connects for itself; what is pickled holds the credentials of the URL, if it has any."""
        return partial(type(self), self._connect, read_only=self.read_only, timeout_s=self._timeout_s), ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        return f"RemoteIndex({self.location!r})"

    def _possible(self, condition: Condition | None) -> Clause:
        return self._bounded(push_down(condition).possible, EVERYTHING)

    def _bounded(self, clause: Clause, otherwise: Clause) -> Clause:
        engine = self._engine
        return bounded(
            clause,
            otherwise,
            max_parts=engine.max_clauses,
            max_depth=engine.max_depth,
            may_negate=engine.may_negate,
        )

    def _scanned(self, condition: Condition | None) -> Iterator[Stored]:
        seen: set[str] = set()
        for stored in self._scan(self._possible(condition), whole=False):
            if stored.id in seen:
                continue
            seen.add(stored.id)
            if condition is None or condition.passes(stored.id, stored.parsed_metadata()):
                yield stored

    def _scan(self, clause: Clause, *, whole: bool) -> Iterator[Stored]:
        """Documents that satisfy a clause, each at least once."""
        self._check_open()
        rest: Any = None
        while clause != NOTHING:
            page = self._attempt(partial(self._engine.page, clause, rest, whole=whole))
            yield from page.rows
            rest = page.rest
            if rest is None:
                return

    def _fetched(self, ids: Iterable[str]) -> list[Stored | None]:
        ids = check_ids(ids)
        self._check_open()
        keys = list(dict.fromkeys(map(key_of, ids)))
        found: dict[str, Stored | None] = {}
        for start in range(0, len(keys), _FETCH_AT_ONCE):
            part = keys[start : start + _FETCH_AT_ONCE]
            found.update(zip(part, self._attempt(partial(self._engine.fetch, part)), strict=True))
        return [found[key_of(id)] for id in ids]

    def _connect_beside(self) -> Engine:
        """To the collection that keeps what is attached."""
        return self._engine.beside("_attachments")

    def _next_seqs(self, n: int) -> int:
        """The first of n numbers that rise with time, over every process that writes, as far as their clocks agree."""
        with self._clock_lock:
            first = max(time.time_ns() // 1000 << 10 | os.getpid() & 1023, self._last_seq + 1)
            self._last_seq = first + n - 1
            return first

    def _attempt(self, call: Callable[[], _Value]) -> _Value:
        return Attempts(self.location, self._timeout_s).run(call)

    def _check_open(self) -> None:
        if self._closed:
            raise IndexClosedError(f"the index {self.location} is closed: open the index again")

    def check_writable(self) -> None:
        self._check_open()
        if self.read_only:
            raise EngineError(f"{self.location} was opened read-only: open it without read_only to write")

    def _check_vectors(self, vectors: SparseVectors) -> None:
        check_vectors(vectors, self.vocabulary_size, self.location)
