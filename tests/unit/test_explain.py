"""From matches to an explanation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pixie_retrievers import InvalidParameterError, TermMatches
from pixie_retrievers.explain import explain, strongest

MATCHES = TermMatches(
    np.array([2, 5, 7, 9], np.int32),
    np.array([1.0, 2.0, 0.5, 1.0], np.float32),
    np.array([0.5, 1.5, 1.0, 0.5], np.float32),
)


def explained(top_k_tokens):
    positions = strongest(MATCHES, top_k_tokens)
    terms = MATCHES.term_ids[positions].tolist()
    return explain(
        MATCHES,
        positions=positions,
        tokens=[f"##{term}" for term in terms],
        surfaces=[str(term) for term in terms],
        query_terms={5, 7},
        document_terms={2, 5},
    )


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
    content = json.loads(json.dumps(explained(1).to_dict()))
    assert content["contributions"] == [
        {
            "token": "##5",
            "surface": "5",
            "token_id": 5,
            "query_weight": 2.0,
            "document_weight": 1.5,
            "contribution": 3.0,
            "in_query": True,
            "in_document": True,
        }
    ]


def test_no_matches_explain_to_nothing():
    nothing = TermMatches(*(np.array([], dtype) for dtype in (np.int32, np.float32, np.float32)))
    explanation = explain(nothing, positions=[], tokens=[], surfaces=[], query_terms=(), document_terms=())
    assert (explanation.score, explanation.contributions, explanation.residual) == (0.0, (), 0.0)


def test_a_negative_number_of_tokens_is_refused():
    with pytest.raises(InvalidParameterError, match="top_k_tokens"):
        strongest(MATCHES, -1)
