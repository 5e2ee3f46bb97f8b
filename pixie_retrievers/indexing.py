"""Any number of documents into an index, in bounded memory; a run that was interrupted goes on where it stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from pixie_retrievers.encoder.base import Encoder
from pixie_retrievers.encoder.unread import collect_unread, report_unread
from pixie_retrievers.errors import DuplicateIdError, InvalidDocumentError, InvalidParameterError, InvalidVectorError
from pixie_retrievers.filters import Filter, parse_filter
from pixie_retrievers.index.base import Index
from pixie_retrievers.index.documents import storable
from pixie_retrievers.parameters import check_number
from pixie_retrievers.types import Document, SparseVectors

__all__ = ["Indexed", "index_documents", "left_over", "sync_documents"]

_COMMIT_DOCUMENTS = 10_000  # an interrupted run loses at most so many ...
_COMMIT_CHARACTERS = 20_000_000  # ... or so much text and metadata, which is also what is in memory at once
_BATCH_S = 0.5  # a batch is made so large that a progress bar moves about twice a second

_Encode = Callable[[Sequence[str]], Iterator[SparseVectors]]


@dataclass(frozen=True, slots=True)
class Indexed:
    """What became of the documents.

    Attributes:
        added: They were new.
        updated: Their id was known, with other content.
        unchanged: They were there word for word, and were not encoded again.
        deleted: They were stored, and are not among the documents any more.
        cut: Of those added and updated: their text is longer than the model reads, and its end cannot be found.
    """

    added: int
    updated: int
    unchanged: int
    deleted: int = 0
    cut: int = 0


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
    was interrupted committed stays; run it again, and only the rest is encoded. One ``PixieWarning`` at the end says
    how many texts were longer than the model reads.

    Args:
        index: Where they go.
        encoder: The encoder that the index belongs to.
        documents: Read once, and only as far ahead as a group.
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
        for group in _groups(documents):
            group = storable(group, start=n_documents)  # noqa: PLW2901
            changed = _changed(index, group)
            n_documents += len(group)
            n_changed += len(changed)
            advance(len(group) - len(changed))
            parts = []
            for vectors in encode([document.text for document in changed]):
                parts.append(vectors)
                advance(len(vectors))
            if changed:
                index.upsert(changed, SparseVectors.concatenate(parts, encoder.vocabulary_size))
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
    for group in _groups(documents):
        for number, document in enumerate(storable(group, start=n_documents), start=n_documents + 1):
            if document.id in wanted:
                raise DuplicateIdError(f"document {number}, counted from 1: the id {document.id!r} stands twice")
            if condition is not None and not condition.matches(document.metadata):
                raise InvalidDocumentError(
                    f"document {number}, counted from 1 (id {document.id!r}), does not pass the filter, so that no"
                    " later call would find it again: mend its metadata, or the filter"
                )
            wanted.add(document.id)
        n_documents += len(group)
    return [id for id in index.ids(filter=filter) if id not in wanted]


def _groups(documents: Iterable[Document]) -> Iterator[list[Document]]:
    group: list[Document] = []
    n_characters = 0
    for document in documents:
        group.append(document)
        n_characters += _length(document)
        if len(group) == _COMMIT_DOCUMENTS or n_characters >= _COMMIT_CHARACTERS:
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


class _Adaptive:
    """Encodes in this process, a batch at a time: twice as many after a quick one, half as many after a slow one."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._size = 8

    def __call__(self, texts: Sequence[str]) -> Iterator[SparseVectors]:
        start = 0
        while start < len(texts):
            began = time.perf_counter()
            batch = texts[start : start + self._size]
            vectors = self._encoder.encode_documents(batch)
            if len(vectors) != len(batch):
                raise InvalidVectorError(f"the encoder made {len(vectors)} vectors of {len(batch)} texts")
            start += len(batch)
            took = time.perf_counter() - began
            if took < _BATCH_S / 2:
                self._size = min(1024, self._size * 2)
            elif took > _BATCH_S * 2:
                self._size = max(8, self._size // 2)
            yield vectors


def _changed(index: Index, group: Sequence[Document]) -> list[Document]:
    if not len(index):
        return list(group)
    stored = index.get([document.id for document in group])
    return [new for new, old in zip(group, stored, strict=True) if old is None or _content(old) != _content(new)]


def _content(document: Document) -> tuple[str, str]:
    """What two equal documents share to the letter: in Python, 1 and True would be equal metadata."""
    return document.text, json.dumps(document.metadata, sort_keys=True)
