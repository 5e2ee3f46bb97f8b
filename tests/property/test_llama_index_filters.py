"""PixieVectorStore beside LlamaIndex's own in-memory store, over random filters: the differences are those named here.

SimpleVectorStore compares values as Python does, and raises where Python does. Every node is asked for by itself, so
that one that raises does not hide the others.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("llama_index.core")

from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)

from pixie_retrievers import SparseVectors
from pixie_retrievers.errors import FilterError
from pixie_retrievers.llama_index import PixieVectorStore

RAISES = object()
ORDERED = {FilterOperator.GT, FilterOperator.GTE, FilterOperator.LT, FilterOperator.LTE}
OVER_TEXT = {FilterOperator.TEXT_MATCH, FilterOperator.TEXT_MATCH_INSENSITIVE}
OVER_VALUES = {FilterOperator.ANY, FilterOperator.ALL}

WORDS = ["", "위성", "위성 발사", "Space", "SPACE", "straße", "STRASSE"]
NUMBERS = [-1, 0, 1, 2, 2.0, 2.5]
MISSING = object()
VALUES = [MISSING, None, True, False, *NUMBERS, *WORDS, [], ["위성"], ["위성", "Space"], [1, 2], {"위성": 1}]
OPERANDS = [None, *NUMBERS, *WORDS, [], ["위성"], ["Space", "위성"], [1, 2], [2.5]]


class Same:
    """Any text is the same vector: a filter alone decides what is found."""

    vocabulary_size = 200
    fingerprint = "same"

    def encode_queries(self, texts):
        return SparseVectors.from_dicts([{1: 1.0} for _ in texts], self.vocabulary_size)

    def encode_documents(self, texts, *, show_progress=False):
        return self.encode_queries(texts)

    def tokens(self, term_ids):
        return [str(term) for term in term_ids]

    surfaces = tokens


NODES = [
    TextNode(id_=f"{n}", text="글", embedding=[1.0], metadata={} if value is MISSING else {"field": value})
    for n, value in enumerate(VALUES)
]


@pytest.fixture(scope="module")
def ours():
    with PixieVectorStore(encoder=Same(), top_k_tokens=0) as store:
        store.add(NODES)
        yield store


@pytest.fixture(scope="module")
def theirs():
    store = SimpleVectorStore()
    store.add(NODES)
    return store


def our_answers(store, filters):
    found = store.query(VectorStoreQuery(query_str="글", similarity_top_k=len(NODES), filters=filters)).ids
    return {node.node_id: node.node_id in found for node in NODES}


def their_answers(store, filters):
    answers = {}
    for node in NODES:
        query = VectorStoreQuery(query_embedding=[1.0], similarity_top_k=1, filters=filters, node_ids=[node.node_id])
        try:
            answers[node.node_id] = store.query(query).ids == [node.node_id]
        except TypeError:
            answers[node.node_id] = RAISES
    return answers


def means_nothing(one):
    """Filters that are refused here, before anything is searched; there they raise at the first node, or are read as
    Python reads them: ``"a" in "cab"``."""
    operator, operand = one.operator, one.value
    return (
        (operator in ORDERED and not isinstance(operand, (int, float, str)))
        or (operator in OVER_TEXT and not isinstance(operand, str))
        or (operator in OVER_VALUES | {FilterOperator.IN, FilterOperator.NIN} and not isinstance(operand, list))
    )


def difference(one, value, answer):
    """The name of the difference that is accepted for a filter and a value, with our answer; None where there is none.

    Args:
        one: A filter that means something.
        value: What the node's field holds; None for a node without it.
        answer: What SimpleVectorStore says.
    """
    operator, operand = one.operator, one.value
    if operand is None and operator in (FilterOperator.EQ, FilterOperator.NE):
        # There nothing equals None, a null neither, and everything differs from it.
        return "null as the operand", (value is None) == (operator == FilterOperator.EQ)
    if answer is RAISES:
        # A corpus of mixed values is not an error: a value of another kind does not hold; a list has members.
        is_member = operator == FilterOperator.TEXT_MATCH and isinstance(value, list) and operand in value
        is_all = operator == FilterOperator.ALL and isinstance(value, str) and operand == []
        return "a value of another kind", is_member or is_all
    if operator == FilterOperator.TEXT_MATCH_INSENSITIVE and isinstance(value, str):
        folded = operand.casefold() in value.casefold()
        return ("case is folded, as Unicode has it", folded) if folded != answer else None
    if isinstance(value, dict) and operator in OVER_VALUES | {FilterOperator.CONTAINS} and answer:
        return "an object has fields, not members", operand == []
    return None


filters = st.builds(
    lambda operator, operand: MetadataFilter(key="field", operator=operator, value=operand),
    st.sampled_from(FilterOperator),
    st.sampled_from(OPERANDS),
)
VALUE_OF = {node.node_id: node.metadata.get("field") for node in NODES}


def evaluates_all(store):
    """Older versions of core raise on some filters, and let other nodes without the field pass."""
    one = MetadataFilter(key="field", operator=FilterOperator.TEXT_MATCH_INSENSITIVE, value="SPACE")
    try:
        answers = their_answers(store, MetadataFilters(filters=[one], condition=FilterCondition.NOT))
    except ValueError:
        return False
    return answers["0"] is True


@pytest.mark.parametrize("operand", OPERANDS, ids=repr)
@pytest.mark.parametrize("operator", FilterOperator, ids=lambda operator: operator.value)
def test_one_filter_differs_only_where_it_is_named(ours, theirs, operator, operand):
    if not evaluates_all(theirs):
        pytest.skip("this llama-index-core cannot evaluate all filters")
    one = MetadataFilter(key="field", operator=operator, value=operand)
    if means_nothing(one):
        with pytest.raises(FilterError):
            our_answers(ours, MetadataFilters(filters=[one]))
        return
    here, there = (
        our_answers(ours, MetadataFilters(filters=[one])),
        their_answers(theirs, MetadataFilters(filters=[one])),
    )
    for id, value in VALUE_OF.items():
        named = difference(one, value, there[id])
        assert here[id] is (there[id] if named is None else named[1]), (value, named)


@settings(max_examples=150)
@given(st.lists(filters, min_size=1, max_size=4), st.sampled_from([*FilterCondition, None]))
@example([MetadataFilter(key="field", value=2), MetadataFilter(key="field", value=None)], FilterCondition.OR)
def test_groups_join_their_filters_as_there(ours, theirs, parts, condition):
    if not evaluates_all(theirs) or any(map(means_nothing, parts)):
        return
    group = MetadataFilters(filters=parts, condition=condition)
    here, there = our_answers(ours, group), their_answers(theirs, group)
    singles = [their_answers(theirs, MetadataFilters(filters=[one])) for one in parts]
    for id, value in VALUE_OF.items():
        if all(difference(one, value, answers[id]) is None for one, answers in zip(parts, singles, strict=True)):
            assert here[id] is there[id], value
