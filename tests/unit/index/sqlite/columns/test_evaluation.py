"""A condition over columns: what is certain, what is possible, and that the truth lies between."""

from __future__ import annotations

import pytest

from pixie_retrievers.filters import parse_filter
from pixie_retrievers.index.sqlite.columns.building import build_columns
from pixie_retrievers.index.sqlite.columns.column import ABSENT
from pixie_retrievers.index.sqlite.columns.evaluation import evaluate

METADATA = [
    {"year": 2020, "text": "짧은 글", "tags": ["a"], "left out": 1},
    {"year": 2021, "text": "긴 글" * 100, "tags": [["a"]], "left out": 2},
    {"year": 2**63 + 1, "text": None, "nested": {"a": 1}},
    {},
]
KNOWN = build_columns(METADATA).columns


def verdict(filter):
    condition = parse_filter(filter)
    found = evaluate(condition, lambda field: None if field == "left out" else KNOWN.get(field, ABSENT), len(METADATA))
    truth = [condition.matches(metadata) for metadata in METADATA]
    assert all(a <= b <= c for a, b, c in zip(found.certain.tolist(), truth, found.possible.tolist(), strict=True))
    return [int(i) for i in (found.possible & ~found.certain).nonzero()[0]]


@pytest.mark.parametrize(
    ("filter", "undecided"),
    [
        ({}, []),
        ({"year": 2020}, []),
        ({"year": {"$gt": 2020}}, [2]),
        ({"year": 2**63 + 3}, [2]),
        ({"text": "짧은 글"}, []),
        ({"text": "긴 글" * 100}, [1]),
        ({"text": {"$gt": "ㄱ"}}, [1]),
        ({"text": {"$gt": 3}}, []),
        ({"text": {"$contains": "글"}}, [1]),
        ({"text": {"$text": "글"}}, [1]),
        ({"text": {"$exists": True}}, []),
        ({"tags": {"$contains": "a"}}, [1]),
        ({"tags": ["a"]}, [1]),
        ({"tags": "a"}, []),
        ({"nested": {"$eq": {"a": 1}}}, [2]),
        ({"nested": "a"}, []),
        ({"nested.a": 1}, []),
        ({"left out": 1}, [0, 1, 2, 3]),
        ({"left out": 1, "year": 2020}, [0]),
        ({"nowhere": 1}, []),
        ({"nowhere": None, "year": 2021}, []),
        ({"nowhere": {"$exists": False}, "$not": {"nowhere": {"$gt": 1}}, "left out": 2}, [0, 1, 2, 3]),
        ({"$or": [{"nowhere": 1}, {"elsewhere": {"$ne": 1}}, {"left out": 1}]}, []),
        ({"$or": [{f"f{i}": i} for i in range(50)]}, []),
        ({"$or": [{"left out": 1}, {"year": 2020}]}, [1, 2, 3]),
        ({"$not": {"left out": 1, "year": {"$in": [2020, 2021]}}}, [0, 1]),
        ({"$and": [lambda metadata: "text" in metadata, {"year": 2021}]}, [1]),
        ({"$and": [{"text": {"$contains": "글"}}, {"$not": {"text": {"$contains": "긴"}}}]}, [1]),
    ],
)
def test_only_documents_that_columns_cannot_decide_are_left(filter, undecided):
    assert verdict(filter) == undecided
