"""Which filters a page offers: the fields that documents have, and their values."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pixie_retrievers.filters import flatten

__all__ = ["Offer", "offers_of"]

_MAX_FIELDS = 8
_MAX_CHOICES = 40
_MAX_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Offer:
    """A field that can be filtered by.

    Attributes:
        field: Its dotted path.
        is_list: The field is a list, which must hold the value.
        choices: Its values as JSON text and as a person reads them, the most common first; empty for a range.
        low, high: The lowest and highest number, for a range.
    """

    field: str
    is_list: bool = False
    choices: tuple[tuple[str, str], ...] = ()
    low: float | None = None
    high: float | None = None


def offers_of(metadatas: Iterable[Mapping[str, Any]]) -> tuple[Offer, ...]:
    """The most common fields of some documents: those of few values as choices, numbers of many as ranges."""
    fields: dict[str, Counter[Any]] = {}
    lists: set[str] = set()
    for metadata in metadatas:
        for path, value in flatten(metadata).items():
            if not path.startswith("_") and len(path) <= _MAX_SHOWN:
                if isinstance(value, list):
                    lists.add(path)
                counted = fields.setdefault(path, Counter())
                counted.update(item for item in (value if isinstance(value, list) else [value]) if _is_plain(item))
    offers = []
    for path, values in sorted(fields.items(), key=lambda item: -item[1].total()):
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        if len(values) > _MAX_CHOICES and len(numbers) == len(values):
            offers.append(Offer(path, low=min(numbers), high=max(numbers)))
        elif 1 < len(values) <= _MAX_CHOICES:
            shown = [(json.dumps(value, ensure_ascii=False), str(value)) for value, _ in values.most_common()]
            offers.append(Offer(path, path in lists, tuple(shown)))
    return tuple(offers[:_MAX_FIELDS])


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float | bool) or (isinstance(value, str) and 0 < len(value) <= _MAX_SHOWN)
