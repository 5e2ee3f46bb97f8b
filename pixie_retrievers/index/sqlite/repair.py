"""Salvage: every document of a damaged file that verifies, written into a new file.

A document is two rows, its own and its vector's; everything else that an index holds follows from them and is built
anew. What was deleted is not there to be found: the store overwrites it (see :class:`WriteStore`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from pixie_retrievers.errors import CorruptIndexError, IndexNotFoundError, PixieError, StorageError
from pixie_retrievers.index.sqlite.attachment_rows import attachment_key, attachment_name, decode_attachment
from pixie_retrievers.index.sqlite.codec import Kind, decode_arrays, decode_row, encode_row
from pixie_retrievers.index.sqlite.columns.building import build_columns
from pixie_retrievers.index.sqlite.columns.stored import encode_columns
from pixie_retrievers.index.sqlite.files import log_size, put_in_place
from pixie_retrievers.index.sqlite.manifest import (
    IDENTITY_KEY,
    MANIFEST_KEY,
    MAX_DOCNO,
    MAX_SEGMENT,
    WEIGHT_FORMATS,
    Manifest,
    SegmentEntry,
    new_identity,
    new_stamp,
)
from pixie_retrievers.index.sqlite.pages import Place, SqlitePages
from pixie_retrievers.index.sqlite.read_store import ReadStore
from pixie_retrievers.index.sqlite.segment import (
    HEAD_DTYPES,
    MAX_DOCUMENTS,
    build_segment,
    encode_blocks,
    encode_head,
    segment_key,
)
from pixie_retrievers.index.sqlite.snapshot import docno_key
from pixie_retrievers.index.sqlite.tables import COLUMNS, DOCUMENTS, IDS, META, PAGE_SIZE, POSTINGS, SEGMENTS, VECTORS
from pixie_retrievers.index.sqlite.vectors import StoredVectors, decode_vectors, is_vector
from pixie_retrievers.index.sqlite.write_store import WriteStore, create_store
from pixie_retrievers.parameters import check_path

__all__ = ["Loss", "RepairReport", "repair_index"]

_SEGMENT_DIGITS = len(segment_key(0))


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
    """Write every document that verifies in a damaged index into a new one; the source is only read.

    No other process may be writing the source. A document comes through when its row and its vector's row verify:
    weights as they were stored, in the order of insertion. Where the vector alone is damaged, the text comes through.

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
    check_path("source", source)
    check_path("target", target)
    source, target = Path(source), Path(target)
    texts = target.with_name(target.name + ".lost.jsonl")
    if not source.is_file():
        raise IndexNotFoundError(f"there is no index at {source}: check the path")
    for path in (target, texts):
        if path.exists() or path.is_symlink():
            raise StorageError(f"{path} already exists: a repair only writes new files; name another")
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
    if log_size(source):
        with suppress(PixieError):
            ReadStore(source).close()  # where it opens, a log that was left over from another file is set aside
    with closing(SqlitePages(source, PAGE_SIZE)) as pages:
        salvage = _Salvage(pages, vocabulary_size, fingerprint)
        with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
            draft, draft_texts = Path(folder, "index"), Path(folder, "texts")
            salvage.write(draft)
            if salvage.texts:
                salvage.write_texts(draft_texts)
                draft_texts.rename(texts)
            if not put_in_place(draft, target):
                raise StorageError(f"{target} was made meanwhile: a repair only writes new files; name another")
    n_texts = len(salvage.texts)
    return RepairReport(len(salvage.saved), tuple(salvage.lost), texts if n_texts else None, n_texts)


@dataclass(slots=True)
class _Found:
    """Rows whose checksums hold, by what they are."""

    manifest: Manifest | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)
    ids: dict[int, str] = field(default_factory=dict)
    documents: dict[int, tuple[str, Place]] = field(default_factory=dict)
    vectors: dict[int, Place] = field(default_factory=dict)
    attachments: dict[str, Place] = field(default_factory=dict)
    last_segment: int = -1

    def add(self, place: Place, key: bytes | int, value: bytes) -> None:
        """Keep a row.

        Raises:
            CorruptIndexError, ValueError: It does not verify.
        """
        if isinstance(key, int):
            if not 0 <= key < MAX_DOCNO:
                raise CorruptIndexError(f"{key} cannot be the number of a document")
            if is_vector(key, value):
                self.vectors[key] = place
            else:
                self.documents[key] = (decode_row(docno_key(key), value, str, str, dict)[0], place)
        elif value.startswith(b'["'):
            self._add_row(key.decode(), value)
        elif value[5:6] == bytes([Kind.HEAD]):
            decode_arrays(Kind.HEAD, key.decode(), value, HEAD_DTYPES)
            self.last_segment = max(self.last_segment, int(key[:_SEGMENT_DIGITS]))
        elif value[5:6] == bytes([Kind.ATTACHMENT]):
            name = attachment_name(key.decode())
            decode_attachment(name, value)
            self.attachments[name] = place

    def _add_row(self, key: str, row: bytes) -> None:
        if key == MANIFEST_KEY:
            with suppress(CorruptIndexError):  # it may be an id like any other
                self.manifest = Manifest.decode(row)
                return
        (value,) = decode_row(key, row, object)
        if type(value) is int and 0 <= value < MAX_DOCNO:
            self.ids[value] = key
        elif key == IDENTITY_KEY and _is_origin(value):
            self.identity = value


def _is_origin(value: Any) -> bool:
    """Whether a row's value is what is fixed for the life of a file."""
    return (
        isinstance(value, dict) and value.keys() == Manifest(1, "", "").origin().keys() and Manifest(**value).is_sound()
    )


class _Salvage:
    """Sorts documents into those that come through, those whose text does, and those that are lost.

    Attributes:
        saved: Insertion numbers, ascending.
        texts: The same, of documents whose text alone is sound.
        lost: All that is not in ``saved``.
    """

    def __init__(self, pages: SqlitePages, vocabulary_size: int | None, fingerprint: str | None) -> None:
        self._pages = pages
        self.saved: list[int] = []
        self.texts: list[int] = []
        self.lost: list[Loss] = []
        if pages.n_frames_lost:
            why = f"does not verify ({pages.n_frames_lost} of its pages): the last commits may be lost"
            self._lose("write-ahead log", why)
        self._found = _Found()
        for place, key, value in pages.rows():
            with suppress(CorruptIndexError, ValueError):  # what does not verify is missed where it belongs
                self._found.add(place, key, value)
        self._next_docno = max([*self._found.ids, *self._found.documents, *self._found.vectors, -1]) + 1
        self._manifest = self._found.manifest or self._without_manifest(vocabulary_size, fingerprint)
        for name, _ in self._manifest.attachments:
            if name not in self._found.attachments:
                self._lose(f"attachment {name!r}", "its row does not verify")
        self._sort()

    def _lose(self, what: str, why: str) -> None:
        self.lost.append(Loss(what, why))

    def _without_manifest(self, vocabulary_size: int | None, fingerprint: str | None) -> Manifest:
        self._lose("manifest", "does not verify: worked out again from the documents")
        identity = self._found.identity
        size = identity.get("vocabulary_size", vocabulary_size)
        if size is None:
            raise CorruptIndexError(
                "nothing that verifies says which vocabulary the index was over: pass vocabulary_size and fingerprint"
                " (on the command line --vocabulary-size and --fingerprint)"
            )
        next_segment = self._found.last_segment + 1
        manifests = [
            Manifest(
                size,
                identity.get("fingerprint", fingerprint or ""),
                weights,
                # A commit inserts documents, deletes some, or merges segments: there were about so many at most.
                generation=2 * self._next_docno + next_segment,
                next_segment=next_segment,
            )
            for weights in ([identity["weights"]] if "weights" in identity else WEIGHT_FORMATS)
        ]
        # A vector's row does not say in which format its weights are, but it reads in one alone.
        vectors = self._found.vectors
        return max(manifests, key=lambda manifest: sum(self._has_vector(docno, manifest) for docno in vectors))

    def _sort(self) -> None:
        found = self._found
        names = found.ids | {docno: id for docno, (id, _) in found.documents.items()}
        newest = {id: docno for docno, id in sorted(names.items())}  # an id that stands twice was replaced
        for docno, id in sorted((docno, id) for id, docno in newest.items()):
            if docno not in found.documents:
                self._lose(id, "its row does not verify")
            elif not self._has_vector(docno, self._manifest):
                self._lose(id, "its vector does not verify; its text does")
                self.texts.append(docno)
            else:
                self.saved.append(docno)
        n_nameless = len(found.vectors.keys() - names.keys())
        if found.manifest is not None:
            n_nameless = found.manifest.n_live - len(newest)
        if n_nameless > 0:
            what = "1 document" if n_nameless == 1 else f"{n_nameless} documents"
            self._lose(what, "no row that verifies says which")

    def _value(self, place: Place | None) -> bytes:
        row = None if place is None else self._pages.row(place)
        return b"" if row is None else row.value

    def _has_vector(self, docno: int, manifest: Manifest) -> bool:
        try:
            self._vectors([docno], manifest)
        except CorruptIndexError:
            return False
        return True

    def _vectors(self, docnos: Sequence[int], manifest: Manifest) -> StoredVectors:
        rows = {docno: self._value(self._found.vectors.get(docno)) for docno in docnos}
        return decode_vectors(docnos, rows, manifest.weights, manifest.vocabulary_size)

    def _document(self, docno: int) -> list[Any]:
        return decode_row(docno_key(docno), self._value(self._found.documents[docno][1]), str, str, dict)

    def write(self, draft: Path) -> None:
        """Write the documents that come through into a new index, a segment a commit."""
        manifest = replace(
            self._manifest,
            identity=new_identity(),
            segments=(),
            # What was not written by this program may say that it is at the end of all numbers.
            generation=min(self._manifest.generation, MAX_DOCNO // 2) + 1,
            next_docno=max(min(self._manifest.next_docno, MAX_DOCNO // 2), self._next_docno),
            next_segment=min(self._manifest.next_segment, MAX_SEGMENT // 2),
            attachments=tuple((name, new_stamp()) for name in sorted(self._found.attachments)),
        )
        create_store(draft, manifest)
        store = WriteStore(draft)
        try:
            with store.transaction():
                for name, place in self._found.attachments.items():
                    store.put(META, [(attachment_key(name), self._value(place))])
            for start in range(0, len(self.saved), MAX_DOCUMENTS):
                docnos, number = self.saved[start : start + MAX_DOCUMENTS], manifest.next_segment
                segment = build_segment(
                    self._vectors(docnos, manifest), np.array(docnos, np.int64), manifest.vocabulary_size
                )
                entry = SegmentEntry(number, len(docnos), 0, segment.head.n_postings, new_stamp())
                manifest = replace(
                    manifest,
                    generation=manifest.generation + 1,
                    next_segment=number + 1,
                    segments=(*manifest.segments, entry),
                )
                with store.transaction():
                    store.put(SEGMENTS, [(segment_key(number), encode_head(number, segment.head))])
                    store.put(POSTINGS, encode_blocks(number, segment))
                    ids, _, metadata = zip(*map(self._document, docnos), strict=True)
                    store.put(COLUMNS, encode_columns(number, build_columns(metadata, ids)))
                    for docno in docnos:
                        id, place = self._found.documents[docno]
                        store.put(DOCUMENTS, [(docno, self._value(place).decode())])
                        store.put(VECTORS, [(docno, self._value(self._found.vectors[docno]))])
                        store.put(IDS, [(id, encode_row(id, [docno]))])
                    store.put(META, [(MANIFEST_KEY, manifest.encode())])
        finally:
            store.close()

    def write_texts(self, draft: Path) -> None:
        """Write the documents that lost their vector, but not their text."""
        with draft.open("w", encoding="utf-8") as file:
            for docno in self.texts:
                id, text, metadata = self._document(docno)
                file.write(json.dumps({"id": id, "text": text, "metadata": metadata}, ensure_ascii=False) + "\n")
