"""A parsed filter: an immutable tree of comparisons, which also says which fields it looks at and what it equals."""

from __future__ import annotations

import json
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pixie_retrievers.errors import FilterError
from pixie_retrievers.filters.paths import MISSING, resolve

__all__ = ["CONDITIONS", "All", "Comparison", "Condition", "Either", "Negation", "PredicateCall"]


class Condition(ABC):
    """What documents must fulfil.

    Attributes:
        fields: The paths that it looks at; None where a callable may look at any.
        key: Equal only for conditions that hold for the same documents; None where a callable may answer differently
            each time.
    """

    @cached_property
    def fields(self) -> frozenset[str] | None:
        found: set[str] = set()
        return frozenset(found) if self.gather_fields(found) else None

    @cached_property
    def key(self) -> Hashable | None:
        return self.make_key()

    @cached_property
    def key_bytes(self) -> int:
        """About how much memory the key takes: a list of 50,000 values stands in it."""
        return _n_bytes(self.key)

    @property
    def depth(self) -> int:
        """How many conditions lie inside each other."""
        return 0

    @abstractmethod
    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether it holds for a document's metadata."""

    def passes(self, id: str | None, metadata: Mapping[str, Any]) -> bool:
        """Whether it holds for a document.

        Raises:
            FilterError: The caller's own function, which it is or holds, raises: the message says for which document.
        """
        try:
            return self.matches(metadata)
        except Exception as error:
            raise FilterError(
                f"the filter raised {type(error).__name__} for document {id!r}: a function is called with the metadata"
                " of every document, of those that lack a field too, for which metadata.get(...) is made"
            ) from error

    # Of thousands of parts nothing is kept that only the whole is asked for.

    @abstractmethod
    def gather_fields(self, fields: set[str]) -> bool:
        """Add the paths that it looks at; false where a callable may look at any."""

    @abstractmethod
    def make_key(self) -> Hashable | None:
        """What :attr:`key` keeps."""


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

    def gather_fields(self, fields: set[str]) -> bool:
        fields.add(self.field)
        return True

    def make_key(self) -> Hashable | None:
        operand = self.operand
        if self.operator != "$in":
            return self.field, self.operator, operand if type(operand) in PLAIN else _text([operand])
        if set(map(type, operand)) <= PLAIN:
            return self.field, "$in", frozenset(operand)
        others = _text([value for value in operand if type(value) not in PLAIN])
        return self.field, "$in", frozenset(value for value in operand if type(value) in PLAIN), others

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

    def gather_fields(self, fields: set[str]) -> bool:
        return _gather(self.parts, fields)

    def make_key(self) -> Hashable | None:
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

    def gather_fields(self, fields: set[str]) -> bool:
        return _gather(self.parts, fields)

    def make_key(self) -> Hashable | None:
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

    def gather_fields(self, fields: set[str]) -> bool:
        return _gather((self.part,), fields)

    def make_key(self) -> Hashable | None:
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

    def gather_fields(self, _fields: set[str]) -> bool:
        return False

    def make_key(self) -> Hashable | None:
        return None

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        return bool(self.predicate(metadata))


PLAIN = frozenset((str, int, float, bool, type(None)))
"""The types, and no subclass, whose values JSON has as they are."""

_text = json.JSONEncoder(sort_keys=True).encode

_VALUE_BYTES = 64
"""About what Python takes for a value and its place in a set, beside the characters of a string."""


def _key(name: str, parts: tuple[Condition, ...]) -> Hashable | None:
    keys = frozenset([part.make_key() for part in parts])
    return None if None in keys else (name, keys)


def _n_bytes(key: Hashable) -> int:
    if isinstance(key, (tuple, frozenset)):
        return _VALUE_BYTES * len(key) + sum(map(_n_bytes, key))
    return len(key) if isinstance(key, str) else 0


def _gather(parts: tuple[Condition, ...], fields: set[str]) -> bool:
    for part in parts:  # noqa: SIM110  # as above
        if not part.gather_fields(fields):
            return False
    return True


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
