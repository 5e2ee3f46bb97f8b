"""The writing side of an open index: its commits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.errors import CorruptIndexError, StorageError
from pixie_retrievers.index.sqlite.attachment_rows import attachment_key, encode_attachment
from pixie_retrievers.index.sqlite.codec import Kind, encode_arrays, encode_row
from pixie_retrievers.index.sqlite.columns.building import build_columns
from pixie_retrievers.index.sqlite.columns.column import SegmentColumns
from pixie_retrievers.index.sqlite.columns.merging import merge_columns
from pixie_retrievers.index.sqlite.columns.stored import column_keys, encode_columns
from pixie_retrievers.index.sqlite.files import FileId, file_at, is_begun, refuse_second_names
from pixie_retrievers.index.sqlite.forks import before_forks
from pixie_retrievers.index.sqlite.manifest import MANIFEST_KEY, Manifest, SegmentEntry, new_identity, new_stamp
from pixie_retrievers.index.sqlite.merge import merge_segments, pack, tail_to_merge
from pixie_retrievers.index.sqlite.reader import Reader
from pixie_retrievers.index.sqlite.segment import (
    MAX_DOCUMENTS,
    Segment,
    block_key,
    build_segment,
    encode_blocks,
    encode_head,
    segment_key,
)
from pixie_retrievers.index.sqlite.snapshot import Snapshot, docno_key
from pixie_retrievers.index.sqlite.tables import COLUMNS, DOCUMENTS, IDS, META, POSTINGS, SEGMENTS, TOMBSTONES, VECTORS
from pixie_retrievers.index.sqlite.vectors import encode_vectors, round_vectors
from pixie_retrievers.index.sqlite.write_store import WriteStore, create_store
from pixie_retrievers.types import Document, SparseVectors

__all__ = ["Writer"]

_MAX_DEAD_SHARE = 0.3
"""A segment with a larger share of tombstones is rewritten without them."""


class Writer:
    """The writing side of one handle, which its threads use one after the other.

    The writer's lock is SQLite's own, held for a commit: the newest commit point is read under it, and the lock goes
    with the commit, or with the process, however that ends. Many handles, in many processes, write in turn.

    Args:
        path: The index file; made at the first commit when it is not there.
        new: The manifest that a new file begins with.
        reader: The same index's reading side.
        lock_timeout_s: So long a commit waits for another writer's.

    Attributes:
        has_begun: There is, or has been, a file.
        cancelled: Set when the commit that runs is to be undone, unless it is done already.
    """

    def __init__(self, path: Path, new: Manifest, reader: Reader, *, lock_timeout_s: float, has_begun: bool) -> None:
        self.has_begun = has_begun
        self.cancelled = Event()
        self._path = path
        self._new = new
        self._reader = reader
        self._lock_timeout_s = lock_timeout_s
        self._store: WriteStore | None = None
        before_forks(self.close)  # SQLite would take locks for a child's own that its parent holds

    @contextmanager
    def _committing(self) -> Iterator[WriteStore]:
        """One transaction on the file that is at the path, from its beginning to its end.

        Raises:
            IndexLockedError: Another writer has not let go in time.
            IndexNotFoundError: The file was there, and is no more.
            IncompatibleIndexError: Somebody else made the file, or put one in its place, for another model.
            StorageError: The file has other names, or lost its own while it was written.
        """
        if not self.has_begun and not is_begun(self._path):
            create_store(self._path, replace(self._new, identity=new_identity()))
        store = self._store_at(file_at(self._path))
        try:
            with store.transaction(self.cancelled):
                refuse_second_names(self._path)
                yield store
        except BaseException:
            self._store = None  # it is closed
            raise
        if file_at(self._path) != store.file:
            raise StorageError(
                f"{self._path} was moved or replaced while it was being written: the write is in the old file, and not"
                " in the one at the path; repeat it"
            )

    def _store_at(self, file: FileId) -> WriteStore:
        if self._store is not None and self._store.file != file:
            self._store.close()
            self._store = None
        if self._store is None:
            with self._reader.snapshot():  # refuses another model's file, and sets a log aside that is not the file's
                self.has_begun = True
            self._store = WriteStore(self._path, lock_timeout_s=self._lock_timeout_s)
        return self._store

    # Each commit is worked out inside a snapshot, which ends before the commit: a reader that is still there then would
    # keep the write-ahead log from ever starting over.

    def upsert(self, documents: Sequence[Document], vectors: SparseVectors) -> None:
        """Store checked documents in one commit."""
        with self._committing() as store:
            with self._reader.snapshot() as snapshot:
                changes = _Changes(snapshot, snapshot.docnos([document.id for document in documents]))
                manifest = snapshot.manifest
                docnos = np.arange(manifest.next_docno, manifest.next_docno + len(documents))
                stored = round_vectors(vectors, manifest.weights)
                for start in range(0, len(documents), MAX_DOCUMENTS):
                    part = slice(start, start + MAX_DOCUMENTS)
                    segment = build_segment(stored[part], docnos[part], manifest.vocabulary_size)
                    changes.append(segment, documents[part])
                changes.merge()
            rows = list(zip(docnos.tolist(), documents, strict=True))
            changes.write(store, next_docno=manifest.next_docno + len(documents))
            texts = ((n, encode_row(docno_key(n), [doc.id, doc.text, dict(doc.metadata)])) for n, doc in rows)
            store.put(DOCUMENTS, texts)
            store.put(VECTORS, encode_vectors(stored, docnos.tolist(), manifest.vocabulary_size))
            store.put(IDS, ((doc.id, encode_row(doc.id, [n])) for n, doc in rows))

    def try_lock(self) -> None:
        """Take the lock, as a commit would, and let go of it; of a file that is not there nobody has one."""
        if self.has_begun or is_begun(self._path):
            with self._committing():
                pass

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents in one commit; return how many existed."""
        with self._reader.snapshot() as snapshot:
            if not snapshot.docnos(ids):
                return 0
        with self._committing() as store:
            with self._reader.snapshot() as snapshot:
                known = snapshot.docnos(ids)
                changes = _Changes(snapshot, known)
                changes.merge()
            changes.write(store, next_docno=snapshot.manifest.next_docno)
            store.remove(IDS, known)
        return len(known)

    def compact(self) -> None:
        """Merge everything into as few segments as can be, in one commit, and shrink the file."""
        with self._committing() as store:
            with self._reader.snapshot() as snapshot:
                changes = _Changes(snapshot, {})
                changes.merge(everything=True)
            changes.write(store, next_docno=snapshot.manifest.next_docno)
        try:
            store.shrink()
        except BaseException:
            self._store = None  # it is closed
            raise

    def attach(self, name: str, content: bytes | None) -> None:
        """Keep something under a name beside the documents, or nothing any more, in one commit."""
        with self._committing() as store:
            with self._reader.snapshot() as snapshot:
                manifest = snapshot.manifest
            kept = dict(manifest.attachments)
            kept.pop(name, None)
            if content is None:
                store.remove(META, [attachment_key(name)])
            else:
                kept[name] = new_stamp()
                store.put(META, [(attachment_key(name), encode_attachment(name, content))])
            changed = replace(manifest, generation=manifest.generation + 1, attachments=tuple(sorted(kept.items())))
            store.put(META, [(MANIFEST_KEY, changed.encode())])

    def close(self) -> None:
        """Fold the log into the file, and close it."""
        store, self._store = self._store, None
        if store is not None:
            store.close()


class _Changes:
    """What a commit does to the segments: worked out in memory first, then written."""

    def __init__(self, snapshot: Snapshot, dead: Mapping[str, int]) -> None:
        self._snapshot = snapshot
        self._dead_docnos = list(dead.values())
        self._entries: list[SegmentEntry] = list(snapshot.manifest.segments)
        self._segments: list[Segment | None] = [None] * len(self._entries)  # None: stays as it is stored
        self._columns: list[SegmentColumns | None] = [None] * len(self._entries)  # None: stay as they are stored
        self._tombstones: dict[int, NDArray[np.uint8]] = {}
        for position in range(len(self._entries)):
            bitmap = snapshot.tombstones(position)
            if bitmap is not None:
                self._tombstones[position] = bitmap
        for docno in self._dead_docnos:
            position, ordinal = snapshot.locate(docno)
            n_documents = self._entries[position].n_documents
            self._tombstones.setdefault(position, np.zeros(n_documents, np.uint8))[ordinal] = 1
        for position, bitmap in self._tombstones.items():
            entry, n_deleted = self._entries[position], int(bitmap.sum())
            if n_deleted != entry.n_deleted:
                self._entries[position] = replace(entry, n_deleted=n_deleted, deletion_stamp=new_stamp())

    def append(self, segment: Segment, documents: Sequence[Document]) -> None:
        """Add a new segment of these documents behind the others."""
        metadata, ids = [document.metadata for document in documents], [document.id for document in documents]
        self._columns.append(build_columns(metadata, ids))
        self._entries.append(SegmentEntry(-1, segment.head.n_documents, 0, segment.head.n_postings, new_stamp()))
        self._segments.append(segment)

    def merge(self, *, everything: bool = False) -> None:
        """Merge what the policy says, and rewrite segments that hold too many tombstones."""
        start = 0 if everything else tail_to_merge([entry.n_live for entry in self._entries])
        runs = [range(position, position + 1) for position in range(start)]
        tail = pack([entry.n_live for entry in self._entries[start:]])
        runs += [range(run.start + start, run.stop + start) for run in tail]
        entries: list[SegmentEntry] = []
        segments: list[Segment | None] = []
        columns: list[SegmentColumns | None] = []
        tombstones: dict[int, NDArray[np.uint8]] = {}
        for run in runs:
            first = self._entries[run[0]]
            limit = 0 if everything else _MAX_DEAD_SHARE * first.n_documents
            if len(run) == 1 and first.n_deleted <= limit:
                if run[0] in self._tombstones:
                    tombstones[len(entries)] = self._tombstones[run[0]]
                entries.append(first)
                segments.append(self._segments[run[0]])
                columns.append(self._columns[run[0]])
                continue
            merged = merge_segments(
                [self._segments[i] or self._snapshot.views[i].whole(self._snapshot.store) for i in run],
                [self._tombstones.get(i) for i in run],
                self._snapshot.manifest.vocabulary_size,
            )
            if merged is not None:
                entries.append(SegmentEntry(-1, merged.head.n_documents, 0, merged.head.n_postings, new_stamp()))
                segments.append(merged)
                columns.append(self._merged_columns(run))
        self._entries, self._segments, self._columns, self._tombstones = entries, segments, columns, tombstones

    def _merged_columns(self, run: range) -> SegmentColumns:
        dead = [self._tombstones.get(position) for position in run]
        return merge_columns(
            [self._columns[position] or self._snapshot.columns(position) for position in run],
            [
                np.ones(self._entries[position].n_documents, bool) if bitmap is None else bitmap == 0
                for position, bitmap in zip(run, dead, strict=True)
            ],
        )

    def write(self, store: WriteStore, *, next_docno: int) -> None:
        """Put the changes into the store's open transaction, the manifest among them."""
        manifest = self._snapshot.manifest
        next_segment = manifest.next_segment
        for position, segment in enumerate(self._segments):
            if segment is not None:
                self._entries[position] = replace(self._entries[position], number=next_segment)
                store.put(SEGMENTS, [(segment_key(next_segment), encode_head(next_segment, segment.head))])
                store.put(POSTINGS, encode_blocks(next_segment, segment))
                next_segment += 1
            number = self._entries[position].number
            columns = self._columns[position]
            if columns is not None:
                store.put(COLUMNS, encode_columns(number, columns))
        before = {entry.number: entry.n_deleted for entry in manifest.segments}
        for position, bitmap in self._tombstones.items():
            entry = self._entries[position]
            if entry.n_deleted != before[entry.number]:
                key = segment_key(entry.number)
                store.put(TOMBSTONES, [(key, encode_arrays(Kind.TOMBSTONES, key, [np.packbits(bitmap)]))])
        kept = {entry.number for entry in self._entries}
        for entry, view in zip(manifest.segments, self._snapshot.views, strict=True):
            if entry.number not in kept:
                store.remove(SEGMENTS, [segment_key(entry.number)])
                store.remove(TOMBSTONES, [segment_key(entry.number)])
                store.remove_range(COLUMNS, *column_keys(entry.number))
                n_blocks = len(view.head.blocks) - 1
                store.remove(POSTINGS, [block_key(entry.number, block) for block in range(n_blocks)])
        store.remove(DOCUMENTS, self._dead_docnos)
        store.remove(VECTORS, self._dead_docnos)
        committed = replace(
            manifest,
            generation=manifest.generation + 1,
            next_docno=next_docno,
            next_segment=next_segment,
            segments=tuple(self._entries),
        )
        if not committed.is_sound():
            raise CorruptIndexError(
                "the manifest says that the index is at the end of its numbers, which only damage does: repair it into"
                " a new file"
            )
        store.put(META, [(MANIFEST_KEY, committed.encode())])
