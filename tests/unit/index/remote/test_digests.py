"""What engines are asked of metadata: never more than is certain, never less than is possible."""

from __future__ import annotations

import math
from unittest import mock

import pytest
from clause_answers import Digested
from figures import FILTERED, holds
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from property.test_columns import filters, metadata, numbers, strings

from pixie_retrievers.filters import parse_filter
from pixie_retrievers.index.remote import digests
from pixie_retrievers.index.remote.digests import BEYOND, digest_metadata, order_of, push_down, sortable

HOSTILE = ['"', "'", "\\", "\x00", "🙂", "a.b", "] or key != '", "\u2028", "가" * 70_000, "x" * 200_000]
HOSTILE += ["x" * 24, "x" * 23]
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


def told(content, filter):
    """Whether a document certainly, truly and possibly passes."""
    condition, document = parse_filter(filter), Digested.of(content)
    certain, possible = push_down(condition)
    return document.satisfies(certain), condition.matches(content), document.satisfies(possible)


def assert_between(content, filter):
    certain, truly, possible = told(content, filter)
    assert certain <= truly <= possible


@holds(FILTERED)
@pytest.mark.parametrize("max_tokens", [digests._MAX_TOKENS, 6, 1])
@settings(max_examples=FILTERED.n, suppress_health_check=SLOW)
@given(content=metadata, filter=filters)
def test_what_is_certain_is_true_and_what_is_true_is_possible(max_tokens, content, filter):
    with mock.patch.object(digests, "_MAX_TOKENS", max_tokens):
        assert_between(content, filter)


@pytest.mark.parametrize("operator", ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$contains", "$text"])
@pytest.mark.parametrize("operand", HOSTILE, ids=range(len(HOSTILE)))
def test_strings_of_any_kind(operator, operand):
    for value in (operand, operand[:-1], operand + "\x00", "a" + operand, [operand], [operand + "x"], {operand: 1}):
        for key in ("k", operand):
            for filter in ({key: {operator: operand}}, {"$not": {key: {operator: operand}}}):
                assert_between({key: value}, filter)


@pytest.mark.parametrize("operator", ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])
@given(
    st.one_of(numbers, st.integers(-(2**1024) + 1, 2**1024 - 1), st.floats(allow_nan=False, allow_infinity=False)),
    st.one_of(numbers, st.integers(), st.floats(allow_nan=False)),
)
@example(2**1024 - 1, 1.7976931348623157e308)
@example(-(2**1024) + 1, -math.inf)
@example(1.7976931348623157e308, 2**1024 - 1)
@example(-0.0, 0)
@example(5e-324, -0.0)
@example(2**53 + 1, 2.0**53)
def test_numbers_of_any_size(operator, value, operand):
    if operator in ("$eq", "$ne") and not math.isfinite(operand if isinstance(operand, float) else 0.0):
        return
    for filter in ({"n": {operator: operand}}, {"$not": {"n": {operator: operand}}}):
        assert_between({"n": value}, filter)


def test_what_is_simple_is_decided_by_the_engine():
    content = {"year": 2021, "field": "우주", "tags": ["SAR", 1], "day": "2024-05-01T09:30:00Z"}
    for filter in (
        {"year": 2021.0},
        {"year": {"$gte": 2020, "$lt": 2022}},
        {"field": {"$in": ["우주", "농업"]}},
        {"tags": {"$contains": 1}},
        {"day": {"$gte": "2024", "$lt": "2024-06"}},
        {"nothing": {"$exists": False}},
        {"$not": {"year": {"$in": [2020]}}},
        {"field": {"$ne": "농업"}},
    ):
        certain, truly, possible = told(content, filter)
        assert (certain, truly, possible) == (True, True, True), filter
        assert told({}, filter)[2] == parse_filter(filter).matches({}), filter


@pytest.mark.parametrize(
    "content",
    [
        {f"k{i}": i for i in range(3000)},
        {"list": list(range(3000)), "last": 1},
        {"list": [str(i) for i in range(2048)]},
        {"deep": {str(i): {str(j): j for j in range(60)} for i in range(60)}},
    ],
    ids=["keys", "list", "just", "deep"],
)
def test_a_document_with_more_digests_than_are_stored_is_never_missed(content):
    tokens, orders = digest_metadata(content)
    assert BEYOND in tokens
    assert len(tokens) <= digests._MAX_TOKENS + 1
    assert len(orders) <= digests._MAX_TOKENS
    for key in ("k1", "k2999", "list", "last", "deep.59.59", "nowhere"):
        for test in (
            {"$eq": 2999},
            {"$exists": True},
            {"$exists": False},
            {"$gt": 5},
            {"$contains": 2999},
            {"$in": []},
        ):
            for filter in ({key: test}, {"$not": {key: test}}, {"$not": {"$not": {key: test}}}):
                assert_between(content, filter)


floats = st.floats(allow_nan=False)


@given(st.one_of(*(st.tuples(kind, kind) for kind in (numbers, strings, floats))))
def test_what_stands_for_values_comes_in_their_order(pair):
    first, second = sorted(pair)
    assert order_of(first) <= order_of(second)
    assert sortable(order_of(first)) <= sortable(order_of(second))
    assert sortable(order_of(first))[0] == ("s" if isinstance(first, str) else "n")
    if order_of(first) == order_of(second):
        assert sortable(order_of(first)) == sortable(order_of(second))


def test_digests_are_hexadecimal_digits_whatever_they_are_of():
    tokens, orders = digest_metadata({text: [text, {text: text}] for text in HOSTILE} | {"x": "\"'\\"})
    for token in [*tokens, *(order.field for order in orders)]:
        assert set(token) <= set("0123456789abcdef")
        assert len(token) == 32
