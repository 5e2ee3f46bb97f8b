"""What a retriever of any kind can be told at a call, and what has to be seen to behind it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.vectorstores import VectorStoreRetriever

from pixie_retrievers.filters import Condition, Filter, parse_filter
from pixie_retrievers.langchain.vectorstore import PixieVectorStore
from pixie_retrievers.types.metadata import without_annotations

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.runnables import Runnable

__all__ = ["Asked", "asked_of"]

_DEFAULT_K = 4  # of every vector store in LangChain


@dataclass(frozen=True, slots=True)
class Asked:
    """What a part is told.

    Attributes:
        options: Keyword arguments of its ``invoke``.
        condition: What its documents are held against afterwards; None where it knows of the filter.
    """

    options: Mapping[str, Any]
    condition: Condition | None

    def passes(self, document: Document) -> bool:
        """Whether a document that it found may count."""
        return self.condition is None or self.condition.passes(document.id, without_annotations(document.metadata))


def asked_of(
    part: Runnable[str, list[Document]],
    *,
    k: int | None,
    filter: Filter | None,
    score_threshold: float | None = None,
    is_threshold_its_own: bool = False,
    translate: Callable[[Filter], Any] | None = None,
) -> Asked:
    """What a part understands of these.

    Args:
        part: Any retriever, with or without something bound to it.
        k: It is asked for no fewer than it is set to.
        filter: In the package's own language, or a callable on metadata.
        score_threshold: In the part's own scores.
        is_threshold_its_own: The threshold was given for this part, and not for all alike.
        translate: What makes of the filter what a vector store takes; one that has a filter already keeps that.

    Raises:
        FilterError: The filter means nothing.
    """
    condition = None if filter is None else parse_filter(filter)
    bound: dict[str, Any] = {}
    while isinstance(part, RunnableBindingBase):
        bound = {**part.kwargs, **bound}
        part = part.bound
    if isinstance(part, VectorStoreRetriever):
        ours = isinstance(part.vectorstore, PixieVectorStore)
        takes = {"k", *(["filter"] if ours else [])}
        of_relevance = part.search_type == "similarity_score_threshold"  # from 0 to 1, whatever the store's scores are
        if is_threshold_its_own if of_relevance else ours:
            takes.add("score_threshold")
        own = {"k": _DEFAULT_K, **part.search_kwargs, **bound}
    elif isinstance(part, BaseRetriever):
        takes = set(inspect.signature(part._get_relevant_documents).parameters)  # noqa: SLF001  # where they are named
        own = {name: getattr(part, name, None) for name in ("k", "filter")} | bound
    else:
        return Asked({}, condition)
    options: dict[str, Any] = {}
    if k is not None and "k" in takes:
        options["k"] = max(k, own["k"]) if isinstance(own.get("k"), int) else k
    if score_threshold is not None and "score_threshold" in takes:
        options["score_threshold"] = score_threshold
    if filter is not None and "filter" in takes:  # beside its own, which may be a wall between tenants
        both = filter if own.get("filter") is None else {"$and": [own["filter"], filter]}
        return Asked({**options, "filter": both}, None)
    if filter is not None and translate is not None and own.get("filter") is None:
        options["filter"] = translate(filter)
    return Asked(options, condition)
