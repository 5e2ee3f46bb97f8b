"""Opening an index, whichever engine keeps it; and what a path says before it is opened."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.index.base import Index

__all__ = ["is_there", "names_no_file", "open_index", "remove_index"]


def open_index(location: str | os.PathLike[str], *, read_only: bool = False) -> Index:
    """Open the existing index at a path.

    Args:
        location: The path of an index file.
        read_only: Refuse to write.

    Raises:
        InvalidParameterError: The location is the URL of an engine that does not exist.
        IndexNotFoundError: Nothing is at the path.
    """
    from pixie_retrievers.index.sqlite.engine import SqliteIndex

    if isinstance(location, str) and "://" in location:
        scheme = location.partition("://")[0]
        raise InvalidParameterError(f"no index engine answers to '{scheme}://'; pass the path of an index file")
    return SqliteIndex(location, read_only=read_only)


def is_there(path: str | os.PathLike[str]) -> bool:
    """Whether something is at a path that opening it would read; a file without content is a place for a new index."""
    from pixie_retrievers.index.sqlite.files import is_begun

    try:
        return is_begun(Path(path))
    except (OSError, ValueError, TypeError):  # opening it says what is wrong with the path
        return False


def names_no_file(path: str | os.PathLike[str] | None) -> bool:
    """Whether a path stands for a temporary index: None, or what other stores call a database without a file."""
    return path is None or (isinstance(path, (str, os.PathLike)) and os.fspath(path) == ":memory:")


def remove_index(index: Index, directory: str, process_id: int) -> None:
    """Close and remove a temporary index, unless this is a forked worker that ends: the directory is its parent's."""
    if os.getpid() == process_id:
        index.close()
        shutil.rmtree(directory, ignore_errors=True)
