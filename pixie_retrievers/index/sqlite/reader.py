"""The reading side of an open index: connections, and what is kept from one search to the next."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.index.sqlite.forks import unforked
from pixie_retrievers.index.sqlite.manifest import MANIFEST_KEY, Manifest, SegmentEntry
from pixie_retrievers.index.sqlite.masks import MaskCache
from pixie_retrievers.index.sqlite.snapshot import Snapshot
from pixie_retrievers.index.sqlite.store import META, ReadStore
from pixie_retrievers.index.sqlite.view import SegmentView, read_view, segment_table

__all__ = ["Reader"]


class Reader:
    """Hands out snapshots of the newest commit point, to any number of threads.

    Segments never change, so what was read of one is kept until the segment is gone from the manifest.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._idle: list[ReadStore] = []
        self._closed = False
        self._pid = os.getpid()
        self._orphans: list[list[ReadStore]] = []
        self._row: bytes | None = None
        self._manifest: Manifest | None = None
        self._segments: tuple[Manifest, list[SegmentView], NDArray[np.int64]] | None = None
        self._views: dict[int, SegmentView] = {}
        self._cache = MaskCache()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The newest commit point, unchanging until the end of the block."""
        with unforked():
            store = self._connection()
            try:
                with store.transaction():
                    manifest = self._refreshed(store)
                    yield Snapshot(store, manifest, *self._views_of(store, manifest))
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
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return ReadStore(self._path)

    def _start_over_after_fork(self) -> None:
        # SQLite forbids using, and even closing, a connection that came through a fork: leave it be. Locks may have
        # been held by threads that this process does not have.
        self._orphans.append(self._idle)
        self._idle, self._lock, self._pid = [], threading.Lock(), os.getpid()
        self._cache.renew_lock()
        for view in self._views.values():
            view.renew_lock()

    def _refreshed(self, store: ReadStore) -> Manifest:
        row = store.get(META, MANIFEST_KEY)
        with self._lock:
            if row == self._row and self._manifest is not None:
                return self._manifest
        manifest = Manifest.decode(row)
        with self._lock:
            if self._manifest is None or manifest.generation > self._manifest.generation:
                self._row, self._manifest = row, manifest
                live = {entry.number for entry in manifest.segments}
                self._views = {number: view for number, view in self._views.items() if number in live}
                self._cache.forget_all_but(manifest.segments)
        return manifest

    def _views_of(self, store: ReadStore, manifest: Manifest) -> tuple[list[SegmentView], MaskCache, NDArray[np.int64]]:
        known = self._segments
        if known is None or known[0] is not manifest:
            views = [self._view(store, manifest, entry) for entry in manifest.segments]
            self._segments = known = (manifest, views, segment_table(views))
        return known[1], self._cache, known[2]

    def _view(self, store: ReadStore, manifest: Manifest, entry: SegmentEntry) -> SegmentView:
        view = self._views.get(entry.number)
        if view is None:
            view = read_view(store, manifest, entry)
            with self._lock:
                view = self._views.setdefault(entry.number, view)
        return view

    def close(self) -> None:
        """Close the connections, those in use when their snapshots end, and forget what was kept."""
        if self._pid != os.getpid():
            self._start_over_after_fork()
        with self._lock:
            self._closed = True
            for store in self._idle:
                store.close()
            self._idle = []
            self._views, self._cache = {}, MaskCache()
            self._row = self._manifest = self._segments = None
