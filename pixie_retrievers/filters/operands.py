"""The operands of a filter, as JSON would have them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from itertools import chain
from pathlib import PurePath
from typing import Any
from uuid import UUID

import numpy as np

from pixie_retrievers.errors import FilterError
from pixie_retrievers.filters.conditions import PLAIN
from pixie_retrievers.types.plain import plain

__all__ = ["as_boolean", "as_json", "as_ordered", "as_string", "as_values"]

_MAX_DEPTH = 100  # as in a document's metadata
_MAX_INT_BITS = 1024

_TEXTS: dict[type[Any], Callable[[Any], str]] = {
    UUID: str,
    date: date.isoformat,
    datetime: datetime.isoformat,
    time: time.isoformat,
}
"""Types, and no subclass, of which lists of thousands are common, and how JSON has them."""


def as_json(operand: Any, where: str) -> Any:
    """An operand that a stored value may equal."""
    return _plain(operand, where, 0)


def as_ordered(operand: Any, where: str) -> int | float | str:
    """An operand that values come before or after."""
    if isinstance(operand, (float, np.floating)) and math.isinf(operand):
        return float(operand)  # everything is on one side of it
    if type(operand) is int:
        return _whole(operand, where)
    value = _plain(operand, where, 0)
    if not isinstance(value, (int, float, str)):
        raise FilterError(f"{where} compares numbers or strings, not {type(operand).__name__}")
    return value


def as_values(operand: Any, where: str) -> tuple[Any, ...]:
    """The operands of ``$in``."""
    if not isinstance(operand, (list, tuple, set, frozenset)):
        raise FilterError(f"{where} takes a list of values, not {type(operand).__name__}")
    values = tuple(operand)  # read once: what iterates may say something else the next time
    kinds = set(map(type, values))
    convert = _TEXTS.get(*kinds) if len(kinds) == 1 else None
    if convert is not None:
        values, kinds = tuple(map(convert, values)), {str}
    if kinds <= {list, dict} and _are_flat(values, where):
        return tuple(value.copy() for value in values)
    if not kinds <= PLAIN:
        return tuple(as_json(value, where) for value in values)
    _check_plain(values, kinds, where)
    return values


def _are_flat(values: Sequence[Any], where: str) -> bool:
    """Whether lists and dicts hold nothing but what JSON has as it is; that, of all of them, is checked."""
    keys = [key for value in values if type(value) is dict for key in value]
    parts = (value.values() if type(value) is dict else value for value in values)
    contents = [*keys, *chain.from_iterable(parts)]
    kinds = set(map(type, contents))
    if not (kinds <= PLAIN and set(map(type, keys)) <= {str}):
        return False
    _check_plain(contents, kinds, where)
    return True


def _check_plain(values: Sequence[Any], kinds: set[type], where: str) -> None:
    """Hold values that JSON has as they are to what is stored; thousands are common, and checked in one go."""
    as_string("".join(value for value in values if type(value) is str), where)
    for extreme in (min, max):
        _whole(extreme((value for value in values if type(value) is int), default=0), where)
    for value in values if float in kinds else ():
        if type(value) is float and not math.isfinite(value):
            as_json(value, where)


def as_boolean(operand: Any, where: str) -> bool:
    """The operand of ``$exists``."""
    if not isinstance(operand, (bool, np.bool_)):
        raise FilterError(f"{where} takes true or false, not {type(operand).__name__}")
    return bool(operand)


def as_string(operand: Any, where: str) -> str:
    """The operand of ``$text``, or the name of a field."""
    if not isinstance(operand, str):
        raise FilterError(f"{where} takes a string, not {type(operand).__name__}")
    text: str = str.__str__(operand)  # of a subclass, what JSON would write
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FilterError(f"{where}: the text holds a lone surrogate; repair the decoding that it came from") from None
    return text


def _plain(value: Any, where: str, depth: int) -> Any:
    if isinstance(value, (Enum, UUID, PurePath, Decimal, np.datetime64)):
        value = plain(value)  # as it is stored
    if value is None:
        return None
    if isinstance(value, str):
        return as_string(value, where)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)) and not isinstance(value, np.timedelta64):
        return _whole(int(value), where)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        if not math.isfinite(number):
            raise FilterError(f"{where} with {number} finds nothing: stored numbers are finite; pass a finite one")
        return number
    if isinstance(value, (date, time)):
        if value != value:  # noqa: PLR0124  # pandas' NaT is a datetime that does not equal itself
            raise FilterError(f"{where} with NaT finds nothing: pass a date")
        return as_string(value.isoformat(), where)  # a subclass may write anything
    if depth > _MAX_DEPTH:
        raise FilterError(f"{where}: the value is nested deeper than {_MAX_DEPTH} levels, or holds itself")
    if isinstance(value, (list, tuple)):
        return [_plain(item, where, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {as_string(key, f"{where}: a key"): _plain(item, where, depth + 1) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        raise FilterError(f"{where} does not take a set, which has no order: pass a list, or use $in or $nin")
    raise FilterError(
        f"{where} cannot compare with a value of type {type(value).__name__}: pass a string, a number, true,"
        " false, None, a date, a list or a dict"
    )


def _whole(value: int, where: str) -> int:
    if value.bit_length() > _MAX_INT_BITS:  # never printed: Python refuses to print some
        raise FilterError(f"{where}: a whole number of more than {_MAX_INT_BITS} bits is larger than any stored one")
    return value
