"""From what a model gave texts to weights that hold for a token in any text."""

from __future__ import annotations

import numpy as np
import pytest

from pixie_retrievers import SparseVectors
from pixie_retrievers.encoder.inference_free.fitting import Observations, fit_expansions, fit_weights

SIZE = 12


def observed(*texts):
    """Observations of texts: (tokens, {term: weight})."""
    vectors = SparseVectors.from_dicts([weights for _, weights in texts], SIZE).with_literal([t for t, _ in texts])
    return Observations([np.array(sorted(tokens), np.int32) for tokens, _ in texts], vectors)


def test_without_shrinking_a_weight_is_the_mean_over_the_texts_that_have_the_token():
    seen = observed(({1, 2}, {1: 2.0, 2: 1.0}), ({1}, {1: 1.0}), ({1, 3}, {3: 0.5, 1: 0.3}))
    weights = fit_weights(seen, None, 0.0)
    assert weights.dtype == np.float32
    assert weights[[1, 2, 3]] == pytest.approx([1.1, 1.0, 0.5])
    assert (weights[[0, 4, 5]] == 0).all()


def test_a_token_that_the_model_left_out_counts_as_zero():
    assert fit_weights(observed(({1}, {1: 2.0}), ({1}, {2: 1.0})), None, 0.0)[1] == pytest.approx(1.0)


def test_a_weight_that_was_an_expansion_says_nothing_of_a_tokens_own():
    assert fit_weights(observed(({1}, {1: 2.0, 5: 3.0}), ({5}, {5: 1.0})), None, 0.0)[5] == pytest.approx(1.0)


def test_few_texts_are_drawn_towards_the_mean_and_many_are_not():
    many = [({1}, {1: 3.0})] * 100
    weights = fit_weights(observed(*many, ({2}, {2: 1.0})), None, 2.0)
    assert weights[1] == pytest.approx(3.0, abs=0.01)
    assert weights[2] == pytest.approx((1.0 + 2 * 3.0) / 3)  # one text of its own, and two of the usual weight
    assert weights[7] == pytest.approx(3.0)  # never seen: what is usual


def test_what_is_usual_follows_what_is_known_of_the_token():
    idf = np.linspace(0.0, 4.4, SIZE)
    texts = [({token}, {token: float(1 + idf[token])}) for token in (2, 4, 6, 8) for _ in range(5)]
    weights = fit_weights(observed(*texts), idf[:, None], 5.0)
    assert weights == pytest.approx(1 + idf, rel=1e-5)  # the line through what was seen, for those never seen too


def test_no_weight_is_negative_however_the_line_falls():
    idf = np.linspace(0.0, 4.4, SIZE)
    texts = [({token}, {token: weight}) for token, weight in ((1, 0.1), (3, 1.0), (5, 2.0)) for _ in range(5)]
    weights = fit_weights(observed(*texts), idf[:, None], 5.0)
    assert (weights >= 0).all()
    assert weights[0] == 0


def test_nothing_seen_gives_a_table_all_the_same():
    empty = Observations([], SparseVectors.from_dicts([], SIZE))
    assert (fit_weights(empty, None, 2.0) == 1).all()
    assert len(fit_expansions(empty, least_share=0.5, least_texts=1, most=4).terms) == 0


def test_a_token_adds_what_most_of_its_texts_were_given():
    texts = [({1, 2}, {1: 1.0, 7: 0.6, 9: 0.1}), ({1}, {1: 1.0, 7: 0.4}), ({1, 3}, {1: 1.0, 8: 2.0})]
    added = fit_expansions(observed(*texts), least_share=0.5, least_texts=2, most=4)
    terms, weights = added.of(np.array([1], np.int32))
    assert terms.tolist() == [7]  # 8 and 9 stand in one text of three
    assert weights == pytest.approx([1.0 / 3])  # the mean over all three
    assert added.of(np.array([2], np.int32))[0].tolist() == []  # one text is too few


def test_the_strongest_are_kept_and_of_several_tokens_the_larger_weight():
    texts = [({1}, {1: 1.0, 5: 0.5, 6: 0.9, 7: 0.7}), ({2}, {2: 1.0, 6: 2.0})]
    added = fit_expansions(observed(*texts), least_share=0.5, least_texts=1, most=2)
    terms, weights = added.of(np.array([1, 2], np.int32))
    assert terms.tolist() == [6, 7]
    assert weights == pytest.approx([2.0, 0.7])


def test_many_texts_give_what_they_give_one_by_one():
    rng = np.random.default_rng(3)
    texts = []
    for _ in range(700):  # more than are looked at together
        tokens = set(rng.choice(6, 2, replace=False).tolist())
        texts.append((tokens, dict.fromkeys(tokens, 1.0) | {6 + int(rng.integers(6)): float(rng.random() + 0.01)}))
    added = fit_expansions(observed(*texts), least_share=0.0, least_texts=1, most=SIZE)
    for token in range(6):
        mine = [weights for tokens, weights in texts if token in tokens]
        terms, weights = added.of(np.array([token], np.int32))
        expected = {term: sum(w.get(term, 0) for w in mine) / len(mine) for term in range(6, SIZE)}
        assert dict(zip(terms.tolist(), weights.tolist(), strict=True)) == pytest.approx(expected)
