"""What a description may say for its model to be loaded directly: keys that are known, each with a known value.

Everything else, be it newer, older, damaged or hostile, is left to sentence-transformers, which loads it or says what
is wrong with it. So nothing here has to explain itself, and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = [
    "AnotherKind",
    "anything",
    "check_keys",
    "is_count",
    "is_flag",
    "is_id",
    "is_number",
    "no_more_than",
    "one_of",
]

Test = Callable[[Any], bool]


class AnotherKind(Exception):  # noqa: N818  # not an error: the model is loaded in another way
    """The folder is not known to be of the kind that is loaded directly."""


def check_keys(content: Mapping[str, Any], tests: Mapping[str, Test]) -> None:
    """See that an object holds nothing but what is known.

    Args:
        content: The object.
        tests: For each key that it may have, whether a value is known.

    Raises:
        AnotherKind: It has another key, or another value.
    """
    for key, value in content.items():
        if key not in tests or not tests[key](value):
            raise AnotherKind(key)


def anything(_: Any) -> bool:
    """What does not touch the vectors."""
    return True


def is_flag(value: Any) -> bool:
    """True or false."""
    return isinstance(value, bool)


def is_count(value: Any) -> bool:
    """A whole number above zero, of 31 bits."""
    return type(value) is int and 0 < value < 1 << 31


def is_number(value: Any) -> bool:
    """A number that is neither negative, nor infinite, nor NaN, up to what transformers takes for no limit."""
    return type(value) in (int, float) and 0 <= value <= 1e30


def is_id(value: Any) -> bool:
    """The number of a token, or None."""
    return value is None or (type(value) is int and 0 <= value < 1 << 31)


def no_more_than(most: int) -> Test:
    """A count up to a limit."""
    return lambda value: is_count(value) and value <= most


def one_of(*known: Any) -> Test:
    """One of some values, and of its type: 0 is not False."""
    return lambda value: any(type(value) is type(item) and value == item for item in known)
