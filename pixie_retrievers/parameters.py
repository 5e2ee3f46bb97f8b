"""Arguments held to being what they should be, in one way everywhere: neither a boolean nor NaN is a number."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable
from numbers import Integral, Real
from typing import Any

from pixie_retrievers.errors import InvalidParameterError

__all__ = [
    "check_names",
    "check_number",
    "check_parts",
    "check_path",
    "check_score_threshold",
    "check_top_k_tokens",
    "check_whole_number",
    "refuse_unknown",
]

_LARGEST = 2**63 - 1
_LONGEST = 100  # characters of a value in a message


def check_whole_number(name: str, value: Any, *, at_least: int = 1, none_means: str | None = None) -> None:
    """Refuse what is not a whole number.

    Args:
        name: The argument's name.
        value: Its value; numpy's whole numbers count.
        at_least: The lowest that will do.
        none_means: What None stands for, where it may be passed.

    Raises:
        InvalidParameterError: It is of another type, too low, or needs more than 64 bits.
    """
    if type(value) is int and at_least <= value <= _LARGEST:  # nearly always, and fast
        return
    if value is None and none_means is not None:
        return
    if isinstance(value, bool) or not isinstance(value, Integral) or not at_least <= int(value) <= _LARGEST:
        limits = f" of {at_least} or more" + (" and at most 64 bits" if _is_long(value) else "")
        otherwise = "" if none_means is None else f", or None for {none_means}"
        raise InvalidParameterError(f"{name} is {_shown(value)}; it must be a whole number{limits}{otherwise}")


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
        InvalidParameterError: It is of another type, NaN, outside the range, or a whole number of more than 64 bits.
    """
    if value is None and none_means is not None:
        return
    if isinstance(value, bool) or not isinstance(value, Real) or not _is_between(low, value, high):
        if math.isfinite(high):
            limits = f" from {low:g} to {high:g}"
        else:
            bounds = [f"{low:g} or more"] if math.isfinite(low) else []
            bounds += ["at most 64 bits"] if _is_long(value) else []
            limits = f" of {' and '.join(bounds)}" if bounds else ""
        otherwise = "" if none_means is None else f", or None for {none_means}"
        raise InvalidParameterError(f"{name} is {_shown(value)}; it must be a number{limits}{otherwise}")


def check_path(name: str, value: Any) -> None:
    """Refuse what is neither a string nor a path.

    Raises:
        InvalidParameterError: It is of another type; bytes are, too.
    """
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        raise InvalidParameterError(f"{name} is {_shown(value)}; it must be a string or a pathlib.Path")


def check_names(argument: str, names: Iterable[str], known: Collection[str]) -> None:
    """Refuse names of what is not there.

    Raises:
        InvalidParameterError: There is one.
    """
    missing = sorted(set(names) - set(known))
    if missing:
        raise InvalidParameterError(
            f"{argument} names {', '.join(map(repr, missing))}, which is not there: there are"
            f" {', '.join(sorted(known)) or 'none'}"
        )


def check_parts(**parts: Any) -> None:
    """Refuse what does not say which vectors it gives or takes: an encoder and an index do.

    Raises:
        InvalidParameterError: One has no vocabulary or no fingerprint.
    """
    for name, part in parts.items():
        if not (hasattr(part, "vocabulary_size") and hasattr(part, "fingerprint")):
            raise InvalidParameterError(
                f"the {name} is of type {type(part).__name__}, which has no vocabulary_size and fingerprint: pass what"
                " PixieEncoder(...) or open_index(...) gives"
            )


def _is_between(low: float, value: Any, high: float) -> bool:
    try:
        return not _is_long(value) and low <= float(value) <= high
    except OverflowError:  # a fraction that no float holds
        return False


def _is_long(value: Any) -> bool:
    return isinstance(value, Integral) and not -_LARGEST <= int(value) <= _LARGEST


def _shown(value: Any) -> str:
    """A value as a message shows it; Python itself refuses to write some whole numbers."""
    try:
        text = repr(value)
    except ValueError:
        text = ""
    return text if 0 < len(text) <= _LONGEST else f"of type {type(value).__name__}, too long to show"


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


def refuse_unknown(who: str, given: Collection[str], known: str) -> None:
    """Refuse keyword arguments that nobody took, as any function does.

    Raises:
        TypeError: There is one.
    """
    if given:
        raise TypeError(f"{who} does not take {', '.join(map(repr, given))}; it takes {known}")
