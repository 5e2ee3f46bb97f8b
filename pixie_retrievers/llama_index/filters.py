"""LlamaIndex's ``MetadataFilters`` in the package's own filter language; pure.

Where LlamaIndex's own evaluation has an answer, this one gives the same: ``NOT`` holds when none of its filters does,
``!=`` and ``nin`` pass a node without the field, ``is_empty`` means missing, null, ``""`` or ``[]``. The differences,
with their reasons, stand in docs/llama-index.md, and tests/property/test_llama_index_filters.py holds them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

from pixie_retrievers.errors import FilterError
from pixie_retrievers.filters import Filter, parse_filter
from pixie_retrievers.llama_index.nodes import STORED_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["NodeFilter", "translate"]

NodeFilter: TypeAlias = MetadataFilters | MetadataFilter | Filter
"""What a user may write: LlamaIndex's filters, the package's filter dict, or a callable on a node's metadata."""

_SAME_MEANING = {
    FilterOperator.EQ: "$eq",
    FilterOperator.NE: "$ne",
    FilterOperator.GT: "$gt",
    FilterOperator.GTE: "$gte",
    FilterOperator.LT: "$lt",
    FilterOperator.LTE: "$lte",
    FilterOperator.IN: "$in",
    FilterOperator.NIN: "$nin",
    FilterOperator.CONTAINS: "$contains",
}
_OVER_TEXT = {FilterOperator.TEXT_MATCH: "$contains", FilterOperator.TEXT_MATCH_INSENSITIVE: "$text"}
_OVER_VALUES = {FilterOperator.ANY: "$or", FilterOperator.ALL: "$and"}


def translate(filters: NodeFilter | None) -> Filter | None:
    """The same filter for :meth:`SparseRetriever.search`; None where nothing is asked for.

    Raises:
        FilterError: The filter means nothing: an unknown operator, or a value of the wrong kind for it.
    """
    if isinstance(filters, MetadataFilter):
        filters = MetadataFilters(filters=[filters])
    if isinstance(filters, MetadataFilters):
        filters = _group(filters)
    if filters is None:
        return None
    parse_filter(filters)  # a mistake shows where it is made, not at the first query
    return _on_own_metadata(filters) if callable(filters) else filters


def _group(filters: MetadataFilters) -> dict[str, Any] | None:
    """The parts joined by their condition; a group of nothing asks for nothing."""
    parts = [
        part
        for item in filters.filters
        if (part := _group(item) if isinstance(item, MetadataFilters) else _single(item)) is not None
    ]
    if not parts:
        return None
    if filters.condition == FilterCondition.NOT:
        return {"$not": {"$or": parts}}
    return {"$or" if filters.condition == FilterCondition.OR else "$and": parts}


def _single(item: MetadataFilter) -> dict[str, Any]:
    key, operator, value = item.key, item.operator, item.value
    where = f"in the filter on {key!r}: '{operator.value}'"
    if key.startswith("$"):
        raise FilterError(f"the metadata key {key!r} cannot be filtered on: names that begin with $ are operators")
    if value is None and operator in (FilterOperator.EQ, FilterOperator.NE):  # LlamaIndex: never, and always
        has_one = {key: {"$exists": True, "$ne": None}}
        return has_one if operator == FilterOperator.NE else {"$not": has_one}
    if operator in _SAME_MEANING:
        return {key: {_SAME_MEANING[operator]: value}}
    if operator in _OVER_TEXT:
        if not isinstance(value, str):
            raise FilterError(f"{where} takes a string, not {type(value).__name__}")
        return {key: {_OVER_TEXT[operator]: value}}
    if operator in _OVER_VALUES:
        if not isinstance(value, list):
            raise FilterError(f"{where} takes a list of values, not {type(value).__name__}")
        if not value:  # any of nothing never holds; all of nothing holds wherever the field has a value
            return {key: {"$in": []}} if operator == FilterOperator.ANY else {key: {"$exists": True, "$ne": None}}
        return {_OVER_VALUES[operator]: [{key: {"$contains": one}} for one in value]}
    if operator == FilterOperator.IS_EMPTY:
        return {"$or": [{key: {"$exists": False}}, {key: {"$in": [None, "", []]}}]}
    raise FilterError(f"{where} is not an operator that this package knows")


def _on_own_metadata(
    predicate: Callable[[Mapping[str, Any]], bool],
) -> Callable[[Mapping[str, Any]], bool]:
    """The predicate, shown a node's metadata without what the adapter stores beside it."""
    return lambda metadata: predicate({key: value for key, value in metadata.items() if key not in STORED_KEYS})
