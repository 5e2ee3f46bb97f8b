"""What a filter may say, what its operands become, and what is refused."""

from __future__ import annotations

import enum
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import numpy as np
import pytest

from pixie_retrievers import FilterError
from pixie_retrievers.filters import parse_filter

KOREA = timezone(timedelta(hours=9))


class Colour(str, enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("operand", "value"),
    [
        (("x", "y"), ["x", "y"]),
        ([("x",), [1]], [["x"], [1]]),
        (np.int64(2021), 2021),
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.bool_(True), True),
        (np.str_("우주"), "우주"),
        ([np.int8(1)], [1]),
        (date(2024, 5, 1), "2024-05-01"),
        (datetime(2024, 5, 1, 9, 30, tzinfo=KOREA), "2024-05-01T09:30:00+09:00"),
        (time(9, 30), "09:30:00"),
        (Colour.RED, "red"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("operator", ["$eq", "$in", "$contains"])
def test_an_operand_means_what_json_would_make_of_it(operator, operand, value):
    wrapped = [operand] if operator == "$in" else operand
    condition = parse_filter({"field": {operator: wrapped}})
    assert condition.matches({"field": [value] if operator == "$contains" else value})
    assert condition.key == parse_filter({"field": {operator: [value] if operator == "$in" else value}}).key


@pytest.mark.parametrize(
    ("operand", "less"),
    [(np.int64(2021), 2020), (np.float32(0.5), 0), (np.bool_(True), 0), (date(2024, 5, 1), "2024-04-30")],
    ids=repr,
)
def test_numpy_and_dates_are_ordered_too(operand, less):
    assert parse_filter({"field": {"$gt": operand}}).matches({"field": less}) is False
    assert parse_filter({"field": {"$lt": operand}}).matches({"field": less}) is True


def test_a_numpy_truth_says_whether_a_field_exists():
    assert parse_filter({"field": {"$exists": np.bool_(False)}}).matches({})


def test_a_parsed_condition_is_a_filter_too():
    condition = parse_filter({"year": 2021})
    assert parse_filter(condition) is condition
    assert parse_filter({"$not": condition}).matches({"year": 2020})
    both = parse_filter({"year": 2021, "$or": [{"a": 1}, {"b": 1}]})
    assert parse_filter({"$or": [both, parse_filter({"$or": [{"a": 2}, {"b": 2}]})]}).matches({"b": 2})


@pytest.mark.parametrize(
    ("operands", "values"),
    [
        ([UUID(int=n) for n in range(9)], [str(UUID(int=n)) for n in range(9)]),
        ([date(2024, 5, n) for n in range(1, 9)], [f"2024-05-0{n}" for n in range(1, 9)]),
        ([datetime(2024, 5, 1, n, tzinfo=KOREA) for n in range(9)], [f"2024-05-01T0{n}:00:00+09:00" for n in range(9)]),
        ([time(n) for n in range(9)], [f"0{n}:00:00" for n in range(9)]),
        ([[1, "x"], {"a": None}, []], [[1, "x"], {"a": None}, []]),
        ([[1, date(2024, 5, 1)], {"a": (1,)}], [[1, "2024-05-01"], {"a": [1]}]),
        ([date(2024, 5, 1), UUID(int=1), 3, [2]], ["2024-05-01", str(UUID(int=1)), 3, [2]]),
    ],
    ids=["UUIDs", "dates", "datetimes", "times", "lists and dicts", "lists and dicts of more", "of several kinds"],
)
def test_many_values_mean_what_each_of_them_means(operands, values):
    condition = parse_filter({"field": {"$in": operands}})
    assert list(condition.operand) == values
    assert condition.key == parse_filter({"field": {"$in": values}}).key
    assert all(condition.matches({"field": value}) for value in values)


def test_what_is_done_to_a_list_later_does_not_change_the_filter_that_had_it():
    values = [[1], {"a": 1}]
    condition = parse_filter({"field": {"$in": values}})
    values[0].append(2)
    values[1]["b"] = 2
    assert condition.matches({"field": [1]})
    assert condition.matches({"field": {"a": 1}})


class NoTime(datetime):
    """As pandas has it."""

    def __eq__(self, other):
        return False

    def __ne__(self, other):
        return True

    __hash__ = datetime.__hash__


LOOP: list = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("filter", "message"),
    [
        ({"year": {"$near": 1}}, r"'year'.*'\$near' is not an operator; the operators are"),
        ({"year": {"$gt": 1, "plain": 2}}, "'plain' is not an operator"),
        ({"year": {1: 2, "$gt": 1}}, "operators are strings, not int"),
        ({"$xor": [{"a": 1}]}, r"unknown operator '\$xor'"),
        ({"$gt": 3}, "stands inside it"),
        ({"$and": []}, "at least one filter, not an empty list"),
        ({"$or": {"a": 1}}, "at least one filter, not dict"),
        ({"$and": "ab"}, "at least one filter, not str"),
        ({"$not": 3}, "a filter is a dict or a callable on the metadata, not int"),
        ({"year": {"$in": 2021}}, "takes a list of values, not int"),
        ({"year": {"$in": "2021"}}, "takes a list of values, not str"),
        ({"year": {"$exists": 1}}, "takes true or false, not int"),
        ({"year": {"$gt": None}}, "compares numbers or strings, not NoneType"),
        ({"year": {"$gt": [1]}}, "compares numbers or strings, not list"),
        ({"year": {"$gt": {"a": 1}}}, "compares numbers or strings, not dict"),
        ({"field": {"$text": 5}}, "takes a string, not int"),
        ({"year": {}}, "names no operator"),
        ({"year": float("nan")}, "with nan finds nothing"),
        ({"year": {"$lt": np.float32("nan")}}, "with nan finds nothing"),
        ({"year": {"$in": [1, float("nan")]}}, "with nan finds nothing"),
        ({"year": float("inf")}, "with inf finds nothing"),
        ({"year": {"$in": [[1, float("nan")]]}}, "with nan finds nothing"),
        ({"year": {"$in": [{"a": "\ud800"}]}}, "lone surrogate"),
        ({"year": {"$in": [{"\ud800": 1}]}}, "lone surrogate"),
        ({"year": {"$in": [[1 << 1024]]}}, "more than 1024 bits"),
        ({"year": {"$in": [{1: 2}]}}, "a key takes a string, not int"),
        ({"year": {"$gt": 1 << 1024}}, "more than 1024 bits"),
        ({"year": NoTime(2024, 5, 1)}, "with NaT finds nothing"),
        ({"year": b"2021"}, "cannot compare with a value of type bytes"),
        ({"year": {"$eq": {"x": {1}}}}, "does not take a set"),
        ({"year": {1, 2}}, "does not take a set"),
        ({"year": {"$contains": Decimal("NaN")}}, "cannot compare with a value of type Decimal"),
        ({"year": {"$in": [object()]}}, "cannot compare with a value of type object"),
        ({"year": np.timedelta64(1, "s")}, "cannot compare with a value of type timedelta64"),
        ({"year": np.arange(2)}, "cannot compare with a value of type ndarray"),
        ({"year": {"x": {1: 2}}}, "a key takes a string, not int"),
        ({"year": "\ud800"}, "lone surrogate"),
        ({"\ud800": 1}, "lone surrogate"),
        ({"year": 1 << 1024}, "more than 1024 bits"),
        ({"year": LOOP}, "holds itself"),
        ({1: 2}, "field names or operators, not int"),
        (["year", 2021], "not list"),
        ("year = 2021", "not str"),
    ],
)
def test_a_filter_that_cannot_mean_anything_is_refused(filter, message):
    with pytest.raises(FilterError, match=message):
        parse_filter(filter)


def test_a_filter_that_holds_itself_is_refused():
    filter: dict = {}
    filter["$not"] = filter
    with pytest.raises(FilterError, match="holds itself"):
        parse_filter(filter)
