"""PixieTranslator: filters that a language model wrote, for LangChain's SelfQueryRetriever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.structured_query import Comparator, Operator, Visitor

from pixie_retrievers.errors import FilterError
from pixie_retrievers.field_info import describe_fields
from pixie_retrievers.filters import Filter, parse_filter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_core.structured_query import Comparison, Operation, StructuredQuery

    from pixie_retrievers.ownership import Owner
    from pixie_retrievers.retriever import SparseRetriever

__all__ = ["PixieTranslator", "attribute_info"]

_SAME_MEANING = {
    Comparator.EQ: "$eq",
    Comparator.NE: "$ne",
    Comparator.GT: "$gt",
    Comparator.GTE: "$gte",
    Comparator.LT: "$lt",
    Comparator.LTE: "$lte",
    Comparator.CONTAIN: "$contains",
}
_OF_LISTS = {Comparator.IN: "$in", Comparator.NIN: "$nin"}
_ANY = "%"


class PixieTranslator(Visitor):
    """Translates a ``StructuredQuery`` for a :class:`~pixie_retrievers.langchain.PixieVectorStore`.

    Every comparator and operator is known. ``like`` finds a part of a text whatever the letter case, ``%`` at both ends
    or at neither; a pattern that asks for more is refused. ``in`` and ``nin`` with one value mean a list of it, ``not``
    over several that none of them holds, and a date its ISO 8601 text, as dates are stored.

    Args:
        filter: Holds beside whatever the model writes: a wall between tenants. A ``filter`` among the retriever's own
            ``search_kwargs`` does not: LangChain puts the model's in its place.

    Example:
        >>> from langchain_core.structured_query import Comparator, Comparison, StructuredQuery
        >>> from pixie_retrievers.langchain import PixieTranslator
        >>> written = StructuredQuery("위성", Comparison(Comparator.GTE, "year", 2020))
        >>> PixieTranslator().visit_structured_query(written)
        ('위성', {'filter': {'year': {'$gte': 2020}}})

    Raises:
        FilterError: The filter means nothing.
    """

    allowed_comparators: Sequence[Comparator] | None = (*_SAME_MEANING, Comparator.LIKE, *_OF_LISTS)
    allowed_operators: Sequence[Operator] | None = (Operator.AND, Operator.OR, Operator.NOT)

    def __init__(self, *, filter: Filter | None = None) -> None:
        if filter is not None:
            parse_filter(filter)
        self._filter = filter

    def visit_operation(self, operation: Operation) -> dict[str, Any]:
        """Several parts joined.

        Raises:
            FilterError: There are none, or the operator is unknown.
        """
        parts = [part.accept(self) for part in operation.arguments]
        if not parts:
            raise FilterError(f"the model wrote '{operation.operator.value}' over nothing")
        if operation.operator is Operator.NOT:
            return {"$not": parts[0] if len(parts) == 1 else {"$or": parts}}
        if operation.operator not in (Operator.AND, Operator.OR):
            raise FilterError(f"the operator '{operation.operator.value}' is not one that this package knows")
        return {f"${operation.operator.value}": parts}

    def visit_comparison(self, comparison: Comparison) -> dict[str, Any]:
        """One field.

        Raises:
            FilterError: The comparator is unknown, or the value is of the wrong kind for it.
        """
        field, comparator, value = comparison.attribute, comparison.comparator, _plain(comparison.value)
        where = f"the model's filter on {field!r}: '{comparator.value}'"
        if field.startswith("$"):
            raise FilterError(f"{where} cannot be asked for: names that begin with $ are operators")
        if comparator in _SAME_MEANING:
            return {field: {_SAME_MEANING[comparator]: value}}
        if comparator in _OF_LISTS:
            return {field: {_OF_LISTS[comparator]: value if isinstance(value, list) else [value]}}
        if comparator is Comparator.LIKE:
            return {field: {"$text": _part_of_text(value, where)}}
        raise FilterError(f"{where} is not a comparator that this package knows")

    def visit_structured_query(self, structured_query: StructuredQuery) -> tuple[str, dict[str, Any]]:
        """What to search for, and the keyword arguments of the search.

        Raises:
            FilterError: The filter means nothing.
        """
        written = None if structured_query.filter is None else structured_query.filter.accept(self)
        parts = [part for part in (self._filter, written) if part is not None]
        if not parts:
            return structured_query.query, {}
        both = parts[0] if len(parts) == 1 else {"$and": parts}
        parse_filter(both)  # a mistake of the model's shows here, and not as one of the store's
        return structured_query.query, {"filter": both}


def attribute_info(source: SparseRetriever | Owner, fields: Mapping[str, str]) -> list[dict[str, str]]:
    """What a model is told of metadata, as ``SelfQueryRetriever.from_llm`` takes it: types and values are the index's.

    Args:
        source: An open facade, or what is built on one, as PixieVectorStore.
        fields: What each field means, in words, by its dotted path.

    Returns:
        ``{"name", "description", "type"}`` for each field, in order; where a field has few values, the description
        lists them.

    Raises:
        InvalidParameterError: No document has a field.
    """
    return [
        {"name": one.name, "description": one.description, "type": one.type} for one in describe_fields(source, fields)
    ]


def _plain(value: Any) -> Any:
    """A value as JSON has it: LangChain's parser writes a date as ``{"date": "2024-05-01", "type": "date"}``."""
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict) and value.get("type") in ("date", "datetime") and value["type"] in value:
        return value[value["type"]]
    return value


def _part_of_text(pattern: Any, where: str) -> str:
    if not isinstance(pattern, str):
        raise FilterError(f"{where} takes a string, not {type(pattern).__name__}")
    words = pattern[1:-1] if len(pattern) > 1 and pattern.startswith(_ANY) and pattern.endswith(_ANY) else pattern
    if _ANY in words:
        raise FilterError(f"{where} finds a part of a text: a pattern with % inside, or at one end alone, is not known")
    return words
