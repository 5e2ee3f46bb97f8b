"""Rules change a query's vector as they say, and nothing else."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from pixie_retrievers import IncompatibleIndexError, InvalidParameterError, Rules, SparseVectors
from pixie_retrievers.rules.rules import Expansion, Factor, Origin, Term

A, B, C, D = (Term(n, f"##{letter}", letter) for n, letter in enumerate("abcd"))


def vectors(*rows):
    """Weights by term; a negative one is that of a term that the model added."""
    plain = [{term: abs(weight) for term, weight in row.items()} for row in rows]
    own = [{term for term, weight in row.items() if weight > 0} for row in rows]
    return SparseVectors.from_dicts(plain, 10).with_literal(own)


def plain(rules, *rows):
    return rules.apply(vectors(*rows)).to_dicts()


def test_a_factor_multiplies_and_zero_takes_out():
    rules = Rules((Factor(A, 0.5), Factor(C, 0)))
    assert plain(rules, {0: 2.0, 1: 3.0, 2: 4.0}, {2: 1.0}, {1: 1.0}) == [{0: 1.0, 1: 3.0}, {}, {1: 1.0}]


def test_no_rules_give_the_same_vectors():
    asked = vectors({0: 1.0})
    assert Rules().apply(asked) is asked


def test_what_rules_make_is_as_sound_as_what_is_checked():
    rules = Rules((Factor(A, 0), Factor(B, 0.001)), (Expansion((C,), D, 2.0),))
    for row in ({0: 2.0**-60, 1: 2.0**-60}, {1: 2.0**50, 2: -1.0}, {2: 1.0}, {}):
        made = rules.apply(vectors(row, {0: 1.0, 2: 3.0}))
        again = SparseVectors(made.indptr, made.term_ids, made.weights, 10, made.literal, made.cut)
        assert again == made


def test_an_expansion_takes_the_weight_of_its_source_in_the_model():
    rules = Rules((Factor(A, 0.1),), (Expansion((A,), D, 0.5),))
    assert plain(rules, {0: 2.0}) == [{0: pytest.approx(0.2), 3: 1.0}]
    made = rules.apply(vectors({0: 2.0}))
    assert made.literal.tolist() == [True, False]


def test_an_expansion_and_the_model_are_not_added_up():
    rules = Rules((), (Expansion((A,), D, 0.5), Expansion((B,), D, 0.5)))
    assert plain(rules, {0: 2.0, 1: 2.0, 3: -0.25}, {0: 2.0, 3: -3.0}) == [{0: 2.0, 1: 2.0, 3: 1.0}, {0: 2.0, 3: 3.0}]


def test_an_expansion_of_several_sources_needs_them_all_in_the_text_itself():
    rules = Rules((), (Expansion((A, B), D, 1.0),))
    assert plain(rules, {0: 2.0, 1: 3.0})[0] == {0: 2.0, 1: 3.0, 3: 2.0}
    assert plain(rules, {0: 2.0}, {0: 2.0, 1: -3.0}) == [{0: 2.0}, {0: 2.0, 1: 3.0}]


def test_what_is_muted_stays_muted():
    rules = Rules((Factor(D, 0),), (Expansion((A,), D, 1.0),))
    assert plain(rules, {0: 1.0, 3: -2.0}) == [{0: 1.0}]
    assert rules.applied(vectors({0: 1.0, 3: -2.0}))[3].factor == 0


def test_expansions_do_not_lead_on():
    rules = Rules((), (Expansion((A,), B, 1.0), Expansion((B,), C, 1.0)))
    assert plain(rules, {0: 1.0}) == [{0: 1.0, 1: 1.0}]


def test_what_was_applied_says_the_same_as_the_vector():
    learned = Origin("2026-11-27", 1000)
    rules = Rules((Factor(A, 0.5, learned), Factor(C, 3.0)), (Expansion((A, B), D, 0.5), Expansion((A,), C, 0.1)))
    asked = vectors({0: 2.0, 1: 4.0, 2: -1.0})
    told, made = rules.applied(asked), rules.apply(asked).to_dicts()[0]
    assert set(told) == {0, 2, 3}
    assert (told[0].origin, told[0].model_weight, told[0].factor) == (
        "learned on 2026-11-27 from 1,000 questions",
        2,
        0.5,
    )
    assert (told[3].expanded_from, told[3].origin, told[3].model_weight) == (("a", "b"), "by hand", 0)
    assert told[2].expanded_from == ()
    for term, rule in told.items():
        sources = [asked.to_dicts()[0]["abcd".index(one)] for one in rule.expanded_from]
        assert made[term] == rule.factor * min(sources, default=rule.model_weight)


def test_a_rule_for_a_term_that_the_query_lacks_is_not_told():
    assert dict(Rules((Factor(B, 2.0),)).applied(vectors({0: 1.0}))) == {}


@pytest.mark.parametrize("factor", [-1, 1e-9, 1001, float("nan"), True, "2", None])
def test_a_factor_out_of_range_is_refused(factor):
    with pytest.raises(InvalidParameterError, match="factor of 'a'"):
        Factor(A, factor)


@pytest.mark.parametrize("weight", [0, -1, 1001])
def test_an_expansions_weight_out_of_range_is_refused(weight):
    with pytest.raises(InvalidParameterError, match="weight of 'b'"):
        Expansion((A,), B, weight)


def test_what_contradicts_itself_is_refused():
    with pytest.raises(InvalidParameterError, match="'a' has a factor twice"):
        Rules((Factor(A, 1), Factor(A, 2)))
    with pytest.raises(InvalidParameterError, match=r"'b\+a -> c' has an expansion twice"):
        Rules((), (Expansion((A, B), C, 1), Expansion((B, A), C, 2)))
    with pytest.raises(InvalidParameterError, match="from one or more other tokens"):
        Expansion((A,), A, 1)
    with pytest.raises(InvalidParameterError, match="from one or more other tokens"):
        Expansion((), A, 1)


def test_another_models_rules_are_refused():
    with pytest.raises(IncompatibleIndexError, match="term 11"):
        Rules((Factor(Term(11, "x", "x"), 2),)).apply(vectors({0: 1.0}))


def test_the_fingerprint_is_what_rules_do():
    one = Rules((Factor(A, 0.5), Factor(B, 2)), (Expansion((A, C), D, 1),))
    same = Rules((Factor(B, 2, Origin("2026-01-01", 5)), Factor(A, 0.5)), (Expansion((C, A), D, 1),), version=7)
    assert one.fingerprint == same.fingerprint != ""
    assert Rules().fingerprint == ""
    assert len({one.fingerprint, one.by_hand.without([D]).fingerprint, Rules((Factor(A, 0.5),)).fingerprint}) == 3


def test_newer_rules_take_the_place_of_older_ones():
    old = Rules((Factor(A, 0.5), Factor(B, 2)), (Expansion((A,), D, 1),), version=3)
    new = old.merged(Rules((Factor(B, 3),), (Expansion((A,), D, 2), Expansion((B,), D, 1))))
    assert [one.factor for one in new.factors] == [0.5, 3]
    assert [one.weight for one in new.expansions] == [2, 1]
    assert new.version == 3
    assert len(new.without([A])) == 2


def test_hand_set_rules_are_told_from_learned_ones():
    rules = Rules((Factor(A, 0.5), Factor(B, 2, Origin("2026-11-27", 1))))
    assert [one.term for one in rules.by_hand.factors] == [A]
    assert str(Origin("2026-11-27", 1)) == "learned on 2026-11-27 from 1 question"


def test_rules_go_through_pickle():
    rules = Rules((Factor(A, 0.5),), (Expansion((A,), D, 1),))
    rules.apply(vectors({0: 1.0}))
    again = pickle.loads(pickle.dumps(rules))
    assert again == rules
    assert np.array_equal(again.apply(vectors({0: 1.0})).weights, rules.apply(vectors({0: 1.0})).weights)
