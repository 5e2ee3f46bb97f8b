"""The one function that opens an index, whichever engine keeps it."""

from __future__ import annotations

import os

from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.index.base import Index

__all__ = ["open_index"]


def open_index(location: str | os.PathLike[str], *, read_only: bool = False) -> Index:
    """Open the existing index at a path.

    Args:
        location: The path of an index file.
        read_only: Never take the writer lock.

    Raises:
        InvalidParameterError: The location is the URL of an engine that does not exist.
        IndexNotFoundError: Nothing is at the path.
    """
    from pixie_retrievers.index.sqlite.engine import SqliteIndex

    if isinstance(location, str) and "://" in location:
        scheme = location.partition("://")[0]
        raise InvalidParameterError(f"no index engine answers to '{scheme}://'; pass the path of an index file")
    return SqliteIndex(location, read_only=read_only)
