"""QueryTable: what a question's tokens weigh, and what they add."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pixie_retrievers import InvalidParameterError, SparseVectors
from pixie_retrievers.encoder.inference_free.parts import Expansions

QUESTION = "지구를 도는 인공위성"


def tokens_of(bundled, text):
    (reading,) = bundled.vocabulary.read([text])
    return bundled.vocabulary.tokens_of(reading)


def test_a_question_is_its_tokens_with_their_weights(table, bundled):
    vectors = table.encode([QUESTION, "", " \n", QUESTION])
    tokens = tokens_of(bundled, QUESTION)
    assert vectors[0].term_ids.tolist() == tokens.tolist()
    assert vectors[0].weights.tolist() == table.weights[tokens].tolist()
    assert vectors[0].literal.all()
    assert np.diff(vectors.indptr).tolist() == [len(tokens), 0, 0, len(tokens)]
    assert table.encode([]) == SparseVectors.from_dicts([], bundled.vocabulary_size)


def test_it_has_the_literal_terms_that_the_model_sees(table, bundled):
    texts = [QUESTION, "제200조의2", "🍎 사과와 🍏", "乶 이라는 한자", "[MASK] 라는 말", "ＡＢＣ㈜"]
    for ours, theirs in zip(table.encode(texts), bundled.encode_queries(texts), strict=True):
        wanted = theirs.term_ids[theirs.literal]
        assert set(wanted.tolist()) <= set(ours.term_ids[ours.literal].tolist())


def test_a_character_of_bytes_is_its_own_terms_as_for_the_model(table, bundled):
    apple, pear = table.encode(["🍎", "🍐"])
    assert apple.term_ids.tolist() == bundled.vocabulary.rare.literal(apple.term_ids, ["🍎"]).tolist()
    assert len(set(apple.term_ids.tolist()) & set(pear.term_ids.tolist())) < 2


def test_tokens_add_what_the_table_says_and_their_own_weight_stands(make_table, bundled):
    tokens = tokens_of(bundled, QUESTION).tolist()
    own, other = tokens[0], next(term for term in range(500, 600) if term not in tokens)
    table = make_table({own: {tokens[1]: 9.0, other: 0.25}, tokens[1]: {other: 0.5}})
    (vector,) = table.encode([QUESTION])
    (weights,) = vector.to_dicts()
    assert weights[tokens[1]] == table.weights[tokens[1]]
    assert weights[other] == 0.5  # the larger of the two
    assert vector.literal.tolist() == [term != other for term in vector.term_ids.tolist()]


def test_thresholds_of_the_model_hold(make_table, bundled):
    tokens = tokens_of(bundled, QUESTION)
    table = make_table()
    least = float(np.median(table.weights[tokens]))
    assert (make_table(min_weight=least).encode([QUESTION]).weights > least).all()
    kept = make_table(max_active_terms=2).encode([QUESTION]).term_ids.tolist()
    assert kept == tokens[-2:].tolist()  # the heaviest


def test_a_token_without_weight_is_left_out(make_table, bundled):
    tokens = tokens_of(bundled, QUESTION)
    weights = make_table().weights.copy()
    weights[tokens[0]] = 0
    assert make_table(weights=weights).encode([QUESTION]).term_ids.tolist() == tokens[1:].tolist()


def test_it_says_which_token_raised_a_term(make_table, bundled):
    tokens = tokens_of(bundled, QUESTION).tolist()
    added = next(term for term in range(500, 600) if term not in tokens)
    nobody = next(term for term in range(600, 700) if term not in tokens)
    table = make_table({tokens[0]: {added: 0.25}, tokens[1]: {added: 0.5, tokens[0]: 9.0}})
    found = table.raised_by(QUESTION, [added, tokens[0], nobody])
    assert found.keys() == {added, tokens[0]}
    assert (found[added].weight, found[added].by) == (0.5, bundled.surfaces([tokens[1]])[0].strip("␣ "))
    assert found[tokens[0]].weight == pytest.approx(float(table.weights[tokens[0]]))
    assert QUESTION[slice(*found[added].span)] == found[added].by


def test_the_fingerprint_tells_tables_apart_and_says_where_they_come_from(make_table):
    table = make_table()
    said = json.loads(table.fingerprint)
    assert said["inference_free"] == table.sha256 == make_table().sha256
    assert (said["texts"], said["source"], said["overlap_at_10"]) == (100, "questions", 0.9)
    assert make_table({5: {6: 1.0}}).sha256 != table.sha256
    assert make_table(weights=table.weights * 2).sha256 != table.sha256


@pytest.mark.parametrize(
    "change",
    [
        {"weights": np.zeros(0, np.float32)},
        {"weights": np.array([1.0, np.nan], np.float32)},
        {"weights": np.array([-1.0], np.float32)},
        {"weights": np.ones(3)},
        {"weights": np.ones(3, np.float32), "expansions": Expansions.none(2)},
    ],
)
def test_numbers_that_are_no_weights_are_refused(make_table, change):
    with pytest.raises(InvalidParameterError, match="query table"):
        make_table(**change)


def test_expansions_out_of_the_vocabulary_are_refused(make_table):
    table = make_table()
    size = len(table.weights)
    starts = np.zeros(size + 1, np.int64)
    starts[1:] = 1
    for term, weight in ((size, 1.0), (-1, 1.0), (3, 0.0), (3, np.inf)):
        wrong = Expansions(starts, np.array([term], np.int32), np.array([weight], np.float32))
        with pytest.raises(InvalidParameterError, match="query table"):
            make_table(expansions=wrong)
