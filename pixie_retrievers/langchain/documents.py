"""LangChain's documents to ours and back."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pixie_retrievers import types
    from pixie_retrievers.types import SearchResult

__all__ = ["EXPLANATIONS", "FUSION", "SCORE", "columns", "from_stored", "to_langchain", "without_explanation"]

EXPLANATIONS = "token_explanations"
FUSION = "fusion_parts"
SCORE = "score"


def to_langchain(result: SearchResult) -> Document:
    """A new LangChain document: the stored one, with its score and its token explanations in the metadata.

    On this copy they take the place of stored entries of the same name; what is stored stays as it is.
    """
    metadata = {**deepcopy(dict(result.document.metadata)), SCORE: result.score}
    metadata.pop(EXPLANATIONS, None)
    if result.explanation is not None:
        metadata[EXPLANATIONS] = [contribution.to_dict() for contribution in result.explanation.contributions]
    return Document(id=result.document.id, page_content=result.document.text, metadata=metadata)


def from_stored(document: types.Document) -> Document:
    """A new LangChain document: the stored one and nothing else."""
    return Document(id=document.id, page_content=document.text, metadata=deepcopy(dict(document.metadata)))


def without_explanation(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a document's metadata, without what an earlier retrieval added for its own query.

    Token explanations, or what the parts of a hybrid retrieval said, mark such a document: they go, and the score
    beside them. A score that stands alone is the caller's own, and stays.
    """
    kept = dict(metadata)
    marks = [kept.pop(key, None) for key in (EXPLANATIONS, FUSION)]
    if any(mark is not None for mark in marks):
        kept.pop(SCORE, None)
    return kept


def columns(documents: Iterable[Document]) -> tuple[list[str], list[dict[str, Any]], list[str | None]]:
    """Texts, metadatas and ids, as the facade takes them."""
    documents = list(documents)
    return (
        [document.page_content for document in documents],
        [without_explanation(document.metadata) for document in documents],
        [document.id for document in documents],
    )
