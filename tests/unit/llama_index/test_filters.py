"""LlamaIndex's filters, translated: held to LlamaIndex's own evaluation wherever that has an answer."""

from __future__ import annotations

import itertools

import pytest
from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters
from llama_index.core.vector_stores.utils import build_metadata_filter_fn

from pixie_retrievers.errors import FilterError
from pixie_retrievers.filters import parse_filter
from pixie_retrievers.llama_index.filters import translate
from pixie_retrievers.llama_index.nodes import NODE_KEY

METADATAS = {
    "full": {"year": 2020, "field": "우주 Space", "tags": ["위성", "지구"]},
    "other": {"year": 2023, "field": "농업", "tags": ["벼"]},
    "half": {"year": 2021.5, "field": "space", "tags": []},
    "null": {"year": None, "field": "", "tags": None},
    "bare": {},
}
ORDERED = [FilterOperator.GT, FilterOperator.GTE, FilterOperator.LT, FilterOperator.LTE]
FILTERS = [
    *(
        MetadataFilter(key="year", operator=operator, value=value)
        for operator in (FilterOperator.EQ, FilterOperator.NE, *ORDERED)
        for value in (2020, 2021.5)
    ),
    *(MetadataFilter(key="field", operator=operator, value="농업") for operator in (FilterOperator.EQ, *ORDERED)),
    *(
        MetadataFilter(key="year", operator=operator, value=value)
        for operator in (FilterOperator.IN, FilterOperator.NIN)
        for value in ([2020, 2023], [])
    ),
    *(
        MetadataFilter(key="tags", operator=operator, value=value)
        for operator in (FilterOperator.ANY, FilterOperator.ALL)
        for value in (["위성", "벼"], ["지구", "위성"], [])
    ),
    MetadataFilter(key="tags", operator=FilterOperator.CONTAINS, value="위성"),
    MetadataFilter(key="field", operator=FilterOperator.CONTAINS, value="주"),
    MetadataFilter(key="field", operator=FilterOperator.TEXT_MATCH, value="Space"),
    MetadataFilter(key="field", operator=FilterOperator.TEXT_MATCH_INSENSITIVE, value="SPACE"),
    *(MetadataFilter(key=key, operator=FilterOperator.IS_EMPTY, value=None) for key in ("tags", "field", "year")),
]


def passing(filters):
    """The names of the metadata that our translation lets through."""
    translated = translate(filters)
    if translated is None:
        return set(METADATAS)
    passes = parse_filter(translated).matches
    return {name for name, metadata in METADATAS.items() if passes(metadata)}


def expected(filters):
    passes = build_metadata_filter_fn(METADATAS.__getitem__, filters)
    return {name for name in METADATAS if passes(name)}


def evaluates_all():
    """Older versions of core raise on some filters, and let other nodes without the field pass."""
    one = MetadataFilter(key="field", operator=FilterOperator.TEXT_MATCH_INSENSITIVE, value="SPACE")
    try:
        return expected(MetadataFilters(filters=[one], condition=FilterCondition.NOT)) != set()
    except ValueError:
        return False


core_evaluates_all = pytest.mark.skipif(not evaluates_all(), reason="this llama-index-core cannot evaluate all filters")


@core_evaluates_all
@pytest.mark.parametrize("one", FILTERS, ids=lambda one: f"{one.key}-{one.operator.value}-{one.value}")
@pytest.mark.parametrize("condition", FilterCondition)
def test_one_filter_means_what_llama_index_says(one, condition):
    filters = MetadataFilters(filters=[one], condition=condition)
    assert passing(filters) == expected(filters)


@core_evaluates_all
@pytest.mark.parametrize("condition", [*FilterCondition, None])
def test_two_filters_are_joined_as_llama_index_joins_them(condition):
    for pair in itertools.combinations(FILTERS, 2):
        filters = MetadataFilters(filters=list(pair), condition=condition)
        assert passing(filters) == expected(filters), filters


def test_every_operator_is_translated():
    assert {one.operator for one in FILTERS} == set(FilterOperator)


def test_filters_nest():
    space = MetadataFilter(key="field", operator="text_match_insensitive", value="space")
    late = MetadataFilter(key="year", operator=">", value=2020)
    rice = MetadataFilter(key="tags", operator="contains", value="벼")
    either = MetadataFilters(
        filters=[MetadataFilters(filters=[space, late]), MetadataFilters(filters=[rice])], condition="or"
    )
    assert passing(either) == {"half", "other"}
    neither = MetadataFilters(
        filters=[either, MetadataFilter(key="year", operator="is_empty", value=None)], condition="not"
    )
    assert passing(neither) == {"full"}


@pytest.mark.parametrize("condition", FilterCondition)
def test_a_group_of_nothing_asks_for_nothing(condition):
    nothing = MetadataFilters(filters=[], condition=condition)
    assert translate(nothing) is None
    assert translate(MetadataFilters(filters=[nothing, nothing], condition="or")) is None
    late = MetadataFilter(key="year", operator=">", value=2020)
    assert passing(MetadataFilters(filters=[nothing, late])) == {"half", "other"}


def test_a_single_filter_needs_no_group():
    assert passing(MetadataFilter(key="year", value=2020)) == {"full"}


def test_the_packages_own_language_passes_through():
    assert translate(None) is None
    assert translate({"year": {"$gte": 2020}}) == {"year": {"$gte": 2020}}
    assert passing({"$not": {"year": 2020}}) == {"other", "half", "null", "bare"}


def test_a_callable_sees_a_nodes_own_metadata_alone():
    seen = []
    passes = translate(lambda metadata: not seen.append(dict(metadata)))
    assert passes({"year": 2020, NODE_KEY: {"types": ["TextNode"], "fields": {}}})
    assert seen == [{"year": 2020}]


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (MetadataFilter(key="tags", operator="any", value="위성"), "'any' takes a list"),
        (MetadataFilter(key="tags", operator="all", value=None), "'all' takes a list"),
        (MetadataFilter(key="year", operator="in", value=2020), "takes a list"),
        (MetadataFilter(key="year", operator=">", value=None), "compares numbers or strings"),
        (MetadataFilter(key="field", operator="text_match", value=3), "'text_match' takes a string"),
        (MetadataFilter(key="field", operator="text_match_insensitive", value=["a"]), "takes a string"),
        (MetadataFilter(key="$or", value="x"), "begin with"),
        ({"year": {"$about": 2020}}, "not an operator"),
        ("field == 우주", "a filter is"),
        (2020, "a filter is"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(filters, message):
    with pytest.raises(FilterError, match=message):
        translate(filters)
