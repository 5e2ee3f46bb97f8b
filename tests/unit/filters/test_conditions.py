"""The filter language, operator by operator."""

from __future__ import annotations

import pytest

from pixie_retrievers.filters import parse_filter

METADATA = {
    "year": 2021,
    "field": "우주·위성",
    "tags": ["SAR", "광학"],
    "open": True,
    "none": None,
    "empty": [],
    "price": 1.5,
    "nested": {"a": 1, "deep": {"b": [2, 3]}},
    "published": "2024-05-01T09:30:00+09:00",
    "dotted.name": "one key",
}


@pytest.mark.parametrize(
    ("filter", "passes"),
    [
        ({}, True),
        ({"year": 2021}, True),
        ({"year": 2021.0}, True),
        ({"year": "2021"}, False),
        ({"year": 2021, "field": "농업"}, False),
        ({"missing": 1}, False),
        ({"missing": None}, False),
        ({"none": None}, True),
        ({"nested": {"a": 1, "deep": {"b": [2, 3]}}}, True),
        ({"nested": {"a": 1}}, False),
        ({"nested.deep": {"$eq": {"b": [2, 3]}}}, True),
        ({"nested.a": 1}, True),
        ({"nested.a": {"$gt": 0}}, True),
        ({"nested.deep.b": {"$contains": 3}}, True),
        ({"nested.deep.c": {"$exists": False}}, True),
        ({"tags.SAR": {"$exists": False}}, True),
        ({"dotted.name": "one key"}, True),
        ({"open": 1}, True),
        ({"published": {"$gte": "2024"}}, True),
        ({"published": {"$lt": "2024-05"}}, False),
        ({"price": {"$lt": float("inf")}}, True),
        ({"tags": ["SAR", "광학"]}, True),
        ({"year": {"$eq": 2021}}, True),
        ({"year": {"$ne": 2021}}, False),
        ({"missing": {"$ne": 1}}, True),
        ({"year": {"$gt": 2020, "$lt": 2022}}, True),
        ({"year": {"$gt": 2021}}, False),
        ({"year": {"$gte": 2021}}, True),
        ({"year": {"$lte": 2020.5}}, False),
        ({"field": {"$gt": "농업"}}, True),
        ({"field": {"$gt": 3}}, False),
        ({"year": {"$gt": "2000"}}, False),
        ({"missing": {"$lt": 3}}, False),
        ({"tags": {"$gt": 3}}, False),
        ({"year": {"$in": [2020, 2021]}}, True),
        ({"year": {"$in": (2020,)}}, False),
        ({"year": {"$in": []}}, False),
        ({"missing": {"$in": [1]}}, False),
        ({"year": {"$nin": [2021]}}, False),
        ({"missing": {"$nin": [1]}}, True),
        ({"none": {"$exists": True}}, True),
        ({"missing": {"$exists": True}}, False),
        ({"missing": {"$exists": False}}, True),
        ({"tags": {"$contains": "SAR"}}, True),
        ({"tags": {"$contains": "SA"}}, False),
        ({"field": {"$contains": "위성"}}, True),
        ({"field": {"$contains": 1}}, False),
        ({"year": {"$contains": 2}}, False),
        ({"tags": {"$text": "SAR"}}, False),
        ({"field": {"$text": "우주"}}, True),
        ({"$and": [{"year": 2021}, {"open": True}]}, True),
        ({"$and": [{"year": 2021}, {"open": False}]}, False),
        ({"$or": [{"year": 1}, {"open": True}]}, True),
        ({"$or": [{"year": 1}, {"open": False}]}, False),
        ({"$not": {"year": 1}}, True),
        ({"$not": {"$or": [{"year": 2021}, {"missing": 1}]}}, False),
        ({"$or": [{"$and": [{"year": {"$gt": 2000}}, {"$not": {"tags": {"$contains": "X"}}}]}], "price": 1.5}, True),
        (lambda metadata: metadata["year"] > 2000, True),
    ],
)
def test_a_filter_passes_what_it_says(filter, passes):
    assert parse_filter(filter).matches(METADATA) is passes


def test_text_matches_whatever_the_letter_case():
    assert parse_filter({"name": {"$text": "telepix"}}).matches({"name": "TelePIX의 탑재체"})
    assert not parse_filter({"name": {"$contains": "telepix"}}).matches({"name": "TelePIX의 탑재체"})


def test_a_condition_names_the_fields_that_it_looks_at():
    assert parse_filter({"a": 1, "$or": [{"b.c": 2}, {"$not": {"a": {"$gt": 1}}}]}).fields == {"a", "b.c"}
    assert parse_filter({}).fields == frozenset()
    assert parse_filter({"$and": [{"a": 1}, lambda _: True]}).fields is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": {"$in": [1, 2]}}, {"b": {"$in": [2, 1, 2]}, "a": 1}),
        ({"a": {"$in": {3, 1}}}, {"a": {"$in": [1, 3]}}),
        ({"a": ("x", "y")}, {"a": ["x", "y"]}),
        ({"a": 1}, {"$and": [{"a": {"$eq": 1}}]}),
        ({"a": {"$eq": {"x": 1, "y": 2}}}, {"a": {"y": 2, "x": 1}}),
        ({"$or": [{"a": 1}, {"b": 1}]}, {"$or": [{"b": 1}, {"a": 1}]}),
        ({"a": {"$ne": 1}}, {"$not": {"a": 1}}),
    ],
)
def test_equal_filters_share_a_key(one, other):
    assert parse_filter(one).key == parse_filter(other).key


def test_filters_that_may_differ_in_what_they_find_have_different_keys():
    filters = [
        {},
        {"a": 1},
        {"a": "1"},
        {"a": [1]},
        {"a": {"$eq": {"1": 1}}},
        {"a": None},
        {"a": "null"},
        {"a": {"$in": [1]}},
        {"a": {"$in": ["1"]}},
        {"a": {"$in": []}},
        {"a": {"$in": [[]]}},
        {"a": {"$in": ["1", "2"]}},
        {"a": {"$in": ["1, 2"]}},
        {"a": {"$gt": 1}},
        {"a": {"$gte": 1}},
        {"a": {"$lt": float("inf")}},
        {"a": {"$lt": "inf"}},
        {"a": {"$exists": True}},
        {"a": {"$exists": False}},
        {"a": {"$contains": "1"}},
        {"a": {"$text": "1"}},
        {"b": 1},
        {"$not": {"a": 1}},
        {"$and": [{"a": 1}, {"b": 1}]},
        {"$or": [{"a": 1}, {"b": 1}]},
        {"$or": [{"a": 1}, {"$and": [{"b": 1}, {"c": 1}]}]},
        {"$and": [{"c": 1}, {"$or": [{"a": 1}, {"b": 1}]}]},
    ]
    assert len({parse_filter(filter).key for filter in filters}) == len(filters)


def test_a_callable_has_no_key_and_neither_has_what_holds_one():
    assert parse_filter(lambda _: True).key is None
    assert parse_filter({"$not": {"$or": [{"a": 1}, lambda _: True]}}).key is None
