"""Arguments held to being what they should be, in one way everywhere: neither a boolean nor NaN is a number."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from pixie_retrievers.errors import InvalidParameterError

__all__ = ["check_number", "check_score_threshold", "check_top_k_tokens", "check_whole_number"]


def check_whole_number(name: str, value: Any, *, at_least: int = 1, none_means: str | None = None) -> None:
    """Refuse what is not a whole number.

    Args:
        name: The argument's name.
        value: Its value; numpy's whole numbers count.
        at_least: The lowest that will do.
        none_means: What None stands for, where it may be passed.

    Raises:
        InvalidParameterError: It is of another type, or too low.
    """
    if type(value) is int and value >= at_least:  # nearly always, and fast
        return
    if value is None and none_means is not None:
        return
    if isinstance(value, bool) or not isinstance(value, Integral) or value < at_least:
        otherwise = "" if none_means is None else f", or None for {none_means}"
        raise InvalidParameterError(f"{name} is {value!r}; it must be a whole number of {at_least} or more{otherwise}")


def check_number(
    name: str, value: Any, *, low: float = -math.inf, high: float = math.inf, none_means: str | None = None
) -> None:
    """Refuse what is not a number in a range, both ends included.

    Args:
        name: The argument's name.
        value: Its value; numpy's numbers count.
        low, high: The range.
        none_means: What None stands for, where it may be passed.

    Raises:
        InvalidParameterError: It is of another type, NaN, or outside the range.
    """
    if value is None and none_means is not None:
        return
    if isinstance(value, bool) or not isinstance(value, Real) or not _is_between(low, value, high):
        limits = f" from {low:g} to {high:g}" if math.isfinite(high) else f" of {low:g} or more"
        range_ = "" if math.isinf(low) and math.isinf(high) else limits
        otherwise = "" if none_means is None else f", or None for {none_means}"
        raise InvalidParameterError(f"{name} is {value!r}; it must be a number{range_}{otherwise}")


def _is_between(low: float, value: Any, high: float) -> bool:
    try:
        return low <= float(value) <= high
    except OverflowError:  # a whole number that no float holds
        return False


def check_top_k_tokens(value: Any) -> None:
    """Refuse what is not a number of tokens.

    Raises:
        InvalidParameterError: It is not a whole number of 0 or more, nor None.
    """
    check_whole_number("top_k_tokens", value, at_least=0, none_means="all tokens")


def check_score_threshold(value: Any) -> None:
    """Refuse what is not a score.

    Raises:
        InvalidParameterError: It is not a number, nor None.
    """
    check_number("score_threshold", value, none_means="no threshold")
