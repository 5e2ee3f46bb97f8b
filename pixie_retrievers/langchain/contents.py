"""What LangChain's retriever and vector store have in common beside searching: documents explained, listed, changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pixie_retrievers.asynchronous import in_thread
from pixie_retrievers.langchain.documents import to_stored

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_core.documents import Document

    from pixie_retrievers.contents import MetadataChanges
    from pixie_retrievers.filters import Filter
    from pixie_retrievers.retriever import SparseRetriever
    from pixie_retrievers.types import Explanation

__all__ = ["Contents"]


class Contents:
    """The facade's own methods, under the same names; the async ones run in a thread.

    Nothing is declared here at run time: a pydantic model would take it for a field.
    """

    if TYPE_CHECKING:

        @property
        def sparse_retriever(self) -> SparseRetriever:
            """The encoder and index beneath."""

    def explain(self, query: str, document: str | Document, *, top_k_tokens: int | None = None) -> Explanation:
        """Why a document scores what it scores for a query, whoever found it, if anybody did.

        Args:
            query: A text.
            document: Its id; or a document, which is looked up by its id, and encoded where the index lacks it.
            top_k_tokens: At most so many tokens; None for all.

        Raises:
            DocumentNotFoundError: There is no document under the id.
            InvalidDocumentError: It is neither an id nor a document.
            InvalidTextError: The query is not a string or cannot be written as UTF-8.
        """
        if isinstance(document, str):
            return self.sparse_retriever.explain(query, document, top_k_tokens=top_k_tokens)
        return self.sparse_retriever.explain_many(query, [to_stored(document)], top_k_tokens=top_k_tokens)[0]

    async def aexplain(self, query: str, document: str | Document, *, top_k_tokens: int | None = None) -> Explanation:
        """:meth:`explain` in a thread."""
        return await in_thread(self.explain, query, document, top_k_tokens=top_k_tokens)

    def update_metadata(
        self, changes: MetadataChanges, *, ids: Iterable[str] | None = None, filter: Filter | None = None
    ) -> int:
        """Change the metadata of documents; return how many there were.

        Their texts are not encoded again, unless the index encodes a field of what changed (``text_fields``).

        Args:
            changes: The entries to set; or a function from a document's metadata to what it is to be.
            ids, filter: Which documents: those under the ids, those that pass the filter, or those that do both.

        Raises:
            InvalidParameterError, InvalidDocumentError, FilterError, IndexLockedError: As
                :meth:`SparseRetriever.update_metadata <pixie_retrievers.SparseRetriever.update_metadata>`.
        """
        return self.sparse_retriever.update_metadata(changes, ids=ids, filter=filter)

    def ids(self, *, filter: Filter | None = None, limit: int | None = None, offset: int = 0) -> list[str]:
        """The ids of the documents that pass a filter, in insertion order: ``limit`` of them, behind ``offset``."""
        return self.sparse_retriever.ids(filter=filter, limit=limit, offset=offset)

    def count(self, *, filter: Filter | None = None) -> int:
        """How many documents pass a filter; all of them where there is none."""
        return self.sparse_retriever.count(filter=filter)

    def facets(self, field: str, *, filter: Filter | None = None) -> dict[Any, int]:
        """How many documents have each value of a metadata field, the most common value first.

        Args:
            field: A dotted path; each value of a list counts.
            filter: Only documents that pass it count.
        """
        return self.sparse_retriever.facets(field, filter=filter)

    async def aupdate_metadata(
        self, changes: MetadataChanges, *, ids: Iterable[str] | None = None, filter: Filter | None = None
    ) -> int:
        """:meth:`update_metadata` in a thread."""
        return await in_thread(self.update_metadata, changes, ids=ids, filter=filter)

    async def aids(self, *, filter: Filter | None = None, limit: int | None = None, offset: int = 0) -> list[str]:
        """:meth:`ids` in a thread."""
        return await in_thread(self.ids, filter=filter, limit=limit, offset=offset)

    async def acount(self, *, filter: Filter | None = None) -> int:
        """:meth:`count` in a thread."""
        return await in_thread(self.count, filter=filter)

    async def afacets(self, field: str, *, filter: Filter | None = None) -> dict[Any, int]:
        """:meth:`facets` in a thread."""
        return await in_thread(self.facets, field, filter=filter)
