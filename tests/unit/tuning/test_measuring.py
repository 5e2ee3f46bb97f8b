"""NDCG as `pixie eval` has it, and an interval that holds the truth as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from pixie_retrievers.tuning.measuring import chance_of, ndcg, paired_interval


def test_ndcg_is_that_of_the_evaluation():
    pytest.importorskip("pytrec_eval")
    from pixie_retrievers.evaluation.metrics import measure

    rng = np.random.default_rng(0)
    for _ in range(50):
        ranked = [str(n) for n in rng.permutation(20)]
        grades = {str(n): int(grade) for n, grade in enumerate(rng.integers(0, 4, 20)) if grade} or {"1": 1}
        run = {"q": [(id, float(20 - place)) for place, id in enumerate(ranked)]}
        assert ndcg(ranked, grades) == pytest.approx(measure(run, {"q": grades}).ndcg[10])


def test_nothing_found_is_worth_nothing():
    assert ndcg([], {"a": 1.0}) == 0
    assert ndcg(["b"], {"a": 1.0}) == 0


def test_the_interval_holds_the_true_gain_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 3)
    held = 0
    for _ in range(200):
        gains = 0.1 + rng.normal(0, 0.2, 60)[groups] + rng.normal(0, 0.1, 180)
        low, high = paired_interval(gains, groups, rng)
        held += low <= 0.1 <= high
    assert 0.88 <= held / 200 <= 0.99


def test_questions_that_gain_together_are_not_counted_as_many():
    rng = np.random.default_rng(0)
    gains = np.repeat(rng.normal(0.05, 0.2, 10), 50)
    low, high = paired_interval(gains, np.repeat(np.arange(10), 50), rng)
    apart = paired_interval(gains, np.arange(500), rng)
    assert high - low > 3 * (apart[1] - apart[0])


@pytest.mark.parametrize(("n_gained", "chance"), [(0, 1.0), (1, 1 / 2), (4, 1 / 16), (6, 1 / 64)])
def test_a_few_that_gain_and_none_that_loses_is_what_coins_do(n_gained, chance):
    gains = np.zeros(300)
    gains[:n_gained] = 0.4
    assert chance_of(gains, np.arange(300), np.random.default_rng(0)) == pytest.approx(chance, abs=0.01)
    low, _ = paired_interval(gains, np.arange(300), np.random.default_rng(0))
    assert (low > 0) == (n_gained >= 4)  # where a bootstrap alone is convinced already


def test_where_there_is_no_gain_chance_reaches_it_evenly():
    rng = np.random.default_rng(0)
    found = [chance_of(rng.normal(0, 0.1, 40) * (rng.random(40) < 0.3), np.arange(40) // 2, rng) for _ in range(200)]
    assert 0.01 <= np.mean(np.array(found) <= 0.05) <= 0.1
    assert 0.4 <= np.mean(found) <= 0.6


def test_a_gain_of_many_is_beyond_chance():
    rng = np.random.default_rng(0)
    assert chance_of(rng.normal(0.02, 0.1, 1000), np.arange(1000), rng) < 0.001
