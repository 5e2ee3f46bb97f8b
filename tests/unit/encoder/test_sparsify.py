"""What is kept of a batch of dense output."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixie_retrievers.encoder.sparsify import assemble, sparsify
from pixie_retrievers.errors import InvalidVectorError
from pixie_retrievers.types import MIN_WEIGHT


def kept(rows, *, special_ids=(), min_weight=0.0, max_active_terms=None, dtype=torch.float32):
    sparse = sparsify(
        torch.tensor(rows, dtype=dtype),
        special_ids=special_ids,
        min_weight=min_weight,
        max_active_terms=max_active_terms,
    )
    return assemble([(range(len(rows)), sparse)], len(rows), len(rows[0])).to_dicts()


def test_weights_equal_to_the_threshold_are_dropped_and_those_above_are_kept():
    assert kept([[0.25, 0.5, 0.75, 0.0]], min_weight=0.5) == [{2: 0.75}]


def test_special_tokens_are_dropped_whatever_their_weight():
    assert kept([[9.0, 1.0, 8.0], [9.0, 0.0, 8.0]], special_ids=[0, 2]) == [{1: 1.0}, {}]


def test_weights_below_what_an_index_can_hold_count_as_zero():
    assert kept([[MIN_WEIGHT / 2, MIN_WEIGHT, 1.0]]) == [{1: MIN_WEIGHT, 2: 1.0}]


def test_the_largest_weights_of_each_text_stay_and_of_equal_ones_the_lower_terms():
    rows = [[1.0, 3.0, 2.0, 3.0], [1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 5.0]]
    assert kept(rows, max_active_terms=2) == [{1: 3.0, 3: 3.0}, {0: 1.0, 1: 1.0}, {3: 5.0}]


def test_the_limit_counts_only_what_passed_the_threshold_and_is_not_a_special_token():
    assert kept([[9.0, 0.1, 2.0, 1.0]], special_ids=[0], min_weight=0.5, max_active_terms=2) == [{2: 2.0, 3: 1.0}]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_output_that_is_not_finite_is_refused_with_a_hint_at_precision(bad):
    with pytest.raises(InvalidVectorError, match=r"not finite \(in float16\).*precision='float32'"):
        kept([[0.0, bad]], dtype=torch.float16)


def test_half_precision_output_becomes_float32():
    assert kept([[0.5, 0.0]], dtype=torch.bfloat16) == [{0: 0.5}]


def test_rows_return_to_where_their_texts_stood():
    rows = sparsify(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), special_ids=(), min_weight=0.0, max_active_terms=None)
    assert assemble([([2, 0], rows)], 4, 2).to_dicts() == [{1: 2.0}, {}, {0: 1.0}, {}]


@settings(deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]), min_size=6, max_size=6), min_size=1, max_size=5),
    st.sampled_from([0.0, 0.25, 0.6]),
    st.sampled_from([None, 1, 2, 6]),
)
def test_the_kept_weights_equal_a_plain_transcription_of_the_rules(rows, min_weight, limit):
    expected = []
    for row in rows:
        terms = [(weight, term) for term, weight in enumerate(row) if weight > min_weight and term != 3]
        chosen = sorted(terms, key=lambda pair: (-pair[0], pair[1]))[:limit]
        expected.append({term: float(np.float32(weight)) for weight, term in sorted(chosen, key=lambda pair: pair[1])})
    assert kept(rows, special_ids=[3], min_weight=min_weight, max_active_terms=limit) == expected
