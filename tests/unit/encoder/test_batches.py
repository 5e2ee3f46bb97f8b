"""Batches are bounded by tokens and lose no text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixie_retrievers.encoder.batches import packed_budget, plan_batches, token_budget


@given(st.lists(st.integers(0, 300)), st.integers(1, 1000))
def test_every_text_with_tokens_is_in_one_batch_and_no_batch_is_over_budget(lengths, budget):
    batches = plan_batches(lengths, budget)
    assert sorted(n for batch in batches for n in batch) == [n for n, length in enumerate(lengths) if length]
    for batch in batches:
        assert len(batch) * max(lengths[n] for n in batch) <= budget or len(batch) == 1


@given(st.lists(st.integers(1, 300), min_size=1), st.integers(1, 1000))
def test_longest_texts_come_first(lengths, budget):
    planned = [lengths[n] for batch in plan_batches(lengths, budget) for n in batch]
    assert planned == sorted(lengths, reverse=True)


@pytest.mark.parametrize(
    ("most", "n_parameters", "budget"),
    [(8192, 4_700_000, 1063), (8192, 149_000_000, 128), (60, 4_700_000, 60), (8192, 1, 8192)],
)
def test_a_processor_gets_what_it_does_quickly(most, n_parameters, budget):
    assert packed_budget(most, n_parameters) == budget


def test_a_text_over_budget_goes_alone():
    assert plan_batches([3, 50, 3], max_batch_tokens=8) == [[1], [0, 2]]


def test_a_batch_holds_no_more_texts_than_allowed():
    assert [len(batch) for batch in plan_batches([1] * 10, 1000, max_texts=4)] == [4, 4, 2]


def test_the_budget_follows_free_memory_between_its_bounds():
    per_token = 50_000
    assert token_budget("cpu", 0, per_token) == token_budget("cpu", 1 << 20, per_token) == 512
    assert token_budget("cpu", 4000 * per_token, per_token) == 1000
    assert token_budget("cpu", None, per_token) == token_budget("cpu", 1 << 50, per_token) == 8192
    assert token_budget("cuda:1", 1 << 50, per_token) > token_budget("mps", 1 << 50, per_token)
