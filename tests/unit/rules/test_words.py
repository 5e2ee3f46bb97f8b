"""Rules from words, as people write them."""

from __future__ import annotations

import pytest

from pixie_retrievers import InvalidParameterError, SparseVectors, rules_of
from pixie_retrievers.rules.words import Words


def test_a_word_that_is_one_token_is_that_token(encoder):
    rules = rules_of(encoder, {"휴가": 2, "Python": 0}, [("풀", "휴가", 0.5)])
    assert sorted((one.term.surface, one.factor) for one in rules.factors) == [("python", 0), ("휴가", 2)]
    assert [(one.sources[0].surface, one.target.surface, one.weight) for one in rules.expansions] == [
        ("풀", "휴가", 0.5)
    ]
    assert encoder.tokens([one.term.id for one in rules.factors]) == [one.term.token for one in rules.factors]


def test_a_word_that_is_taken_apart_says_into_what(encoder):
    with pytest.raises(InvalidParameterError, match=r"takes '연차' apart into '연', '차'.*연\+차"):
        rules_of(encoder, {"연차": 2})


def test_pieces_that_are_named_stand_together(encoder):
    (one,) = rules_of(encoder, None, [(("연", "차"), "휴가", 0.8)]).expansions
    assert [term.surface for term in one.sources] == ["연", "차"]
    both = rules_of(encoder, None, [("휴가", ("연", "차"), 0.8)]).expansions
    assert [term.target.surface for term in both] == ["연", "차"]


def test_a_token_is_found_by_the_vocabularys_own_spelling(encoder):
    byte = encoder.tokens([encoder.encode_queries(["\U0001f34e"]).term_ids.tolist()[0]])[0]
    assert Words(encoder).term(byte).token == byte
    assert Words(encoder).token("휴가").surface == "휴가"
    assert Words(encoder).token("no such token") is None


@pytest.mark.parametrize("word", ["", " ", 7, None])
def test_what_is_no_word_is_refused(encoder, word):
    with pytest.raises(InvalidParameterError):
        Words(encoder).term(word)


class Letters:
    """An encoder that knows no spans, and adds an "x" to every text."""

    vocabulary_size, fingerprint = 128, "letters"

    def encode_queries(self, texts):
        rows = [{ord(letter): 1.0 for letter in text} | {ord("x"): 0.5} for text in texts]
        return SparseVectors.from_dicts(rows, 128).with_literal([{ord(letter) for letter in text} for text in texts])

    def tokens(self, term_ids):
        return [chr(term) for term in term_ids]

    surfaces = tokens


def test_any_encoder_will_do():
    assert Words(Letters()).term("a").id == ord("a")
    with pytest.raises(InvalidParameterError, match="apart into 'a', 'b'"):
        Words(Letters()).term("ab")
