"""Batches are bounded by tokens and lose no text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pixie_retrievers.encoder.batches import plan_batches


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


def test_a_text_over_budget_goes_alone():
    assert plan_batches([3, 50, 3], max_batch_tokens=8) == [[1], [0, 2]]
