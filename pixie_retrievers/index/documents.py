"""What makes a document storable: checked before anything else happens, so that a bad one changes nothing."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pixie_retrievers.errors import (
    DuplicateIdError,
    IncompatibleIndexError,
    InvalidDocumentError,
    InvalidParameterError,
    InvalidTextError,
    InvalidVectorError,
)
from pixie_retrievers.parameters import check_whole_number
from pixie_retrievers.types import Document, SparseVectors
from pixie_retrievers.types.plain import json_form

__all__ = [
    "check_attachment",
    "check_document",
    "check_documents",
    "check_ids",
    "check_page",
    "check_vectors",
    "content_id",
    "storable",
    "with_ids",
]

_MAX_INT_BITS = 1024  # the whole numbers that a float reaches; JSON readers elsewhere stop there at the latest
_MOST_ATTACHED_BYTES = 256 << 20
_MAX_DEPTH = 100  # far above any real metadata, far below where the JSON reader gives up


def check_documents(documents: Sequence[Document], *, start: int = 0) -> None:
    """Hold every document of a batch to the contract of :class:`~pixie_retrievers.types.Document`.

    Args:
        documents: The batch; metadata is plain JSON already (:func:`storable`).
        start: How many came before it, for the message that names one.

    Raises:
        InvalidDocumentError: An id is not a string or is empty, or metadata is not plain JSON.
        InvalidTextError: A text is not a string, or holds a lone surrogate.
        DuplicateIdError: An id stands twice.
    """
    seen: set[str] = set()
    for number, document in enumerate(documents, start=start + 1):
        if not isinstance(document, Document):
            raise InvalidDocumentError(
                f"item {number}, counted from 1, is of type {type(document).__name__}, not a Document"
            )
        try:
            check_document(document)
        except (InvalidDocumentError, InvalidTextError) as error:
            raise type(error)(f"{_described(document, number)}: {error}") from None
        if document.id in seen:
            raise DuplicateIdError(
                f"{_described(document, number)}: its id stands twice in one call: ids must be unique; keep one of"
                " the two"
            )
        seen.add(document.id)


def check_document(document: Document) -> None:
    """Hold one document to the contract; the message says what is wrong with it, and not which one it is.

    Raises:
        InvalidDocumentError, InvalidTextError: As :func:`check_documents`.
    """
    _check_id(document.id)
    _check_content(document)


def storable(documents: Iterable[Document], *, start: int = 0) -> list[Document]:
    """The documents as they are stored: their metadata in its JSON form, and checked.

    Args:
        documents: The batch.
        start: How many came before it, for the message that names one.

    Raises:
        InvalidDocumentError, InvalidTextError, DuplicateIdError: As :func:`check_documents`.
    """
    converted = [_converted(document) for document in documents]
    check_documents(converted, start=start)
    return converted


def with_ids(
    texts: Iterable[str],
    metadatas: Iterable[Mapping[str, Any]] | None = None,
    ids: Iterable[str | None] | None = None,
) -> list[Document]:
    """Documents from loose texts; an id that is missing is made from the content, and numbered where that is the same.

    Raises:
        InvalidParameterError: ``metadatas`` or ``ids`` is of another length than ``texts``.
        InvalidDocumentError, InvalidTextError: Something without an id has a content that cannot be stored.
    """
    if isinstance(texts, str):
        raise InvalidTextError("texts is one string; pass a list of strings")
    texts = list(texts)
    metadata_list = [{} for _ in texts] if metadatas is None else list(metadatas)
    id_list: list[str | None] = [None] * len(texts) if ids is None else list(ids)
    for name, values in (("metadatas", metadata_list), ("ids", id_list)):
        if len(values) != len(texts):
            raise InvalidParameterError(f"{len(texts)} texts but {len(values)} {name}; pass one a text")
    n_copies: dict[str, int] = {}
    documents = []
    for number, (text, metadata, id) in enumerate(zip(texts, metadata_list, id_list, strict=True), start=1):
        document = _converted(Document("" if id is None else id, text, metadata))
        if id is None:
            try:
                _check_content(document)  # only sound content has an id
            except (InvalidDocumentError, InvalidTextError) as error:
                raise type(error)(f"{_described(document, number)}: {error}") from None
            key = content_id(text, document.metadata)
            n_copies[key] = n_copies.get(key, 0) + 1
            document = replace(document, id=key if n_copies[key] == 1 else f"{key}-{n_copies[key]}")
        documents.append(document)
    return documents


def content_id(text: str, metadata: Mapping[str, Any]) -> str:
    """An id made of the content alone: 32 hexadecimal digits of a SHA-256 over text and metadata."""
    content = json.dumps([text, json_form(metadata)], ensure_ascii=True, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def check_ids(ids: Iterable[str]) -> list[str]:
    """Hold ids that are looked up or deleted to the same rule; return them as a list: an iterator gives them once.

    Raises:
        InvalidDocumentError: One is not a string or is empty, or ``ids`` itself is one string.
    """
    if isinstance(ids, str):
        raise InvalidDocumentError("ids is one string; pass a list of strings")
    try:
        ids = list(ids)
    except TypeError:
        raise InvalidDocumentError(f"ids is of type {type(ids).__name__}; pass a list of strings") from None
    if set(map(type, ids)) == {str} and all(ids) and _is_utf8("".join(ids)):
        return ids  # thousands are common: checked in one go
    for position, id in enumerate(ids):
        try:
            _check_id(id)
        except InvalidDocumentError as error:
            raise InvalidDocumentError(f"id {position}: {error}") from None
    return ids


def check_vectors(vectors: SparseVectors, vocabulary_size: int, location: object) -> None:
    """Hold vectors to being some, over the vocabulary of the index at a location.

    Raises:
        InvalidVectorError: They are something else.
        IncompatibleIndexError: They are over another vocabulary.
    """
    if not isinstance(vectors, SparseVectors):
        raise InvalidVectorError(f"the vectors are of type {type(vectors).__name__}; pass SparseVectors")
    if vectors.vocabulary_size != vocabulary_size:
        raise IncompatibleIndexError(
            f"{location} is over {vocabulary_size} terms, the vectors over {vectors.vocabulary_size}: encode with the"
            " model that the index was built with"
        )


def check_page(limit: int | None, offset: int) -> slice:
    """Hold a part of a listing to being one; return which part it is.

    Raises:
        InvalidParameterError: One is not a whole number of 0 or more; the limit may be None.
    """
    check_whole_number("limit", limit, at_least=0, none_means="all")
    check_whole_number("offset", offset, at_least=0)
    return slice(offset, None if limit is None else offset + limit)


def _converted(document: Document) -> Document:
    if not isinstance(document, Document) or not isinstance(document.metadata, Mapping):
        return document
    return Document(document.id, document.text, json_form(document.metadata))


def _check_id(id: Any) -> None:
    if not isinstance(id, str):
        raise InvalidDocumentError(f"the id is of type {type(id).__name__}, not a string")
    if not id:
        raise InvalidDocumentError("the id is empty")
    if not _is_utf8(id):
        raise InvalidDocumentError("the id holds a lone surrogate")


def _check_content(document: Document) -> None:
    if not isinstance(document.text, str):
        raise InvalidTextError(f"its text is of type {type(document.text).__name__}, not a string")
    if not _is_utf8(document.text):
        raise InvalidTextError("its text holds a lone surrogate; repair the decoding it came from")
    if not isinstance(document.metadata, Mapping):
        raise InvalidDocumentError(f"its metadata is of type {type(document.metadata).__name__}, not a dict")
    _check_json(document.metadata, "metadata", 0)


def _described(document: Document, number: int) -> str:
    """A document by what finds it again: its place in the call, its id, and how its metadata begins."""
    told = [f"id {_shown(document.id)}"] if document.id else []
    if isinstance(document.metadata, Mapping):
        own = [item for item in document.metadata.items() if not str(item[0]).startswith("_")]  # a program's own
        parts = [f"{_shown(key)}: {_shown(value)}" for key, value in own[:3]]
        if parts:
            told.append("metadata {" + ", ".join(parts) + (", ..." if len(own) > 3 else "") + "}")
    return f"document {number}, counted from 1" + (f" ({', '.join(told)})" if told else "")


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:40] + "...")
    is_short = value is None or isinstance(value, (bool, float)) or (type(value) is int and abs(value) < 10**18)
    return repr(value) if is_short else f"<{type(value).__name__}>"


def check_attachment(name: str, content: bytes | None) -> None:
    """Refuse what cannot be kept beside documents.

    Raises:
        InvalidParameterError: The name is not a short name, or the content is not bytes or too many of them.
    """
    if not isinstance(name, str) or not name.isascii() or not 0 < len(name) <= 64:
        raise InvalidParameterError(f"an attachment is called {name!r}: pass a name of 1 to 64 ASCII characters")
    if content is not None and not isinstance(content, bytes):
        raise InvalidParameterError(f"the attachment {name!r} is of type {type(content).__name__}: pass bytes, or None")
    if content is not None and len(content) > _MOST_ATTACHED_BYTES:
        raise InvalidParameterError(
            f"the attachment {name!r} has {len(content)} bytes; an index takes {_MOST_ATTACHED_BYTES} at most"
        )


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
            " dict); SparseRetriever converts numpy's scalars, dates and times, UUID, Decimal, Enum and Path"
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
