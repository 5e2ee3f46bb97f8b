"""Notes that retrievals leave in metadata: told by their shape, and short when they are printed."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from explanations import explanation_of

from pixie_retrievers.types import TokenContribution
from pixie_retrievers.types.explanations import TokenList, is_token_list
from pixie_retrievers.types.metadata import NOTES, own_notes, without_annotations

TOKENS = explanation_of(
    [
        TokenContribution(f"##{name}", name, 0, 2.0, weight, 2.0 * weight, True, False)
        for name, weight in (("위성", 2.0), ("궤도", 1.5), ("지구", 1.0), ("달", 0.5), ("별", 0.25))
    ]
).to_metadata()
PARTS = {"sparse": {"rank": 1, "score": 2.0, "value": 0.5, "weight": 1.0, "contribution": 0.5}}


@pytest.mark.parametrize("through", [list, copy.deepcopy, lambda x: json.loads(json.dumps(x)), lambda _: []])
def test_a_note_is_known_whatever_it_went_through(through):
    noted = {"a": 1, "score": 3.0, "token_explanations": through(TOKENS)}
    assert own_notes(noted) == {"token_explanations"}
    assert without_annotations(noted) == {"a": 1}
    others = dict.fromkeys(NOTES, 3.0) | {"token_explanations": through(TOKENS), "fusion_parts": PARTS}
    assert own_notes(noted | others) == set(NOTES)
    assert without_annotations(noted | others) == {"a": 1}


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"token_explanations": "옛것"},
        {"token_explanations": [*TOKENS, 1]},
        {"token_explanations": [{**TOKENS[0], "mine": 1}]},
        {"token_explanations_score": 3.0, "token_explanations_residual": 1.0, "token_explanations_n_tokens": 2},
        {"fusion_parts": {}},
        {"fusion_parts": {"sparse": {"rank": 1}}},
        {"fusion_parts": [PARTS]},
    ],
)
def test_what_a_caller_keeps_under_the_same_names_is_left_alone(own):
    own = {**own, "score": 3.0}
    assert own_notes(own) == set()
    assert without_annotations(own) == own


def test_tokens_are_short_when_printed_and_whole_when_read():
    assert f"{TOKENS}" == str(TOKENS) == "['위성' 4.00, '궤도' 3.00, '지구' 2.00, 2 more]"
    assert f"{TOKENS[:1]}" == repr(list(TOKENS[:1]))  # a part of it is a plain list
    assert str(TokenList(TOKENS[:1])) == "['위성' 4.00]"
    assert str(TokenList()) == "[]"
    assert len(TOKENS) == 5
    assert TOKENS[0]["document_weight"] == 2.0
    for twin in (copy.copy(TOKENS), copy.deepcopy(TOKENS), pickle.loads(pickle.dumps(TOKENS))):
        assert twin == TOKENS
        assert str(twin) == str(TOKENS)


def test_tokens_that_a_caller_changed_print_as_what_they_are():
    changed = TokenList([*TOKENS[:1], "mine"])
    assert not is_token_list(changed)
    assert str(changed) == str(list(changed))
