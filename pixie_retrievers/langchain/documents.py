"""LangChain's documents to ours and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

from pixie_retrievers import types
from pixie_retrievers.errors import InvalidDocumentError
from pixie_retrievers.index.documents import content_id
from pixie_retrievers.types.metadata import SCORE, TOKEN_NOTES, token_notes, without_annotations

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pixie_retrievers.types import SearchResult

__all__ = ["columns", "content_identity", "from_stored", "to_langchain", "to_stored"]


def to_langchain(result: SearchResult) -> Document:
    """A new LangChain document: the stored one, with its score and its tokens in the metadata.

    On this copy they take the place of stored entries of the same name; what is stored stays as it is.
    """
    metadata = {key: value for key, value in result.document.metadata.items() if key not in TOKEN_NOTES}
    metadata[SCORE] = result.score
    if result.explanation is not None:
        metadata |= token_notes(result.explanation)
    return Document(id=result.document.id, page_content=result.document.text, metadata=metadata)


def from_stored(document: types.Document) -> Document:
    """A new LangChain document: the stored one and nothing else."""
    return Document(id=document.id, page_content=document.text, metadata=dict(document.metadata))


def to_stored(document: Document) -> types.Document:
    """What an index knows a document as: without what a retrieval noted; one without an id by its content's.

    Raises:
        InvalidDocumentError: It is not a document.
    """
    if not isinstance(document, Document):
        raise InvalidDocumentError(
            f"an object of type {type(document).__name__} is not a LangChain Document: pass what a retriever returned"
        )
    metadata = without_annotations(document.metadata)
    return types.Document(document.id or content_identity(document), document.page_content, metadata)


def content_identity(document: Document) -> str:
    """The id that a Pixie retriever makes for a document that has none, so that the two meet."""
    return content_id(document.page_content, without_annotations(document.metadata))


def columns(documents: Iterable[Document]) -> tuple[list[str], list[dict[str, Any]], list[str | None]]:
    """Texts, metadatas and ids, as the facade takes them."""
    documents = list(documents)
    for one in documents:
        if not isinstance(one, Document):
            raise InvalidDocumentError(
                f"an object of type {type(one).__name__} is not a LangChain Document: pass Document(...), or texts to"
                " from_texts or add_texts"
            )
    return (
        [document.page_content for document in documents],
        [without_annotations(document.metadata) for document in documents],
        [document.id for document in documents],
    )
