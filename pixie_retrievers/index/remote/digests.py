"""Metadata as digests, and conditions over them: no text of a caller's ever stands in an engine's query.

Every path of a document's metadata is digested: that it is there, what it equals, what its list holds, and for ranges
a number or the beginning of a string. A condition becomes two clauses over these digests: one that only documents that
fulfil it satisfy, and one that all of those do. Where they differ, the documents themselves decide.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from pixie_retrievers.filters import All, Comparison, Condition, Either, Negation, flatten
from pixie_retrievers.index.remote.clauses import EVERYTHING, NOTHING, Between, Clause, Tokens, all_of, any_of, negated

__all__ = ["BEYOND", "Order", "Pushed", "digest_metadata", "order_of", "push_down", "sortable"]

_MAX_TOKENS = 2048
"""So many digests a document has at most; the rest of its metadata is known to the document alone."""
BEYOND = "beyond"
"""Marks a document that has more."""

_PREFIX_BYTES = 24
"""So much of a string is compared by an engine: a date and time, to the second, with its zone."""

_EXACT = 2.0**53
_LARGEST = 1.7976931348623157e308


class Order(NamedTuple):
    """What a range compares.

    Attributes:
        field: The digest of a path.
        value: A number; or the beginning of a string in hexadecimal digits, which compare as the string does.
    """

    field: str
    value: float | str


class Pushed(NamedTuple):
    """What an engine can say of a condition.

    Attributes:
        certain: Whoever satisfies it fulfils the condition.
        possible: Whoever fulfils the condition satisfies it.
    """

    certain: Clause
    possible: Clause


def digest_metadata(metadata: Mapping[str, Any]) -> tuple[list[str], list[Order]]:
    """The digests of a document's metadata, and what ranges compare."""
    tokens: list[str] = []
    orders: list[Order] = []
    for path, value in flatten(metadata).items():
        found = [_there(path), _equal(path, value)]
        if isinstance(value, list | tuple):
            found += [_holds(path, item) for item in value[:_MAX_TOKENS]]
        elif isinstance(value, str):
            found.append(_string(path))
        if len(tokens) + len(found) > _MAX_TOKENS:
            return [*tokens, BEYOND], orders
        tokens += found
        if isinstance(value, str | int | float):  # a boolean is a number, as Python compares them
            orders.append(Order(_field(path), order_of(value)))
    return list(dict.fromkeys(tokens)), orders


def push_down(condition: Condition | None) -> Pushed:
    """What an engine can decide of a condition, and what it cannot exclude."""
    if condition is None:
        return Pushed(EVERYTHING, EVERYTHING)
    if isinstance(condition, Negation):
        certain, possible = push_down(condition.part)
        return Pushed(negated(possible), negated(certain))
    if isinstance(condition, All | Either):
        parts = [push_down(part) for part in condition.parts]
        join = all_of if isinstance(condition, All) else any_of
        return Pushed(join(part.certain for part in parts), join(part.possible for part in parts))
    if not isinstance(condition, Comparison) or (condition.field.startswith("_") and "." in condition.field):
        return Pushed(NOTHING, EVERYTHING)  # a callable; or inside an adapter's own dict, which has no paths
    if condition.operator == "$exists" and not condition.operand:
        return push_down(Negation(Comparison(condition.field, "$exists", True)))
    certain, possible = _compared(condition)
    return Pushed(certain, any_of((possible, Tokens((BEYOND,)))))


def order_of(value: str | float) -> float | str:
    """What stands for a value in a comparison: where values come in an order, these do, or are equal."""
    if isinstance(value, str):
        return value.encode()[:_PREFIX_BYTES].hex()
    try:
        return min(max(float(value), -_LARGEST), _LARGEST)
    except OverflowError:  # a whole number that no float reaches
        return _LARGEST if value > 0 else -_LARGEST


def sortable(value: float | str) -> str:
    """Text that comes before another as its order does before the other's: a letter for the kind, then digits."""
    if isinstance(value, str):
        return "s" + value
    (bits,) = struct.unpack("<q", struct.pack("<d", value + 0.0))  # -0.0 becomes 0.0
    return f"n{(~bits if bits < 0 else bits | 1 << 63) & 0xFFFF_FFFF_FFFF_FFFF:016x}"


def _compared(comparison: Comparison) -> Pushed:
    path, operator, operand = comparison.field, comparison.operator, comparison.operand
    if operator == "$exists":
        return _decided(Tokens((_there(path),)))
    if operator == "$eq":
        return _decided(Tokens((_equal(path, operand),)))
    if operator == "$in":
        return _decided(any_of(Tokens((_equal(path, value),)) for value in operand))
    if operator == "$contains":
        held = _holds(path, operand)
        if not isinstance(operand, str):
            return _decided(Tokens((held,)))
        return Pushed(Tokens((held,)), Tokens((held, _string(path))))  # a string may contain it anywhere
    if operator == "$text":
        return Pushed(NOTHING, Tokens((_string(path),)))
    return _ordered(path, operator, operand)


def _ordered(path: str, operator: str, operand: str | float) -> Pushed:
    field, bound = _field(path), order_of(operand)
    lower = operator in ("$gt", "$gte")

    def between(*, inclusive: bool) -> Clause:
        if lower:
            return Between(field, isinstance(bound, str), bound, None, inclusive)
        return Between(field, isinstance(bound, str), None, bound, inclusive)

    # Then a string with this beginning is this string, and a number with this float is this number.
    if len(operand.encode()) < _PREFIX_BYTES if isinstance(operand, str) else abs(operand) < _EXACT:
        return _decided(between(inclusive=operator in ("$gte", "$lte")))
    return Pushed(between(inclusive=False), between(inclusive=True))


def _decided(clause: Clause) -> Pushed:
    return Pushed(clause, clause)


@lru_cache(4096)
def _field(path: str) -> str:
    return _digest(b"f", path.encode())


@lru_cache(4096)
def _there(path: str) -> str:
    return _digest(b"p", path.encode())


@lru_cache(4096)
def _string(path: str) -> str:
    return _digest(b"s", path.encode())


def _equal(path: str, value: Any) -> str:
    return _digest(b"e", path.encode(), _canonical(value))


def _holds(path: str, item: Any) -> str:
    return _digest(b"h", path.encode(), _canonical(item))


def _digest(kind: bytes, *parts: bytes) -> str:
    """128 bits; each part with its length before it, so that no two lists of parts read alike."""
    joined = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    return hashlib.blake2b(kind + joined, digest_size=16).hexdigest()


def _canonical(value: Any) -> bytes:
    """The same bytes for values that Python finds equal: 1, 1.0 and True; dicts in any order."""
    if isinstance(value, str):
        return b"s" + _sized(value.encode())
    if value is None:
        return b"z"
    if isinstance(value, int | float):
        return b"i%x" % int(value) if _is_whole(value) else b"f" + repr(value).encode()
    if isinstance(value, list | tuple):
        return b"l" + b"".join(_sized(_canonical(item)) for item in value)
    items = sorted((key.encode(), _canonical(item)) for key, item in value.items())
    return b"d" + b"".join(_sized(key) + _sized(item) for key, item in items)


def _is_whole(value: float) -> bool:
    """Whether a number is a whole one; whole numbers of any size are."""
    return isinstance(value, int) or value.is_integer()


def _sized(part: bytes) -> bytes:
    return len(part).to_bytes(8, "little") + part
