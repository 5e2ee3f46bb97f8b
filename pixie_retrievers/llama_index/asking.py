"""What a retriever of any kind can be told for one query, and what has to be seen to behind it."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llama_index.core.indices.vector_store.retrievers import VectorIndexRetriever
from llama_index.core.vector_stores.types import FilterCondition, MetadataFilter, MetadataFilters

from pixie_retrievers.filters import Condition, Filter, parse_filter
from pixie_retrievers.llama_index.filters import NodeFilter, translate
from pixie_retrievers.llama_index.nodes import without_notes

if TYPE_CHECKING:
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.schema import BaseNode

__all__ = ["Asked", "asked_of"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A retriever that was told.

    Attributes:
        part: A copy with what it understands, or the retriever itself.
        condition: What its nodes are held against afterwards; None where it knows of the filters.
    """

    part: BaseRetriever
    condition: Condition | None

    def passes(self, node: BaseNode) -> bool:
        """Whether a node that it found may count."""
        return self.condition is None or self.condition.passes(node.node_id, without_notes(node).metadata)


def asked_of(
    part: BaseRetriever,
    *,
    top_k: int | None = None,
    filters: NodeFilter | None = None,
    score_threshold: float | None = None,
) -> Asked:
    """A retriever with what it understands of these: a Pixie retriever, or a hybrid one, all of it.

    Args:
        part: Any retriever; it stays as it is.
        top_k: It is asked for no fewer than it is set to.
        filters: They hold beside those that it has, which may be a wall between tenants.
        score_threshold: In the retriever's own scores.

    Raises:
        FilterError: The filters mean nothing.
    """
    filter = translate(filters)
    condition = None if filter is None else parse_filter(filter)
    top_k = None if top_k is None else max(top_k, getattr(part, "similarity_top_k", 1))
    with_options = getattr(part, "with_options", None)  # LlamaIndex's own retrievers have none
    if with_options is None:
        return Asked(_narrowed(part, top_k, filters) if isinstance(part, VectorIndexRetriever) else part, condition)
    options: dict[str, Any] = {"similarity_top_k": top_k, "score_threshold": score_threshold}
    options = {name: value for name, value in options.items() if value is not None}
    if filter is not None:
        options["filters"] = _both(getattr(part, "filters", None), filter)
    return Asked(with_options(**options) if options else part, None)


def _both(own: NodeFilter | None, filter: Filter) -> Filter:
    """What both let pass."""
    translated = translate(own)
    return filter if translated is None else {"$and": [translated, filter]}


def _narrowed(part: VectorIndexRetriever, top_k: int | None, filters: NodeFilter | None) -> VectorIndexRetriever:
    """LlamaIndex's own retriever over a vector store, with what there is a public or stored place for."""
    twin = copy(part)
    if top_k is not None:
        twin.similarity_top_k = top_k
    if isinstance(filters, MetadataFilter):
        filters = MetadataFilters(filters=[filters])
    if isinstance(filters, MetadataFilters):  # what a store of any make understands
        own = twin._filters or MetadataFilters(filters=[])  # noqa: SLF001  # nothing public reads or sets it
        if own.condition == filters.condition == FilterCondition.AND:  # many stores take no groups inside each other
            twin._filters = MetadataFilters(filters=[*own.filters, *filters.filters])  # noqa: SLF001
    return twin
