"""Dotted paths into nested metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["MISSING", "flatten", "resolve", "values_at"]

MISSING: Final = object()
"""What a path leads to where it leads nowhere."""

_SHORT = 256  # characters of a path whose every beginning is looked up
_FLAT = frozenset((str, int, float, bool, type(None), list, tuple))


def resolve(metadata: Mapping[str, Any], path: str) -> Any:
    """The value that a path leads to, or MISSING.

    The longest literal key wins: ``a.b.c`` is the key ``"a.b.c"``, or else ``"c"`` inside ``"a.b"``, or else ``b.c``
    inside ``"a"``, the first of these that leads anywhere.

    Complexity:
        O(len(path) + all keys below metadata), however many dots the path has: of nested dicts, each is looked at once.
    """
    if path in metadata:
        return metadata[path]
    for key in _beginnings(metadata, path):
        inner = metadata.get(key)
        if isinstance(inner, dict):
            found = resolve(inner, path[len(key) + 1 :])
            if found is not MISSING:
                return found
    return MISSING


def values_at(metadata: Mapping[str, Any], path: str) -> list[Any]:
    """The different values that count where a field's values are counted: a scalar, or those in a list; no dicts."""
    value = resolve(metadata, path)
    values = value if isinstance(value, list) else [] if value is MISSING else [value]
    return list(dict.fromkeys(one for one in values if not isinstance(one, (dict, list))))


def _beginnings(metadata: Mapping[str, Any], path: str) -> Iterator[str]:
    """What of a path may be a key before one of its dots, longest first."""
    if len(path) <= _SHORT:
        end = path.rfind(".")
        while end >= 0:
            yield path[:end]
            end = path.rfind(".", 0, end)
    else:  # there may be a hundred thousand dots, but there are only so many keys
        fitting = [key for key in metadata if path.startswith(key) and path.startswith(".", len(key))]
        yield from sorted(fitting, key=len, reverse=True)


def flatten(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Every path that leads somewhere, and where: ``flatten(m)[path] is resolve(m, path)``.

    A dict stands under its own path and its items under theirs. A dict under a top-level key that begins with ``_`` is
    an adapter's own, and only stands under its own path.
    """
    if _FLAT.issuperset(map(type, metadata.values())):
        return metadata
    paths: dict[str, Any] = {}
    for key in _longest_first(metadata):
        value = metadata[key]
        paths.setdefault(key, value)
        if isinstance(value, dict) and not key.startswith("_"):
            _descend(value, key, paths)
    return paths


def _descend(metadata: Mapping[str, Any], path: str, paths: dict[str, Any]) -> None:
    for key in _longest_first(metadata):
        inner, value = path + "." + key, metadata[key]
        paths.setdefault(inner, value)
        if isinstance(value, dict):
            _descend(value, inner, paths)


def _longest_first(metadata: Mapping[str, Any]) -> list[str]:
    """The keys in the order in which they win; without a dot in any of them no path has two meanings."""
    return sorted(metadata, key=len, reverse=True) if "." in "".join(metadata) else list(metadata)
