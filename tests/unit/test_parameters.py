"""Numbers that callers pass: neither a boolean nor NaN is one, and numpy's are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pixie_retrievers import InvalidParameterError
from pixie_retrievers.parameters import check_number, check_whole_number


@pytest.mark.parametrize("value", [True, np.bool_(1), 1.0, "1", 0, -3, math.nan, [1]])
def test_what_is_not_a_whole_number_in_range_is_refused_by_name(value):
    with pytest.raises(InvalidParameterError, match=r"n_things is .*whole number of 1 or more, or None for all"):
        check_whole_number("n_things", value, none_means="all")


@pytest.mark.parametrize("value", [True, "0.5", math.nan, math.inf, -0.1, 1.1, 10**400, None])
def test_what_is_not_a_number_in_range_is_refused_by_name(value):
    with pytest.raises(InvalidParameterError, match=r"share is .*number from 0 to 1"):
        check_number("share", value, low=0, high=1)


def test_numbers_in_range_pass():
    check_whole_number("n_things", 1)
    check_whole_number("n_things", np.int64(7))
    check_whole_number("n_things", 0, at_least=0)
    check_whole_number("n_things", None, none_means="all")
    check_number("share", np.float32(0.5), low=0, high=1)
    check_number("share", 1, low=0, high=1)
    check_number("score", -1e300)
    check_number("score", None, none_means="no threshold")
