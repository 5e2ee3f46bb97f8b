"""The compiled ranking: exact scores, ties by insertion, and every term that matched."""

from __future__ import annotations

import numpy as np
import pytest
from vectors import documents, random_vectors

from pixie_retrievers import SparseVectors, SqliteIndex
from pixie_retrievers.index.sqlite.ranking import rank
from pixie_retrievers.index.sqlite.vectors import STORED_DTYPES

VECTORS = random_vectors(60).with_literal([range(0, 200, 3)] * 60)


@pytest.fixture(params=STORED_DTYPES)
def snapshot(request, tmp_path):
    """Two segments, all postings in memory."""
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=200, weights=request.param) as index:
        for part in (slice(0, 50), slice(50, 60)):
            index.upsert(documents(part.stop - part.start, start=part.start), VECTORS[part])
        with index._reader.snapshot() as snapshot:
            for view in snapshot.views:
                view.load(snapshot.store, view.head.term_ids)
            assert len(snapshot.views) == 2
            yield snapshot


def ranked(snapshot, query, docnos, *, nearly=None, cutoff=0.0, k=100):
    places = [snapshot.locate(docno) for docno in docnos]
    return rank(
        snapshot.table,
        200,
        snapshot.views[0].weights[:0],
        query.term_ids,
        query.weights,
        np.array([position for position, _ in places], np.int32),
        np.array([ordinal for _, ordinal in places], np.uint16),
        np.array([1.0] * len(docnos) if nearly is None else nearly, np.float32),
        cutoff,
        k,
    )


def test_scores_are_summed_in_double_precision_terms_ascending(snapshot):
    (query,) = random_vectors(1, seed=3)
    docnos, scores, indptr, places, weights, literal = ranked(snapshot, query, [55, 3, 20, 51, 0])
    assert sorted(docnos.tolist()) == [0, 3, 20, 51, 55]
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    for row, docno in enumerate(docnos.tolist()):
        stored = snapshot.vectors([docno])
        its_weights = dict(zip(stored.term_ids.tolist(), stored.widened(), strict=True))
        its_literal = dict(zip(stored.term_ids.tolist(), stored.literal.tolist(), strict=True))
        shared = [term for term in query.term_ids.tolist() if term in its_weights]
        entries = slice(indptr[row], indptr[row + 1])
        assert query.term_ids[places[entries]].tolist() == shared
        assert weights[entries].tolist() == [its_weights[term] for term in shared]
        assert literal[entries].tolist() == [its_literal[term] for term in shared]
        total = 0.0
        for place, weight in zip(places[entries].tolist(), weights[entries].tolist(), strict=True):
            total += float(query.weights[place]) * weight
        assert scores[row] == total


def test_ties_are_ranked_by_insertion_and_k_cuts_them(tmp_path):
    same = SparseVectors.from_dicts([{5: 1.0}] * 12, 200)
    with SqliteIndex(tmp_path / "ties.db", vocabulary_size=200) as index:
        index.upsert(documents(10), same[:10])
        index.upsert(documents(2, start=10), same[10:])
        with index._reader.snapshot() as snapshot:
            for view in snapshot.views:
                view.load(snapshot.store, view.head.term_ids)
            docnos, scores, *_ = ranked(snapshot, same[:1], [11, 4, 10, 2, 9], k=4)
    assert docnos.tolist() == [2, 4, 9, 10]
    assert scores.tolist() == [1.0] * 4


def test_what_scores_too_little_is_left_out_before_it_is_looked_at(snapshot):
    (query,) = random_vectors(1, seed=3)
    docnos, *_ = ranked(snapshot, query, [1, 2, 3], nearly=[0.5, 2.0, 1.0], cutoff=1.0)
    assert sorted(docnos.tolist()) == [2, 3]
    docnos, scores, indptr, *rest = ranked(snapshot, query, [])
    assert (len(docnos), len(scores), indptr.tolist(), [len(part) for part in rest]) == (0, 0, [0], [0, 0, 0])
