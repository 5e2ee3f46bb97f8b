"""What a server's index keeps beside its documents, by name: bytes, in a collection of their own beside the index's.

An attachment is stored in parts, each a document without terms. A number that is drawn for each writing stands in their
ids, so that what is there whole can be told from what somebody is writing, or did not come to the end of: of one name,
the last that is whole counts.
"""

from __future__ import annotations

import base64
import secrets
import threading
import time
import warnings
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import count
from typing import NamedTuple, Protocol

from pixie_retrievers.errors import (
    CorruptIndexError,
    EngineError,
    EngineUnavailableError,
    IncompatibleIndexError,
    IndexNotFoundError,
    PixieWarning,
)
from pixie_retrievers.index.documents import check_attachment
from pixie_retrievers.types import Document, SparseVectors

__all__ = ["RemoteAttachments"]

_FINGERPRINT = "attachments"
_LOOK_AGAIN_S = 5.0
_PART_BYTES = 1 << 20
_READS = 3
_NOT_OURS = (EngineError, IncompatibleIndexError)
"""What a collection raises that somebody else made, or may not be read."""


class _Parts(Protocol):
    """The collection of the parts: an index of their own."""

    def upsert(self, documents: Sequence[Document], vectors: SparseVectors) -> None: ...
    def delete(self, ids: Sequence[str]) -> int: ...
    def get(self, ids: Sequence[str]) -> list[Document | None]: ...
    def ids(self) -> list[str]: ...
    def drop(self) -> None: ...
    def close(self) -> None: ...


class _Kept(NamedTuple):
    stamp: int
    ids: list[str]


class RemoteAttachments(ABC):
    """An index on a server, with what is attached to it.

    Args:
        open_parts: Opens the collection of the parts, of the ``fingerprint`` that it is given; given a
            ``vocabulary_size`` too, begins it where there is none.
    """

    def __init__(self, open_parts: Callable[..., _Parts]) -> None:
        self._open_parts = open_parts
        self._parts: _Parts | None = None
        self._looking = threading.Lock()
        self._looked: tuple[float, dict[str, _Kept]] | None = None
        self._has_warned = False

    def attachments(self) -> dict[str, int]:
        """What is kept beside the documents: each name with a number that is another one after every change.

        What others change is seen within five seconds, or when the server can be reached again. An index whose
        attachments may not be read has none, and warns.

        Raises:
            EngineUnavailableError: The server cannot be reached, and has not told yet what there is.
        """
        self._check_open()
        looked = self._looked
        if looked is not None and time.monotonic() - looked[0] < _LOOK_AGAIN_S:
            return {name: kept.stamp for name, kept in looked[1].items()}
        if looked is not None:  # who else asks meanwhile gets what was there
            self._looked = time.monotonic(), looked[1]
        try:
            kept, _ = self._look()
        except EngineUnavailableError:
            if looked is None:
                raise
            kept = looked[1]
        except _NOT_OURS as error:
            kept = {}
            self._looked = time.monotonic(), kept
            self._warn(error)
        return {name: one.stamp for name, one in kept.items()}

    def attachment(self, name: str) -> bytes | None:
        """What is kept under a name; None where nothing is.

        Raises:
            CorruptIndexError: It does not verify.
            EngineUnavailableError, EngineError: The server cannot be reached, or refuses.
        """
        self._check_open()
        for reads in count(1):
            kept, _ = self._look()
            if name not in kept:
                return None
            assert self._parts is not None
            found = self._parts.get(kept[name].ids)
            parts = [part for part in found if part is not None]
            if len(parts) == len(found):
                return b"".join(_content(name, part) for part in parts)
            if reads == _READS:  # replaced meanwhile, that often?
                break
        raise CorruptIndexError(f"parts of the attachment {name!r} are listed and not there: attach it again")

    def attach(self, name: str, content: bytes | None) -> None:
        """Keep something under a name beside the documents; None removes it.

        What was there before counts until all of it is stored.

        Args:
            name: A short name.
            content: At most 256 MiB. It is copied with the documents.

        Raises:
            InvalidParameterError: The name or the content is not what it should be.
            EngineUnavailableError, EngineError: The server cannot be reached, or refuses, or somebody else wrote at the
                same time: what was there counts, or what they wrote.
        """
        check_attachment(name, content)
        self.check_writable()
        _, all_ids = self._look()
        if content is not None:
            if self._parts is None:
                self._parts = self._open_parts(vocabulary_size=1, fingerprint=_FINGERPRINT)
            pieces = [content[start : start + _PART_BYTES] for start in range(0, len(content), _PART_BYTES)] or [b""]
            stamp = secrets.randbelow(1 << 53)
            new = [
                Document(
                    f"{name} {stamp} {part} {len(pieces)}",
                    base64.b64encode(piece).decode(),
                    {"crc32": zlib.crc32(piece)},
                )
                for part, piece in enumerate(pieces)
            ]
            self._parts.upsert(new, SparseVectors.from_dicts([{}] * len(new), vocabulary_size=1))
        old = [id for id in all_ids if id.rsplit(" ", 3)[0] == name]
        if old and self._parts is not None:
            self._parts.delete(old)
        _, all_ids = self._look()
        if content is not None and not {part.id for part in new} <= set(all_ids):  # another writer's old ones
            raise EngineError(f"somebody else attached {name!r} at the same time: look what is there, and try again")

    @abstractmethod
    def check_writable(self) -> None:
        """Raise what a write would raise now."""

    @abstractmethod
    def _check_open(self) -> None: ...

    def _look(self) -> tuple[dict[str, _Kept], list[str]]:
        """What is there now, and the ids of all parts, whole or not."""
        with self._looking:
            try:
                if self._parts is None:
                    self._parts = self._open_parts(fingerprint=_FINGERPRINT)
                ids = self._parts.ids()
            except IndexNotFoundError:  # never begun, or dropped
                self._close_parts()
                ids = []
            kept = _whole(ids)
            self._looked = time.monotonic(), kept
            return kept, ids

    def _warn(self, error: Exception) -> None:
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"the rules and the query table of an index cannot be read, and searches go on without them: {error}",
                PixieWarning,
                stacklevel=4,
            )

    def _damaged_attachments(self) -> list[str]:
        """What is wrong with what is attached, a line each."""
        problems = []
        for name in sorted(self._look()[0]):
            try:
                self.attachment(name)
            except CorruptIndexError as error:
                problems.append(str(error))
        return problems

    def _drop_parts(self) -> None:
        try:
            self._look()
        except EngineUnavailableError:
            raise
        except _NOT_OURS:
            return
        if self._parts is not None:
            self._parts.drop()
        self._close_parts()

    def _close_parts(self) -> None:
        parts, self._parts = self._parts, None
        if parts is not None:
            parts.close()


def _whole(ids: Sequence[str]) -> dict[str, _Kept]:
    """Of each name the last writing of which every part is there."""
    found: dict[tuple[str, int], dict[int, str]] = {}
    sizes: dict[tuple[str, int], int] = {}
    for id in ids:
        name, stamp, part, n_parts = id.rsplit(" ", 3)
        writing = name, int(stamp)
        found.setdefault(writing, {})[int(part)] = id
        sizes[writing] = int(n_parts)
    return {
        name: _Kept(stamp, [parts[part] for part in sorted(parts)])
        for (name, stamp), parts in found.items()
        if len(parts) == sizes[name, stamp]
    }


def _content(name: str, part: Document) -> bytes:
    try:
        content = base64.b64decode(part.text, validate=True)
    except ValueError:
        content = b""
    if zlib.crc32(content) != part.metadata.get("crc32"):
        raise CorruptIndexError(f"the attachment {name!r} is damaged: attach it again")
    return content
