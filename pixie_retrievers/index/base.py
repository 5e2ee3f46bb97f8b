"""What the retriever asks of an index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pixie_retrievers.filters import Filter
from pixie_retrievers.types import Document, Hit, SparseVectors, TermMatches

__all__ = ["CheckReport", "Index", "IndexStats"]


@dataclass(frozen=True, slots=True)
class IndexStats:
    """What an index holds.

    Attributes:
        path: Where it is: a file, or an engine's URL.
        n_documents: Documents that can be found.
        n_cut: Of these, those whose text, or the metadata in front of it, is longer than the model reads: nobody finds
            them by the rest. As the vectors they were stored with say (:attr:`SparseVectors.cut`).
        n_deleted: Tombstones that a merge has yet to drop.
        n_segments: Segments.
        n_postings: Postings, those of tombstones included.
        file_bytes: The file's size, its write-ahead log included.
        generation: How many commits the file has seen.
        vocabulary_size: The number of terms.
        fingerprint: The encoder's identity.
        weights: The format of the stored weights.
    """

    path: str
    n_documents: int
    n_cut: int
    n_deleted: int
    n_segments: int
    n_postings: int
    file_bytes: int
    generation: int
    vocabulary_size: int
    fingerprint: str
    weights: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found.

    Attributes:
        problems: What is damaged, a line each; empty when the index is sound.
    """

    problems: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Nothing is damaged."""
        return not self.problems


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

    def upsert(self, documents: Iterable[Document], vectors: SparseVectors) -> None:
        """Store documents, replacing those whose id is known, in one atomic and durable commit.

        Raises:
            InvalidDocumentError, InvalidTextError, DuplicateIdError, InvalidVectorError, IncompatibleIndexError: the
                arguments are at fault; nothing was stored.
            IndexLockedError: Another writer holds the index.
            StorageError: The file system refused; nothing was stored.
        """
        ...

    def check_writable(self) -> None:
        """Raise what a write would raise now, whatever it stored: ask before the long work that a write comes after.

        Raises:
            IndexLockedError: Another writer holds the index.
            StorageError: It was opened read-only, or the file system refuses.
        """
        ...

    def delete(self, ids: Iterable[str]) -> int:
        """Remove documents in one atomic and durable commit; return how many existed."""
        ...

    def get(self, ids: Iterable[str]) -> list[Document | None]:
        """The documents under the ids, in order; None for an id that is not there."""
        ...

    def ids(self, *, filter: Filter | None = None, limit: int | None = None, offset: int = 0) -> list[str]:
        """The ids of the documents that pass a filter, in insertion order: ``limit`` of them, behind ``offset``."""
        ...

    def count(self, *, filter: Filter | None = None) -> int:
        """How many documents pass a filter."""
        ...

    def search(
        self, queries: SparseVectors, k: int, *, filter: Filter | None = None, ids: Iterable[str] | None = None
    ) -> list[list[Hit]]:
        """The k best documents of each query: score descending, ties by insertion order.

        Only documents that share a term with the query are returned, and only those count that pass the filter and,
        where ``ids`` are given, stand under one of them.
        """
        ...

    def match(self, query: SparseVectors, ids: Iterable[str]) -> list[TermMatches | None]:
        """The terms that one query shares with each document; None for an id that is not there."""
        ...

    def vectors(self, ids: Iterable[str]) -> SparseVectors:
        """The whole vectors of documents, one an id, in order, with their weights as the index stores them.

        Raises:
            DocumentNotFoundError: There is no document under an id.
        """
        ...

    def scan(self) -> Iterator[tuple[list[Document], SparseVectors]]:
        """Every document with its vector, in insertion order, a batch at a time: what copies and exports read.

        The index may change meanwhile: what is there from beginning to end comes once, and what is replaced may come
        again at the end.
        """
        ...

    def stats(self) -> IndexStats:
        """What the index holds now."""
        ...

    def check(self) -> CheckReport:
        """Read everything and hold it against everything else; changes nothing."""
        ...

    def compact(self) -> None:
        """Drop what is deleted for good, and give unused space back.

        Raises:
            IndexLockedError: Another writer holds the index.
        """
        ...

    def __len__(self) -> int: ...

    def close(self) -> None:
        """Let go of the file; everything committed is already on disk."""
        ...
