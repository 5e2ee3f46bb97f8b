"""What a language model is told of an index's metadata, to write filters: types and values are the index's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.filters import MISSING, resolve
from pixie_retrievers.ownership import Owner
from pixie_retrievers.retriever import SparseRetriever

__all__ = ["FieldInfo", "describe_fields"]

_MAX_LISTED = 20
_LOOKED_AT = 20  # documents, for a field's type
_TYPES = {bool: "boolean", int: "integer", float: "float", str: "string"}


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """A metadata field, as a model is told of it.

    Attributes:
        name: Its dotted path.
        type: ``"string"``, ``"integer"``, ``"float"``, ``"boolean"``, or ``"list"`` of these, as ``"list[string]"``.
        description: What it means, and its values where they are few, or the lowest and the highest number.
    """

    name: str
    type: str
    description: str


def describe_fields(source: SparseRetriever | Owner, fields: Mapping[str, str]) -> list[FieldInfo]:
    """The fields with their types and values.

    Args:
        source: An open facade, or what is built on one.
        fields: What each field means, in words, by its dotted path.

    Raises:
        InvalidParameterError: No document has a field, so that nothing is known of it.
    """
    retriever = source.sparse_retriever if isinstance(source, Owner) else source
    return [_described(retriever, name, meaning) for name, meaning in fields.items()]


def _described(retriever: SparseRetriever, name: str, meaning: str) -> FieldInfo:
    ids = retriever.ids(filter={name: {"$exists": True}}, limit=_LOOKED_AT)
    found = [resolve(document.metadata, name) for document in retriever.get(ids) if document is not None]
    type_ = _type_of([value for value in found if value is not MISSING and value is not None])
    if type_ is None:
        raise InvalidParameterError(
            f"nothing is known of the field {name!r}: no document has it, or the first that do have a dict there"
        )
    values = [value for value in retriever.facets(name) if value is not None]
    return FieldInfo(name, type_, " ".join(filter(None, [_as_sentence(meaning), _of_values(values)])))


def _type_of(values: list[Any]) -> str | None:
    is_list = any(isinstance(value, list) for value in values)
    plain = [one for value in values for one in (value if isinstance(value, list) else [value])]
    kinds = {_TYPES[type(one)] for one in plain if type(one) in _TYPES}
    if not kinds:
        return None
    kind = kinds.pop() if len(kinds) == 1 else "float" if kinds == {"integer", "float"} else "string"
    return f"list[{kind}]" if is_list else kind


def _as_sentence(words: str) -> str:
    words = words.strip()
    return words if not words or words[-1] in ".!?" else f"{words}."


def _of_values(values: list[Any]) -> str:
    if len(values) <= _MAX_LISTED:
        return f"One of: {', '.join(json.dumps(value, ensure_ascii=False) for value in values)}."
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return f"From {min(numbers)} to {max(numbers)}." if len(numbers) == len(values) else ""
