"""Maximal marginal relevance against its formula in plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vectors import random_vectors

from pixie_retrievers import SparseRetriever, SparseVectors
from pixie_retrievers.diversity import max_marginal_relevance
from pixie_retrievers.errors import InvalidParameterError


def cosine(one, other):
    lengths = math.sqrt(sum(w * w for w in one.values()) * sum(w * w for w in other.values()))
    return sum(one[term] * other[term] for term in one.keys() & other.keys()) / lengths if lengths else 0.0


def gain(query, rows, chosen, position, lambda_mult):
    relevance = cosine(query, rows[position])
    if not chosen:
        return relevance
    return lambda_mult * relevance - (1 - lambda_mult) * max(cosine(rows[position], rows[other]) for other in chosen)


@given(st.integers(0, 1_000), st.integers(0, 12), st.integers(1, 15), st.sampled_from([0, 0.3, 0.5, 1]))
def test_each_choice_is_the_best_that_was_left(seed, n, k, lambda_mult):
    query, documents = random_vectors(1, seed=seed), random_vectors(n, seed=seed + 1)
    chosen = max_marginal_relevance(query, documents, k, lambda_mult=lambda_mult)
    assert len(chosen) == len(set(chosen)) == min(k, n)
    rows = documents.to_dicts()
    for place, position in enumerate(chosen):
        before, left = chosen[:place], set(range(n)) - set(chosen[:place])
        gains = {other: gain(query.to_dicts()[0], rows, before, other, lambda_mult) for other in left}
        assert gains[position] == pytest.approx(max(gains.values()), abs=1e-5)


def test_vectors_of_nothing_are_chosen_last_and_break_nothing():
    query = SparseVectors.from_dicts([{1: 1.0}], 10)
    documents = SparseVectors.from_dicts([{}, {1: 2.0}, {2: 1.0}], 10)
    assert max_marginal_relevance(query, documents, 3, lambda_mult=1)[0] == 1
    empty = SparseVectors.from_dicts([{}], 10)
    assert max_marginal_relevance(empty, documents, 2) == [0, 1]
    assert max_marginal_relevance(query, documents[:0], 2) == []


def test_a_copy_gives_way_to_something_else(encoder):
    texts = ["위성을 궤도에 올린다.", "위성을 궤도에 올린다!", "위성 자료로 농사를 돕는다."]
    with SparseRetriever.open(encoder=encoder) as retriever:
        retriever.add_texts(texts, ids=["a", "copy", "farm"])
        assert {r.document.id for r in retriever.search("위성 궤도", k=2)} == {"a", "copy"}
        diverse = retriever.search_diverse("위성 궤도", k=2, lambda_mult=0.3)
        assert diverse[1].document.id == "farm"
        assert diverse[1].explanation.contributions
        assert len(retriever.search_diverse("위성 궤도", k=3, fetch_k=1)) == 3
        assert retriever.search_diverse("", k=2) == []


@pytest.mark.parametrize(
    "options", [{"k": 0}, {"fetch_k": 0}, {"fetch_k": 2.0}, {"lambda_mult": 1.1}, {"lambda_mult": float("nan")}]
)
def test_numbers_out_of_range_are_refused(encoder, options):
    with (
        SparseRetriever.open(encoder=encoder) as retriever,
        pytest.raises(InvalidParameterError, match=next(iter(options))),
    ):
        retriever.search_diverse("위성", **options)


@pytest.mark.parametrize("seed", range(20))
def test_of_equals_the_first_is_chosen(seed):
    rng = np.random.default_rng(seed)
    n_terms = int(rng.integers(3, 500))
    query, one, other = (dict(enumerate(rng.random(n_terms).tolist())) for _ in range(3))
    documents = SparseVectors.from_dicts([other, *[one] * (2 + seed), other, one], n_terms)
    chosen = max_marginal_relevance(SparseVectors.from_dicts([query], n_terms), documents, 2, lambda_mult=0.5)
    assert sorted(chosen) == [0, 1]
