"""Ids and sources as they are typed, found as they are stored: macOS takes composed letters apart."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pixie_retrievers.errors import DocumentNotFoundError
from pixie_retrievers.files.fields import composed

if TYPE_CHECKING:
    from pixie_retrievers.index.base import Index
    from pixie_retrievers.types import Document

__all__ = ["composed_sources", "stored_documents", "stored_ids"]


def stored_ids(index: Index, ids: Sequence[str]) -> list[str]:
    """Each id in the form in which the index has it: as given, composed (NFC) or taken apart (NFD)."""
    forms = [list(dict.fromkeys([id, composed(id), unicodedata.normalize("NFD", id)])) for id in ids]
    known = {form for its in forms for form in its if form}
    there = {document.id for document in index.get(sorted(known)) if document is not None}
    return [next((form for form in its if form in there), its[0]) for its in forms]


def stored_documents(index: Index, ids: Sequence[str], *, where: str) -> list[Document]:
    """The document under each id, in whatever form the id is written.

    Raises:
        DocumentNotFoundError: There is none; found out before a model is loaded.
    """
    found = []
    for id, document in zip(ids, index.get(stored_ids(index, ids)), strict=True):
        if document is None:
            raise DocumentNotFoundError(f"{where} holds no document with id {id!r}")
        found.append(document)
    return found


def composed_sources(filter: dict[str, Any]) -> dict[str, Any]:
    """A filter whose sources are composed, as `pixie index` stores them."""
    return {
        key: _composed_values(value) if key == "source" else _inside(value) if key.startswith("$") else value
        for key, value in filter.items()
    }


def _inside(value: Any) -> Any:
    if isinstance(value, list):
        return [_inside(part) for part in value]
    return composed_sources(value) if isinstance(value, dict) else value


def _composed_values(value: Any) -> Any:
    if isinstance(value, str):
        return composed(value)
    if isinstance(value, list):
        return [_composed_values(one) for one in value]
    return {key: _composed_values(one) for key, one in value.items()} if isinstance(value, dict) else value
