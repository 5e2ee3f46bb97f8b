"""Filters that a model wrote in LangChain's words, in ours; and what the model is told before."""

from __future__ import annotations

import pytest
from langchain_core.structured_query import Comparator, Comparison, Operation, Operator, StructuredQuery

from pixie_retrievers.errors import FilterError, InvalidParameterError
from pixie_retrievers.filters import parse_filter
from pixie_retrievers.langchain import PixieRetriever, PixieTranslator, PixieVectorStore, attribute_info

METADATAS = {
    "a": {"year": 2019, "field": "우주", "tags": ["위성"], "title": "누리호 Launch", "day": "2022-06-21"},
    "b": {"year": 2020, "field": "농업", "tags": [], "title": "벼", "day": "2020-10-01"},
    "c": {"year": 2021, "field": "우주", "tags": ["위성", "달"], "title": "다누리", "day": "2022-08-05"},
    "d": {"year": 2022, "title": "50% 할인"},
}


def asked(filter, *, words="질문", beside=None):
    written = StructuredQuery(query=words, filter=filter)
    return PixieTranslator(filter=beside).visit_structured_query(written)


def passing(filter):
    _, options = asked(filter)
    condition = parse_filter(options["filter"])
    return [id for id, metadata in METADATAS.items() if condition.passes(id, metadata)]


@pytest.mark.parametrize(
    ("comparator", "field", "value", "expected"),
    [
        ("eq", "year", 2020, "b"),
        ("ne", "field", "우주", "bd"),
        ("gt", "year", 2020, "cd"),
        ("gte", "year", 2020, "bcd"),
        ("lt", "year", 2020, "a"),
        ("lte", "year", 2020, "ab"),
        ("contain", "tags", "위성", "ac"),
        ("contain", "title", "누리", "ac"),
        ("like", "title", "LAUNCH", "a"),
        ("like", "title", "%누리%", "ac"),
        ("in", "year", [2019, 2022], "ad"),
        ("in", "field", "농업", "b"),
        ("nin", "year", [2019, 2022], "bc"),
        ("nin", "field", "농업", "acd"),
        ("gte", "day", {"date": "2022-06-21", "type": "date"}, "ac"),
        ("lt", "day", {"datetime": "2022-06-21T10:00:00", "type": "datetime"}, "ab"),
        ("in", "day", [{"date": "2020-10-01", "type": "date"}], "b"),
    ],
)
def test_every_comparator_means_what_it_says(comparator, field, value, expected):
    assert passing(Comparison(Comparator(comparator), field, value)) == list(expected)


def test_no_comparator_and_no_operator_of_langchain_is_left_out():
    assert set(PixieTranslator.allowed_comparators) == set(Comparator)
    assert set(PixieTranslator.allowed_operators) == set(Operator)


@pytest.mark.parametrize(("operator", "expected"), [(Operator.AND, "c"), (Operator.OR, "acd"), (Operator.NOT, "b")])
def test_operators_join_any_number_of_parts(operator, expected):
    parts = [Comparison(Comparator.EQ, "field", "우주"), Comparison(Comparator.GT, "year", 2020)]
    assert passing(Operation(operator, parts)) == list(expected)
    nested = Operation(Operator.NOT, [Operation(Operator.NOT, [Operation(operator, parts)])])
    assert passing(nested) == list(expected)


def test_words_go_through_and_no_filter_is_none():
    assert asked(None) == ("질문", {})
    assert asked(None, words="") == ("", {})


def test_a_wall_holds_beside_whatever_the_model_writes():
    wall = {"tenant": "하나"}
    assert asked(None, beside=wall) == ("질문", {"filter": wall})
    year = Comparison(Comparator.EQ, "year", 2020)
    assert asked(year, beside=wall) == ("질문", {"filter": {"$and": [wall, {"year": {"$eq": 2020}}]}})
    assert asked(year, beside=lambda metadata: False)[1]["filter"]["$and"][1] == {"year": {"$eq": 2020}}
    with pytest.raises(FilterError):
        PixieTranslator(filter={"year": {"$near": 1}})


@pytest.mark.parametrize(
    ("filter", "message"),
    [
        (Comparison(Comparator.LIKE, "title", "누리%"), "with % inside, or at one end alone"),
        (Comparison(Comparator.LIKE, "title", 3), "'like' takes a string, not int"),
        (Comparison(Comparator.GT, "year", [2020]), "'year'"),
        (Comparison(Comparator.EQ, "$where", 1), "operators"),
        (Operation(Operator.AND, []), "'and' over nothing"),
        (Operation(Operator.NOT, []), "'not' over nothing"),
    ],
)
def test_what_means_nothing_is_refused_in_words(filter, message):
    with pytest.raises(FilterError, match=message):
        asked(filter)


def test_a_model_is_told_types_and_values_from_the_index(words):
    texts = ["위성", "벼", "달", "발사"]
    with PixieVectorStore.from_texts(texts, None, METADATAS.values(), ids=METADATAS, encoder=words) as store:
        told = attribute_info(store, {"year": "연도", "field": "분야.", "tags": ""})
        assert told[0]["description"] == "연도. One of: 2019, 2020, 2021, 2022."
        assert told[1] == {"name": "field", "description": '분야. One of: "우주", "농업".', "type": "string"}
        assert told[2] == {"name": "tags", "description": 'One of: "위성", "달".', "type": "list[string]"}
        with pytest.raises(InvalidParameterError, match="'nothing'"):
            attribute_info(store, {"nothing": ""})


def test_many_values_are_a_range_where_they_are_numbers_and_left_out_where_not(words):
    metadatas = [
        {"n": n, "name": f"이름 {n}", "mixed": n if n % 2 else n / 2, "inner": {"on": n > 3}} for n in range(30)
    ]
    with PixieRetriever.from_texts(["위성"] * 30, metadatas, map(str, range(30)), encoder=words) as retriever:
        fields = {"n": "수", "name": "이름", "mixed": "수", "inner.on": "켜짐"}
        told = {one["name"]: one for one in attribute_info(retriever.sparse_retriever, fields)}
        assert told["n"] == {"name": "n", "description": "수. From 0 to 29.", "type": "integer"}
        assert told["name"] == {"name": "name", "description": "이름.", "type": "string"}
        assert told["mixed"]["type"] == "float"
        assert told["inner.on"] == {"name": "inner.on", "description": "켜짐. One of: true, false.", "type": "boolean"}
