"""What a page shows, as its URL says it: every state is a link."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from pixie_retrievers.errors import InvalidParameterError

__all__ = ["MAX_QUERY", "SearchState"]

MAX_QUERY = 2000
_MAX_HITS = 50
_MAX_FILTERS = 16
_MAX_WEIGHTS = 256
_LARGEST_FACTOR = 4.0


@dataclass(frozen=True, slots=True)
class SearchState:
    """One search.

    Attributes:
        query: The question.
        k: At most so many hits.
        equal: Values that fields must have, as JSON text, by field.
        held: Values that fields, which are lists, must hold, the same way.
        low, high: Bounds of fields that are numbers.
        factors: What the weights of query tokens are multiplied with, by term; 0 switches one off.
    """

    query: str = ""
    k: int = 10
    equal: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, str] = field(default_factory=dict)
    low: Mapping[str, float] = field(default_factory=dict)
    high: Mapping[str, float] = field(default_factory=dict)
    factors: Mapping[int, float] = field(default_factory=dict)

    @classmethod
    def read(cls, parameters: Iterable[tuple[str, str]]) -> SearchState:
        """From the pairs of a query string.

        Raises:
            InvalidParameterError: A value is not what it should be, or there are too many.
        """
        query, k = "", 10
        equal: dict[str, str] = {}
        held: dict[str, str] = {}
        low: dict[str, float] = {}
        high: dict[str, float] = {}
        factors: dict[int, float] = {}
        for name, value in parameters:
            kind, _, of = name.partition(".")
            if name == "q":
                query = value[:MAX_QUERY]
            elif name == "k":
                k = int(_number("k", value, 1, _MAX_HITS))
            elif name == "w":
                factors |= dict(_factor(part) for part in value.split(",") if part)
            elif not value or kind not in ("is", "has", "min", "max"):
                continue  # an open choice; or what is not ours
            elif kind in ("is", "has"):
                _check_json(value)
                (equal if kind == "is" else held)[of] = value
            else:
                (low if kind == "min" else high)[of] = _number(name, value, -math.inf, math.inf)
        if len(equal) + len(held) + len(low) + len(high) > _MAX_FILTERS or len(factors) > _MAX_WEIGHTS:
            raise InvalidParameterError("the URL has too many conditions: take some away")
        return cls(query, k, equal, held, low, high, factors)

    def url(self, path: str = "/", **more: str) -> str:
        """The link to this state; ``more`` are further parameters of another page."""
        pairs = [("q", self.query)] if self.query else []
        pairs += [("k", str(self.k))] if self.k != 10 else []
        pairs += [(f"is.{name}", value) for name, value in self.equal.items()]
        pairs += [(f"has.{name}", value) for name, value in self.held.items()]
        pairs += [(f"min.{name}", f"{value:g}") for name, value in self.low.items()]
        pairs += [(f"max.{name}", f"{value:g}") for name, value in self.high.items()]
        if self.factors:
            pairs.append(("w", self.weights))
        pairs += list(more.items())
        return f"{path}?{urlencode(pairs)}" if pairs else path

    @property
    def weights(self) -> str:
        """The factors as the URL has them."""
        return ",".join(f"{term}:{factor:g}" for term, factor in self.factors.items())

    def without_factors(self) -> SearchState:
        """The query as the index's own rules weigh it."""
        return replace(self, factors={})

    def asking(self, query: str) -> SearchState:
        """Another question, and nothing else that this one has."""
        return SearchState(query)

    @property
    def filter(self) -> dict[str, Any] | None:
        """The conditions, in the filter language."""
        parts: list[dict[str, Any]] = [{name: {"$eq": json.loads(text)}} for name, text in self.equal.items()]
        parts += [{name: {"$contains": json.loads(text)}} for name, text in self.held.items()]
        parts += [{name: {"$gte": value}} for name, value in self.low.items()]
        parts += [{name: {"$lte": value}} for name, value in self.high.items()]
        return {"$and": parts} if parts else None


def _factor(part: str) -> tuple[int, float]:
    term, _, factor = part.partition(":")
    return int(_number("w", term, 0, 2**31)), _number("w", factor, 0, _LARGEST_FACTOR)


def _number(name: str, value: str, low: float, high: float) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (low <= number <= high and math.isfinite(number)):
        raise InvalidParameterError(
            f"in the URL, {name} is {value[:40]!r}; it must be a number from {low:g} to {high:g}"
        )
    return number


def _check_json(value: str) -> None:
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        parsed = []
    if not isinstance(parsed, str | int | float | bool | None):
        raise InvalidParameterError(f"in the URL, {value[:40]!r} is not a JSON text, number, true, false or null")
