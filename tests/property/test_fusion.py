"""Fusion against a plain transcription of its definition in exact fractions, over lists nobody would think of."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from statistics import mean, pstdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixie_retrievers.fusion import Ranked, fuse

IDS = st.sampled_from("abcdefgh")
SCORES = st.floats(-1e6, 1e6).map(lambda score: round(score, 3))
LISTS = st.dictionaries(
    st.sampled_from(["sparse", "dense", "words"]),
    st.lists(st.tuples(IDS, SCORES), max_size=10),
    max_size=3,
)
WEIGHTS = st.dictionaries(st.sampled_from(["sparse", "dense", "words"]), st.integers(1, 5), min_size=3, max_size=3)


def ranked(rows):
    return [Ranked(id, f"{id}@{place}", score) for place, (id, score) in enumerate(rows)]


def first_places(rows):
    """Each id once, where it stands first."""
    kept = []
    for id, score in rows:
        if id not in [other for other, _ in kept]:
            kept.append((id, score))
    return kept


def scaled(scores, normalization):
    if normalization == "none":
        return scores
    if len(set(scores)) == 1:
        return [Fraction(1)] * len(scores)
    if normalization == "min-max":
        return [(score - min(scores)) / (max(scores) - min(scores)) for score in scores]
    return [(score - mean(scores)) / Fraction(pstdev(scores)) for score in scores]


def oracle(lists, weights, value_lists):
    """Every id's sum, by the words of the docstring alone."""
    totals = {}
    for id in {id for rows in lists.values() for id, _ in rows}:
        total = Fraction(0)
        for name, rows in lists.items():
            values = value_lists[name]
            places = [other for other, _ in rows]
            total += weights[name] * (values[places.index(id)] if id in places else min([Fraction(0), *values]))
        totals[id] = total
    return totals


def assert_agrees(fused, lists, totals, tolerance):
    assert {one.id for one in fused} == totals.keys()
    assert len(fused) == len(totals)
    for one in fused:
        assert one.score == pytest.approx(float(totals[one.id]), rel=tolerance, abs=tolerance)
        assert sum(part.contribution for part in one.parts.values()) == pytest.approx(one.score, rel=1e-9, abs=1e-6)
        assert list(one.parts) == list(lists)
        for name, part in one.parts.items():
            rows = dict(lists[name])
            assert (part.rank, part.score) == (
                (list(rows).index(one.id) + 1, rows[one.id]) if one.id in rows else (None, None)
            )
    scores = [one.score for one in fused]
    assert scores == sorted(scores, reverse=True)


@given(LISTS, WEIGHTS, st.integers(0, 100))
def test_reciprocal_ranks_are_summed_as_written(lists, weights, rank_constant):
    weights = {name: weights[name] for name in lists}
    fused = fuse(
        {name: ranked(rows) for name, rows in lists.items()}, weights=weights or None, rank_constant=rank_constant
    )
    unique = {name: first_places(rows) for name, rows in lists.items()}
    values = {
        name: [Fraction(1, rank_constant + rank) for rank in range(1, len(rows) + 1)] for name, rows in unique.items()
    }
    assert_agrees(fused, unique, oracle(unique, weights, values), 1e-12)


@settings(max_examples=200)
@given(LISTS, WEIGHTS, st.sampled_from(["min-max", "z-score", "none"]))
def test_scores_are_scaled_weighted_and_summed_as_written(lists, weights, normalization):
    weights = {name: weights[name] for name in lists}
    fused = fuse(
        {name: ranked(rows) for name, rows in lists.items()},
        method="weighted",
        weights=weights or None,
        normalization=normalization,
    )
    unique = {name: first_places(rows) for name, rows in lists.items()}
    values = {
        name: scaled([Fraction(score) for _, score in rows], normalization) if rows else []
        for name, rows in unique.items()
    }
    assert_agrees(fused, unique, oracle(unique, weights, values), 1e-6)


@given(LISTS, st.sampled_from(["rrf", "weighted"]), st.integers(1, 9))
def test_the_order_is_decided_by_what_was_said_and_k_cuts_it(lists, method, k):
    parts = {name: ranked(rows) for name, rows in lists.items()}
    fused = fuse(parts, method=method)
    again = fuse(list(parts.items()), method=method)
    assert again == fused
    assert fuse(parts, method=method, k=k) == fused[:k]
    for one, other in pairwise(fused):
        assert _place(one) < _place(other)


def _place(one):
    ranks = [part.rank or 1_000 for part in one.parts.values()]
    return -one.score, min(ranks), ranks


@given(LISTS)
def test_the_score_does_not_depend_on_the_order_of_the_lists(lists):
    parts = {name: ranked(rows) for name, rows in lists.items()}
    turned = dict(reversed(parts.items()))
    for method in ("rrf", "weighted"):
        scores = {one.id: one.score for one in fuse(parts, method=method)}
        assert {one.id: one.score for one in fuse(turned, method=method)} == scores


@given(LISTS)
def test_one_list_alone_keeps_its_order(lists):
    for name, rows in lists.items():
        fused = fuse({name: ranked(rows)})
        assert [one.id for one in fused] == [id for id, _ in first_places(rows)]
