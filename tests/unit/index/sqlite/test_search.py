"""From a query to hits: the same whoever helps, and however documents lie."""

from __future__ import annotations

import numpy as np
import pytest
from reference import added_up
from vectors import documents, random_vectors

from pixie_retrievers import SparseVectors, SqliteIndex
from pixie_retrievers.index.sqlite import search
from pixie_retrievers.index.sqlite.pool import the_pool
from pixie_retrievers.index.sqlite.search import search_snapshot


def test_threads_and_one_thread_find_the_same(tmp_path, monkeypatch):
    vectors, queries = random_vectors(3000, seed=13), random_vectors(20, seed=14)
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=200) as index:
        for start in range(0, 3000, 500):
            index.upsert(documents(500, start=start), vectors[start : start + 500])
        assert index.stats().n_segments > 1
        together = index.search(queries, 10)
        one_by_one = [index.search(query, 10)[0] for query in queries]
        monkeypatch.setattr(search, "_SPLIT_FROM", 0)
        monkeypatch.setattr(the_pool(), "n_cores", 3)
        split = [index.search(query, 10)[0] for query in queries]
    assert together == one_by_one == split


@pytest.mark.parametrize("k", [1, 3, 50])
def test_near_ties_are_decided_by_exact_scores_and_ties_by_insertion(tmp_path, k):
    ulp = 2.0**-23  # what float32 tells apart, a sum in another order does not
    rows = [{1: 1 + (i % 3) * ulp, 2: 1 + (i % 5) * ulp, 3: 1 - (i % 2) * ulp} for i in range(40)]
    query = SparseVectors.from_dicts([{1: 1.0, 2: 1 + ulp, 3: 1.5}], 200)
    vectors = SparseVectors.from_dicts(rows, 200)
    scores = [
        added_up(q * float(w) for q, w in zip([1.0, 1 + ulp, 1.5], row.weights.tolist(), strict=True))
        for row in vectors
    ]
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=200) as index:
        for start in range(0, 40, 8):
            index.upsert(documents(8, start=start), vectors[start : start + 8])
        found = index.search(query, k)[0]
    wanted = sorted(range(40), key=lambda i: (-scores[i], i))[:k]
    assert [(hit.document.id, hit.score) for hit in found] == [(f"d{i}", scores[i]) for i in wanted]


def test_what_is_not_allowed_is_not_found(reader):
    query = SparseVectors.from_dicts([dict.fromkeys(range(200), 1.0)], 200)
    with reader.snapshot() as snapshot:
        everything = snapshot.allowed(None)
        (hits,) = search_snapshot(snapshot, query, 20, everything, None)
        assert len(hits) == 20
        some = snapshot.only(np.array([3, 8]), everything)
        (hits,) = search_snapshot(snapshot, query, 20, some, 1)
        assert sorted(hit.document.id for hit in hits) == ["d3", "d8"]
