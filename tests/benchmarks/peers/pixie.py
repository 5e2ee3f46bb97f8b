"""This package's own index, through its public door: documents and matched weights are fetched, as for a user."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from corpus import Corpus

from peers.base import Answer, Peer
from pixie_retrievers.types import Document, Hit, SparseVectors

__all__ = ["Pixie"]

_BATCH = 1 << 16  # documents a commit
_TEXT_TABLES = ("documents", "ids")


class Pixie(Peer):
    """SqliteIndex in one weight format, with one thread or several.

    Args:
        weights: "float32", "float16" or "uint8".
        threads: Threads inside one search.
    """

    package = "pixie-retrievers"
    modules = ("pixie_retrievers",)
    install = "pip install -e ."
    what = "SqliteIndex.search: snapshot, kernels, exact float64 scores, documents read from SQLite, matched weights"
    concurrent = True

    def __init__(self, weights: str = "float32", threads: int = 1) -> None:
        self.weights, self.threads = weights, threads
        self.name = (
            "pixie" + (f" {weights}" if weights != "float32" else "") + (f" {threads} threads" if threads > 1 else "")
        )
        self.exact = weights == "float32"
        self.cold = self.changes = threads == 1  # the other is the same file
        self._index: Any = None

    @property
    def files(self) -> str:
        return f"pixie-{self.weights}"

    def import_modules(self) -> None:
        import pixie_retrievers.index.sqlite.engine  # noqa: F401  # loads numpy, numba and SQLite

    def _open(self, folder: Path, **arguments: Any) -> None:
        from pixie_retrievers.index.sqlite.engine import SqliteIndex

        self._index = SqliteIndex(folder / "index.db", **arguments, max_threads=self.threads)

    def build(self, corpus: Corpus, folder: Path) -> None:
        self._open(folder, vocabulary_size=corpus.documents.vocabulary_size, weights=self.weights)
        for start in range(0, len(corpus), _BATCH):
            part = corpus.documents[start : start + _BATCH]
            self._index.upsert([_document(corpus, start + i) for i in range(len(part))], part)
        # A handle that wrote keeps writer state: searches are measured through one that only reads.
        self._index.close()
        self._open(folder)

    def open(self, folder: Path) -> None:
        self._open(folder)

    def bytes_on_disk(self, folder: Path) -> dict[str, int]:
        sizes = super().bytes_on_disk(folder)
        connection = sqlite3.connect(f"file:{folder / 'index.db'}?mode=ro", uri=True)
        with contextlib.closing(connection):
            tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                sizes[f"table {table}"] = _table_bytes(connection, table)
        sizes["index"] = sum(
            size for name, size in sizes.items() if name.startswith("table ") and name[6:] not in _TEXT_TABLES
        )
        return sizes

    def search(self, query: SparseVectors, k: int) -> list[Hit]:
        hits: list[Hit] = self._index.search(query, k)[0]
        return hits

    def search_batch(self, queries: SparseVectors, k: int) -> None:
        self._index.search(queries, k)

    def read(self, result: list[Hit]) -> Answer:
        return Answer([int(hit.document.id) for hit in result], [hit.score for hit in result])

    def add(self, corpus: Corpus, first: int, last: int) -> None:
        documents = [_document(corpus, len(corpus) + i) for i in range(first, last)]
        self._index.upsert(documents, corpus.added[first:last])

    def delete(self, positions: list[int]) -> None:
        self._index.delete([str(position) for position in positions])

    def close(self) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None


def _document(corpus: Corpus, position: int) -> Document:
    return Document(str(position), corpus.text(position), {"n": position, "tenth": position % 10})


def _table_bytes(connection: sqlite3.Connection, table: str) -> int:
    """The pages of a table and its key index, or the bytes of its rows where SQLite was built without dbstat."""
    try:
        query = (
            "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name IN"
            " (SELECT name FROM sqlite_master WHERE tbl_name = ?)"
        )
        return int(connection.execute(query, (table,)).fetchone()[0])
    except sqlite3.OperationalError:
        query = f'SELECT coalesce(sum(length(key) + length(value)), 0) FROM "{table}"'
        return int(connection.execute(query).fetchone()[0])
