"""From metadata to columns: which fields get one, and what is too large for it."""

from __future__ import annotations

import enum

import numpy as np
import pytest

from pixie_retrievers.index.sqlite.columns import building
from pixie_retrievers.index.sqlite.columns.building import build_column, build_columns
from pixie_retrievers.index.sqlite.columns.column import HUGE, LONG, MAX_LIST, NESTED, NULL, OBJECT


def codes(*values):
    return build_column(range(len(values)), values, len(values)).codes.tolist()


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, NULL),
        ({}, OBJECT),
        ({"a": 1}, OBJECT),
        ("x" * 256, None),
        ("x" * 257, LONG),
        ("가" * 85, None),
        ("가" * 86, LONG),
        (2**64, None),
        (2**63 - 1, None),
        (-(2**63), None),
        (2**63 + 1, HUGE),
        (-(2**63) - 1, HUGE),
        (2**1024 - 1, HUGE),
        ([1] * MAX_LIST, None),
        ([1] * (MAX_LIST + 1), NESTED),
        ([[]], NESTED),
        ([{}], NESTED),
        (["x" * 257], NESTED),
        ([2**63 + 1], NESTED),
        ([None, True, "x", 2**53 + 1], None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_too_large_for_a_dictionary_has_a_code_for_its_kind(value, code):
    (found,) = codes(value)
    assert found == code if code is not None else found > NESTED
    assert codes(value, 1, "y", value)[0] == codes(value, 1, "y", value)[3]


def test_equal_values_share_a_code_and_others_do_not():
    assert len({*codes(1, 1.0, True)}) == 1
    assert len({*codes(0, False, -0.0, 0.0)}) == 1
    assert len({*codes([1], [True], [1.0])}) == 1
    assert len({*codes(1, "1", [1], ["1"], None, [None], [], {}, 2**53, 2**53 + 1, float(2**54))}) == 11


def test_types_of_pythons_own_count_as_what_json_makes_of_them():
    class Number(enum.IntEnum):
        ONE = 1

    class Text(str, enum.Enum):
        A = "a"

    class Mapping(dict):
        pass

    odd, plain = [Number.ONE, Text.A, np.float64(2.5), (1, Text.A), Mapping(x=1)], [1, "a", 2.5, [1, "a"], {"x": 1}]
    assert codes(*odd) == codes(*plain)
    assert list(build_columns([{"m": Mapping(x=1)}]).columns) == ["m", "m.x"]


def test_nested_fields_get_columns_and_an_adapters_own_do_not():
    found = build_columns([{"a": {"b": {"c": 1}}, "_own": {"x": 1}, "_id": 7}, {"a.b": 2}])
    assert sorted(found.columns) == ["_id", "_own", "a", "a.b", "a.b.c"]
    assert found.complete


def test_the_most_common_fields_get_columns(monkeypatch):
    monkeypatch.setattr(building, "MAX_FIELDS", 2)
    found = build_columns([{"a": 1, "b": 1}, {"b": 1, "c": 1}, {"c": 2}])
    assert list(found.columns) == ["b", "c"]
    assert not found.complete


def test_a_field_with_a_name_too_long_is_left_out():
    found = build_columns([{"x" * 512: 1, "y" * 513: 1}])
    assert list(found.columns) == ["x" * 512]
    assert not found.complete


def test_a_column_that_is_too_large_is_left_out(monkeypatch):
    monkeypatch.setattr(building, "_MAX_COLUMN_BYTES", 1000)
    found = build_columns([{"small": i, "large": f"{i:0200}"} for i in range(10)])
    assert list(found.columns) == ["small"]
    assert not found.complete


def test_documents_without_metadata_have_no_columns():
    found = build_columns([{}, {}])
    assert (found.columns, found.complete) == ({}, True)
