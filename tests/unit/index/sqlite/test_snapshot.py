"""One commit point: its documents, their vectors, and which of them may be found."""

from __future__ import annotations

import numpy as np
import pytest
from vectors import documents, random_vectors

from pixie_retrievers import CorruptIndexError, SqliteIndex
from pixie_retrievers.filters import parse_filter


@pytest.fixture
def snapshot(path):
    """Three segments of twenty, ten and ten documents; d3 and d25 are deleted."""
    with SqliteIndex(path) as index:
        for start in (20, 30):
            index.upsert(documents(10, start=start), random_vectors(10, seed=start))
        index.delete(["d3", "d25"])
        with index._reader.snapshot() as snapshot:
            assert [view.head.n_documents for view in snapshot.views] == [20, 10, 10]
            yield snapshot


def allowed_docnos(snapshot, allowed):
    """The insertion numbers that masks let pass; an empty mask lets all pass."""
    return [
        docno
        for view, mask in zip(snapshot.views, allowed.masks, strict=True)
        for docno in (view.head.docnos[mask == 1] if len(mask) else view.head.docnos).tolist()
    ]


LIVE = [docno for docno in range(40) if docno not in (3, 25)]


def test_ids_lead_to_insertion_numbers_and_these_to_documents_and_vectors(snapshot):
    assert snapshot.docnos(["d7", "nobody", "d0", "d3"]) == {"d7": 7, "d0": 0}
    assert [document.id for document in snapshot.documents([7, 0])] == ["d7", "d0"]
    vectors = snapshot.vectors([7, 0, 7])
    expected = random_vectors(20).with_literal([range(0, 200, 3)] * 20)
    assert [vectors[i : i + 1].to_sparse(200) for i in range(3)] == [expected[7], expected[0], expected[7]]
    for gone in (snapshot.documents, snapshot.vectors):
        with pytest.raises(CorruptIndexError, match="missing"):
            gone([7, 3])


def test_an_insertion_number_is_located_in_its_segment(snapshot):
    assert [snapshot.locate(docno) for docno in (0, 19, 20, 39)] == [(0, 0), (0, 19), (1, 0), (2, 9)]
    for docno in (-1, 40):
        with pytest.raises(CorruptIndexError, match="in no segment"):
            snapshot.locate(docno)


def test_tombstones_hide_documents_with_a_filter_and_without(snapshot):
    assert snapshot.tombstones(2) is None
    assert np.flatnonzero(snapshot.tombstones(0)).tolist() == [3]
    assert allowed_docnos(snapshot, snapshot.allowed(None)) == LIVE
    assert allowed_docnos(snapshot, snapshot.allowed(parse_filter({"n": {"$gte": 24}}))) == LIVE[LIVE.index(24) :]


def test_ids_narrow_what_is_allowed_and_never_widen_it(snapshot):
    even = snapshot.allowed(parse_filter({"even": True}))
    assert allowed_docnos(snapshot, snapshot.only(np.array([0, 1, 3, 22, 39]), even)) == [0, 22]
    everything = snapshot.allowed(None)
    assert allowed_docnos(snapshot, snapshot.only(np.array([0, 1, 3, 22, 39]), everything)) == [0, 1, 22, 39]
    assert allowed_docnos(snapshot, snapshot.only(np.array([], np.int64), everything)) == []


def test_ids_are_listed_in_the_order_of_insertion_page_by_page(snapshot):
    everything = [f"d{docno}" for docno in LIVE]
    for start in range(len(LIVE) + 2):
        for stop in (*range(start, len(LIVE) + 2), None):
            assert snapshot.ids(None, slice(start, stop)) == everything[start:stop]
    late = parse_filter({"n": {"$gt": 23}})
    assert snapshot.ids(late, slice(0, 3)) == ["d24", "d26", "d27"]
    assert snapshot.ids(late, slice(1, 3)) == ["d26", "d27"]
    assert (snapshot.count(None), snapshot.count(late)) == (len(LIVE), len(snapshot.ids(late, slice(0, None))))


def test_what_ids_allow_is_kept_by_ids_and_condition(snapshot):
    late = parse_filter({"n": {"$gte": 24}})
    for _ in range(2):
        assert allowed_docnos(snapshot, snapshot.among(["d30", "d1", "nobody", "d3"], None)) == [1, 30]
        assert allowed_docnos(snapshot, snapshot.among(["d30", "d1", "nobody", "d3"], late)) == [30]
        assert allowed_docnos(snapshot, snapshot.among(["d1"], late)) == []
    assert snapshot.among(["d1"], late) is snapshot.among(["d1"], late)
    assert snapshot.among(["d1"], parse_filter(lambda _: True)) is not None
