"""What the retriever asks of an index, and the one function that opens any of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.filters import Filter
from pixie_retrievers.types import Document, Hit, SparseVectors, TermMatches

__all__ = ["Index", "check_k", "open_index"]


@runtime_checkable
class Index(Protocol):
    """Documents under their sparse vectors, found again by dot product."""

    @property
    def vocabulary_size(self) -> int:
        """The number of terms."""
        ...

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the encoder that the vectors came from."""
        ...

    def upsert(self, documents: Sequence[Document], vectors: SparseVectors) -> None:
        """Store documents, replacing those whose id is known, in one atomic and durable commit.

        Raises:
            InvalidDocumentError, InvalidTextError, DuplicateIdError, InvalidVectorError, IncompatibleIndexError: the
                arguments are at fault; nothing was stored.
            IndexLockedError: Another writer holds the index.
            StorageError: The file system refused; nothing was stored.
        """
        ...

    def delete(self, ids: Sequence[str]) -> int:
        """Remove documents in one atomic and durable commit; return how many existed."""
        ...

    def get(self, ids: Sequence[str]) -> list[Document | None]:
        """The documents under the ids, in order; None for an id that is not there."""
        ...

    def ids(self, *, filter: Filter | None = None, limit: int | None = None) -> list[str]:
        """The ids of all documents, or of the first ``limit`` that pass a filter, in insertion order."""
        ...

    def search(self, queries: SparseVectors, k: int, *, filter: Filter | None = None) -> list[list[Hit]]:
        """The k best documents of each query: score descending, ties by insertion order.

        Only documents that share a term with the query are returned, and only those that pass the filter count.
        """
        ...

    def match(self, query: SparseVectors, ids: Sequence[str]) -> list[TermMatches | None]:
        """The terms that one query shares with each document; None for an id that is not there."""
        ...

    def index_field(self, field: str) -> None:
        """Make filters on a metadata field fast, for good; nothing where they are so already.

        Raises:
            IndexLockedError: Another writer holds the index.
        """
        ...

    def __len__(self) -> int: ...

    def close(self) -> None:
        """Let go of the file and the writer lock; everything committed is already on disk."""
        ...


def check_k(k: int) -> None:
    """Refuse what is no number of hits.

    Raises:
        InvalidParameterError: ``k`` is not a whole number of 1 or more.
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise InvalidParameterError(f"k is {k!r}; it must be a whole number of 1 or more")


def open_index(location: str | os.PathLike[str], *, read_only: bool = False) -> Index:
    """Open the existing index at a path.

    Args:
        location: The path of an index file.
        read_only: Never take the writer lock.

    Raises:
        InvalidParameterError: The location is a URL of an engine that is not there.
        IndexNotFoundError: Nothing is at the path.
    """
    from pixie_retrievers.index.sqlite.engine import SqliteIndex

    if isinstance(location, str) and "://" in location:
        scheme = location.partition("://")[0]
        raise InvalidParameterError(f"no index engine answers to '{scheme}://'; pass the path of an index file")
    return SqliteIndex(location, read_only=read_only)
