"""From a filter as it is written to a condition; whatever cannot mean anything is refused here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from pixie_retrievers.errors import FilterError
from pixie_retrievers.filters.conditions import (
    CONDITIONS,
    PLAIN,
    All,
    Comparison,
    Condition,
    Either,
    Negation,
    PredicateCall,
)
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
    try:
        condition = _parse(filter, 0)
        _ = condition.key, condition.fields  # kept: no search meets a depth that Python cannot follow
    except FilterError:
        raise
    except Exception as error:  # whatever the methods of a type that we do not know do
        raise FilterError(
            f"the filter holds an object that cannot be read ({type(error).__name__}): write it with strings, numbers,"
            " lists and dicts"
        ) from error
    return condition


def _parse(filter: Any, depth: int) -> Condition:
    is_parsed = type(filter) in CONDITIONS  # of its own kinds only: a subclass could say of itself what it likes
    # One level of a dict is up to two of conditions: all of its entries, and the parts of one of them.
    if depth > _MAX_DEPTH or (depth and is_parsed and depth + filter.depth > 2 * _MAX_DEPTH):
        raise FilterError(f"the filter is nested deeper than {_MAX_DEPTH} levels, or holds itself: write a flatter one")
    if is_parsed:
        return cast("Condition", filter)
    if type(filter) is dict or isinstance(filter, Mapping):
        return _join(All, [_entry(key, operand, depth) for key, operand in filter.items()])
    if callable(filter):
        return PredicateCall(filter)
    raise FilterError(f"a filter is a dict or a callable on the metadata, not {_kind(filter)}")


def _entry(key: Any, operand: Any, depth: int) -> Condition:
    if not isinstance(key, str):
        raise FilterError(f"a filter's keys are field names or operators, not {_kind(key)}")
    key = str.__str__(key)  # of a subclass, the text: its own methods may say something else
    if key in ("$and", "$or"):
        if not isinstance(operand, (list, tuple)) or not operand:
            raise FilterError(f"{key} takes a list of at least one filter, not {_kind(operand)}")
        return _join(All, [_parse(part, depth + 1) for part in operand]) if key == "$and" else _either(operand, depth)
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


def _either(filters: Sequence[Any], depth: int) -> Condition:
    """At least one of some filters; thousands of plain equalities are common, and no more than a list of values."""
    values: dict[str, list[Any]] = {}
    parts: list[Condition] = []
    for filter in filters:
        if type(filter) is dict and len(filter) == 1 and depth < _MAX_DEPTH:
            ((field, operand),) = filter.items()
            if type(field) is str and type(operand) in PLAIN and not field.startswith("$"):
                values.setdefault(field, []).append(operand)
                continue
        parts.append(_parse(filter, depth + 1))
    for field, operands in values.items():
        as_string(field, "in a filter: a field name")
        parts.append(Comparison(field, "$in", as_values(operands, f"in the filter on {field!r}: equality")))
    return _join(Either, parts)


def _comparison(field: str, name: Any, operand: Any, where: str) -> Condition:
    if not isinstance(name, str):
        raise FilterError(f"{where}: operators are strings, not {_kind(name)}")  # some numbers cannot be printed
    name = str.__str__(name)
    if name not in _OPERANDS:
        raise FilterError(f"{where}: {name!r} is not an operator; the operators are {' '.join(_OPERANDS)}")
    value = _OPERANDS[name](operand, f"{where}: {name}")
    if name in _NEGATED:
        return Negation(Comparison(field, _NEGATED[name], value))
    return Comparison(field, name, value)


def _join(kind: type[All | Either], parts: list[Condition]) -> Condition:
    if len(parts) > 1:
        parts = _with_values_in_one(kind, parts)
    return parts[0] if len(parts) == 1 else kind(tuple(parts))


def _with_values_in_one(kind: type[All | Either], parts: list[Condition]) -> list[Condition]:
    """The same parts with one list of values a field, which is looked up at once.

    To be one value or another is to be in a list of both; to be neither the one nor the other, not to be in it.
    """
    values: dict[str, list[Any]] = {}
    kept: list[Condition] = []
    for part in parts:
        one = part if kind is Either else part.part if type(part) is Negation else None
        if type(one) is Comparison and one.operator in ("$eq", "$in"):
            values.setdefault(one.field, []).extend(one.operand if one.operator == "$in" else (one.operand,))
        else:
            kept.append(part)
    among = [
        Comparison(field, "$in", tuple(operands)) if len(operands) != 1 else Comparison(field, "$eq", operands[0])
        for field, operands in values.items()
    ]
    return [*(among if kind is Either else map(Negation, among)), *kept]


def _kind(value: Any) -> str:
    return "an empty list" if isinstance(value, (list, tuple)) and not value else type(value).__name__
