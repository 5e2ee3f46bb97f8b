"""Salvage: everything in a damaged file that verifies, written into a new file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.errors import (
    CorruptIndexError,
    IndexNotFoundError,
    PixieError,
    StorageError,
)
from pixie_retrievers.index.sqlite.codec import Kind, decode_arrays, decode_row, encode_row
from pixie_retrievers.index.sqlite.columns.building import build_columns
from pixie_retrievers.index.sqlite.columns.stored import encode_columns
from pixie_retrievers.index.sqlite.manifest import IDENTITY_KEY, MANIFEST_KEY, Manifest, SegmentEntry
from pixie_retrievers.index.sqlite.merge import merge_segments
from pixie_retrievers.index.sqlite.pages import Place, SqlitePages
from pixie_retrievers.index.sqlite.segment import (
    HEAD_DTYPES,
    Segment,
    block_key,
    decode_block,
    decode_head,
    encode_blocks,
    encode_head,
    segment_key,
)
from pixie_retrievers.index.sqlite.snapshot import docno_key
from pixie_retrievers.index.sqlite.store import (
    COLUMNS,
    DOCUMENTS,
    IDS,
    META,
    PAGE_SIZE,
    POSTINGS,
    SEGMENTS,
    WriteStore,
    create_store,
    sync_folder,
)

__all__ = ["Loss", "RepairReport", "repair_index"]

_UNDAMAGED = {"float32": "u2 f4", "float16": "u2 f2", "uint8": "u2 u1"}


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that did not come through.

    Attributes:
        what: A document's id, or the name of a part of the file.
        why: What is wrong with it.
    """

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair saved.

    Attributes:
        n_documents: Documents in the new index.
        lost: What is not in it.
        texts: A JSON Lines file with those of the lost documents whose text is sound: encode them again. None when
            there are none.
        n_texts: How many it holds.
    """

    n_documents: int
    lost: tuple[Loss, ...]
    texts: Path | None
    n_texts: int


def repair_index(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    vocabulary_size: int | None = None,
    fingerprint: str | None = None,
) -> RepairReport:
    """Write all that verifies in a damaged index into a new one; the source is only read.

    No other process may be writing the source. A document comes through when its row and all postings of its segment
    verify. Where a block of postings is damaged, nothing says which of the segment's documents it spoke of, so none
    comes through; their texts do.

    Args:
        source: The damaged file; its write-ahead log, if there is one, is read too.
        target: The new file. ``TARGET.lost.jsonl`` beside it takes the texts.
        vocabulary_size: Needed only if the file has lost what it says of its model.
        fingerprint: The same.

    Raises:
        IndexNotFoundError: There is no source.
        StorageError: There is a target, or it cannot be written.
        CorruptIndexError: Nothing that verifies says which vocabulary the index was over, and no argument does.
        IncompatibleIndexError: A newer format wrote the source.
    """
    source, target = Path(source), Path(target)
    texts = target.with_name(target.name + ".lost.jsonl")
    if not source.is_file():
        raise IndexNotFoundError(f"there is no index at {source}: check the path")
    for path in (target, texts):
        if path.exists() or path.is_symlink():
            raise StorageError(f"{path} exists already: a repair writes new files only; name another")
    if not target.parent.is_dir():
        raise StorageError(f"{target.parent} is not a folder: make it first")
    try:
        return _repair(source, target, texts, vocabulary_size, fingerprint)
    except PixieError:
        raise
    except OSError as error:
        raise StorageError(f"{error.filename}: {error.strerror}: check the folder's space and permissions") from error


def _repair(
    source: Path, target: Path, texts: Path, vocabulary_size: int | None, fingerprint: str | None
) -> RepairReport:
    with closing(SqlitePages(source, PAGE_SIZE)) as pages:
        salvage = _Salvage(pages, vocabulary_size, fingerprint)
        with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
            draft, draft_texts = Path(folder, "index"), Path(folder, "texts")
            n_documents = salvage.write(draft)
            n_texts = salvage.write_texts(draft_texts)
            if n_texts:
                draft_texts.rename(texts)
            draft.rename(target)
            sync_folder(target.parent)
    return RepairReport(n_documents, tuple(salvage.lost), texts if n_texts else None, n_texts)


@dataclass(slots=True)
class _Found:
    """Rows that verify, by what they are."""

    manifest: Manifest | None = None
    identity: dict[str, Any] | None = None
    ids: dict[int, str] = field(default_factory=dict)
    documents: dict[int, Place] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)  # the last document of each id
    heads: dict[int, Place] = field(default_factory=dict)
    blocks: dict[str, Place] = field(default_factory=dict)
    tombstones: dict[int, list[NDArray[np.uint8]]] = field(default_factory=dict)
    weights: str = "float32"


class _Salvage:
    def __init__(self, pages: SqlitePages, vocabulary_size: int | None, fingerprint: str | None) -> None:
        self._pages = pages
        self.lost: list[Loss] = []
        self._saved: dict[str, int] = {}
        self._dead: set[int] = set()
        if pages.n_frames_lost:
            self._lose("write-ahead log", f"{pages.n_frames_lost} pages of it do not verify: the last commits may miss")
        self._found = self._find()
        self._manifest = self._found.manifest or self._without_manifest(vocabulary_size, fingerprint)

    def _lose(self, what: str, why: str) -> None:
        self.lost.append(Loss(what, why))

    def _find(self) -> _Found:
        free = self._pages.free_pages()
        if free is None:
            self._lose("SQLite's list of free pages", "damaged: documents deleted before may have come back")
        found = _Found()
        for place, raw_key, value in self._pages.rows():
            if free and place.page in free:
                continue
            try:
                key = raw_key.decode()
                if value.startswith(b"PXIE"):
                    _find_frame(found, place, key, value)
                elif value.startswith(b'["'):
                    _find_row(found, place, key, value)
            except (UnicodeDecodeError, CorruptIndexError, ValueError):
                continue  # what does not verify is missed later, where it belongs
        return found

    def _without_manifest(self, vocabulary_size: int | None, fingerprint: str | None) -> Manifest:
        self._lose("manifest", "does not verify: worked out again from the segments")
        found, identity = self._found, self._found.identity or {}
        size = identity.get("vocabulary_size", vocabulary_size)
        if size is None:
            raise CorruptIndexError(
                "nothing that verifies says which vocabulary the index was over: pass vocabulary_size and fingerprint"
                " (on the command line --vocabulary-size and --fingerprint)"
            )
        entries = []
        for number, place in found.heads.items():
            starts, lengths, _, counts, *_ = decode_arrays(
                Kind.HEAD, segment_key(number), self._value(place), HEAD_DTYPES
            )
            dead = found.tombstones.get(number)
            n_deleted = max(int(bitmap.sum()) for bitmap in dead) if dead else 0
            entries.append((int(starts[0]), SegmentEntry(number, int(lengths.sum()), n_deleted, int(counts.sum()))))
        return Manifest(
            size,
            identity.get("fingerprint", fingerprint or ""),
            identity.get("weights", found.weights),
            next_docno=max([*found.documents, *found.ids, -1]) + 1,
            next_segment=max(found.heads, default=-1) + 1,
            segments=tuple(entry for _, entry in sorted(entries)),
        )

    def _value(self, place: Place) -> bytes | None:
        row = self._pages.row(place)
        return None if row is None else row.value

    def write(self, draft: Path) -> int:
        """Write the new index; the number of its documents."""
        manifest = replace(self._manifest, segments=(), generation=self._manifest.generation + 1)
        create_store(draft, manifest.first_rows())
        store = WriteStore(draft)
        try:
            for segment in self._segments():
                number = manifest.next_segment
                head = segment.head
                entry = SegmentEntry(number, head.n_documents, 0, head.n_postings)
                manifest = replace(
                    manifest,
                    generation=manifest.generation + 1,
                    next_segment=number + 1,
                    segments=(*manifest.segments, entry),
                )
                with store.transaction():
                    store.put(SEGMENTS, [(segment_key(number), encode_head(number, head))])
                    store.put(POSTINGS, encode_blocks(number, segment))
                    metadata = [self._document(docno)[2] for docno in head.docnos.tolist()]
                    store.put(COLUMNS, encode_columns(number, build_columns(metadata)))
                    for docno in head.docnos.tolist():
                        id = self._document(docno)[0]
                        store.put(DOCUMENTS, [(docno, (self._value(self._found.documents[docno]) or b"").decode())])
                        store.put(IDS, [(id, encode_row(id, [docno]))])
                    store.put(META, [(MANIFEST_KEY, manifest.encode())])
        finally:
            store.close()
        return len(self._saved)

    def write_texts(self, draft: Path) -> int:
        """Write the documents that lost their vector, but not their text; their number."""
        texts: dict[str, int] = {}
        for docno in sorted(self._found.documents.keys() - self._dead - set(self._saved.values())):
            id = self._document(docno)[0]
            if id not in self._saved:
                texts[id] = docno  # the newest of an id wins
        with draft.open("w", encoding="utf-8") as file:
            for docno in texts.values():
                id, text, metadata = self._document(docno)
                file.write(json.dumps({"id": id, "text": text, "metadata": metadata}, ensure_ascii=False) + "\n")
        return len(texts)

    def _document(self, docno: int) -> list[Any]:
        key = docno_key(docno)
        return decode_row(key, self._value(self._found.documents[docno]), 3)

    def _segments(self) -> Iterator[Segment]:
        """The segments that verify, with the documents that verify, in their order."""
        numbered: set[int] = set()
        for entry in self._manifest.segments:
            try:
                head = decode_head(
                    entry.number,
                    self._value(self._found.heads[entry.number]) if entry.number in self._found.heads else None,
                    n_documents=entry.n_documents,
                    n_postings=entry.n_postings,
                    vocabulary_size=self._manifest.vocabulary_size,
                )
            except CorruptIndexError as error:
                self._lose(f"segment {entry.number}", f"{entry.n_live} documents without vectors: {_brief(error)}")
                continue
            numbered.update(head.docnos.tolist())
            gone = self._tombstones(entry, head.docnos)
            self._dead.update(head.docnos[gone == 1].tolist())
            blocks: list[tuple[NDArray[np.uint16], NDArray[Any]]] = []
            damage = None
            for block in range(len(head.blocks) - 1):
                key = block_key(entry.number, block)
                frame = self._value(self._found.blocks[key]) if key in self._found.blocks else None
                try:
                    blocks.append(decode_block(entry.number, block, frame, head, self._manifest.weights))
                except CorruptIndexError as error:
                    damage = damage or _brief(error)
            alive = head.docnos[gone == 0].tolist()
            for docno in alive:
                gone[int(np.searchsorted(head.docnos, docno))] = not self._save(docno, damage)
            if damage is None and not gone.all():
                ordinals = np.concatenate([np.zeros(0, np.uint16), *(part for part, _ in blocks)])
                weights = np.concatenate([values for _, values in blocks]) if blocks else self._no_weights()
                if self._manifest.weights == "float16":
                    weights = weights.astype(np.float16)
                segment = merge_segments([Segment(head, ordinals, weights)], [gone], self._manifest.vocabulary_size)
                if segment is not None:
                    yield segment
        for docno in sorted(self._found.documents.keys() - numbered):
            self._lose(self._document(docno)[0], "its segment does not verify; its text does")

    def _no_weights(self) -> NDArray[Any]:
        return np.zeros(0, {"float32": np.float32, "float16": np.float16, "uint8": np.uint8}[self._manifest.weights])

    def _save(self, docno: int, damage: str | None) -> bool:
        id = self._found.ids.get(docno, f"document number {docno}")
        if docno not in self._found.documents:
            self._lose(id, "its row does not verify")
            return False
        id = self._document(docno)[0]
        if self._found.newest[id] != docno:
            self._lose(id, "it stands twice: a newer one replaces it")
            self._dead.add(docno)
            return False
        if damage is not None:
            self._lose(id, f"its weights may be in what is damaged; its text is sound ({damage})")
            return False
        self._saved[id] = docno
        return True

    def _tombstones(self, entry: SegmentEntry, docnos: NDArray[np.int64]) -> NDArray[np.uint8]:
        if entry.n_deleted == 0:
            gone = np.zeros(len(docnos), np.uint8)
            if self._found.manifest is None:  # a segment whose tombstones are lost looks like one without
                gone[:] = [
                    docno not in self._found.documents and docno not in self._found.ids for docno in docnos.tolist()
                ]
            return gone
        for bitmap in self._found.tombstones.get(entry.number, []):
            dead = bitmap[: len(docnos)]
            if len(dead) == len(docnos) and int(dead.sum()) == entry.n_deleted:
                return dead.astype(np.uint8)
        self._lose(f"tombstones of segment {entry.number}", "do not verify: what has no row counts as deleted")
        return np.array([docno not in self._found.documents for docno in docnos.tolist()], np.uint8)


def _find_frame(found: _Found, place: Place, key: str, frame: bytes) -> None:
    kind = frame[5]
    if kind == Kind.HEAD:
        decode_arrays(Kind.HEAD, key, frame, HEAD_DTYPES)
        found.heads[int(key)] = place
    elif kind == Kind.TOMBSTONES:
        (bitmap,) = decode_arrays(Kind.TOMBSTONES, key, frame, "u1")
        found.tombstones.setdefault(int(key), []).append(np.unpackbits(bitmap))
    elif kind == Kind.BLOCK:
        for weights, dtypes in _UNDAMAGED.items():
            try:
                decode_arrays(Kind.BLOCK, key, frame, dtypes)
            except CorruptIndexError:
                continue
            found.blocks[key], found.weights = place, weights


def _find_row(found: _Found, place: Place, key: str, row: bytes) -> None:
    n_values = _n_values(row)
    values = decode_row(key, row, n_values)
    if key == MANIFEST_KEY and n_values == 2:
        manifest = Manifest.decode(row)
        if found.manifest is None or manifest.generation > found.manifest.generation:
            found.manifest = manifest
    elif key == IDENTITY_KEY and n_values == 1 and isinstance(values[0], Mapping):
        found.identity = dict(values[0])
    elif n_values == 3 and key.isdigit():
        found.documents[int(key)] = place
        found.newest[values[0]] = max(found.newest.get(values[0], -1), int(key))
    elif n_values == 1 and isinstance(values[0], int):
        found.ids[values[0]] = key


def _n_values(row: bytes) -> int:
    values: Sequence[Any] = json.loads(row)
    return len(values) - 1


def _brief(error: CorruptIndexError) -> str:
    return str(error).partition(": restore")[0]
