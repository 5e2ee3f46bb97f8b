"""Documents into an index, and nothing encoded that is there already: a run that was interrupted goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pixie_retrievers.encoder.base import Encoder
from pixie_retrievers.encoder.progress import progress
from pixie_retrievers.encoder.unread import collect_unread, report_unread
from pixie_retrievers.errors import (
    DocumentNotFoundError,
    DuplicateIdError,
    InvalidDocumentError,
    InvalidParameterError,
    InvalidVectorError,
)
from pixie_retrievers.filters import Filter, parse_filter
from pixie_retrievers.index.base import Index
from pixie_retrievers.index.documents import storable
from pixie_retrievers.parameters import check_number
from pixie_retrievers.text_fields import split_fingerprint
from pixie_retrievers.types import Document, SparseVectors

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Indexed", "add_documents", "index_documents", "left_over", "sync_documents"]

_COMMIT_DOCUMENTS = 10_000  # an interrupted run loses at most so many ...
_COMMIT_CHARACTERS = 20_000_000  # ... or so much text and metadata; twice as much is in memory at once
_ADD_DOCUMENTS = 1000  # what is passed at once is checked at once, and then committed so many at a time
_BATCH_S = 0.5  # a batch is made so large that a progress bar moves about twice a second

_Encode = Callable[[Sequence[str]], Iterator[SparseVectors]]


@dataclass(frozen=True, slots=True)
class Indexed:
    """What became of the documents.

    Attributes:
        added: They were new.
        updated: Their id was known, with other content; where the text was the same, it was not encoded again.
        unchanged: They were there word for word, and were not encoded again.
        deleted: They were stored, and are not among the documents any more.
        cut: Of those added and updated: their text is longer than the model reads, and its end cannot be found.
    """

    added: int
    updated: int
    unchanged: int
    deleted: int = 0
    cut: int = 0


def add_documents(
    index: Index, encoder: Encoder, documents: Iterable[Document], *, show_progress: bool = False
) -> list[str]:
    """Store documents, as :meth:`~pixie_retrievers.SparseRetriever.add` says; return their ids.

    Raises:
        InvalidDocumentError, InvalidTextError, DuplicateIdError: A document is at fault; nothing was stored.
        IndexLockedError: Another writer holds the index.
    """
    documents = _prepared(index, documents)  # before the long part, not after it
    encode = _unlocked(index, _Adaptive(encoder) if show_progress else _Whole(encoder))
    with collect_unread() as unread, progress(len(documents), shown=show_progress) as advance:
        for group in _groups(documents, _ADD_DOCUMENTS):
            changed, vectors = _changed_with_vectors(index, group, encode, advance)
            if changed:
                index.upsert(changed, vectors)
    report_unread(unread)
    return [document.id for document in documents]


def index_documents(
    index: Index,
    encoder: Encoder,
    documents: Iterable[Document],
    *,
    devices: Sequence[str] | None = None,
    advance: Callable[[int], Any] = lambda _: None,
) -> Indexed:
    """Encode and store every document that the index does not hold already, word for word.

    Documents are committed in groups of at most 10,000, or 20 million characters of text and metadata. What a run that
    was interrupted committed stays; run it again, and only the rest is encoded. A group is stored while the next is
    encoded. One ``PixieWarning`` at the end says
    how many texts were longer than the model reads.

    Args:
        index: Where they go.
        encoder: The encoder that the index belongs to.
        documents: Read once, and only as far ahead as the group behind the one that is being stored.
        devices: One process for each, as ``["cuda:0", "cuda:1"]`` or ``["cpu"] * 4``; None encodes in this process.
        advance: Called with the number of documents that were dealt with since the last call.

    Raises:
        InvalidDocumentError, InvalidTextError, DuplicateIdError: A document of a group is at fault, and nothing of its
            group is stored; earlier groups are.
        IndexLockedError: Another writer holds the index.
        InvalidParameterError: ``devices`` is empty, or the encoder is not a PixieEncoder.
        ModelUnavailableError: An encoding process could not start, or ended.
    """
    n_before = len(index)
    n_documents = n_changed = 0
    with ExitStack() as stack:
        unread = stack.enter_context(collect_unread())
        encode: _Encode
        if devices is None:
            encode = _Adaptive(encoder)
        else:
            from pixie_retrievers.encoder.workers import EncodingWorkers

            encode = stack.enter_context(EncodingWorkers(encoder, devices))
        # The lock of later groups is tried by storing the one before.
        encode = _unlocked(index, encode, once=True)
        writer = stack.enter_context(_Writer(index))
        for group in _groups(documents, _COMMIT_DOCUMENTS):
            group = _prepared(index, group, start=n_documents)  # noqa: PLW2901
            writer.wait_for(group)
            changed, vectors = _changed_with_vectors(index, group, encode, advance)
            writer.put(changed, vectors)
            n_changed += len(changed)
            n_documents += len(group)
        writer.wait()
    report_unread(unread)
    added = len(index) - n_before
    return Indexed(added=added, updated=n_changed - added, unchanged=n_documents - n_changed, cut=unread.n_cut)


def sync_documents(
    index: Index,
    encoder: Encoder,
    documents: Iterable[Document],
    *,
    filter: Filter | None = None,
    max_deleted: float = 0.5,
    devices: Sequence[str] | None = None,
    advance: Callable[[int], Any] = lambda _: None,
) -> Indexed:
    """Make an index hold these documents and no others, as :meth:`~pixie_retrievers.SparseRetriever.sync` says.

    These are several commits, in bounded memory, and what is gone goes in the last of them: at any moment a document
    that was there and is still wanted is there, as it was or as it is now. Who reads meanwhile, or after an
    interruption, may find new documents beside old ones that are to go; the next call ends what this one began.

    Args:
        index, encoder, devices, advance: As for :func:`index_documents`.
        documents: Read twice; an iterator is put into a list first.
        filter: As for :func:`left_over`.
        max_deleted: The largest share of the index that may be deleted, 0 to 1.

    Raises:
        InvalidParameterError: A larger share would be deleted; nothing was changed.
        InvalidDocumentError, InvalidTextError, DuplicateIdError: A document is at fault; nothing was changed.
        FilterError, IndexLockedError, ModelUnavailableError: As :func:`left_over` and :func:`index_documents`.
    """
    check_number("max_deleted", max_deleted, low=0, high=1)
    kept = list(documents) if isinstance(documents, Iterator) else documents
    gone, n_stored = left_over(index, kept, filter=filter), len(index)
    if len(gone) > max_deleted * n_stored:
        raise InvalidParameterError(
            f"{len(gone)} of {n_stored} stored documents are not among those passed, and would be deleted: pass"
            " max_deleted=1 if that is meant"
        )
    indexed = index_documents(index, encoder, kept, devices=devices, advance=advance)
    return replace(indexed, deleted=index.delete(gone))  # last: what the documents hold is never missing


def left_over(index: Index, documents: Iterable[Document], *, filter: Filter | None = None) -> list[str]:
    """The ids of what an index that is to hold these documents and no others holds beside them.

    Args:
        index: What is stored.
        documents: All that should be; read once.
        filter: Only stored documents that pass it count; every one of ``documents`` has to pass it too.

    Raises:
        InvalidDocumentError, InvalidTextError, DuplicateIdError: A document is at fault, or does not pass the filter.
        FilterError: The filter means nothing.
    """
    condition = None if filter is None else parse_filter(filter)
    wanted: set[str] = set()
    n_documents = 0
    for group in _groups(documents, _COMMIT_DOCUMENTS):
        for number, document in enumerate(storable(group, start=n_documents), start=n_documents + 1):
            if document.id in wanted:
                raise DuplicateIdError(f"document {number}, counted from 1: the id {document.id!r} stands twice")
            if condition is not None and not condition.passes(document.id, document.metadata):
                raise InvalidDocumentError(
                    f"document {number}, counted from 1 (id {document.id!r}), does not pass the filter, so that no"
                    " later call would find it again: mend its metadata, or the filter"
                )
            wanted.add(document.id)
        n_documents += len(group)
    return [id for id in index.ids(filter=filter) if id not in wanted]


def _prepared(index: Index, documents: Iterable[Document], *, start: int = 0) -> list[Document]:
    """The documents checked, and with the texts that the index encodes."""
    checked = storable(documents, start=start)
    _, fields = split_fingerprint(index.fingerprint)
    return checked if fields is None else [fields.whole(document) for document in checked]


def _groups(documents: Iterable[Document], n: int) -> Iterator[list[Document]]:
    group: list[Document] = []
    n_characters = 0
    for document in documents:
        group.append(document)
        n_characters += _length(document)
        if len(group) == n or n_characters >= _COMMIT_CHARACTERS:
            yield group
            group, n_characters = [], 0
    if group:
        yield group


def _length(document: Document) -> int:
    """How many characters a document takes, about; what is wrong with it is said when its group is checked."""
    if not isinstance(document, Document):
        return 0
    text = len(document.text) if isinstance(document.text, str) else 0
    try:
        return text + (len(repr(document.metadata)) if document.metadata else 0)
    except Exception:  # noqa: BLE001  # whatever a value of the caller's own does when it is shown
        return text


def _unlocked(index: Index, encode: _Encode, *, once: bool = False) -> _Encode:
    """Encodes when nobody holds the index: what is encoded in vain may have taken minutes."""
    is_tried = False

    def tried(texts: Sequence[str]) -> Iterator[SparseVectors]:
        nonlocal is_tried
        if not (once and is_tried):
            index.check_writable()
            is_tried = True
        return encode(texts)

    return tried


class _Whole:
    """Encodes in this process, all at once."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def __call__(self, texts: Sequence[str]) -> Iterator[SparseVectors]:
        yield _encoded(self._encoder, texts)


class _Adaptive:
    """Encodes in this process, a batch at a time: twice as many after a quick one, half as many after a slow one."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._size = 8

    def __call__(self, texts: Sequence[str]) -> Iterator[SparseVectors]:
        start = 0
        while start < len(texts):
            began = time.perf_counter()
            vectors = _encoded(self._encoder, texts[start : start + self._size])
            start += len(vectors)
            took = time.perf_counter() - began
            if took < _BATCH_S / 2:
                self._size = min(_COMMIT_DOCUMENTS, self._size * 2)  # a GPU takes thousands in that time
            elif took > _BATCH_S * 2:
                self._size = max(8, self._size // 2)
            yield vectors


def _encoded(encoder: Encoder, texts: Sequence[str]) -> SparseVectors:
    vectors = encoder.encode_documents(texts)
    if len(vectors) != len(texts):
        raise InvalidVectorError(f"the encoder made {len(vectors)} vectors of {len(texts)} texts")
    return vectors


class _Writer:
    """Stores a group in a thread while the next one is encoded; never two at a time. Leaving it waits for the last.

    Args:
        index: Where they go.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._pool = ThreadPoolExecutor(1, "pixie-store")
        self._storing: Future[Any] | None = None
        self._ids: frozenset[str] = frozenset()

    def put(self, documents: Sequence[Document], vectors: SparseVectors) -> None:
        """Begin to store documents, when those before are stored.

        Raises:
            Exception: What storing those before raised.
        """
        self.wait()
        if documents:
            self._ids = frozenset(document.id for document in documents)
            self._storing = self._pool.submit(self._index.upsert, documents, vectors)

    def wait_for(self, documents: Sequence[Document]) -> None:
        """Wait if any of some documents is being stored: only then does the index say what is new in them."""
        if not self._ids.isdisjoint(document.id for document in documents):
            self.wait()

    def wait(self) -> None:
        """Wait for what is being stored.

        Raises:
            Exception: What storing it raised.
        """
        storing, self._storing, self._ids = self._storing, None, frozenset()
        if storing is not None:
            storing.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()


def _changed_with_vectors(
    index: Index, group: Sequence[Document], encode: _Encode, advance: Callable[[int], Any]
) -> tuple[list[Document], SparseVectors]:
    """What of a group is not there word for word, and its vectors."""
    stored = index.get([document.id for document in group]) if len(index) else [None] * len(group)
    changed: list[Document] = []
    same_text: list[Document] = []
    for new, old in zip(group, stored, strict=True):
        if old is None or _content(old) != _content(new):
            changed.append(new)
            if old is not None and old.text == new.text:
                same_text.append(new)
    known = _vectors_of(index, same_text)
    advance(len(group) - len(changed) + len(known))
    texts = [document.text for document in changed if document.id not in known]
    parts = []
    for vectors in encode(texts) if texts else ():
        parts.append(vectors)
        advance(len(vectors))
    vectors = SparseVectors.concatenate(parts, index.vocabulary_size)
    if known:  # in the group's order, which decides between equal scores
        made = iter(range(len(vectors)))
        rows = [known[document.id] if document.id in known else vectors[next(made)] for document in changed]
        vectors = SparseVectors.concatenate(rows, index.vocabulary_size)
    return changed, vectors


def _vectors_of(index: Index, documents: Sequence[Document]) -> dict[str, SparseVectors]:
    """By id, the stored vectors of documents that are stored with the same texts.

    Texts are read again behind the vectors: another writer may have come between, whose vector would be another text's.
    """
    ids = [document.id for document in documents]
    try:
        vectors = index.vectors(ids)
    except DocumentNotFoundError:
        return {}
    return {
        new.id: vectors[row]
        for row, (new, old) in enumerate(zip(documents, index.get(ids), strict=True))
        if old is not None and old.text == new.text
    }


def _content(document: Document) -> tuple[str, str]:
    """What two equal documents share to the letter: in Python, 1 and True would be equal metadata."""
    return document.text, json.dumps(document.metadata, sort_keys=True)
