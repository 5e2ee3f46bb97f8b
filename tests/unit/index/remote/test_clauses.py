"""Clauses joined, negated and cut to what an engine takes, beside plain Python."""

from __future__ import annotations

from clause_answers import Digested, levels, n_parts, negates
from hypothesis import given
from hypothesis import strategies as st

from pixie_retrievers.index.remote.clauses import (
    EVERYTHING,
    NOTHING,
    AllOf,
    AnyOf,
    Between,
    Keys,
    Not,
    Tokens,
    all_of,
    any_of,
    bounded,
    negated,
)

NAMES = "abcd"
names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True).map(tuple)
bounds = st.one_of(st.floats(-2, 2), st.sampled_from(["", "61", "6162"]))
ranges = st.builds(
    lambda field, bound, is_low, inclusive: Between(
        field, isinstance(bound, str), bound if is_low else None, None if is_low else bound, inclusive
    ),
    st.sampled_from(NAMES),
    bounds,
    st.booleans(),
    st.booleans(),
)
leaves = st.one_of(
    st.builds(Tokens, names), st.builds(Keys, names), ranges, st.just(EVERYTHING), st.just(NOTHING), st.just(Tokens(()))
)
clauses = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: AllOf(tuple(parts))),
        st.lists(inner, max_size=3).map(lambda parts: AnyOf(tuple(parts))),
        st.builds(Not, inner),
    ),
    max_leaves=8,
)
documents = st.builds(
    Digested,
    st.sets(st.sampled_from(NAMES)),
    st.dictionaries(st.sampled_from(NAMES), bounds).map(dict.items),
    st.sampled_from(NAMES),
)


@given(st.lists(clauses, max_size=4), documents)
def test_joined_clauses_say_what_their_parts_say(parts, document):
    assert document.satisfies(all_of(parts)) == all(map(document.satisfies, parts))
    assert document.satisfies(any_of(parts)) == any(map(document.satisfies, parts))


@given(clauses, documents)
def test_a_negated_clause_says_the_opposite(clause, document):
    assert document.satisfies(negated(clause)) != document.satisfies(clause)


@given(clauses, st.lists(documents, max_size=4), st.integers(0, 6), st.integers(0, 4), st.booleans())
def test_a_clause_that_is_cut_lets_more_through_or_less_as_it_is_told(clause, some, max_parts, max_depth, may_negate):
    limits = {"max_parts": max_parts, "max_depth": max_depth, "may_negate": may_negate}
    more, less = bounded(clause, EVERYTHING, **limits), bounded(clause, NOTHING, **limits)
    for document in some:
        assert document.satisfies(clause) or not document.satisfies(less)
        assert document.satisfies(more) or not document.satisfies(clause)
    for cut in (more, less):
        assert n_parts(cut) <= max_parts
        assert levels(cut) <= max_depth
        assert may_negate or not negates(cut)


@given(clauses, documents)
def test_a_clause_that_is_within_limits_keeps_its_meaning(clause, document):
    kept = bounded(clause, EVERYTHING, max_parts=1000, max_depth=100)
    assert document.satisfies(kept) == document.satisfies(clause)


def test_tokens_that_stand_side_by_side_are_looked_for_at_once():
    between = Between("f", False, 1.0, None, True)
    assert any_of([Tokens(("a",)), between, AnyOf((Tokens(("b", "a")),))]) == AnyOf((Tokens(("a", "b")), between))
    assert any_of([Tokens(("a",)), Tokens(("b",))]) == Tokens(("a", "b"))
    assert any_of([]) == NOTHING
    assert all_of([]) == EVERYTHING
