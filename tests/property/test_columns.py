"""Filters over columns: whatever was asked before, an answer is what plain Python says of each document's metadata.

The evaluator below is written from docs/filters.md and shares nothing with the package.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from datetime import date, datetime, timezone
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import pytest
from figures import FILTERED, holds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixie_retrievers import Document, SparseVectors, SqliteIndex
from pixie_retrievers.index.sqlite.columns import building, column

ONE = SparseVectors.from_dicts([{0: 1.0}], 2)


def reached(metadata, path):
    """A list with the value that a path leads to, or an empty list."""
    parts = path.split(".")
    for n in range(len(parts), 0, -1):
        key = ".".join(parts[:n])
        if key in metadata:
            if n == len(parts):
                return [metadata[key]]
            if isinstance(metadata[key], dict) and (found := reached(metadata[key], ".".join(parts[n:]))):
                return found
    return []


def as_json(operand):
    if isinstance(operand, np.generic):
        return operand.item()
    if isinstance(operand, date):
        return operand.isoformat()
    if isinstance(operand, (list, tuple)):
        return [as_json(item) for item in operand]
    return {key: as_json(item) for key, item in operand.items()} if isinstance(operand, dict) else operand


def is_number(value):
    return isinstance(value, (int, float))


def passes_operator(found, operator, operand):
    if operator == "$exists":
        return bool(found) == bool(operand)
    if operator in ("$in", "$nin"):
        return any(value == as_json(one) for value in found for one in operand) == (operator == "$in")
    operand = as_json(operand)
    if operator in ("$eq", "$ne"):
        return any(value == operand for value in found) == (operator == "$eq")
    if not found:
        return False
    (value,) = found
    if operator == "$contains":
        if isinstance(value, list):
            return operand in value
        return isinstance(value, str) and isinstance(operand, str) and operand in value
    if operator == "$text":
        return isinstance(value, str) and operand.casefold() in value.casefold()
    if not (is_number(value) and is_number(operand)) and not (isinstance(value, str) and isinstance(operand, str)):
        return False
    return {
        "$gt": lambda: value > operand,
        "$gte": lambda: value >= operand,
        "$lt": lambda: value < operand,
        "$lte": lambda: value <= operand,
    }[operator]()


def passes(metadata, filter):
    if callable(filter):
        return filter(metadata)
    for key, wanted in filter.items():
        if key == "$and":
            holds = all(passes(metadata, part) for part in wanted)
        elif key == "$or":
            holds = any(passes(metadata, part) for part in wanted)
        elif key == "$not":
            holds = not passes(metadata, wanted)
        else:
            operators = isinstance(wanted, dict) and any(name.startswith("$") for name in wanted)
            tests = wanted.items() if operators else [("$eq", wanted)]
            holds = all(passes_operator(reached(metadata, key), *test) for test in tests)
        if not holds:
            return False
    return True


numbers = st.one_of(
    st.integers(-3, 3),
    st.sampled_from(
        [2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 2**63, 2**63 + 1, 2**64, 10**30, 2**1024 - 1]
    ),
    st.sampled_from([0.5, -0.0, 2.0**53, 2.0**63, 1e300, 5e-324]),
    st.booleans(),
)
strings = st.one_of(
    st.sampled_from(["", "우주", "우주 농업", "Space", "SPACE", "straße", "STRASSE", "İx", "a\x00b", "2024-05-01"]),
    st.builds(lambda letter, n: letter * n, st.sampled_from("가xX"), st.sampled_from([85, 86, 256, 257])),
    st.text(max_size=3),
)
scalars = st.one_of(numbers, strings, st.none())
lists = st.one_of(
    st.lists(scalars, max_size=3),
    st.lists(st.one_of(scalars, st.lists(scalars, max_size=1)), max_size=2),
    st.builds(lambda n: [1] * n, st.sampled_from([256, 257])),
)
KEYS = ["a", "b", "a.b", "a.b.a", "_p", "_p.a", "이름", "", "."]
values = st.recursive(
    st.one_of(scalars, lists), lambda inner: st.dictionaries(st.sampled_from(KEYS), inner, max_size=2), max_leaves=3
)
metadata = st.dictionaries(st.sampled_from(KEYS), values, max_size=4)

FIELDS = [*KEYS, "b.a", "a.a", "_p.b", "a.b.b", "b.a.b", "nowhere", "a..", ".."]
numpy_scalars = st.sampled_from(
    [np.int64(2), np.float32(0.5), np.float64(1.0), np.bool_(True), np.uint8(1), np.int64(2**53 + 1)]
)
dates = st.sampled_from([date(2024, 5, 1), datetime(2024, 5, 1, tzinfo=timezone.utc)])
operands = st.one_of(scalars, scalars, numpy_scalars, dates, lists, st.lists(scalars, max_size=2).map(tuple))
ordered = st.one_of(
    numbers, strings, numpy_scalars, dates, st.sampled_from([np.inf, -np.inf, 2.0**62, 2**70, -(2**70)])
)
comparisons = st.one_of(
    operands,
    st.dictionaries(
        st.sampled_from(["$eq", "$ne", "$contains"]), st.one_of(operands, st.just({})), min_size=1, max_size=1
    ),
    st.dictionaries(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), ordered, min_size=1, max_size=2),
    st.dictionaries(st.sampled_from(["$in", "$nin"]), st.lists(operands, max_size=60), min_size=1, max_size=1),
    st.builds(lambda value: {"$in": value}, st.sets(st.integers(-3, 3))),
    st.builds(lambda value: {"$exists": value}, st.one_of(st.booleans(), st.just(np.bool_(False)))),
    st.builds(lambda value: {"$text": value}, strings),
)
filters = st.recursive(
    st.one_of(
        st.dictionaries(st.sampled_from(FIELDS), comparisons, max_size=2),
        st.just(lambda metadata: "a" in metadata),
    ),
    lambda inner: st.one_of(
        st.builds(lambda parts: {"$and": parts}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda parts: {"$or": parts}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda part: {"$not": part}, inner),
    ),
    max_leaves=4,
)
steps = st.one_of(
    st.tuples(st.just("add"), st.lists(metadata, min_size=1, max_size=12)),
    st.tuples(st.just("delete"), st.sets(st.integers(0, 40), max_size=6)),
    st.tuples(st.just("replace"), st.dictionaries(st.integers(0, 40), metadata, max_size=4)),
    st.tuples(st.just("compact"), st.none()),
    st.tuples(st.just("ask"), st.integers(0, 5)),
    st.tuples(st.just("ask"), st.integers(0, 5)),
)


@contextmanager
def history(max_fields):
    """An index whose segments have so few columns, and a mirror of it that answers in plain Python."""
    with (
        mock.patch.object(building, "MAX_FIELDS", max_fields),
        TemporaryDirectory() as folder,
        SqliteIndex(f"{folder}/index.db", vocabulary_size=2) as index,
    ):
        yield History(index)
        assert index.check().problems == ()


class History:
    def __init__(self, index):
        self.index = index
        self.stored = {}
        self.n_added = 0

    def put(self, contents):
        documents = [Document(id, "", content) for id, content in contents.items()]
        if documents:
            self.index.upsert(documents, SparseVectors.from_dicts([{0: 1.0}] * len(documents), 2))
        for id, content in contents.items():
            self.stored.pop(id, None)
            self.stored[id] = content

    def add(self, contents):
        self.put({f"d{self.n_added + i}": content for i, content in enumerate(contents)})
        self.n_added += len(contents)

    def replace(self, contents):
        self.put({id: contents[i] for i, id in enumerate(self.stored) if i in contents})

    def delete(self, places):
        ids = [id for i, id in enumerate(self.stored) if i in places]
        self.index.delete(ids)
        for id in ids:
            del self.stored[id]

    def compact(self, _):
        self.index.compact()

    def ask(self, filter):
        """Hold an answer to plain Python's; whether it told documents apart."""
        expected = [id for id, metadata in self.stored.items() if passes(metadata, filter)]
        assert self.index.ids(filter=filter) == expected
        assert [hit.document.id for hit in self.index.search(ONE, 1000, filter=filter)[0]] == expected
        return 0 < len(expected) < len(self.stored)


@holds(FILTERED)
@pytest.mark.parametrize("max_fields", [column.MAX_FIELDS, 2])
@settings(
    max_examples=FILTERED.n, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(done=st.lists(steps, max_size=14), asked=st.lists(filters, min_size=1, max_size=6))
def test_a_filter_finds_what_plain_python_finds_whatever_was_asked_before(max_fields, done, asked):
    with history(max_fields) as told:
        for action, content in [*done, ("compact", None), *(("ask", number) for number in range(len(asked)))]:
            getattr(told, action)(asked[content % len(asked)] if action == "ask" else content)


NAMES = ["a", "b", "a.b", "c.d", "e", "f", "_p"]
POOL = [
    *range(-2, 5), 0.5, 2.5, True, None, 2**53 + 1, 2**53, 2**63 + 1, 1.5e300, "", "우주", "우주 농업", "농업 SPACE",
    "space", "straße", "x" * 300, "가" * 90, [], [1], [1, "우주"], ["우주", None, 2.5], [[1], "우주"], ["x" * 300],
]  # fmt: skip


def random_metadata(rng):
    found = {name: rng.choice(POOL) for name in NAMES if rng.random() < 0.6}
    if rng.random() < 0.5:
        found["c"] = {"d": rng.choice(POOL), "e": {"f": rng.choice(POOL)}}
    return found


def random_filter(rng, depth=0):
    if depth < 2 and rng.random() < 0.4:
        parts = [random_filter(rng, depth + 1) for _ in range(2)]
        return rng.choice([{"$and": parts}, {"$or": parts}, {"$not": parts[0]}])
    field = rng.choice([*NAMES, "c", "c.e", "c.e.f", "_p.x"])
    operator = rng.choice(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$contains", "$text"])
    ordered = [value for value in POOL if isinstance(value, (int, float, str))]
    operand = {
        "$in": rng.sample(POOL, rng.randrange(12)),
        "$nin": rng.sample(POOL, rng.randrange(12)),
        "$exists": rng.random() < 0.5,
        "$text": rng.choice(["우", "Space", "STRASSE", "x", ""]),
        "$contains": rng.choice([1, "우주", "우", None, 2.5, "x" * 300]),
        **dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), rng.choice(ordered)),
    }.get(operator, rng.choice(POOL))
    return {field: {operator: operand}}


@holds(FILTERED)
@pytest.mark.parametrize("max_fields", [column.MAX_FIELDS, 3])
def test_filters_tell_many_documents_apart_as_plain_python_does(max_fields):
    n_asked = n_telling = 0
    for seed in range(max(1, FILTERED.n // 15)):
        rng = random.Random(seed)
        with history(max_fields) as told:
            asked = [random_filter(rng) for _ in range(8)]
            for _ in range(12):
                told.add([random_metadata(rng) for _ in range(rng.randrange(1, 40))])
                told.replace({rng.randrange(100): random_metadata(rng) for _ in range(rng.randrange(3))})
                told.delete({rng.randrange(200) for _ in range(rng.randrange(6))})
                for filter in rng.sample(asked, 3):
                    n_telling += told.ask(filter)
                    n_asked += 1
            told.compact(None)
            for filter in asked:
                n_telling += told.ask(filter)
                n_asked += 1
    assert n_telling > n_asked / 2  # else this would hold little
