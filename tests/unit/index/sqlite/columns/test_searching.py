"""Comparisons over a dictionary: numbers at the edges of what floats hold, and letters of every script."""

from __future__ import annotations

import itertools
import math

import pytest

from pixie_retrievers.filters import parse_filter
from pixie_retrievers.index.sqlite.columns.building import build_column
from pixie_retrievers.index.sqlite.columns.searching import _folded, passing_codes

EDGES = [
    0, 1, -1, 0.5, 2**53 - 1, 2**53, 2**53 + 1, 2**53 + 2, -(2**53) - 1,
    2**62 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) + 1,
    2**64, 1e300, -1e300, float(2**53), float(2**63), 5e-324, True,
]  # fmt: skip
OPERANDS = [
    *EDGES,
    2**63 + 1,
    -(2**63) - 1,
    2**1000 + 1,
    -(2**1000),
    2**1024 - 1,
    math.inf,
    -math.inf,
    2**53 + 0.5,
    2**70 + 1,
]


@pytest.mark.parametrize("operator", ["$eq", "$gt", "$gte", "$lt", "$lte"])
def test_numbers_compare_exactly_as_python_compares_them(operator):
    column = build_column(range(len(EDGES)), EDGES, len(EDGES))
    for operand in OPERANDS:
        if operator == "$eq" and operand in (math.inf, -math.inf):
            continue
        condition = parse_filter({"x": {operator: operand}})
        passes, _ = passing_codes(column, condition)
        assert passes[column.codes].tolist() == [condition.matches({"x": value}) for value in EDGES], operand


@pytest.mark.parametrize("n", [1, 5, 400])
def test_one_of_many_is_found_however_many_are_asked_for(n):
    values = [*range(300), *map(str, range(300)), *([i, str(i)] for i in range(50))]
    column = build_column(range(len(values)), values, len(values))
    for wanted in (range(5, 5 + n), map(str, range(290, 290 + n)), ([i, str(i)] for i in range(45, 45 + n))):
        condition = parse_filter({"x": {"$in": list(wanted)}})
        passes, _ = passing_codes(column, condition)
        assert passes[column.codes].tolist() == [condition.matches({"x": value}) for value in values]


TEXTS = [
    "",
    "가",
    "가나",
    "나가",
    "aa",
    "aaa",
    "abab",
    "\x00",
    "a\x00",
    "가나다라마바사",
    "😀",
    "😀😀a",
    "é",
    "e\u0301",
]


@pytest.mark.parametrize("operator", ["$contains", "$text", "$eq", "$lt", "$gte"])
def test_strings_compare_as_python_compares_them(operator):
    column = build_column(range(len(TEXTS)), TEXTS, len(TEXTS))
    for operand in [*TEXTS, "나다라마바", "다라마바사아", "ab", "b", "\xff"]:
        condition = parse_filter({"x": {operator: operand}})
        passes, _ = passing_codes(column, condition)
        assert passes[column.codes].tolist() == [condition.matches({"x": value}) for value in TEXTS], operand


def test_letter_case_is_folded_as_python_folds_it_in_every_script():
    code_points = itertools.chain(range(0xD800), range(0xE000, 0x20000))  # beyond are characters without case
    assert [
        hex(code_point)
        for code_point in code_points
        if _folded((letter := chr(code_point)).encode() + b"\xff") != letter.casefold().encode() + b"\xff"
    ] == []
    assert _folded("우주 ABC\xff".encode("latin-1", "ignore") + b"\xff") == b" abc\xff\xff"
    assert _folded("가A\u2026".encode() + b"\xff" + "İß".encode() + b"\xff") == "가a…".encode() + b"\xffi\xcc\x87ss\xff"
    assert _folded(b"") == b""
