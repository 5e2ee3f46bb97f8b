"""Filters as the wall between tenants: whatever is passed as a value, and whatever was asked before, nobody sees a
document that the filter does not let pass."""

from __future__ import annotations

import enum
import itertools
import random
import types
from collections import ChainMap, OrderedDict, UserDict, UserList, deque
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from uuid import UUID

import numpy as np
import pytest

from pixie_retrievers import Document, FilterError, SparseRetriever, SparseVectors
from pixie_retrievers.filters import Comparison, parse_filter

V = 4


class OneTerm:
    """Every text is the same vector: filters alone decide what is found."""

    vocabulary_size = V
    fingerprint = "one"

    def encode_queries(self, texts):
        return SparseVectors.from_dicts([{1: 1.0}] * len(texts), V)

    def encode_documents(self, texts, *, show_progress=False):
        return self.encode_queries(texts)

    def tokens(self, term_ids):
        return [str(term) for term in term_ids]

    surfaces = tokens


class Liar(str):
    """Equal to everything, with one hash for all."""

    __slots__ = ()

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 1

    def encode(self, *_):
        return b""

    def startswith(self, *_):
        return True

    def __str__(self):
        return "A"


class LyingInt(int):
    __hash__ = None

    def __eq__(self, other):
        return True

    def __repr__(self):
        return "1"


class LyingList(list):
    """Says something else each time it is read."""

    def __iter__(self):
        self.n_read = getattr(self, "n_read", 0) + 1
        return iter([f"t{self.n_read}"] if self.n_read % 2 else [["A"]])


class LyingDate(date):
    def isoformat(self):
        return ["A"]


class Disguised:
    """Says that it is a string."""

    __class__ = str

    def encode(self):
        return b"A"

    def __str__(self):
        return "A"


class Raising(dict):
    def items(self):
        raise RuntimeError("no")


class Letter(enum.Enum):
    A = "A"
    ONE = 1


class Text(str, enum.Enum):
    A = "A"


class Number(enum.IntEnum):
    ONE = 1


STORED = [
    *("A", "B", "1", "1.0", "true", "null", "None", "[1]", '["A"]', "{}", "a", "Á", "A ", "", "\0", "A\0"),
    *(1, 2, 0, True, False, 1.5, -1, 2**53, 2**53 + 1, 2**63, 2**64, 10**30, None),
    *([], ["A"], ["B"], [1], ["1"], [1, 2], [2, 1], [[1]], [["A"]], [None], [True], [0], [{}], ["A", "B"], ["A,B"]),
    *({}, {"A": 1}, {"1": 1}, {"1": "1"}, {"A": "B"}, {"A": ["B"]}, {"a": 1, "b": 2}, {"A": {"A": 1}}),
    *("2024-05-01", "2024-05-01T00:00:00", "09:30:00", str(UUID(int=1)), "a/b", "가", "\u1100\u1161"),
]
"""One tenant each."""


MAPPINGS = (OrderedDict, types.MappingProxyType, UserDict, ChainMap)
ITERABLES = (set, frozenset, deque, UserList, iter, dict.fromkeys, LyingList)
OTHERS = [
    *(b"A", b"B", bytearray(b"A"), memoryview(b"A"), range(1), range(1, 3)),
    *(np.int64(1), np.uint8(2), np.float64(1.5), np.float16(1), np.bool_(True), np.str_("A"), np.bytes_(b"A")),
    *(np.array(1), np.array("A"), np.array([1, 2]), np.void(b"A"), np.timedelta64(1, "s"), np.datetime64("NaT", "D")),
    *(np.datetime64("2024-05-01"), date(2024, 5, 1), datetime(2024, 5, 1, tzinfo=timezone.utc), time(9, 30)),
    *(timedelta(1), LyingDate(2024, 5, 1), Fraction(1), Decimal(1), Decimal("1.5"), Decimal("Infinity"), 1j, ...),
    *(Letter.A, Letter.ONE, Text.A, Number.ONE, UUID(int=1), PurePosixPath("a/b"), str, object(), Disguised()),
    *(Liar("A"), Liar("B"), LyingInt(1), LyingInt(2), Raising(a=1), type("D", (dict,), {})(A=1), float("inf")),
    *(10**400, -(10**100_000)),
    *({key: 1} for key in (1, 1.0, True, None, (1,), b"A", Text.A, Liar("A"), Liar("B"))),
]
MAKERS = [
    *(lambda value=value: value for value in [*STORED, *OTHERS]),
    *(lambda value=value: (value,) for value in [*STORED, *OTHERS]),
    *(lambda kind=kind: kind({"A": 1}) for kind in MAPPINGS),
    *(lambda kind=kind: kind({"a": 1, "b": 2}) for kind in MAPPINGS),
    *(lambda kind=kind: kind(["A"]) for kind in ITERABLES),
    *(lambda kind=kind: kind([1, 2]) for kind in (*ITERABLES, bytes, bytearray, np.array)),
]
"""Values that a program may pass, each made anew: some are used up by being read."""


def written(make):
    """The filters that one value may stand in."""
    return [
        lambda: {"tenant": make()},
        lambda: {"tenant": {"$in": [make()]}},
        lambda: {"tenant": {"$in": make()}},
        lambda: {"$or": [{"tenant": make()}]},
        lambda: {"$or": [{"tenant": make()}, {"tenant": "nobody"}]},
        lambda: {"$and": [{"tenant": make()}, {"tenant": {"$ne": "nobody"}}]},
        lambda: {"tenant": {"$contains": make()}},
        lambda: {"tenant": {"$lte": make(), "$gte": make()}},
        lambda: {"$not": {"tenant": {"$nin": (make(), "nobody")}}},
    ]


FILTERS = [filter for make in MAKERS for filter in written(make)]


@pytest.fixture(scope="module")
def documents():
    # Beside values of every kind, an index where the column has strings alone.
    return [Document(f"d{n}", "글", {"tenant": value}) for n, value in enumerate(STORED)]


@pytest.fixture(scope="module")
def retriever(documents):
    with SparseRetriever.open(encoder=OneTerm()) as retriever:
        retriever.add(documents)
        yield retriever


def expected(filter, documents):
    """What plain Python says of each document, or that the filter is refused."""
    try:
        condition = parse_filter(filter())
    except FilterError:
        return None
    return {document.id for document in documents if condition.matches(document.metadata)}


def langchain_doors(retriever):
    langchain = pytest.importorskip("pixie_retrievers.langchain")
    store = langchain.PixieVectorStore(retriever)
    bound = langchain.PixieRetriever(sparse_retriever=retriever, k=100)
    return {
        "LangChain's store": lambda asked: [d.id for d in store.similarity_search("글", k=100, filter=asked)],
        "LangChain's retriever": lambda asked: [d.id for d in bound.invoke("글", filter=asked)],
    }


def llama_index_doors(retriever):
    llama_index = pytest.importorskip("pixie_retrievers.llama_index")
    bound = llama_index.PixieRetriever(retriever, similarity_top_k=100)
    return {"LlamaIndex's retriever": lambda asked: [n.node.node_id for n in bound.with_filters(asked).retrieve("글")]}


def doors(retriever, ids):
    query = retriever.encoder.encode_queries(["글"])
    index = retriever.index
    return {
        "search": lambda asked: [hit.document.id for hit in index.search(query, 100, filter=asked)[0]],
        "search among ids": lambda asked: [
            hit.document.id for hit in index.search(query, 100, filter=asked, ids=ids)[0]
        ],
        "ids": lambda asked: index.ids(filter=asked),
        "facade": lambda asked: [result.document.id for result in retriever.search("글", 100, filter=asked)],
    }


@pytest.mark.parametrize("more", [lambda _: {}, langchain_doors, llama_index_doors], ids=["own", "langchain", "llama"])
def test_a_cached_answer_is_never_another_tenants(retriever, documents, more):
    ways = {**doors(retriever, [document.id for document in documents]), **more(retriever)}
    order = list(range(len(FILTERS))) * 2  # the second time everything is in the cache, if it may be
    random.Random(1).shuffle(order)
    for number in order:
        right = expected(FILTERS[number], documents)
        for name, door in ways.items():
            try:
                found = set(door(FILTERS[number]()))
            except FilterError:
                found = None
            assert found == right, (name, number)


def test_what_a_filter_finds_is_what_its_author_meant(retriever):
    index = retriever.index

    def tenants(filter):
        return [document.metadata["tenant"] for document in index.get(index.ids(filter=filter))]

    for _ in range(2):
        assert tenants({"tenant": "A"}) == tenants({"tenant": Liar("A")}) == tenants({"tenant": Text.A}) == ["A"]
        assert tenants({"tenant": Liar("B")}) == tenants({Liar("tenant"): "B"}) == ["B"]
        assert tenants({"tenant": "1"}) == ["1"]
        assert tenants({"tenant": LyingInt(2)}) == tenants({"tenant": np.uint8(2)}) == [2]
        assert tenants({"tenant": types.MappingProxyType({"A": 1})}) == tenants({"tenant": UserDict(A=1)}) == [{"A": 1}]
        assert tenants({"tenant": ("A",)}) == [["A"]]
        assert tenants({"tenant": UUID(int=1)}) == [str(UUID(int=1))]
        for refused in (b"A", {"A"}, range(1), {1: 1}, {b"A": 1}, deque(["A"]), object(), Disguised(), np.array("A")):
            with pytest.raises(FilterError):
                tenants({"tenant": refused})


def test_what_is_changed_between_two_calls_is_read_again(retriever):
    index = retriever.index
    operand = ["A"]
    for filter in (
        {"tenant": {"$in": operand}},
        {"$or": [{"tenant": {"$eq": {"list": operand}}}, {"tenant": {"$in": operand}}]},
    ):
        operand[0] = "A"
        condition = parse_filter(filter)
        assert index.ids(filter=filter) == index.ids(filter=condition) == ["d0"]
        operand[0] = "B"
        assert index.ids(filter=filter) == ["d1"]
        assert index.ids(filter=condition) == ["d0"]


def test_filters_of_a_llama_index_retriever_are_read_at_each_query(retriever):
    llama_index = pytest.importorskip("pixie_retrievers.llama_index")
    from llama_index.core.vector_stores import MetadataFilter, MetadataFilters

    filters = MetadataFilters(filters=[MetadataFilter(key="tenant", value="A")])
    bound = llama_index.PixieRetriever(retriever, filters=filters)
    assert [found.node.node_id for found in bound.retrieve("글")] == ["d0"]
    filters.filters[0].value = "B"
    assert [found.node.node_id for found in bound.retrieve("글")] == ["d1"]


def test_filters_that_let_different_documents_pass_have_different_keys(documents):
    found = {}
    for filter in FILTERS:
        right = expected(filter, documents)
        if right is not None:
            assert found.setdefault(parse_filter(filter()).key, right) == right


def test_a_condition_of_another_kind_than_the_packages_own_is_refused():
    class Everything(Comparison):
        key = "the same for all"

    with pytest.raises(FilterError):
        parse_filter(Everything("tenant", "$eq", "A"))


def circular(kind):
    inner = [] if kind is list else {}
    inner.append(inner) if kind is list else inner.update(a=inner)
    return inner


def nested(n_levels, wrap, inner):
    for _ in range(n_levels):
        inner = wrap(inner)
    return inner


@pytest.mark.parametrize(
    "filter",
    [
        {"a": circular(list)},
        {"a": {"$eq": circular(dict)}},
        {"a": {"$in": circular(list)}},
        {"a": {"$contains": circular(list)}},
        {"$or": circular(list)},
        *(
            nested(n_levels, wrap, {"a": 1})
            for n_levels in (101, 1_000, 100_000)
            for wrap in (lambda f: {"$not": f}, lambda f: {"$or": [f, {"b": 1}]}, lambda f: {"$and": [f], "b": 1})
        ),
        *({"a": nested(n_levels, lambda value: [value], 1)} for n_levels in (102, 1_000, 100_000)),
        {"a": {"$eq": nested(100_000, lambda value: {"a": value}, 1)}},
        *({"a": {operator: sign * 10**100_000}} for operator in ("$eq", "$gt", "$contains") for sign in (1, -1)),
        *({"a": {"$in": [*more, 10**100_000]}} for more in ([], [1], ["x"], [1.5], [None])),
        {"$or": [{"a": 10**100_000}]},
        {"a": {10**100_000: 1, "$gt": 1}},
        {"a": {"$eq": {10**100_000: 1}}},
        {10**100_000: 1},
        {"a": Decimal("9" * 100_000)},
        {"a": {"$in": 10**100_000}},
        {"a": {"$exists": 10**100_000}},
    ],
    ids=itertools.count(),
)
def test_what_no_search_could_follow_is_refused(retriever, filter):
    for call in (
        parse_filter,
        lambda asked: retriever.search("글", filter=asked),
        lambda f: retriever.index.ids(filter=f),
    ):
        with pytest.raises(FilterError) as raised:
            call(filter)
        assert len(str(raised.value)) < 500


def test_a_condition_wrapped_time_and_again_is_refused(retriever):
    def wrapped(condition):
        for _ in range(10_000):
            condition = parse_filter({"$not": condition})

    with pytest.raises(FilterError, match="nested deeper"):
        wrapped(parse_filter({"a": 1}))
    assert retriever.index.ids(filter={"$not": parse_filter(nested(99, lambda f: {"$not": f}, {"a": 1}))}) is not None


@pytest.mark.parametrize("wrap", [lambda f: {"$not": f}, lambda f: {"$or": [f, {"b": 1}], "c": {"$ne": 2}}])
def test_a_hundred_levels_are_answered(retriever, wrap):
    filter = nested(100, wrap, {"tenant": "A"})
    right = [f"d{n}" for n, value in enumerate(STORED) if parse_filter(filter).matches({"tenant": value})]
    assert retriever.index.ids(filter=parse_filter(filter)) == retriever.index.ids(filter=filter) == right


@pytest.mark.parametrize("values", [range(50_000), [f"t{n}" for n in range(50_000)], [n / 2 for n in range(50_000)]])
def test_tens_of_thousands_of_values_are_one_list(retriever, values):
    mixed = [*values, "A", None, True]
    assert retriever.index.ids(filter={"tenant": {"$in": mixed}}) == retriever.index.ids(
        filter={"$or": [{"tenant": value} for value in mixed]}
    )
    condition = parse_filter({"$or": [{"tenant": value} for value in mixed]})
    assert isinstance(condition, Comparison)
    assert condition.key == parse_filter({"tenant": {"$in": mixed[::-1]}}).key
