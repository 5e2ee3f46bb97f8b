"""The one metadata-filter language, as LangChain's stores write it, or any callable on the metadata.

    {"field": "우주"}                                   equality
    {"year": {"$gte": 2020, "$lt": 2024}}               several operators on one field: all must hold
    {"field": {"$in": ["우주", "농업"]}, "year": 2021}   several fields: all must hold
    {"$or": [{"year": 2020}, {"$not": {"tags": {"$contains": "위성"}}}]}

=============  ======================================================================================
``$eq $ne``    equal, not equal; a document without the field passes ``$ne``
``$gt $gte``   ordered comparison between two numbers or two strings; anything else does not pass
``$lt $lte``   the same
``$in $nin``   equal to one of a list, to none of it; a document without the field passes ``$nin``
``$exists``    the field is there (true) or is not (false)
``$contains``  a list has the value as an element, or a string has it as a substring
``$text``      a string has the value as a substring, whatever the letter case
``$and $or``   a list of filters: all hold, at least one holds
``$not``       the filter does not hold
=============  ======================================================================================
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from pixie_retrievers.errors import FilterError

__all__ = ["Filter", "Predicate", "compile_filter", "filter_fields", "filter_key"]

Predicate: TypeAlias = Callable[[Mapping[str, Any]], bool]
Filter: TypeAlias = Mapping[str, Any] | Predicate

_MISSING = object()


def compile_filter(filter: Filter) -> Predicate:
    """Turn a filter into a predicate on metadata.

    Raises:
        FilterError: An operator is unknown, or its operand is of the wrong kind.
    """
    if callable(filter):
        return filter
    if not isinstance(filter, Mapping):
        raise FilterError(f"a filter is a dict or a callable on the metadata, not {type(filter).__name__}")
    conditions = [_compile_entry(key, operand) for key, operand in filter.items()]
    return lambda metadata: all(condition(metadata) for condition in conditions)


def filter_fields(filter: Filter) -> frozenset[str] | None:
    """The fields that a filter looks at; None for a callable, which may look at any."""
    if callable(filter):
        return None
    fields: set[str] = set()
    for key, operand in filter.items():
        parts = operand if key in ("$and", "$or") else [operand] if key == "$not" else None
        if parts is None:
            fields.add(key)
            continue
        for part in parts:
            inner = filter_fields(part)
            if inner is None:
                return None
            fields |= inner
    return frozenset(fields)


def filter_key(filter: Filter) -> str | None:
    """A string that equal filters share; None for a callable, which may answer differently each time."""
    if callable(filter):
        return None
    try:
        return json.dumps(filter, sort_keys=True, default=sorted)  # sets become lists
    except TypeError:
        return None


def _compile_entry(key: Any, operand: Any) -> Predicate:
    if not isinstance(key, str):
        raise FilterError(f"a filter's keys are field names or operators, not {type(key).__name__}")
    if key in ("$and", "$or"):
        if not isinstance(operand, Sequence) or isinstance(operand, str) or not operand:
            raise FilterError(f"{key} takes a list of at least one filter")
        parts = [compile_filter(part) for part in operand]
        join = all if key == "$and" else any
        return lambda metadata: join(part(metadata) for part in parts)
    if key == "$not":
        part = compile_filter(operand)
        return lambda metadata: not part(metadata)
    if key.startswith("$"):
        raise FilterError(f"unknown operator {key!r} where a field name or one of $and $or $not is expected")
    if not isinstance(operand, Mapping) or not any(str(name).startswith("$") for name in operand):
        operand = {"$eq": operand}
    tests = [_compile_test(key, name, value) for name, value in operand.items()]

    def passes(metadata: Mapping[str, Any]) -> bool:
        value = metadata.get(key, _MISSING)
        return all(test(value) for test in tests)

    return passes


def _compile_test(field: str, name: Any, operand: Any) -> Callable[[Any], bool]:
    where = f"in the filter on {field!r}: {name}"
    if name in _ORDERED:
        if not isinstance(operand, (int, float, str)):
            raise FilterError(f"{where} compares numbers or strings, not {type(operand).__name__}")
        return lambda value: _comparable(value, operand) and bool(_ORDERED[name](value, operand))
    if name in ("$in", "$nin"):
        if not isinstance(operand, (list, tuple, set, frozenset)):
            raise FilterError(f"{where} takes a list of values, not {type(operand).__name__}")
        values = list(operand)
        return (lambda value: value in values) if name == "$in" else (lambda value: value not in values)
    if name == "$exists":
        if not isinstance(operand, bool):
            raise FilterError(f"{where} takes true or false, not {type(operand).__name__}")
        return lambda value: (value is not _MISSING) is operand
    if name == "$text":
        if not isinstance(operand, str):
            raise FilterError(f"{where} takes a string, not {type(operand).__name__}")
        folded = operand.casefold()
        return lambda value: isinstance(value, str) and folded in value.casefold()
    if name not in _PLAIN:
        known = " ".join([*_PLAIN, *_ORDERED, "$in", "$nin", "$exists", "$text"])
        raise FilterError(f"{where} is not an operator; the operators are {known}")
    test = _PLAIN[name]
    return lambda value: test(value, operand)


def _comparable(value: Any, operand: Any) -> bool:
    if isinstance(operand, str):
        return isinstance(value, str)
    return isinstance(value, (int, float))


def _contains(value: Any, operand: Any) -> bool:
    if isinstance(value, str):
        return isinstance(operand, str) and operand in value
    return isinstance(value, (list, tuple)) and operand in value


_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_PLAIN: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$contains": _contains,
}
