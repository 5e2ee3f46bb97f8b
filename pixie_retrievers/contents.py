"""What a retriever does with documents beside searching them: stores, changes, removes, reads and lists them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any, TypeAlias

from pixie_retrievers.encoder.base import Encoder
from pixie_retrievers.encoder.progress import progress
from pixie_retrievers.errors import InvalidDocumentError, InvalidParameterError
from pixie_retrievers.filters import Filter, parse_filter, values_at
from pixie_retrievers.index.base import Index
from pixie_retrievers.index.documents import check_ids, with_ids
from pixie_retrievers.indexing import Indexed, add_documents, index_documents, sync_documents
from pixie_retrievers.text_fields import split_fingerprint
from pixie_retrievers.types import Document

__all__ = ["Contents", "MetadataChanges", "changed_metadata", "check_changes", "chosen_ids"]

_READ_AT_ONCE = 1000

_Change: TypeAlias = Callable[[dict[str, Any]], Mapping[str, Any]]
MetadataChanges: TypeAlias = Mapping[str, Any] | _Change
"""Entries to set in metadata, or a function from a document's metadata to what it is to be."""


class Contents:
    """The part of :class:`~pixie_retrievers.SparseRetriever` that keeps documents: it has an encoder and an index."""

    encoder: Encoder
    index: Index

    def add(self, documents: Iterable[Document], *, show_progress: bool = False) -> list[str]:
        """Store documents, replacing those whose id is known; return their ids.

        Only texts that are new to their ids are encoded: a document that is stored word for word stays as it is, and
        one of which the metadata alone is new keeps its vector. Up to 1,000 documents are one commit, more are one for
        each 1,000: what an interrupted call committed stays, and the same call goes on from there.

        Args:
            documents: All of them are checked before the first is encoded.
            show_progress: Show how many are done, how fast, and how long it will take.

        Raises:
            InvalidDocumentError, InvalidTextError, DuplicateIdError: a document is at fault; nothing was stored.
            IndexLockedError: Another writer holds the index.
        """
        return add_documents(self.index, self.encoder, documents, show_progress=show_progress)

    def add_stream(
        self,
        documents: Iterable[Document],
        *,
        total: int | None = None,
        show_progress: bool = False,
        devices: Sequence[str] | None = None,
    ) -> Indexed:
        """Encode and store any number of documents in bounded memory, group by group; say what became of them.

        Documents that are stored already, word for word, are not encoded again: a run that was interrupted goes on
        where it stopped.

        Args:
            documents: Read once, a group of at most 10,000 documents, which is one commit, after the other; a group is
                stored while the next is encoded, so that two are in memory.
            total: How many there are, for the progress bar; None where nobody knows.
            show_progress: Show how many are done, how fast, and how long it will take.
            devices: One process for each, as ``["cuda:0", "cuda:1"]`` or ``["cpu"] * 4``; None encodes in this process.

        Raises:
            InvalidDocumentError, InvalidTextError, DuplicateIdError: A document of a group is at fault, and nothing of
                its group is stored; earlier groups are.
            IndexLockedError: Another writer holds the index.
            ModelUnavailableError: An encoding process could not start, or ended.
        """
        with progress(total, shown=show_progress) as advance:
            return index_documents(self.index, self.encoder, documents, devices=devices, advance=advance)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Iterable[Mapping[str, Any]] | None = None,
        ids: Iterable[str | None] | None = None,
        *,
        show_progress: bool = False,
    ) -> list[str]:
        """The same from loose texts; return the ids.

        Args:
            texts: The texts.
            metadatas: One mapping a text; None means no metadata.
            ids: One id a text. A missing one is made from the content, so that adding the same texts again changes
                nothing instead of storing them twice.
            show_progress: Show a progress bar while encoding.

        Raises:
            InvalidParameterError: ``metadatas`` or ``ids`` is of another length than ``texts``.
        """
        return self.add(with_ids(texts, metadatas, ids), show_progress=show_progress)

    def sync(
        self,
        documents: Iterable[Document],
        *,
        filter: Filter | None = None,
        max_deleted: float = 0.5,
        show_progress: bool = False,
        devices: Sequence[str] | None = None,
    ) -> Indexed:
        """Make the index hold these documents and no others; say what became of them.

        New and changed documents are stored first, in commits as :meth:`add_stream` makes; the last commit deletes what
        else is there. Interrupted, the index is sound, some of this is done, and the next call does the rest.

        With a filter, of one source: ``retriever.sync(chunks, filter={"source": "rules.md"})`` deletes what came from
        ``rules.md`` and is not in it any more, and leaves other sources alone.

        Args:
            documents: All that should be there. They are read twice: an iterator is put into a list first.
            filter: Only what passes it may be deleted, and every one of ``documents`` has to pass it; None for all.
            max_deleted: The largest share of the index that may be deleted, 0 to 1: it saves the index from a source
                that could not be read. 1 lets any number go.
            show_progress, devices: As for :meth:`add_stream`.

        Raises:
            InvalidDocumentError, InvalidTextError, DuplicateIdError: A document is at fault; nothing was changed.
            InvalidParameterError: A larger share would be deleted; nothing was changed.
            FilterError, IndexLockedError: The filter means nothing; another writer holds the index.
        """
        with progress(None, shown=show_progress) as advance:
            return sync_documents(
                self.index,
                self.encoder,
                documents,
                filter=filter,
                max_deleted=max_deleted,
                devices=devices,
                advance=advance,
            )

    def update_metadata(
        self, changes: MetadataChanges, *, ids: Iterable[str] | None = None, filter: Filter | None = None
    ) -> int:
        """Change the metadata of documents; return how many there were.

        Their texts are not encoded again, unless the index encodes a field of what changed (``text_fields``).
        They count as newly inserted where scores are equal. What another writer changes in them at the same moment may
        be lost. More than 1,000 are several commits, as for :meth:`add`.

        Args:
            changes: The entries to set; or a function from a document's metadata to what it is to be, which may take
                entries away.
            ids, filter: Which documents, as for :meth:`delete`.

        Raises:
            InvalidParameterError: Neither ids nor a filter is given; the changes are neither a dict nor a function.
            InvalidDocumentError: The new metadata of a document cannot be stored; nothing was changed.
            FilterError, IndexLockedError: The filter means nothing; another writer holds the index.
        """
        change = check_changes(changes)
        found = [document for document in self.get(chosen_ids(self.index, ids, filter)) if document is not None]
        _, fields = split_fingerprint(self.index.fingerprint)
        changed = (
            replace(
                one,
                text=one.text if fields is None else fields.own_text(one),
                metadata=changed_metadata(one.id, one.metadata, change),
            )
            for one in found
        )
        return len(add_documents(self.index, self.encoder, changed))

    def delete(self, ids: Iterable[str] | None = None, *, filter: Filter | None = None) -> int:
        """Remove documents in one commit; return how many existed.

        Args:
            ids: Those under these ids; None for all that pass the filter.
            filter: Those that pass it; beside ids, those under them that do. ``{}`` lets every document pass.

        Raises:
            InvalidParameterError: Neither is given.
            FilterError, IndexLockedError: The filter means nothing; another writer holds the index.
        """
        return self.index.delete(chosen_ids(self.index, ids, filter))

    def get(self, ids: Iterable[str]) -> list[Document | None]:
        """The documents under the ids, in order; None for an id that is not there."""
        return self.index.get(ids)

    def ids(self, *, filter: Filter | None = None, limit: int | None = None, offset: int = 0) -> list[str]:
        """The ids of the documents that pass a filter, in insertion order: ``limit`` of them, behind ``offset``.

        Raises:
            FilterError: The filter means nothing.
            InvalidParameterError: ``limit`` or ``offset`` is not a whole number of 0 or more.
        """
        return self.index.ids(filter=filter, limit=limit, offset=offset)

    def count(self, *, filter: Filter | None = None) -> int:
        """How many documents pass a filter; all of them where there is none.

        Raises:
            FilterError: The filter means nothing.
        """
        return self.index.count(filter=filter)

    def facets(self, field: str, *, filter: Filter | None = None) -> dict[Any, int]:
        """How many documents have each value of a metadata field, the most common value first.

        Args:
            field: A dotted path. Each value of a list counts, once a document; dicts, and lists in lists, do not.
            filter: Only documents that pass it count; None for all.

        Complexity:
            Of an index in a file, reads the field's columns, and one document for each number among the values. Of any
            other, and where a field has no column (docs/filters.md), reads every document that counts.

        Raises:
            FilterError: The filter means nothing.
        """
        count = getattr(self.index, "facets", None)
        if count is not None:
            found: dict[Any, int] = count(field, filter=filter)
            return found
        counted: Counter[Any] = Counter()
        ids = self.ids(filter=filter)
        for start in range(0, len(ids), _READ_AT_ONCE):
            for document in self.get(ids[start : start + _READ_AT_ONCE]):
                if document is not None:
                    counted.update(values_at(document.metadata, field))
        return dict(counted.most_common())

    def __len__(self) -> int:
        return len(self.index)


def chosen_ids(index: Index, ids: Iterable[str] | None, filter: Filter | None) -> list[str]:
    """The ids that are meant, each once: those given, all that pass a filter, or those given that do.

    Raises:
        InvalidParameterError: Neither is given.
        InvalidDocumentError, FilterError: An id is not a string; the filter means nothing.
    """
    if ids is None:
        if filter is None:
            raise InvalidParameterError("neither ids nor a filter is given: an empty filter, {}, means every document")
        return index.ids(filter=filter)
    unique = list(dict.fromkeys(check_ids(ids)))
    if filter is None:
        return unique
    condition = parse_filter(filter)
    return [one.id for one in index.get(unique) if one is not None and condition.passes(one.id, one.metadata)]


def check_changes(changes: MetadataChanges) -> _Change:
    """Changes of metadata as a function.

    Raises:
        InvalidParameterError: They are neither a dict nor a function.
    """
    if isinstance(changes, Mapping):
        return lambda metadata: {**metadata, **changes}
    if not callable(changes):
        raise InvalidParameterError(
            f"changes is of type {type(changes).__name__}; pass a dict of entries to set, or a function of the metadata"
        )
    return changes


def changed_metadata(id: str, metadata: Mapping[str, Any], change: _Change) -> Mapping[str, Any]:
    """What a function makes of a document's metadata, of which it has a copy.

    Raises:
        InvalidDocumentError: It raises, or does not return metadata.
    """
    try:
        changed = change(deepcopy(dict(metadata)))
    except Exception as error:
        raise InvalidDocumentError(
            f"changes raised {type(error).__name__} for document {id!r}, and nothing was changed: the function must"
            " take the metadata of every document, of those that lack a field too"
        ) from error
    if not isinstance(changed, Mapping):
        raise InvalidDocumentError(
            f"changes returned {type(changed).__name__} for document {id!r}: it must return the whole metadata, a dict"
        )
    return changed
