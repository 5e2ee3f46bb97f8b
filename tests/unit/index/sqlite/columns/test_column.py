"""What a column's codes stand for."""

from __future__ import annotations

import numpy as np
import pytest

from pixie_retrievers.index.sqlite.columns.building import build_column
from pixie_retrievers.index.sqlite.columns.column import MISSING, may_have_column, narrow


def test_a_column_says_what_each_document_has():
    values = [3, "우주", None, True, 2.5, ["a", 3], {"x": 1}, 2**53 + 1, "", []]
    column = build_column(range(1, 11), values, 12)
    names = column.values()
    found = [names[code] for code in column.codes.tolist()]
    assert found[0] == found[11] == names[MISSING]
    assert [found[i] for i in (1, 2, 4, 5, 8, 9)] == [3, "우주", 1, 2.5, 2**53 + 1, ""]
    assert found[6] == ("list", "a", 3)
    assert found[10] == ("list",)
    assert len({*map(str, found)}) == len(values) + 1


@pytest.mark.parametrize(("n_codes", "dtype"), [(256, "u1"), (257, "u2"), (1 << 16, "u2"), ((1 << 16) + 1, "i4")])
def test_codes_take_the_smallest_type_that_holds_them(n_codes, dtype):
    codes = narrow(np.array([0, n_codes - 1]), n_codes)
    assert codes.dtype == dtype
    assert codes.tolist() == [0, n_codes - 1]


def test_what_lies_inside_an_adapters_own_dict_has_no_column():
    assert [may_have_column(field) for field in ("a", "_a", "a.b", "a._b", "_a.b", "_a.")] == [True] * 4 + [False] * 2
