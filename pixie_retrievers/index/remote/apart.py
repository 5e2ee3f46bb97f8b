"""Storing a batch in an engine that takes all of it or nothing: what is refused is found by halves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pixie_retrievers.errors import EngineError
from pixie_retrievers.index.remote.engine import Written
from pixie_retrievers.index.remote.records import Record

__all__ = ["RefusedError", "store_apart"]


class RefusedError(EngineError):
    """The engine does not take what it was sent, and would not take it again."""


def store_apart(records: Sequence[Record], send: Callable[[Sequence[Record]], None]) -> Written:
    """Store what the engine takes.

    Args:
        records: Some records.
        send: Stores all of them, or raises RefusedError and stores none.
    """
    try:
        send(records)
    except RefusedError as error:
        if len(records) == 1:
            return Written({records[0].key: str(error)}, {})
        half = len(records) // 2
        parts = [store_apart(part, send) for part in (records[:half], records[half:])]
        return Written({**parts[0].refused, **parts[1].refused}, {})
    return Written({}, {})
