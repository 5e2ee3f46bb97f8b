"""Opening an index, whichever engine keeps it; and what a location says before it is opened."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from pixie_retrievers.errors import IndexNotFoundError, InvalidParameterError
from pixie_retrievers.index.base import Index
from pixie_retrievers.index.remote.location import Location, is_url

__all__ = [
    "begin_index",
    "check_weights",
    "names_no_file",
    "open_if_there",
    "open_index",
    "remove_index",
    "without_credentials",
]

_ENGINES = {
    "opensearch": "OpenSearchEngine",
    "elasticsearch": "ElasticsearchEngine",
    "milvus": "MilvusEngine",
    "qdrant": "QdrantEngine",
}
"""The engines beyond one machine: each in a module of its name."""


def open_index(location: str | os.PathLike[str], *, read_only: bool = False, client: Any = None) -> Index:
    """Open an existing index.

    Args:
        location: The path of an index file, or the URL of an index that a server keeps:
            ``opensearch+https://host:9200/name``, ``elasticsearch+https://host:9200/name``,
            ``milvus+http://host:19530/name``, ``milvus+file:///path/x.db#name``, ``qdrant+http://host:6333/name``;
            several hosts by commas. Options stand in the query string: ``timeout_s`` (how long a call tries again what
            may pass, 60), ``request_timeout_s`` (10), ``verify=false`` and ``ca`` (certificates), ``shards`` and
            ``replicas`` (of a new index). Credentials stand in the URL, or in the environment, as
            ``PIXIE_OPENSEARCH_USER`` and ``PIXIE_OPENSEARCH_PASSWORD``, or belong to the client.
        read_only: Refuse to write.
        client: An official client of the engine, made by the caller, who closes it; None makes one.

    Raises:
        InvalidParameterError: The location is not a path and not the URL of an engine that there is.
        IndexNotFoundError: Nothing is there.
        OptionalDependencyError: The engine's client is not installed.
        EngineUnavailableError, EngineError: The server cannot be reached, or refuses.
    """
    return _opened(location, client=client, read_only=read_only)


def begin_index(
    location: str | os.PathLike[str],
    *,
    vocabulary_size: int | None,
    fingerprint: str | None,
    weights: str | None = None,
) -> Index:
    """Open an index, or begin a new one where there is none.

    Args:
        location: As for :func:`open_index`.
        vocabulary_size: The number of terms; None for what an existing index has.
        fingerprint: The identity of the encoder; the same.
        weights: The format of the stored weights; None for "float32", or what an existing index has.

    Raises:
        IncompatibleIndexError: There is one, of another encoder or format.
        InvalidParameterError, OptionalDependencyError, EngineError: As for :func:`open_index`.
    """
    return _opened(location, vocabulary_size=vocabulary_size, fingerprint=fingerprint, weights=weights)


def check_weights(weights: str | None) -> None:
    """Refuse what is not a format of weights.

    Raises:
        InvalidParameterError: There is no such format.
    """
    from pixie_retrievers.index.sqlite.manifest import WEIGHT_FORMATS

    if weights is not None and weights not in WEIGHT_FORMATS:
        raise InvalidParameterError(f"weights is {weights!r}; choose one of {', '.join(WEIGHT_FORMATS)}")


def open_if_there(
    location: str | os.PathLike[str], *, read_only: bool = False, weights: str | None = None
) -> Index | None:
    """Open the index at a location; None where there is none. A file without content is a place for a new one.

    Args:
        location, read_only: As for :func:`open_index`.
        weights: As for :func:`begin_index`.

    Raises:
        IncompatibleIndexError: There is one, with weights of another format.
        EngineUnavailableError, EngineError: A server cannot be reached, or refuses.
    """
    from pixie_retrievers.index.sqlite.files import is_begun

    if not is_url(path := _path_of(location)):
        try:
            if not is_begun(Path(path)):
                return None
        except (OSError, ValueError, TypeError):  # beginning one there says what is wrong with the path
            return None
    try:
        return _opened(location, read_only=read_only, weights=weights)
    except IndexNotFoundError:
        return None


def without_credentials(location: str | os.PathLike[str]) -> str:
    """A location as it may be shown."""
    path = os.fspath(location)
    return str(Location.parse(path)) if is_url(_path_of(path)) else path


def names_no_file(path: str | os.PathLike[str] | None) -> bool:
    """Whether a path stands for a temporary index: None, or what other stores call a database without a file."""
    return path is None or (isinstance(path, (str, os.PathLike)) and os.fspath(path) == ":memory:")


def remove_index(index: Index, directory: str, process_id: int) -> None:
    """Close and remove a temporary index, unless this is a forked worker that ends: the directory is its parent's."""
    if os.getpid() == process_id:
        index.close()
        shutil.rmtree(directory, ignore_errors=True)


def _opened(
    location: str | os.PathLike[str], *, client: Any = None, weights: str | None = None, **options: Any
) -> Index:
    from pixie_retrievers.index.remote.index import RemoteIndex
    from pixie_retrievers.index.sqlite.engine import SqliteIndex

    path = _path_of(location)
    if not is_url(path):
        if client is not None:
            raise InvalidParameterError("a client stands beside the path of a file: pass the URL of its server's index")
        return SqliteIndex(path, weights=weights, **options)
    if weights not in (None, "float32"):
        raise InvalidParameterError(f"weights is {weights!r}; a server's index stores them exactly: leave weights out")
    where = Location.parse(os.fspath(path))
    timeout_s = where.number("timeout_s")
    if timeout_s is not None:
        options["timeout_s"] = timeout_s
    return RemoteIndex(_connecting(where, client), **options)


def _connecting(where: Location, client: Any) -> Callable[[], Any]:
    if where.engine not in _ENGINES:
        raise InvalidParameterError(
            f"no index engine answers to '{where.engine}+{where.transport}://'; there are {', '.join(_ENGINES)}, and"
            " the path of a file"
        )
    module = import_module(f"pixie_retrievers.index.remote.{where.engine}")
    return partial(getattr(module, _ENGINES[where.engine]), where, client)


def _path_of(location: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """The location, less the ``sqlite:///`` before a path; ``sqlite:////`` stands before one from the root."""
    return location.removeprefix("sqlite:///") if isinstance(location, str) else location
