"""Every error the package raises on purpose, in one tree.

    PixieError
    ├── InvalidTextError(ValueError)          text that no encoder or store can take
    ├── InvalidVectorError(ValueError)        sparse vectors that break their contract
    ├── InvalidDocumentError(ValueError)      an id or metadata that cannot be stored
    ├── InvalidParameterError(ValueError)     an argument out of its range
    ├── DuplicateIdError(ValueError)          one id twice in one call
    ├── FilterError(ValueError)               a metadata filter that means nothing
    ├── DocumentNotFoundError(KeyError)       no document under that id
    ├── IndexNotFoundError(FileNotFoundError) no index at that path
    ├── IndexClosedError                      a handle used after close, an error or a fork
    ├── IndexLockedError                      another writer holds the index
    ├── CorruptIndexError                     stored bytes that do not verify
    ├── IncompatibleIndexError                sound, but of another model, vocabulary or format
    ├── StorageError(OSError)                 the file system refused
    │   └── StorageFullError                  ... because there is no space left
    ├── EngineError                           the server that keeps an index refused
    │   ├── EngineUnavailableError(ConnectionError)  ... or cannot be reached
    │   └── PartialWriteError                 ... some documents of a call
    ├── ModelUnavailableError                 the model could not be found or fetched
    ├── UnsafeModelError                      loading the model would run foreign code
    ├── DeviceUnavailableError                the device asked for is not on this machine
    └── OptionalDependencyError(ImportError)  an extra that is not installed

``PixieWarning(UserWarning)`` stands beside the tree: something that works, and is hardly what was meant.

Misuse (the ``ValueError`` branch) is raised before any state changes. A message says what is wrong, where, and what to
do next; it never quotes a document's text.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "CorruptIndexError",
    "DeviceUnavailableError",
    "DocumentNotFoundError",
    "DuplicateIdError",
    "EngineError",
    "EngineUnavailableError",
    "FilterError",
    "IncompatibleIndexError",
    "IndexClosedError",
    "IndexLockedError",
    "IndexNotFoundError",
    "InvalidDocumentError",
    "InvalidParameterError",
    "InvalidTextError",
    "InvalidVectorError",
    "ModelUnavailableError",
    "OptionalDependencyError",
    "PartialWriteError",
    "PixieError",
    "PixieWarning",
    "StorageError",
    "StorageFullError",
    "UnsafeModelError",
]


class PixieError(Exception):
    """The root of the tree: ``except PixieError`` catches all that the package raises on purpose."""


class InvalidTextError(PixieError, ValueError):
    """A text is not a string, or holds a lone surrogate that UTF-8 cannot carry."""


class InvalidVectorError(PixieError, ValueError):
    """Sparse vectors break their contract: order, range, finiteness or shape."""


class InvalidDocumentError(PixieError, ValueError):
    """A document's id or metadata cannot be stored."""


class InvalidParameterError(PixieError, ValueError):
    """An argument is out of its range."""


class DuplicateIdError(PixieError, ValueError):
    """The same document id stands twice in one call."""


class FilterError(PixieError, ValueError):
    """A metadata filter has an unknown operator or an operand of the wrong kind."""


class DocumentNotFoundError(PixieError, KeyError):
    """There is no document under an id that was asked for."""

    __str__ = Exception.__str__  # a KeyError shows its message in quotation marks


class IndexNotFoundError(PixieError, FileNotFoundError):
    """There is no index at the path, and nothing says which vocabulary a new one would have."""


class IndexClosedError(PixieError):
    """The handle was closed, met a storage error, or came through a fork: open the index again."""


class IndexLockedError(PixieError):
    """Another writer holds the index; readers are never refused."""


class CorruptIndexError(PixieError):
    """Stored bytes do not verify. The file is left as it is."""


class IncompatibleIndexError(PixieError):
    """The index is sound but belongs to another model, vocabulary, weight format or program."""


class StorageError(PixieError, OSError):
    """The file system refused an operation."""


class StorageFullError(StorageError):
    """No space is left; the last commit stays intact and searchable."""


class EngineError(PixieError):
    """The server that keeps an index refused: no permission, a block on writes, a mapping that is not ours."""


class EngineUnavailableError(EngineError, ConnectionError):
    """The server that keeps an index, or a part of it, cannot be reached."""


class PartialWriteError(EngineError):
    """Some documents of a call are stored, and others are not; the same call may be made again.

    Attributes:
        reasons: Why a document is not stored, by its id.
    """

    def __init__(self, message: str, reasons: Mapping[str, str]) -> None:
        super().__init__(message, reasons)
        self.reasons = dict(reasons)

    def __str__(self) -> str:
        return str(self.args[0])

    @classmethod
    def of(cls, location: str, reasons: Mapping[str, str], n_documents: int) -> PartialWriteError:
        """The error of a call that passed ``n_documents``."""
        first = next(iter(reasons))
        return cls(
            f"{len(reasons)} of {n_documents} documents were not stored in {location}; the first, {first!r}, because:"
            f" {reasons[first]}. The error's `reasons` has all; store these again when that is mended",
            reasons,
        )


class ModelUnavailableError(PixieError):
    """The model is neither a folder, nor in the local cache, nor reachable on the hub."""


class UnsafeModelError(PixieError):
    """Loading the model would run code or unpickle data that came with it, or its tokenizer breaks down."""


class DeviceUnavailableError(PixieError):
    """The device that was asked for is not on this machine."""


class OptionalDependencyError(PixieError, ImportError):
    """An optional package is missing; the message holds the install command."""

    @classmethod
    def of(cls, what: str, package: str, install: str | None = None) -> OptionalDependencyError:
        """The error of what needs a package: ``install`` is what pip is given, the package itself if left out."""
        return cls(f"{what} needs {package}, which is not installed: pip install {install or package}")


class PixieWarning(UserWarning):
    """Something works, but hardly as it was meant; the message says what to change."""
