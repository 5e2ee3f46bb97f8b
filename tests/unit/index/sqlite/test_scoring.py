"""The compiled search, up to candidates: none of the k best is missing, whatever was skipped."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vectors import documents, random_vectors

from pixie_retrievers import SparseVectors, SqliteIndex
from pixie_retrievers.index.sqlite import scoring
from pixie_retrievers.index.sqlite.scoring import falling
from pixie_retrievers.index.sqlite.segment import MAX_DOCUMENTS
from pixie_retrievers.index.sqlite.vectors import STORED_DTYPES
from pixie_retrievers.index.sqlite.view import address

N, K = 900, 10


@pytest.fixture(params=STORED_DTYPES)
def snapshot(request, tmp_path):
    """Two segments, and no posting in memory."""
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=200, weights=request.param) as index:
        index.upsert(documents(700), random_vectors(700))
        index.upsert(documents(200, start=700), random_vectors(200, seed=1))
        with index._reader.snapshot() as snapshot:
            assert len(snapshot.views) == 2
            yield snapshot


class Search:
    """One query, as the search calls the kernel."""

    def __init__(self, snapshot, query, masks=(0, 0), k=K):
        self.snapshot, self.query, self.masks = snapshot, query, np.array(masks, np.int64)
        self.claims, self.floor = np.zeros(1, np.int64), np.zeros(1, np.float32)
        self.best, self.n_best, self.position = np.empty(k, np.float32), 0, -1
        self.scores = np.zeros(MAX_DOCUMENTS, np.float32)
        self.found = (np.empty(N, np.int32), np.empty(N, np.uint16), np.empty(N, np.float32))

    def collect(self):
        """One call; (segment, ordinal) and score of its candidates."""
        self.n_best, n_found, self.position = scoring.collect(
            self.snapshot.table,
            address(self.claims),
            self.position,
            self.masks,
            200,
            self.snapshot.views[0].weights[:0],
            self.query.term_ids,
            self.query.weights,
            1 - 1e-5,
            self.floor,
            self.scores,
            self.best,
            self.n_best,
            *self.found,
        )
        positions, ordinals, scores = (array[:n_found].tolist() for array in self.found)
        return dict(zip(zip(positions, ordinals, strict=True), scores, strict=True))

    def run(self):
        """Calls and loads until all is done."""
        found = {}
        while True:
            found |= self.collect()
            if self.position < 0:
                return found
            self.snapshot.views[self.position].load(self.snapshot.store, self.query.term_ids)


def scores_of(snapshot, query):
    """Every document's score, from its whole vector."""
    scores = {}
    for position, view in enumerate(snapshot.views):
        vectors = snapshot.vectors(view.head.docnos.tolist()).to_sparse(200)
        dots = vectors.to_scipy() @ query.to_scipy().T
        scores |= {(position, ordinal): float(score) for ordinal, score in enumerate(dots.toarray()[:, 0])}
    return scores


def test_candidates_hold_the_k_best_and_their_scores(snapshot):
    for query in random_vectors(20, seed=2):
        search = Search(snapshot, query)
        found, scores = search.run(), scores_of(snapshot, query)
        wanted = sorted((score for score in scores.values() if score > 0), reverse=True)[:K]
        assert sorted(found.values(), reverse=True)[:K] == pytest.approx(wanted, rel=1e-5)
        assert found == pytest.approx({place: scores[place] for place in found}, rel=1e-5)
        assert search.floor[0] == pytest.approx(wanted[-1], rel=1e-5)
        assert not search.scores.any()  # ready for the next
        assert len(found) < N / 4


def test_a_segment_whose_postings_are_not_in_memory_is_handed_back_and_gone_on_with(snapshot):
    (query,) = random_vectors(1, seed=2)
    search = Search(snapshot, query)
    assert search.collect() == {}
    assert search.position == 0
    snapshot.views[0].load(snapshot.store, query.term_ids)
    assert {position for position, _ in search.collect()} == {0}
    assert search.position == 1  # claimed: no other thread will take it
    assert search.claims[0] == 2


def test_a_document_that_is_masked_is_not_a_candidate_and_does_not_raise_the_floor(snapshot):
    (query,) = random_vectors(1, seed=2)
    scores = scores_of(snapshot, query)
    masks = [np.zeros(view.head.n_documents, np.uint8) for view in snapshot.views]
    for mask in masks:
        mask[::7] = 1
    allowed = {place: score for place, score in scores.items() if masks[place[0]][place[1]] and score > 0}
    search = Search(snapshot, query, [mask.ctypes.data for mask in masks])
    found = search.run()
    assert found.keys() <= allowed.keys()
    assert sorted(found.values())[-K:] == pytest.approx(sorted(allowed.values())[-K:], rel=1e-5)


def test_a_floor_that_another_thread_has_raised_leaves_out_what_is_below(snapshot):
    (query,) = random_vectors(1, seed=2)
    top = max(scores_of(snapshot, query).values())
    search = Search(snapshot, query)
    search.floor[0] = top
    assert list(search.run().values()) == pytest.approx([top], rel=1e-5)


def test_a_query_without_a_term_of_the_index_finds_nothing(snapshot):
    search = Search(snapshot, SparseVectors.from_dicts([{}], 200))
    assert search.run() == {}


def test_places_in_a_list_are_those_of_a_binary_search():
    values = np.array([2, 3, 3, 7, 20], np.uint16)
    for wanted in range(25):
        assert scoring.first_at_least(values, 0, 5, wanted) == bisect_left(values.tolist(), wanted)
        assert scoring.first_at_least(values, 2, 4, wanted) == bisect_left(values.tolist(), wanted, 2, 4)
    assert scoring.first_at_least(values, 3, 3, 1) == 3


def test_the_heap_keeps_the_largest_with_the_least_of_them_first():
    rng = np.random.default_rng(5)
    scores = rng.choice(20, 200).astype(np.float32)
    best, n_best = np.empty(7, np.float32), 0
    for i, score in enumerate(scores):
        if n_best < 7 or score > best[0]:
            n_best = scoring._push(best, n_best, score)
        wanted = sorted(scores[: i + 1])[-7:]
        assert sorted(best[:n_best]) == wanted
        assert best[0] == wanted[0]


@given(st.lists(st.tuples(st.sampled_from([-1.5, 0.0, 0.25, 2.0, 3e30]), st.integers(0, 5)), max_size=300))
def test_falling_keys_are_sorted_as_python_sorts_them(pairs):
    keys = np.array([key for key, _ in pairs], np.float64)
    ties = np.array([300 * tie + place for place, (_, tie) in enumerate(pairs)], np.int64)
    assert falling(keys, ties).tolist() == sorted(range(len(pairs)), key=lambda i: (-keys[i], ties[i]))
