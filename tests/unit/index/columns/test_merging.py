"""Merged columns are those that the live documents would get anew."""

from __future__ import annotations

import numpy as np
import pytest

from pixie_retrievers.index.sqlite.columns import building
from pixie_retrievers.index.sqlite.columns.building import build_columns
from pixie_retrievers.index.sqlite.columns.merging import merge_columns

VALUES = [
    1,
    2.5,
    True,
    None,
    "우주",
    "",
    "x" * 300,
    2**53 + 1,
    2**63 + 1,
    [1, "우주"],
    [],
    [None, 2.5],
    [[1]],
    {"in": 1},
]


def random_metadata(rng, n):
    fields = ("a", "b", "c.d", "rare")
    return [
        {
            field: VALUES[rng.integers(len(VALUES))]
            for field in fields
            if rng.random() < (0.1 if field == "rare" else 0.7)
        }
        for _ in range(n)
    ]


def contents(segment):
    found = {}
    for field, column in segment.columns.items():
        names = column.values()
        found[field] = [names[code] for code in column.codes.tolist()]
    return found


@pytest.mark.parametrize("seed", range(20))
def test_a_merge_is_what_building_the_live_documents_gives(seed):
    rng = np.random.default_rng(seed)
    parts = [random_metadata(rng, int(n)) for n in rng.integers(1, 12, rng.integers(1, 6))]
    alive = [rng.random(len(part)) < 0.7 for part in parts]
    alive[0][0] = True
    live = [
        document
        for part, kept in zip(parts, alive, strict=True)
        for document, is_live in zip(part, kept, strict=True)
        if is_live
    ]
    merged, built = merge_columns([build_columns(part) for part in parts], alive), build_columns(live)
    assert contents(merged) == contents(built)
    assert list(merged.columns) == list(built.columns)
    assert merged.complete
    for field, column in built.columns.items():  # nothing of the dead is left behind
        other = merged.columns[field]
        assert (other.n_bytes, other.strings, other.codes.dtype) == (column.n_bytes, column.strings, column.codes.dtype)


def test_a_field_that_a_segment_left_out_is_left_out_of_the_merged_one(monkeypatch):
    monkeypatch.setattr(building, "MAX_FIELDS", 1)
    parts = [build_columns([{"a": 1}, {"a": 2, "b": 1}]), build_columns([{"a": 3}])]
    alive = [np.ones(2, bool), np.ones(1, bool)]
    merged = merge_columns(parts, alive)
    assert contents(merged) == {"a": [1, 2, 3]}
    assert not merged.complete
    other = [build_columns([{"b": 1}]), *parts]
    assert merge_columns(other, [np.ones(1, bool), *alive]).columns.keys() == {"a"}


def test_more_fields_than_a_segment_may_have_leave_the_most_common(monkeypatch):
    monkeypatch.setattr(building, "MAX_FIELDS", 2)
    parts = [build_columns([{"a": 1, "b": 1}]), build_columns([{"b": 1, "c": 1}, {"c": 1}])]
    merged = merge_columns(parts, [np.ones(1, bool), np.ones(2, bool)])
    assert sorted(merged.columns) == ["b", "c"]
    assert not merged.complete


def test_a_field_that_only_the_dead_had_is_gone():
    parts = [build_columns([{"a": 1}, {"b": 1}])]
    merged = merge_columns(parts, [np.array([True, False])])
    assert contents(merged) == {"a": [1]}
    assert merged.complete
