"""The writing side of an open index: the lock, and the commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from pixie_retrievers.errors import IncompatibleIndexError, IndexLockedError, StorageError
from pixie_retrievers.index.sqlite.codec import Kind, encode_arrays, encode_row
from pixie_retrievers.index.sqlite.columns.building import build_columns
from pixie_retrievers.index.sqlite.columns.column import SegmentColumns
from pixie_retrievers.index.sqlite.columns.merging import merge_columns
from pixie_retrievers.index.sqlite.columns.stored import column_keys, encode_columns
from pixie_retrievers.index.sqlite.manifest import MANIFEST_KEY, Manifest, SegmentEntry
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
from pixie_retrievers.index.sqlite.store import (
    COLUMNS,
    DOCUMENTS,
    IDS,
    META,
    POSTINGS,
    SEGMENTS,
    TOMBSTONES,
    VECTORS,
    WriteStore,
    create_store,
    is_begun,
)
from pixie_retrievers.index.sqlite.vectors import encode_vectors, round_vectors
from pixie_retrievers.types import Document, SparseVectors

__all__ = ["Writer"]

_MAX_DEAD_SHARE = 0.3
"""A segment with a larger share of tombstones is rewritten without them."""


class Writer:
    """Holds the writer lock from its making to its close.

    Args:
        path: The index file; made when it is not there.
        new: The manifest that a new file begins with.
        reader: The same index's reading side.

    Raises:
        IndexLockedError: Another writer holds the index.
        IncompatibleIndexError: Another writer made the file meanwhile, for another model.
        StorageError: The folder cannot be written.
    """

    def __init__(self, path: Path, new: Manifest, reader: Reader) -> None:
        self._reader = reader
        # A lock of the operating system: it goes when its holder does, however that ends.
        self._lock = FileLock(path.with_name(path.name + ".lock"), thread_local=False)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise IndexLockedError(
                f"{path}: another writer holds this index; close it there first (reading is always possible)"
            ) from error
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror or error}: an index needs a folder it can write to") from error
        try:
            if not is_begun(path):
                create_store(path, new.first_rows())
            self._refuse_another(path, new)
            self._store = WriteStore(path)
        except BaseException:
            self._lock.release()
            raise

    def _refuse_another(self, path: Path, new: Manifest) -> None:
        # There may have been no file when the index was opened, and another writer may have made one.
        with self._reader.snapshot() as snapshot:
            found = snapshot.manifest.describe()
        if found != new.describe():
            raise IncompatibleIndexError(f"{path} was made meanwhile, with {found}, not {new.describe()}: open it anew")

    @property
    def failed(self) -> bool:
        """A commit failed: close this writer, and begin again from what is on the disk."""
        return self._store.failed

    # Each commit is worked out inside a snapshot and written outside of it: a reader that is still there when the
    # commit comes would keep the write-ahead log from ever starting over.

    def upsert(self, documents: Sequence[Document], vectors: SparseVectors) -> None:
        """Store checked documents in one commit."""
        with self._reader.snapshot() as snapshot:
            changes = _Changes(snapshot, snapshot.docnos([document.id for document in documents]))
            manifest = snapshot.manifest
            docnos = np.arange(manifest.next_docno, manifest.next_docno + len(documents))
            stored = round_vectors(vectors, manifest.weights)
            for start in range(0, len(documents), MAX_DOCUMENTS):
                part = slice(start, start + MAX_DOCUMENTS)
                metadata = [document.metadata for document in documents[part]]
                changes.append(build_segment(stored[part], docnos[part], manifest.vocabulary_size), metadata)
            changes.merge()
        rows = list(zip(docnos.tolist(), documents, strict=True))
        with self._store.transaction():
            changes.write(self._store, next_docno=manifest.next_docno + len(documents))
            texts = ((n, encode_row(docno_key(n), [doc.id, doc.text, dict(doc.metadata)])) for n, doc in rows)
            self._store.put(DOCUMENTS, texts)
            self._store.put(VECTORS, encode_vectors(stored, docnos.tolist(), manifest.vocabulary_size))
            self._store.put(IDS, ((doc.id, encode_row(doc.id, [n])) for n, doc in rows))

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents in one commit; return how many existed."""
        with self._reader.snapshot() as snapshot:
            known = snapshot.docnos(ids)
            if not known:
                return 0
            changes = _Changes(snapshot, known)
            changes.merge()
        with self._store.transaction():
            changes.write(self._store, next_docno=snapshot.manifest.next_docno)
            self._store.remove(IDS, known)
        return len(known)

    def compact(self) -> None:
        """Merge everything into as few segments as can be, in one commit, and shrink the file."""
        with self._reader.snapshot() as snapshot:
            changes = _Changes(snapshot, {})
            changes.merge(everything=True)
        with self._store.transaction():
            changes.write(self._store, next_docno=snapshot.manifest.next_docno)
        self._store.shrink()

    def close(self) -> None:
        """Close the file and let the next writer in."""
        try:
            self._store.close()
        finally:
            self._lock.release()


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
            self._entries[position] = replace(self._entries[position], n_deleted=int(bitmap.sum()))

    def append(self, segment: Segment, metadata: Sequence[Mapping[str, Any]]) -> None:
        """Add a new segment behind the others, with its documents' metadata."""
        self._columns.append(build_columns(metadata))
        self._entries.append(SegmentEntry(-1, segment.head.n_documents, 0, segment.head.n_postings))
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
                entries.append(SegmentEntry(-1, merged.head.n_documents, 0, merged.head.n_postings))
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
        store.put(META, [(MANIFEST_KEY, committed.encode())])
