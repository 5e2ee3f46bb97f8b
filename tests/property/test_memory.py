"""What opening, searching and committing take in memory, beside what is stored."""

from __future__ import annotations

import tracemalloc

from figures import Figure, holds
from vectors import documents, random_vectors

from pixie_retrievers import SqliteIndex

V, N = 5_000, 20_000


def peak(work):
    """Bytes allocated at most while something is done, beyond what there was before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@holds(Figure(16, "documents stored and searched", N, N))
def test_an_index_takes_little_more_memory_than_its_bytes(tmp_path):
    batch, vectors = documents(N), random_vectors(N, vocabulary_size=V, n_terms=40)
    for document in batch:
        object.__setattr__(document, "text", document.text * 40)
    n_bytes = sum(len(document.text.encode()) for document in batch)
    n_bytes += sum(array.nbytes for array in (vectors.indptr, vectors.term_ids, vectors.weights, vectors.literal))
    path = tmp_path / "index.db"
    with SqliteIndex(path, vocabulary_size=V, fingerprint="test") as index:
        index.upsert(batch[:1], vectors[:1])
        commit = peak(lambda: index.upsert(batch, vectors))
    stored = path.stat().st_size

    def open_and_search():
        with SqliteIndex(path, read_only=True) as index:
            index.search(vectors[:200], 10)

    opening = peak(open_and_search)
    assert opening <= 1.5 * stored, f"{opening / stored:.2f} times the file"
    assert commit <= 2 * n_bytes, f"{commit / n_bytes:.2f} times the batch"
