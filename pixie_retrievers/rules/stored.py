"""The rules that an index holds, and the ones before them, so that a change can be undone."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from pixie_retrievers.errors import CorruptIndexError, InvalidParameterError
from pixie_retrievers.index.base import Index
from pixie_retrievers.rules.files import from_plain, to_plain
from pixie_retrievers.rules.rules import Rules

__all__ = ["StoredRules", "holds_rules", "undo", "write"]

_NAME = "rules"


@dataclass(frozen=True, slots=True)
class _Versions:
    current: Rules
    previous: Rules | None


_NONE = _Versions(Rules(), None)


class StoredRules:
    """Reads the rules of an index, once for each time that they change."""

    def __init__(self) -> None:
        self._read: tuple[int | None, Rules] = None, Rules()

    def of(self, index: Index) -> Rules:
        """The rules of the newest commit; none where the index holds none, or cannot.

        Raises:
            CorruptIndexError: What it holds are not rules.
            InvalidParameterError: They are in another program's format.
        """
        find = getattr(index, "attachments", None)
        stamp = None if find is None else find().get(_NAME)
        read, rules = self._read
        if stamp != read:
            rules = _parsed(_content(index)).current
            self._read = stamp, rules
        return rules


def holds_rules(index: Index) -> bool:
    """Whether an index has a place for rules; this package's own all do."""
    return hasattr(index, "attach")


def write(index: Index, rules: Rules, base: int | None = None) -> Rules:
    """Put rules into an index, in one commit, in place of those that it holds; they come back with their version.

    Args:
        index: Where to.
        rules: All of them.
        base: The version of the index's rules that these were made from; None where they take the place of any.

    Raises:
        InvalidParameterError: The index has no place for rules, or holds other ones by now than these were made from.
        IndexLockedError: Another writer holds the index.
    """
    _check(index)
    before = _parsed(_content(index)).current
    if base is not None and base != before.version:
        raise InvalidParameterError(
            f"the rules of the index were changed meanwhile: they are version {before.version}, and yours were made"
            f" from version {base}; nothing was written: make the change to those there are now"
        )
    numbered = replace(rules, version=before.version + 1)
    _attach(index, _Versions(numbered, before))
    return numbered


def undo(index: Index) -> Rules:
    """Put the rules back that were there before the last change, in one commit; undone twice, the change is there.

    Raises:
        InvalidParameterError: Nothing was changed yet, or the index has no place for rules.
        IndexLockedError: Another writer holds the index.
    """
    _check(index)
    versions = _parsed(_content(index))
    if versions.previous is None:
        raise InvalidParameterError("the rules of the index were never changed: there is nothing to undo")
    return write(index, versions.previous)


def _check(index: Index) -> None:
    if not holds_rules(index):
        raise InvalidParameterError(
            f"a {type(index).__name__} has no place for rules: keep them in a file, and pass its path as rules= at"
            " each call"
        )


def _content(index: Index) -> bytes | None:
    find = getattr(index, "attachment", None)
    content: bytes | None = None if find is None else find(_NAME)
    return content


def _attach(index: Any, versions: _Versions) -> None:
    previous = None if versions.previous is None else to_plain(versions.previous, with_ids=True)
    plain = {"current": to_plain(versions.current, with_ids=True), "previous": previous}
    index.attach(_NAME, json.dumps(plain, ensure_ascii=False).encode())


def _parsed(content: bytes | None) -> _Versions:
    if content is None:
        return _NONE
    try:
        plain = json.loads(content)
        previous = plain["previous"]
        return _Versions(from_plain(plain["current"]), None if previous is None else from_plain(previous))
    except InvalidParameterError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise CorruptIndexError(
            f"what the index holds under {_NAME!r} are not rules ({type(error).__name__}): set them anew"
        ) from error
