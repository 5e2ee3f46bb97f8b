"""The reading side of an open index: connections, and what is kept from one search to the next."""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.errors import IncompatibleIndexError
from pixie_retrievers.index.sqlite.files import Pair, file_at, pair_at
from pixie_retrievers.index.sqlite.forks import before_forks
from pixie_retrievers.index.sqlite.manifest import MANIFEST_KEY, Manifest, SegmentEntry
from pixie_retrievers.index.sqlite.masks import MaskCache
from pixie_retrievers.index.sqlite.read_store import ReadStore
from pixie_retrievers.index.sqlite.snapshot import Snapshot
from pixie_retrievers.index.sqlite.tables import META
from pixie_retrievers.index.sqlite.view import SegmentView, read_view, segment_table

__all__ = ["Reader"]


class Reader:
    """Hands out snapshots of the newest commit point, to any number of threads.

    Segments never change, so what was read of one is kept until the segment is gone from the manifest: under its stamp,
    which no other file has. A path that leads to another file than before is read anew.

    Attributes:
        expected: What :meth:`Manifest.describe` must say of every commit point; None takes what is there first.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.expected: dict[str, Any] | None = None
        self._before: Pair | None = None
        self._closed = False
        self._row: bytes | None = None
        self._manifest: Manifest | None = None
        self._segments: tuple[Manifest, list[SegmentView], NDArray[np.int64]] | None = None
        self._views: dict[tuple[int, int], SegmentView] = {}
        self._cache = MaskCache()
        self._begin()
        before_forks(self._close_idle)

    def _begin(self) -> None:
        """The state of one process."""
        self._lock = threading.Lock()
        self._idle: list[ReadStore] = []
        self._pid = os.getpid()
        weakref.finalize(self, _close_all, self._idle, self._pid)  # a handle that nobody closes leaves nothing open

    def snapshot(self) -> _Reading:
        """``with reader.snapshot() as snapshot``: the newest commit point, unchanging until the end of the block.

        No other thread may fork meanwhile: see :func:`~pixie_retrievers.index.sqlite.forks.unforked`.
        """
        return _Reading(self)

    def take(self) -> tuple[ReadStore, Snapshot]:
        """A connection inside a transaction, and what it sees."""
        store = self._connection()
        try:
            store.begin()
            manifest = self._refreshed(store)
            return store, Snapshot(store, manifest, *self._views_of(store, manifest))
        except BaseException:
            store.close()
            raise

    def give_back(self, store: ReadStore) -> None:
        """Take a connection back whose transaction went well."""
        try:
            store.end()
        except BaseException:
            store.close()
            raise
        with self._lock:
            if not self._closed:
                self._idle.append(store)
                return
        store.close()

    def _connection(self) -> ReadStore:
        if self._pid != os.getpid():
            self._start_over_after_fork()
        file = file_at(self._path)
        while True:
            with self._lock:
                if not self._idle:
                    break
                store = self._idle.pop()
            if store.is_current(file):
                return store
            store.close()
        store = ReadStore(self._path, self._before)
        self._before = pair_at(self._path)
        return store

    def _start_over_after_fork(self) -> None:
        # Locks may have been held by threads that this process does not have.
        self._begin()
        self._cache.renew_lock()
        for view in self._views.values():
            view.renew_lock()

    def _refreshed(self, store: ReadStore) -> Manifest:
        row = store.get(META, MANIFEST_KEY)
        with self._lock:
            if row == self._row and self._manifest is not None:
                return self._manifest
        manifest = Manifest.decode(row, n_bytes=store.n_bytes())
        if self.expected is None:
            self.expected = manifest.describe()
        elif manifest.describe() != self.expected:
            raise IncompatibleIndexError(
                f"{self._path} is another index than the one that was opened: over {manifest.describe()}, not"
                f" {self.expected}: open it anew"
            )
        with self._lock:
            self._row, self._manifest = row, manifest
            live = {(entry.number, entry.stamp) for entry in manifest.segments}
            self._views = {key: view for key, view in self._views.items() if key in live}
            self._cache.turn_to(manifest)
        return manifest

    def _views_of(self, store: ReadStore, manifest: Manifest) -> tuple[list[SegmentView], MaskCache, NDArray[np.int64]]:
        known = self._segments
        if known is None or known[0] is not manifest:
            views = [self._view(store, manifest, entry) for entry in manifest.segments]
            self._segments = known = (manifest, views, segment_table(views))
        return known[1], self._cache, known[2]

    def _view(self, store: ReadStore, manifest: Manifest, entry: SegmentEntry) -> SegmentView:
        key = (entry.number, entry.stamp)
        view = self._views.get(key)
        if view is None:
            view = read_view(store, manifest, entry)
            with self._lock:
                view = self._views.setdefault(key, view)
        return view

    def close(self) -> None:
        """Close the connections, those in use when their snapshots end, and forget what was kept."""
        if self._pid != os.getpid():
            self._start_over_after_fork()
        self._closed = True
        self._close_idle()
        with self._lock:
            self._views, self._cache = {}, MaskCache()
            self._row = self._manifest = self._segments = None

    def let_go(self) -> None:
        """Close the connections that rest, of a reader that nobody uses any more; takes no lock."""
        _close_all(self._idle, self._pid)

    def _close_idle(self) -> None:
        with self._lock:
            _close_all(self._idle, self._pid)


class _Reading:
    """What :meth:`Reader.snapshot` returns: a class, because a generator would take as long as the search's SQL."""

    __slots__ = ("_reader", "_store")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __enter__(self) -> Snapshot:
        self._store, snapshot = self._reader.take()
        return snapshot

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._reader.give_back(self._store)
        else:
            self._store.close()


def _close_all(stores: list[ReadStore], pid: int) -> None:
    if os.getpid() == pid:  # what came through a fork is another process's
        while stores:
            stores.pop().close()
