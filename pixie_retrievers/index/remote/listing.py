"""All documents in the order of insertion, from an engine that cannot sort: their keys first, then page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pixie_retrievers.index.remote.engine import Page
from pixie_retrievers.index.remote.records import Stored

__all__ = ["next_page"]

_PAGE = 250


def next_page(
    rest: Any,
    read_all: Callable[[], Iterable[tuple[int, str]]],
    fetch: Callable[[Sequence[str]], Iterable[Stored | None]],
) -> Page:
    """The next documents; about 100 bytes a document are held from the first page to the last.

    Args:
        rest: What the page before said; None at the beginning.
        read_all: Reads the ``seq`` and the key of every document, in any order.
        fetch: Reads the documents under some keys; None for one that is gone meanwhile.
    """
    keys, start = ([key for _, key in sorted(read_all())], 0) if rest is None else rest
    end = start + _PAGE
    rows = [stored for stored in fetch(keys[start:end]) if stored is not None] if keys else []
    return Page(rows, (keys, end) if end < len(keys) else None)
