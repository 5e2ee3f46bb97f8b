"""What a retriever does with documents beside searching them: stores, changes, removes, reads and lists them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pixie_retrievers.encoder.base import Encoder
from pixie_retrievers.encoder.progress import progress
from pixie_retrievers.filters import Filter
from pixie_retrievers.index.base import Index
from pixie_retrievers.index.documents import with_ids
from pixie_retrievers.indexing import Indexed, add_documents, index_documents, sync_documents
from pixie_retrievers.types import Document

__all__ = ["Contents"]


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
            documents: Read once, and only as far ahead as a group of at most 10,000 documents, which is one commit.
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

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents in one commit; return how many existed."""
        return self.index.delete(ids)

    def get(self, ids: Sequence[str]) -> list[Document | None]:
        """The documents under the ids, in order; None for an id that is not there."""
        return self.index.get(ids)

    def __len__(self) -> int:
        return len(self.index)
