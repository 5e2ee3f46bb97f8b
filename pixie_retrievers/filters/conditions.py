"""A parsed filter: an immutable tree of comparisons, which also says which fields it looks at and what it equals."""

from __future__ import annotations

import json
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pixie_retrievers.filters.paths import MISSING, resolve

__all__ = ["CONDITIONS", "All", "Comparison", "Condition", "Either", "Negation", "PredicateCall"]


class Condition(ABC):
    """What documents must fulfil.

    Attributes:
        fields: The paths that it looks at; None where a callable may look at any.
        key: A text that is the same only for conditions that hold for the same documents; None where a callable may
            answer differently each time.
    """

    @cached_property
    @abstractmethod
    def fields(self) -> frozenset[str] | None: ...

    @cached_property
    @abstractmethod
    def key(self) -> str | None: ...

    @property
    def depth(self) -> int:
        """How many conditions lie inside each other."""
        return 0

    @abstractmethod
    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether it holds for a document's metadata."""


@dataclass(frozen=True, eq=False)
class Comparison(Condition):
    """One operator on one field.

    Attributes:
        field: A dotted path.
        operator: ``$eq $gt $gte $lt $lte $in $exists $contains $text``; the others are these, negated.
        operand: JSON values; for ``$in`` a tuple of them.
    """

    field: str
    operator: str
    operand: Any

    @cached_property
    def fields(self) -> frozenset[str] | None:
        return frozenset((self.field,))

    @cached_property
    def key(self) -> str | None:
        if self.operator != "$in":
            return _text([self.field, self.operator, self.operand])
        # In any order: sorted by what they are, where that can be.
        by_kind: dict[str, list[Any]] = {}
        for value in self.operand:
            by_kind.setdefault(type(value).__name__, []).append(value)
        ordered = [
            values if kind in ("list", "dict", "NoneType") else sorted(set(values))
            for kind, values in sorted(by_kind.items())
        ]
        return _text([self.field, "$in", *ordered])

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        return self._test(resolve(metadata, self.field))

    @cached_property
    def _test(self) -> Callable[[Any], bool]:
        operand = self.operand
        if self.operator == "$eq":
            return lambda value: bool(value == operand)
        if self.operator in _ORDERED:
            compare = _ORDERED[self.operator]
            kinds = str if isinstance(operand, str) else (int, float)
            return lambda value: isinstance(value, kinds) and bool(compare(value, operand))
        if self.operator == "$in":
            return _one_of(operand)
        if self.operator == "$exists":
            return lambda value: (value is not MISSING) is operand
        if self.operator == "$contains":
            return lambda value: _contains(value, operand)
        folded = operand.casefold()
        return lambda value: isinstance(value, str) and folded in value.casefold()


@dataclass(frozen=True, eq=False)
class All(Condition):
    """All parts hold; no parts always do."""

    parts: tuple[Condition, ...]

    @cached_property
    def fields(self) -> frozenset[str] | None:
        return _fields(self.parts)

    @cached_property
    def key(self) -> str | None:
        return _key("$and", self.parts)

    @cached_property
    def depth(self) -> int:
        return 1 + max((part.depth for part in self.parts), default=0)

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        for part in self.parts:  # noqa: SIM110  # all() would take twice the stack, and conditions lie deep
            if not part.matches(metadata):
                return False
        return True


@dataclass(frozen=True, eq=False)
class Either(Condition):
    """At least one part holds."""

    parts: tuple[Condition, ...]

    @cached_property
    def fields(self) -> frozenset[str] | None:
        return _fields(self.parts)

    @cached_property
    def key(self) -> str | None:
        return _key("$or", self.parts)

    @cached_property
    def depth(self) -> int:
        return 1 + max((part.depth for part in self.parts), default=0)

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        for part in self.parts:  # noqa: SIM110  # as above
            if part.matches(metadata):
                return True
        return False


@dataclass(frozen=True, eq=False)
class Negation(Condition):
    """The part does not hold."""

    part: Condition

    @cached_property
    def fields(self) -> frozenset[str] | None:
        return self.part.fields

    @cached_property
    def key(self) -> str | None:
        return _key("$not", (self.part,))

    @cached_property
    def depth(self) -> int:
        return 1 + self.part.depth

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        return not self.part.matches(metadata)


@dataclass(frozen=True, eq=False)
class PredicateCall(Condition):
    """A callable on the metadata holds."""

    predicate: Callable[[Mapping[str, Any]], bool]

    @cached_property
    def fields(self) -> frozenset[str] | None:
        return None

    @cached_property
    def key(self) -> str | None:
        return None

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        return bool(self.predicate(metadata))


_text = json.JSONEncoder(sort_keys=True).encode


def _key(name: str, parts: tuple[Condition, ...]) -> str | None:
    keys = [part.key for part in parts]
    known = [key for key in keys if key is not None]
    return f"{name}({','.join(sorted(set(known)))})" if len(known) == len(keys) else None


def _fields(parts: tuple[Condition, ...]) -> frozenset[str] | None:
    fields: set[str] = set()
    for part in parts:
        if part.fields is None:
            return None
        fields |= part.fields
    return frozenset(fields)


def _one_of(operands: tuple[Any, ...]) -> Callable[[Any], bool]:
    scalars = frozenset(value for value in operands if not isinstance(value, (list, dict)))
    others = [value for value in operands if isinstance(value, (list, dict))]
    return lambda value: value in others if isinstance(value, (list, dict)) else value in scalars


def _contains(value: Any, operand: Any) -> bool:
    if isinstance(value, str):
        return isinstance(operand, str) and operand in value
    return isinstance(value, list) and operand in value


_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}

CONDITIONS = frozenset((All, Comparison, Either, Negation, PredicateCall))
"""All kinds there are."""
