"""From a filter as it is written to a condition; whatever cannot mean anything is refused here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pixie_retrievers.errors import FilterError
from pixie_retrievers.filters.conditions import All, Comparison, Condition, Either, Negation, PredicateCall
from pixie_retrievers.filters.operands import as_boolean, as_json, as_ordered, as_string, as_values

__all__ = ["Filter", "parse_filter"]

Filter: TypeAlias = Mapping[str, Any] | Callable[[Mapping[str, Any]], bool] | Condition
"""A dict in the filter language, a callable on the metadata, or either of them parsed already."""

_OPERANDS: dict[str, Callable[[Any, str], Any]] = {
    "$eq": as_json,
    "$ne": as_json,
    "$gt": as_ordered,
    "$gte": as_ordered,
    "$lt": as_ordered,
    "$lte": as_ordered,
    "$in": as_values,
    "$nin": as_values,
    "$exists": as_boolean,
    "$contains": as_json,
    "$text": as_string,
}
_NEGATED = {"$ne": "$eq", "$nin": "$in"}
_MAX_DEPTH = 100


def parse_filter(filter: Filter) -> Condition:
    """Turn a filter into a condition.

    Operands become what JSON would make of them: tuples become lists, numpy's scalars the numbers that they are, dates
    and times their ISO 8601 text.

    Raises:
        FilterError: The filter cannot mean anything: an operator is unknown, or its operand of the wrong kind.
    """
    return _parse(filter, 0)


def _parse(filter: Any, depth: int) -> Condition:
    if isinstance(filter, Condition):
        return filter
    if depth > _MAX_DEPTH:
        raise FilterError(f"the filter is nested deeper than {_MAX_DEPTH} levels, or holds itself: write a flatter one")
    if isinstance(filter, Mapping):
        return _join(All, [_entry(key, operand, depth) for key, operand in filter.items()])
    if callable(filter):
        return PredicateCall(filter)
    raise FilterError(f"a filter is a dict or a callable on the metadata, not {_kind(filter)}")


def _entry(key: Any, operand: Any, depth: int) -> Condition:
    if not isinstance(key, str):
        raise FilterError(f"a filter's keys are field names or operators, not {_kind(key)}")
    if key in ("$and", "$or"):
        if not isinstance(operand, (list, tuple)) or not operand:
            raise FilterError(f"{key} takes a list of at least one filter, not {_kind(operand)}")
        return _join(All if key == "$and" else Either, [_parse(part, depth + 1) for part in operand])
    if key == "$not":
        return Negation(_parse(operand, depth + 1))
    if key.startswith("$"):
        raise FilterError(
            f"unknown operator {key!r} where a field name or one of $and $or $not is expected; an operator of a field"
            f' stands inside it, as in {{"year": {{"$gte": 2020}}}}'
        )
    field = as_string(key, "in a filter: a field name")
    where = f"in the filter on {field!r}"
    if not isinstance(operand, Mapping):
        return Comparison(field, "$eq", as_json(operand, f"{where}: equality"))
    if not operand:
        raise FilterError(f'{where}: {{}} names no operator; {{"$eq": {{}}}} finds a dict that is empty')
    if not any(isinstance(name, str) and name.startswith("$") for name in operand):
        return Comparison(field, "$eq", as_json(operand, f"{where}: equality"))
    return _join(All, [_comparison(field, name, value, where) for name, value in operand.items()])


def _comparison(field: str, name: Any, operand: Any, where: str) -> Condition:
    if not isinstance(name, str) or name not in _OPERANDS:
        raise FilterError(f"{where}: {name!r} is not an operator; the operators are {' '.join(_OPERANDS)}")
    value = _OPERANDS[name](operand, f"{where}: {name}")
    if name in _NEGATED:
        return Negation(Comparison(field, _NEGATED[name], value))
    return Comparison(field, name, value)


def _join(kind: type[All | Either], parts: list[Condition]) -> Condition:
    return parts[0] if len(parts) == 1 else kind(tuple(parts))


def _kind(value: Any) -> str:
    return "an empty list" if value in ([], ()) else type(value).__name__
