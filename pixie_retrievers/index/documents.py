"""What makes a document storable: checked before anything else happens, so that a bad one changes nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pixie_retrievers.errors import DuplicateIdError, InvalidDocumentError, InvalidTextError
from pixie_retrievers.parameters import check_whole_number
from pixie_retrievers.types import Document

__all__ = ["check_documents", "check_ids", "check_limit"]

_MAX_INT_BITS = 1024  # the whole numbers that a float reaches; JSON readers elsewhere stop there at the latest
_MAX_DEPTH = 100  # far above any real metadata, far below where the JSON reader gives up


def check_documents(documents: Sequence[Document]) -> None:
    """Hold every document of a batch to the contract of :class:`~pixie_retrievers.types.Document`.

    Raises:
        InvalidDocumentError: An id is not a string or is empty, or metadata is not plain JSON.
        InvalidTextError: A text is not a string, or holds a lone surrogate.
        DuplicateIdError: An id stands twice.
    """
    seen: set[str] = set()
    for position, document in enumerate(documents):
        if not isinstance(document, Document):
            raise InvalidDocumentError(f"item {position} is of type {type(document).__name__}, not a Document")
        _check_id(document.id, f"document {position}")
        where = f"document {document.id!r}"
        if document.id in seen:
            raise DuplicateIdError(f"{where} stands twice in one call: ids must be unique; keep one of the two")
        seen.add(document.id)
        if not isinstance(document.text, str):
            raise InvalidTextError(f"{where}: its text is of type {type(document.text).__name__}, not a string")
        if not _is_utf8(document.text):
            raise InvalidTextError(f"{where}: its text holds a lone surrogate; repair the decoding it came from")
        if not isinstance(document.metadata, Mapping):
            raise InvalidDocumentError(
                f"{where}: its metadata is of type {type(document.metadata).__name__}, not a dict"
            )
        _check_json(document.metadata, f"{where}: metadata", 0)


def check_ids(ids: Sequence[str]) -> None:
    """Hold ids that are looked up or deleted to the same rule.

    Raises:
        InvalidDocumentError: One is not a string or is empty, or ``ids`` itself is one string.
    """
    if isinstance(ids, str):
        raise InvalidDocumentError("ids is one string; pass a list of strings")
    for position, id in enumerate(ids):
        _check_id(id, f"id {position}")


def check_limit(limit: int | None) -> None:
    """Hold the length of a listing to being a length.

    Raises:
        InvalidParameterError: It is not a whole number of 0 or more, nor None.
    """
    check_whole_number("limit", limit, at_least=0, none_means="all")


def _check_id(id: Any, where: str) -> None:
    if not isinstance(id, str):
        raise InvalidDocumentError(f"{where}: the id is of type {type(id).__name__}, not a string")
    if not id:
        raise InvalidDocumentError(f"{where}: the id is empty")
    if not _is_utf8(id):
        raise InvalidDocumentError(f"{where}: the id holds a lone surrogate")


def _check_json(value: Any, where: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise InvalidDocumentError(f"{where} is nested deeper than {_MAX_DEPTH} levels, or holds itself")
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int):
        if value.bit_length() > _MAX_INT_BITS:  # never printed: Python refuses to print some
            raise InvalidDocumentError(f"{where} is a whole number of more than {_MAX_INT_BITS} bits")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidDocumentError(f"{where} is {value}, which JSON cannot hold")
    elif isinstance(value, str):
        if not _is_utf8(value):
            raise InvalidDocumentError(f"{where} holds a lone surrogate")
    elif isinstance(value, Mapping if depth == 0 else dict):
        for key, item in value.items():
            if not isinstance(key, str) or not _is_utf8(key):
                raise InvalidDocumentError(f"{where} has the key {key!r}; keys must be strings")
            _check_json(item, f"{where}[{key!r}]", depth + 1)
    elif isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            _check_json(item, f"{where}[{position}]", depth + 1)
    else:
        raise InvalidDocumentError(
            f"{where} is of type {type(value).__name__}; only JSON types are stored (str, int, float, bool, None, list,"
            " dict)"
        )


def _is_utf8(text: str) -> bool:
    # Far faster than a search for surrogates: ASCII texts answer at once, others encode at memory speed.
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
