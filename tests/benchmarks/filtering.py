"""What a metadata filter adds to a search: the first time, again, and the first time after documents were added.

Runs alone as well: ``python tests/benchmarks/filtering.py 100000 1000000``. Vectors are of two terms: what counts here
is the metadata, ten fields a document, half of them different in nearly every one.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import typer

from pixie_retrievers.types import Document, SparseVectors

__all__ = ["FILTERS", "Filtering", "measure_filtering"]

_WORDS = ("위성", "통신", "Space", "농업", "데이터", "report", "서비스", "TelePIX", "탑재체", "2024")
_VOCABULARY_SIZE = 100
_EVERYWHERE = _VOCABULARY_SIZE - 1
_BATCH = 50_000
_NS = 1_700_000_000_000_000_000

FILTERS: dict[str, Any] = {
    "equality": {"tenth": 3},
    "range": {"price": {"$gte": 0.2, "$lt": 0.7}},
    "range of 64-bit": {"time_ns": {"$gte": _NS + (1 << 49)}},
    "$in of 5,000": {"n": {"$in": list(range(0, 50_000, 10))}},
    "equal string": {"title": "위성 위성 0000001 위성"},
    "$contains": {"title": {"$contains": "위성"}},
    "$text": {"title": {"$text": "telepix"}},
    "list": {"tags": {"$contains": "위성"}},
    "nested, or, not": {"$or": [{"author.name": "저자 5"}, {"$not": {"date": {"$lt": "2020"}}}]},
    "callable": lambda metadata: metadata["tenth"] == 3,
}


@dataclass(frozen=True)
class Filtering:
    """Milliseconds, and bytes.

    Attributes:
        plain_ms: The median search without a filter.
        added_ms: By filter: what it adds to that at its first use, at later ones, and at the first after 1,000
            documents were added.
        add_1000_ms: The median commit of 1,000 documents.
        column_bytes: What columns take, a document.
        document_bytes: What documents' rows take, a document.
    """

    plain_ms: float
    added_ms: dict[str, list[float]]
    add_1000_ms: float
    column_bytes: float
    document_bytes: float


def measure_filtering(n_documents: int, folder: Path, rounds: int = 3) -> Filtering:
    """Build an index of so many documents in ``folder``, and search it with filters."""
    from pixie_retrievers.index.sqlite.engine import SqliteIndex

    folder.mkdir(exist_ok=True)
    path = folder / "filters.db"
    with SqliteIndex(path, vocabulary_size=_VOCABULARY_SIZE) as index:
        for start in range(0, n_documents, _BATCH):
            _add(index, start, min(_BATCH, n_documents - start))
    sizes = [_value_bytes(path, table) / n_documents for table in ("columns", "documents")]
    query = SparseVectors.from_dicts([{_EVERYWHERE: 1.0}], _VOCABULARY_SIZE)
    first: dict[str, list[float]] = {name: [] for name in FILTERS}
    again: dict[str, list[float]] = {name: [] for name in FILTERS}
    after: dict[str, list[float]] = {name: [] for name in FILTERS}
    plain: list[float] = []
    adding: list[float] = []
    for _ in range(rounds):
        with SqliteIndex(path) as index:  # a handle that knows no filter yet
            plain += [_timed(index, query, None) for _ in range(20)]
            for name, filter in FILTERS.items():
                first[name].append(_timed(index, query, filter))
                again[name] += [_timed(index, query, filter) for _ in range(1 if callable(filter) else 20)]
            for name, filter in FILTERS.items():
                adding.append(_add(index, n_documents, 1000))
                n_documents += 1000
                _timed(index, query, None)
                after[name].append(_timed(index, query, filter))
    without = float(np.median(plain))
    return Filtering(
        without,
        {
            name: [float(np.median(figures)) - without for figures in (first[name], again[name], after[name])]
            for name in FILTERS
        },
        float(np.median(adding)),
        *sizes,
    )


def _add(index: Any, first: int, n_documents: int) -> float:
    rng = np.random.default_rng(first)
    documents = [Document(str(first + i), "", _metadata(first + i, rng)) for i in range(n_documents)]
    terms = np.stack([rng.integers(0, _EVERYWHERE, n_documents), np.full(n_documents, _EVERYWHERE)], axis=1)
    vectors = SparseVectors(
        np.arange(n_documents + 1) * 2,
        terms.reshape(-1).astype(np.int32),
        rng.random(2 * n_documents).astype(np.float32) + 0.1,
        _VOCABULARY_SIZE,
    )
    start = time.perf_counter()
    index.upsert(documents, vectors)
    return (time.perf_counter() - start) * 1e3


def _metadata(n: int, rng: np.random.Generator) -> dict[str, Any]:
    words = [_WORDS[i] for i in rng.integers(0, len(_WORDS), 6).tolist()]
    year, month, day = rng.integers((2010, 1, 1), (2025, 13, 29)).tolist()
    return {
        "n": n,
        "tenth": n % 10,
        "price": float(rng.random()),
        "time_ns": _NS + int(rng.integers(1 << 50)),
        "title": f"{words[0]} {words[1]} {n:07d} {words[2]}",
        "date": f"{year}-{month:02d}-{day:02d}",
        "tags": words[3:],
        "open": bool(rng.integers(2)),
        "kind": f"종류 {n % 7}",
        "author": {"name": f"저자 {int(rng.integers(1000))}"},
    }


def _timed(index: Any, query: SparseVectors, filter: Any) -> float:
    start = time.perf_counter()
    index.search(query, 10, filter=filter)
    return (time.perf_counter() - start) * 1e3


def _value_bytes(path: Path, table: str) -> float:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        query = f'SELECT coalesce(sum(length(CAST(value AS BLOB))), 0) FROM "{table}"'
        return float(connection.execute(query).fetchone()[0])


def main(n_documents: list[int]) -> None:
    """Measure, and print what was found."""
    for n in n_documents:
        with TemporaryDirectory() as scratch:
            found = measure_filtering(n, Path(scratch))
        typer.echo(f"{n:,} documents: a search {found.plain_ms:.2f} ms, adding 1,000 {found.add_1000_ms:.0f} ms, bytes")
        typer.echo(
            f"a document {found.column_bytes:.0f} of columns, {found.document_bytes:.0f} of rows; a filter adds ms"
        )
        for name, figures in found.added_ms.items():
            typer.echo(f"  {name:18}" + "".join(f"{figure:10.2f}" for figure in figures))


if __name__ == "__main__":
    typer.run(main)
