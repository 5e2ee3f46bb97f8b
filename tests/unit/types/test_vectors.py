"""SparseVectors: what is accepted, what is refused, and the ways in and out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array

from pixie_retrievers import InvalidVectorError, SparseVectors
from pixie_retrievers.types import MAX_WEIGHT, MIN_WEIGHT

ROWS = [{3: 0.5, 1: 2.0}, {}, {9: 1.25}]


@pytest.fixture
def vectors():
    return SparseVectors.from_dicts(ROWS, 10)


def build(indptr, term_ids, weights, vocabulary_size=10, dtypes=(np.int64, np.int32, np.float32)):
    arrays = [np.array(a, dtype) for a, dtype in zip((indptr, term_ids, weights), dtypes, strict=True)]
    return SparseVectors(*arrays, vocabulary_size)


def test_dictionaries_go_in_and_come_out(vectors):
    assert len(vectors) == 3
    assert vectors.to_dicts() == ROWS
    assert vectors.term_ids.tolist() == [1, 3, 9]


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_scipy_and_torch_go_in_and_come_out(vectors):
    assert SparseVectors.from_scipy(vectors.to_scipy()) == vectors
    dense = torch.tensor(vectors.to_scipy().toarray())
    assert SparseVectors.from_torch(dense) == vectors
    assert SparseVectors.from_torch(dense.to_sparse()) == vectors
    assert SparseVectors.from_torch(dense.to_sparse_csr()) == vectors
    assert SparseVectors.from_torch(torch.zeros(2, 10)).to_dicts() == [{}, {}]


def test_scipy_matrices_with_duplicates_and_zeros_are_summed_and_cleaned():
    matrix = coo_array(([1.0, 0.5, 0.0], ([0, 0, 1], [4, 4, 2])), shape=(2, 10))
    assert SparseVectors.from_scipy(matrix).to_dicts() == [{4: 1.5}, {}]


def test_rows_are_taken_by_position_and_slice(vectors):
    assert vectors[0].to_dicts() == ROWS[:1]
    assert vectors[-1].to_dicts() == ROWS[2:]
    assert vectors[1:].to_dicts() == ROWS[1:]
    assert vectors[5:2].to_dicts() == []
    assert vectors[::-1].to_dicts() == ROWS[::-1]
    assert [row.to_dicts()[0] for row in vectors] == ROWS
    with pytest.raises(IndexError):
        vectors[3]


def test_batches_join(vectors):
    assert SparseVectors.concatenate([vectors, vectors[1:]], 10).to_dicts() == ROWS + ROWS[1:]
    assert len(SparseVectors.concatenate([], 10)) == 0
    with pytest.raises(InvalidVectorError, match="cannot join"):
        SparseVectors.concatenate([vectors], 11)


@pytest.mark.parametrize("weight", [math.nan, math.inf, -1.0, -math.inf, MAX_WEIGHT * 4, MIN_WEIGHT / 4, 1e300, 1e-300])
def test_weights_that_are_not_finite_and_positive_are_refused(weight):
    with pytest.raises(InvalidVectorError, match="weights run from"):
        SparseVectors.from_dicts([{1: 1.0}, {3: weight}], 10)


@pytest.mark.parametrize("weight", [math.nan, math.inf, -1.0])
def test_a_tensor_with_such_weights_is_refused(weight):
    with pytest.raises(InvalidVectorError):
        SparseVectors.from_torch(torch.tensor([[0.0, weight, 0.0]]))


def test_zero_is_not_a_weight():
    assert SparseVectors.from_dicts([{1: 0.0, 2: 1.0}], 10).to_dicts() == [{2: 1.0}]


@pytest.mark.parametrize("term", [-1, 10, 2**40])
def test_terms_outside_the_vocabulary_are_refused(term):
    with pytest.raises(InvalidVectorError, match="outside a vocabulary of 10"):
        SparseVectors.from_dicts([{term: 1.0}], 10)


@pytest.mark.parametrize(
    "arrays",
    [
        ([0, 2], [3, 1], [1, 1]),
        ([0, 2], [3, 3], [1, 1]),
        ([0, 3], [1, 3], [1, 1]),
        ([1, 2], [1, 3], [1, 1]),
        ([0, 2, 1, 2], [1, 3], [1, 1]),
        ([], [], []),
        ([0, 2], [1, 3], [1, 1, 1]),
        ([0, 1], [-1], [1]),
        ([0, 1], [10], [1]),
    ],
    ids=["falling", "twice", "too long", "late start", "falling rows", "no rows", "lengths", "negative", "too large"],
)
def test_arrays_that_are_not_a_csr_batch_are_refused(arrays):
    with pytest.raises(InvalidVectorError):
        build(*arrays)


def test_arrays_of_another_dtype_or_shape_are_refused():
    with pytest.raises(InvalidVectorError, match="term_ids must be"):
        build([0, 1], [1], [1], dtypes=(np.int64, np.int64, np.float32))
    with pytest.raises(InvalidVectorError, match="weights must be"):
        build([0, 1], [1], [[1]])
    with pytest.raises(InvalidVectorError, match="vocabulary_size"):
        build([0], [], [], vocabulary_size=0)


def test_nobody_knowing_which_terms_are_literal_counts_as_none_being(vectors):
    assert vectors.literal.tolist() == [False] * 3


def test_literal_terms_travel_with_their_rows(vectors):
    marked = vectors.with_literal([{3, 7}, {1}, frozenset()])
    assert marked.literal.tolist() == [False, True, False]
    assert marked != vectors
    assert [row.literal.tolist() for row in marked] == [[False, True], [], [False]]
    assert SparseVectors.concatenate([marked[2], marked[0]], 10).literal.tolist() == [False, False, True]
    with pytest.raises(InvalidVectorError, match="one collection of literal terms a vector, not 1 for 3"):
        vectors.with_literal([{3}])
    with pytest.raises(InvalidVectorError, match="outside a vocabulary of 10"):
        vectors.with_literal([{10}, (), ()])
    with pytest.raises(InvalidVectorError, match="literal"):
        SparseVectors(vectors.indptr, vectors.term_ids, vectors.weights, 10, np.zeros(2, np.bool_))
    with pytest.raises(InvalidVectorError, match="literal must be"):
        SparseVectors(vectors.indptr, vectors.term_ids, vectors.weights, 10, np.zeros(3, np.int8))


def test_which_texts_were_cut_travels_with_their_rows(vectors):
    assert vectors.cut.tolist() == [False] * 3
    marked = replace(vectors, cut=np.array([True, False, True]))
    assert marked != vectors
    assert [row.cut.tolist() for row in marked] == [[True], [False], [True]]
    assert marked[1:].cut.tolist() == [False, True]
    assert marked[::-2].cut.tolist() == [True, True]
    assert marked.with_literal([(), (), ()]).cut.tolist() == [True, False, True]
    assert SparseVectors.concatenate([marked[2], marked[1], vectors], 10).cut.tolist() == [True, *[False] * 4]
    for wrong in (np.zeros(2, np.bool_), np.zeros(3, np.int64), [True] * 3, True):
        with pytest.raises(InvalidVectorError, match="cut must"):
            replace(vectors, cut=wrong)


HUGE = 10**30


@pytest.mark.parametrize(
    "make",
    [
        lambda: SparseVectors.from_dicts([{1: HUGE}], 10),
        lambda: SparseVectors.from_dicts([{1: 10**400}], 10),
        lambda: SparseVectors.from_dicts([{HUGE: 1.0}], 10),
        lambda: SparseVectors.from_dicts([{HUGE: 1.0}], 10 * HUGE),
        lambda: SparseVectors.from_dicts([{2**31: 1.0}], 2**32),
        lambda: SparseVectors.from_dicts([{1: 1.0}], HUGE),
        lambda: SparseVectors.from_dicts([{1: 1.0}], "10"),
        lambda: SparseVectors.from_dicts([{"1": 1.0}], 10),
        lambda: SparseVectors.from_dicts([{"1": 1.0, 2: 1.0}], 10),
        lambda: SparseVectors.from_dicts([{1.5: 1.0}], 10),
        lambda: SparseVectors.from_dicts([{math.nan: 1.0}], 10),
        lambda: SparseVectors.from_dicts([{1: "a"}], 10),
        lambda: SparseVectors.from_dicts([{1: 1j}], 10),
        lambda: SparseVectors.from_dicts([{1: np.ones(2)}], 10),
        lambda: SparseVectors.from_dicts([{1: [1.0]}], 10),
        lambda: SparseVectors.from_dicts([[(1, 1.0)]], 10),
        lambda: SparseVectors.from_dicts([None], 10),
        lambda: SparseVectors.from_scipy(np.ones((2, 2), object)),
        lambda: SparseVectors.from_scipy(coo_array(np.array([[1j]]))),
        lambda: SparseVectors.from_scipy(None),
        lambda: SparseVectors.from_torch(np.ones((2, 2))),
        lambda: SparseVectors.from_torch(torch.ones(3)),
        lambda: SparseVectors.from_torch(torch.ones(2, 2) * 1j),
        lambda: build([0, 1], [HUGE], [1.0], dtypes=(np.int64, object, np.float32)),
        lambda: build([0, 1], [1], [HUGE], dtypes=(np.int64, np.int32, object)),
        lambda: build([0, HUGE], [1], [1.0], dtypes=(object, np.int32, np.float32)),
        lambda: build([], [], []),
        lambda: build([0], [], [], vocabulary_size=None),
        lambda: build([0], [], [], vocabulary_size=True),
        lambda: SparseVectors(None, None, None, 10),
        lambda: SparseVectors.concatenate([None], 10),
        lambda: SparseVectors.from_dicts([{1: 1.0}], 10).with_literal([[HUGE]]),
        lambda: SparseVectors.from_dicts([{1: 1.0}], 10).with_literal(["a"]),
        lambda: SparseVectors.from_dicts([{1: 1.0}], 10).with_literal([None]),
    ],
)
def test_numbers_that_are_too_large_and_what_are_no_numbers_are_refused(make):
    with pytest.raises(InvalidVectorError):
        make()


def test_a_term_may_fall_from_one_row_to_the_next():
    assert build([0, 0, 2, 2, 3, 3], [4, 9, 0], [1, 1, 1]).to_dicts() == [{}, {4: 1, 9: 1}, {}, {0: 1}, {}]


@given(st.lists(st.dictionaries(st.integers(0, 9), st.floats(2.0**-59, 2.0**49, width=32), max_size=10), max_size=8))
def test_any_rows_survive_every_round_trip(rows):
    vectors = SparseVectors.from_dicts(rows, 10)
    assert vectors.to_dicts() == rows
    assert SparseVectors.from_scipy(vectors.to_scipy()) == vectors
    assert SparseVectors.concatenate([vectors[i] for i in range(len(vectors))], 10) == vectors
