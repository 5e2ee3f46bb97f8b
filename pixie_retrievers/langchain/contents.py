"""What LangChain's retriever and vector store have in common beside searching: documents listed, counted, changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.runnables.config import run_in_executor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pixie_retrievers.contents import MetadataChanges
    from pixie_retrievers.filters import Filter
    from pixie_retrievers.retriever import SparseRetriever

__all__ = ["Contents"]


class Contents:
    """The facade's own methods, under the same names; the async ones run in a thread.

    Nothing is declared here at run time: a pydantic model would take it for a field.
    """

    if TYPE_CHECKING:

        @property
        def sparse_retriever(self) -> SparseRetriever:
            """The encoder and index beneath."""

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
        return await run_in_executor(None, self.update_metadata, changes, ids=ids, filter=filter)

    async def aids(self, *, filter: Filter | None = None, limit: int | None = None, offset: int = 0) -> list[str]:
        """:meth:`ids` in a thread."""
        return await run_in_executor(None, self.ids, filter=filter, limit=limit, offset=offset)

    async def acount(self, *, filter: Filter | None = None) -> int:
        """:meth:`count` in a thread."""
        return await run_in_executor(None, self.count, filter=filter)

    async def afacets(self, field: str, *, filter: Filter | None = None) -> dict[Any, int]:
        """:meth:`facets` in a thread."""
        return await run_in_executor(None, self.facets, field, filter=filter)
