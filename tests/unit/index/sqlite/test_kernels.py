"""The compiled loops, one by one, on arrays small enough to follow."""

from __future__ import annotations

import numpy as np
import pytest

from pixie_retrievers.index.sqlite import kernels

INDPTR = np.array([0, 2, 2, 5])
TERMS = np.array([1, 3, 0, 1, 3], np.int32)
WEIGHTS = np.array([10, 20, 30, 40, 50], np.uint8)
LITERAL = np.array([True, False, False, True, True])


def test_rows_become_postings_term_by_term():
    ordinals, weights, literal = np.empty(5, np.uint16), np.empty(5, np.uint8), np.empty(5, np.bool_)
    cursors = np.array([0, 1, 3, 3])
    kernels.transpose(INDPTR, TERMS, WEIGHTS, LITERAL, cursors, ordinals, weights, literal)
    assert ordinals.tolist() == [2, 0, 2, 0, 2]
    assert weights.tolist() == [30, 10, 40, 20, 50]
    assert literal.tolist() == [False, True, True, False, True]
    assert cursors.tolist() == [1, 3, 3, 5]


def test_a_merge_counts_and_copies_what_is_kept():
    terms, starts, ordinals = (
        np.array([0, 1, 3], np.int32),
        np.array([0, 1, 3, 5]),
        np.array([2, 0, 2, 0, 2], np.uint16),
    )
    new = np.array([-1, 4, 5], np.int32)  # the first document is gone
    counts = np.zeros(4, np.int64)
    kernels.count_postings(terms, starts, ordinals, new, counts)
    assert counts.tolist() == [1, 1, 0, 1]
    out, weights, literal = np.zeros(3, np.uint16), np.zeros(3, np.uint8), np.zeros(3, np.bool_)
    cursors = np.array([0, 1, 2, 2])
    kernels.append_postings(terms, starts, ordinals, WEIGHTS, LITERAL, new, cursors, out, weights, literal)
    assert out.tolist() == [5, 5, 5]
    assert weights.tolist() == [10, 30, 50]
    assert literal.tolist() == [True, False, True]


@pytest.mark.parametrize("first", range(17))
def test_bits_are_packed_lowest_first_and_leave_their_neighbours_alone(first):
    bits = np.random.default_rng(first).random(21) < 0.5
    packed = np.packbits([*[1] * first, *[0] * 21, *[1] * (27 - first)], bitorder="little")
    kernels.pack_bits(bits, packed, first)
    found = np.unpackbits(packed, bitorder="little").view(np.bool_)
    assert found[first : first + 21].tolist() == bits.tolist()
    assert found[:first].all()
    assert found[first + 21 :].all()


@pytest.mark.parametrize(
    ("counts", "ordinals", "weights"),
    [
        ([2, 1], [1, 1, 0], [1, 1, 1]),
        ([2, 1], [2, 1, 0], [1, 1, 1]),
        ([2, 1], [0, 3, 0], [1, 1, 1]),
        ([2], [0, 1, 0], [1, 1, 1]),
        ([2, 1], [0, 1, 0], [1, 0, 1]),
        ([2, 1], [0, 1, 0], [1, -1, 1]),
        ([2, 1], [0, 1, 0], [1, np.nan, 1]),
        ([2, 1], [0, 1, 0], [1, np.inf, 1]),
    ],
    ids=["equal", "falling", "beyond", "uncounted", "zero", "negative", "NaN", "infinite"],
)
def test_postings_that_a_search_must_not_trust_are_told_from_others(counts, ordinals, weights):
    assert kernels.postings_are_sound(
        np.array([2, 1], np.int32), np.array([0, 2, 1], np.uint16), np.ones(3, np.float32), 3
    )
    assert not kernels.postings_are_sound(
        np.array(counts, np.int32), np.array(ordinals, np.uint16), np.array(weights, np.float32), 3
    )
