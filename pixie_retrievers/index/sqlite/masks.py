"""Which documents of a commit point count: those alive, and of these the ones that a condition lets pass.

What is once worked out is kept. Segments never change, so a condition is held against a new segment alone; and while no
commit comes, the same condition costs one look into a table.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.errors import CorruptIndexError
from pixie_retrievers.filters import Condition
from pixie_retrievers.index.sqlite.codec import Kind, decode_arrays
from pixie_retrievers.index.sqlite.columns.column import ABSENT, Column, may_have_column
from pixie_retrievers.index.sqlite.columns.evaluation import evaluate
from pixie_retrievers.index.sqlite.columns.stored import Directory, read_column, read_directory
from pixie_retrievers.index.sqlite.manifest import Manifest, SegmentEntry
from pixie_retrievers.index.sqlite.read_store import ReadStore
from pixie_retrievers.index.sqlite.segment import segment_key
from pixie_retrievers.index.sqlite.tables import TOMBSTONES
from pixie_retrievers.index.sqlite.view import SegmentView, address
from pixie_retrievers.types import Document

__all__ = ["Allowed", "MaskCache", "Masks", "read_tombstones"]

_ALL = np.zeros(0, np.uint8)
_MAX_BYTES = 64 << 20
"""How much memory the masks of conditions may take, and again those of whole commit points: a byte a document each."""
_DOCUMENTS_AT_ONCE = 1000

_Value = TypeVar("_Value")


class Allowed(NamedTuple):
    """Which documents a search may find.

    Attributes:
        masks: uint8, shape (n_documents,), a segment: 1 where a live document passes the filter; empty when all do.
        addresses: int64, shape (n_segments,): where the masks lie, for compiled code.
    """

    masks: Sequence[NDArray[np.uint8]]
    addresses: NDArray[np.int64]


class _Passing(NamedTuple):
    """Which documents of a segment pass a condition.

    Attributes:
        live: Those of which this is true: documents that were deleted had no row to read. None where columns decided.
        mask: uint8, shape (n_documents,).
    """

    live: NDArray[np.uint8] | None
    mask: NDArray[np.uint8]


class _Recent(Generic[_Value]):
    """Values by key, the least recently used of which go when all together take too many bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._values: OrderedDict[Hashable, tuple[_Value, int]] = OrderedDict()

    def get(self, key: Hashable) -> _Value | None:
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, value: _Value, n_bytes: int) -> None:
        self.drop(key)
        self._values[key] = value, n_bytes
        self._n_bytes += n_bytes
        while self._n_bytes > self._max_bytes:
            self.drop(next(iter(self._values)))

    def drop(self, key: Hashable) -> None:
        found = self._values.pop(key, None)
        if found is not None:
            self._n_bytes -= found[1]

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._values))


class MaskCache:
    """What is kept of masks from search to search, for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._manifest: Manifest | None = None
        self._allowed: _Recent[Allowed] = _Recent(_MAX_BYTES)
        self._passing: _Recent[_Passing] = _Recent(_MAX_BYTES)
        self._live: dict[SegmentEntry, NDArray[np.uint8]] = {}
        self._directories: dict[int, Directory] = {}  # by stamp, like what passes

    def renew_lock(self) -> None:
        """Forget a lock that another thread may have held when this process was forked."""
        self._lock = threading.Lock()

    def turn_to(self, manifest: Manifest) -> None:
        """Drop what belongs to other commit points, and to states of segments that this one does not have."""
        with self._lock:
            self._manifest, self._allowed = manifest, _Recent(_MAX_BYTES)
            states = set(manifest.segments)
            stamps = {entry.stamp for entry in manifest.segments}
            self._live = {entry: mask for entry, mask in self._live.items() if entry in states}
            self._directories = {stamp: found for stamp, found in self._directories.items() if stamp in stamps}
            for key in self._passing:
                if key[0] not in stamps:
                    self._passing.drop(key)

    def allowed(self, manifest: Manifest, key: Hashable) -> Allowed | None:
        """What is known at a commit point of a condition, of none at all, or of either among some ids."""
        with self._lock:
            return self._allowed.get(key) if self._manifest is manifest else None

    def keep_allowed(self, manifest: Manifest, key: Hashable, allowed: Allowed, key_bytes: int) -> None:
        """Keep it until the next commit."""
        with self._lock:
            if self._manifest is manifest:
                n_bytes = sum(mask.nbytes for mask in allowed.masks) + allowed.addresses.nbytes
                self._allowed.put(key, allowed, n_bytes + key_bytes)

    def passing(self, entry: SegmentEntry, key: Hashable) -> _Passing | None:
        """What is known of a condition in a segment."""
        with self._lock:
            return self._passing.get((entry.stamp, key))

    def keep_passing(self, entry: SegmentEntry, condition: Condition, passing: _Passing) -> None:
        """Keep it for as long as the segment lives."""
        with self._lock:
            self._passing.put((entry.stamp, condition.key), passing, passing.mask.nbytes + condition.key_bytes)

    def live(self, entry: SegmentEntry, read: Callable[[], NDArray[np.uint8] | None]) -> NDArray[np.uint8]:
        """uint8, shape (n_documents,): 1 for each document of a segment that is not deleted; empty when none is."""
        if entry.n_deleted == 0:
            return _ALL
        mask = self._live.get(entry)
        if mask is None:
            dead = read()
            mask = _ALL if dead is None else 1 - dead
            with self._lock:
                self._live[entry] = mask
        return mask

    def directory(self, entry: SegmentEntry, read: Callable[[], Directory]) -> Directory:
        """Which columns a segment has."""
        found = self._directories.get(entry.stamp)
        if found is None:
            found = read()
            with self._lock:
                self._directories[entry.stamp] = found
        return found


class Masks:
    """Which documents of one commit point count.

    Args:
        store: A reading connection inside a transaction.
        manifest: The commit point.
        views: The manifest's segments, in its order.
        documents: Reads the documents under some insertion numbers, in order.
        cache: What is known from searches before.
    """

    def __init__(
        self,
        store: ReadStore,
        manifest: Manifest,
        views: Sequence[SegmentView],
        documents: Callable[[Sequence[int]], Sequence[Document]],
        cache: MaskCache,
    ) -> None:
        self._store = store
        self._manifest = manifest
        self._views = views
        self._documents = documents
        self._cache = cache

    def allowed(self, condition: Condition | None) -> Allowed:
        """Which documents a search under this condition may find."""
        key = None if condition is None else condition.key
        cached = condition is None or key is not None
        found = self._cache.allowed(self._manifest, key) if cached else None
        if found is None:
            masks = [self.of_segment(position, condition) for position in range(len(self._manifest.segments))]
            found = Allowed(masks, np.array([address(mask) for mask in masks], np.int64))
            if cached:
                self._cache.keep_allowed(self._manifest, key, found, 0 if condition is None else condition.key_bytes)
        return found

    def of_segment(self, position: int, condition: Condition | None) -> NDArray[np.uint8]:
        """uint8, shape (n_documents,): 1 for each live document of a segment that passes; empty when all do."""
        live = self._live(position)
        if condition is None:
            return live
        passing = self._passing(position, condition)
        return passing & live if len(live) else passing

    def column(self, position: int, field: str) -> Column | None:
        """A segment's column of a field, ABSENT where no document has it; None where only the documents know of it."""
        entry = self._manifest.segments[position]
        directory = self._cache.directory(entry, lambda: read_directory(self._store, entry.number))
        if not may_have_column(field):
            return None
        if field in directory.places:
            return read_column(self._store, directory, field, entry.n_documents)
        return ABSENT if directory.complete else None

    def _live(self, position: int) -> NDArray[np.uint8]:
        entry = self._manifest.segments[position]
        return self._cache.live(entry, lambda: read_tombstones(self._store, entry))

    def _passing(self, position: int, condition: Condition) -> NDArray[np.uint8]:
        entry = self._manifest.segments[position]
        key = condition.key
        passing = None if key is None else self._cache.passing(entry, key)
        if passing is None or not _still_true(passing.live, self._live(position)):
            passing = self._evaluate(position, condition)
            if key is not None:
                self._cache.keep_passing(entry, condition, passing)
        return passing.mask

    def _evaluate(self, position: int, condition: Condition) -> _Passing:
        entry = self._manifest.segments[position]
        columns: dict[str, Column | None] = {}

        def column_of(field: str) -> Column | None:
            if field not in columns:
                columns[field] = self.column(position, field)
            return columns[field]

        certain, possible = evaluate(condition, column_of, entry.n_documents)
        mask = certain.view(np.uint8)
        if certain is possible:
            return _Passing(None, mask)
        undecided = possible & ~certain
        live = self._live(position)
        ordinals = np.flatnonzero(undecided & live if len(live) else undecided)
        mask[ordinals] = self._read(condition, self._views[position].head.docnos[ordinals].tolist())
        return _Passing(live, mask)

    def _read(self, condition: Condition, docnos: Sequence[int]) -> NDArray[np.uint8]:
        """Hold a condition against documents themselves."""
        passes: list[bool] = []
        for start in range(0, len(docnos), _DOCUMENTS_AT_ONCE):
            part = docnos[start : start + _DOCUMENTS_AT_ONCE]
            passes += [condition.passes(document.id, document.metadata) for document in self._documents(part)]
        return np.array(passes, np.uint8)


def _still_true(live_then: NDArray[np.uint8] | None, live_now: NDArray[np.uint8]) -> bool:
    """Whether all that live now lived then: in a file that was restored from a copy, some may be back."""
    if live_then is None or len(live_then) == 0:
        return True
    return len(live_now) > 0 and not (live_now & (1 - live_then)).any()


def read_tombstones(store: ReadStore, entry: SegmentEntry) -> NDArray[np.uint8] | None:
    """uint8, shape (n_documents,): 1 for each deleted document of a segment; None when it has none.

    Raises:
        CorruptIndexError: They are missing or damaged, or contradict the manifest.
    """
    if entry.n_deleted == 0:
        return None
    key = segment_key(entry.number)
    (bitmap,) = decode_arrays(Kind.TOMBSTONES, key, store.get(TOMBSTONES, key), "u1")
    dead = np.unpackbits(bitmap)[: entry.n_documents]
    if len(dead) != entry.n_documents or int(dead.sum()) != entry.n_deleted:
        raise CorruptIndexError(f"tombstones {key} contradict the manifest: restore the file from a copy")
    return dead
