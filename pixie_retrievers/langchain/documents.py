"""LangChain's documents to ours and back."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pixie_retrievers.types import SearchResult

__all__ = ["EXPLANATIONS", "SCORE", "to_langchain", "without_explanation"]

EXPLANATIONS = "token_explanations"
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


def without_explanation(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a document's metadata, without what an earlier retrieval added for its own query.

    Token explanations mark such a document: they go, and the score beside them. A score that stands alone is the
    caller's own, and stays.
    """
    kept = dict(metadata)
    if kept.pop(EXPLANATIONS, None) is not None:
        kept.pop(SCORE, None)
    return kept
