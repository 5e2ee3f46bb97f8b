"""What a person reads of the terms that a query and a document share."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from pixie_retrievers import Explanation, TermMatches
from pixie_retrievers.types import KnownNames, RaisedBy, sum_contributions

MATCHES = TermMatches(
    np.array([2, 5, 7, 9], np.int32),
    np.array([1.0, 2.0, 0.5, 1.0], np.float32),
    np.array([0.5, 1.5, 1.0, 0.5], np.float32),
    np.array([False, True, True, False]),
    np.array([True, True, False, False]),
)


class Names:
    """Counts what it is asked for."""

    def __init__(self):
        self.asked = []

    def tokens(self, term_ids):
        self.asked += term_ids
        return [f"##{term}" for term in term_ids]

    def surfaces(self, term_ids):
        return [str(term) for term in term_ids]


def explained(top_k_tokens, names=None):
    return Explanation(4.5, MATCHES, top_k_tokens, names or Names())


def test_the_strongest_tokens_come_first_and_equal_ones_by_term():
    assert [c.token_id for c in explained(None).contributions] == [5, 2, 7, 9]


def test_contributions_and_residual_sum_to_the_score():
    for top_k_tokens in (0, 1, 2, 3, 4, 9, None):
        explanation = explained(top_k_tokens)
        assert explanation.score == 4.5
        assert sum(c.contribution for c in explanation.contributions) + explanation.residual == pytest.approx(4.5)
        assert explanation.n_tokens == 4
    assert explained(None).residual == 0


def test_literal_tokens_are_told_from_expansions():
    told = {c.token_id: (c.in_query, c.in_document) for c in explained(None).contributions}
    assert told == {5: (True, True), 2: (False, True), 7: (True, False), 9: (False, False)}


def test_an_explanation_is_plain_json():
    token = {
        "token": "##5",
        "surface": "5",
        "token_id": 5,
        "query_weight": 2.0,
        "document_weight": 1.5,
        "contribution": 3.0,
        "in_query": True,
        "in_document": True,
    }
    content = json.loads(json.dumps(explained(1).to_dict()))
    assert content == {"score": 4.5, "contributions": [token], "residual": 1.5, "n_tokens": 4}
    assert explained(1).to_metadata() == [token]
    assert [c.to_dict() for c in explained(None).contributions] == explained(None).to_metadata()


def test_tokens_are_named_when_they_are_read_and_only_those_that_are_shown():
    names = Names()
    explanation = explained(2, names)
    assert explanation.residual == 1.0
    assert names.asked == []
    assert explanation.contributions is explanation.contributions
    assert names.asked == [5, 2]


def test_no_matches_explain_to_nothing():
    explanation = Explanation(0.0, TermMatches.none(), None, Names())
    assert (explanation.contributions, explanation.residual, explanation.n_tokens) == ((), 0.0, 0)
    assert explanation.to_metadata() == []


def test_equal_explanations_say_the_same():
    assert explained(2) == explained(2)
    assert hash(explained(2)) == hash(explained(2))
    assert explained(2) != explained(3)
    assert explained(2) != "##5"
    assert pickle.loads(pickle.dumps(MATCHES)) == MATCHES
    assert TermMatches.none() != MATCHES
    assert MATCHES != 4


def test_an_explanation_takes_the_names_of_its_tokens_along_to_another_process():
    here = explained(2)
    there = pickle.loads(pickle.dumps(here))
    assert there == here
    assert isinstance(there.names, KnownNames)
    assert there.names.tokens([5, 7]) == ["##5", "[term 7]"]
    assert there.names.surfaces([2, 9]) == ["2", "[term 9]"]


def test_sums_are_rounded_step_by_step():
    assert sum_contributions([0.1] * 10) == 0.9999999999999999
    assert sum_contributions([]) == 0.0


def test_what_raised_a_token_travels_and_the_tokenizer_does_not():
    raised = {2: RaisedBy(2, 0.5, "위성", (0, 2))}
    there = pickle.loads(pickle.dumps(Explanation(4.5, MATCHES, None, KnownNames({}), raised)))
    assert there.raised_by == raised
    assert there.spans() is None
    assert there.to_dict()["raised_by"] == [{"token_id": 2, "weight": 0.5, "by": "위성", "span": [0, 2]}]
