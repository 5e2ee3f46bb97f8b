"""The integrity check: reads everything and holds it against everything else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.errors import CorruptIndexError
from pixie_retrievers.index.base import CheckReport
from pixie_retrievers.index.sqlite.attachment_rows import attachment_key, decode_attachment
from pixie_retrievers.index.sqlite.codec import decode_row
from pixie_retrievers.index.sqlite.columns.among import sums_of
from pixie_retrievers.index.sqlite.columns.building import build_column, field_values
from pixie_retrievers.index.sqlite.columns.column import Column, SegmentColumns
from pixie_retrievers.index.sqlite.manifest import IDENTITY_KEY, MANIFEST_KEY, Manifest
from pixie_retrievers.index.sqlite.masks import MaskCache
from pixie_retrievers.index.sqlite.merge import merge_segments
from pixie_retrievers.index.sqlite.read_store import ReadStore
from pixie_retrievers.index.sqlite.segment import Segment, build_segment
from pixie_retrievers.index.sqlite.snapshot import Snapshot, docno_key
from pixie_retrievers.index.sqlite.tables import COLUMNS, DOCUMENTS, IDS, META, POSTINGS, SEGMENTS, TOMBSTONES, VECTORS
from pixie_retrievers.index.sqlite.view import read_view

__all__ = ["check_file"]


def check_file(path: Path) -> CheckReport:
    """Read a file's last commit point, whole, and say what is wrong with it; also where no index can be opened.

    Raises:
        IndexNotFoundError: There is no file.
        IncompatibleIndexError: The file is a database, but not an index, or a newer format wrote it.
        StorageError: The file cannot be read.
    """
    problems: list[str] = []
    try:
        with contextlib.closing(ReadStore(path)) as store:
            with contextlib.suppress(CorruptIndexError):
                problems += (f"SQLite: {problem}" for problem in store.damage())
            with store.transaction():
                for problem in _problems(store):
                    problems.append(problem)  # what was found before an error counts
    except CorruptIndexError as error:
        problems.append(str(error))
    return CheckReport(tuple(problems))


def _problems(store: ReadStore) -> Iterator[str]:
    manifest = Manifest.decode(store.get(META, MANIFEST_KEY), n_bytes=store.n_bytes())
    try:
        (identity,) = decode_row(IDENTITY_KEY, store.get(META, IDENTITY_KEY), dict)
        if identity != manifest.origin():
            yield "the identity row and the manifest name different models, vocabularies, weight formats or files"
    except CorruptIndexError as error:
        yield str(error)
    for name, _ in manifest.attachments:
        try:
            decode_attachment(name, store.get(META, attachment_key(name)))
        except CorruptIndexError as error:
            yield str(error)
    n_blocks = n_tombstones = n_columns = 0
    last_docno = -1
    for entry in manifest.segments:
        n_tombstones += entry.n_deleted > 0
        try:
            view = read_view(store, manifest, entry)
            head = view.head
            n_blocks += len(head.blocks) - 1
            if head.docnos[0] <= last_docno or head.docnos[-1] >= manifest.next_docno:
                yield f"the documents of segment {entry.number} are out of order"
            last_docno = int(head.docnos[-1])
            segment = view.whole(store)
            if not _maxima_hold(segment):
                yield f"segment {entry.number} has weights above or below what its head says"
            snapshot = Snapshot(store, replace(manifest, segments=(entry,)), [view], MaskCache())
            dead = snapshot.tombstones(0)
            yield from _vector_problems(snapshot, segment, dead)
        except CorruptIndexError as error:
            yield str(error)
            continue
        alive = head.docnos if dead is None else head.docnos[dead == 0]
        try:
            columns = snapshot.columns(0)
            n_columns += 1 + len(columns.columns) + (columns.id_sums is not None)
            yield from _column_problems(snapshot, columns, alive)
        except CorruptIndexError as error:
            yield str(error)
        for docno in alive.tolist():
            yield from _document_problems(store, docno)
    counts = {
        SEGMENTS: len(manifest.segments),
        POSTINGS: n_blocks,
        TOMBSTONES: n_tombstones,
        DOCUMENTS: manifest.n_live,
        VECTORS: manifest.n_live,
        IDS: manifest.n_live,
        COLUMNS: n_columns,
        META: 2 + len(manifest.attachments),
    }
    for table, expected in counts.items():
        found = store.count(table)
        if found != expected:
            yield f"the number of rows in the table {table} is {found}, not {expected}"


def _vector_problems(snapshot: Snapshot, segment: Segment, dead: NDArray[np.uint8] | None) -> Iterator[str]:
    """The whole vectors of a snapshot of one segment against its postings: what one says, the other must say."""
    vocabulary_size = snapshot.manifest.vocabulary_size
    live = merge_segments([segment], [dead], vocabulary_size)
    if live is None:
        return
    docnos = live.head.docnos.tolist()
    try:
        vectors = snapshot.vectors(docnos)
    except CorruptIndexError:
        for docno in docnos:
            try:
                snapshot.vectors([docno])
            except CorruptIndexError as error:
                yield str(error)
        return
    same = build_segment(vectors, live.head.docnos, vocabulary_size)
    pairs = [(getattr(live, name), getattr(same, name)) for name in ("ordinals", "weights", "literal")]
    pairs += [(getattr(live.head, name), getattr(same.head, name)) for name in ("term_ids", "starts", "scales", "cut")]
    if not all(np.array_equal(one, other) for one, other in pairs):
        yield f"the postings of segment {snapshot.manifest.segments[0].number} are not its documents' vectors"


def _column_problems(snapshot: Snapshot, stored: SegmentColumns, alive: NDArray[np.int64]) -> Iterator[str]:
    """Columns against the live documents of a snapshot of one segment."""
    where = f"in segment {snapshot.manifest.segments[0].number}"
    try:
        documents = snapshot.documents(alive.tolist())
    except CorruptIndexError:
        return  # the documents themselves are checked by name
    fields = field_values(document.metadata for document in documents)
    if stored.complete and not fields.keys() <= stored.columns.keys():
        yield f"a metadata field {where} has no column, though the segment's directory says that all have"
    ordinals = np.searchsorted(snapshot.views[0].head.docnos, alive)
    if stored.id_sums is not None:
        right_sums = sums_of([document.id for document in documents])
        if not np.array_equal(stored.id_sums[ordinals], right_sums):
            yield f"the checksums of ids {where} are not those of the documents' ids"
    for field, column in stored.columns.items():
        right = build_column(*fields.get(field, ([], [])), len(alive))
        # A deleted document may still stand in a column: only the live ones are held to it.
        if _values(column, column.codes[ordinals]) != _values(right, right.codes):
            yield f"the column of {field!r} {where} is not the documents'"


def _values(column: Column, codes: NDArray[Any]) -> list[Any]:
    values = column.values()
    return [values[code] for code in codes.tolist()]


def _maxima_hold(segment: Segment) -> bool:
    head = segment.head
    if not len(head.term_ids):
        return True
    values = segment.weights.astype(np.float32)
    if len(head.scales):
        values *= head.scales[segment.ordinals]
    return bool((np.maximum.reduceat(values, head.starts[:-1]) == head.max_weights).all())


def _document_problems(store: ReadStore, docno: int) -> Iterator[str]:
    key = docno_key(docno)
    try:
        id, _, _ = decode_row(key, store.get(DOCUMENTS, docno), str, str, dict)
        if decode_row(id, store.get(IDS, id), int) != [docno]:
            yield f"the id of document number {docno} leads to another document"
    except CorruptIndexError as error:
        yield str(error)
