"""What LlamaIndex's retriever and vector store have in common beside searching: nodes explained, listed, changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.schema import BaseNode, NodeWithScore, QueryBundle

from pixie_retrievers.asynchronous import in_thread
from pixie_retrievers.contents import changed_metadata, check_changes, chosen_ids
from pixie_retrievers.errors import InvalidDocumentError, InvalidParameterError
from pixie_retrievers.llama_index.filters import translate
from pixie_retrievers.llama_index.nodes import drop_empty_embeddings, to_document, to_node
from pixie_retrievers.llama_index.passing import query_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llama_index.core.schema import QueryType

    from pixie_retrievers.contents import MetadataChanges
    from pixie_retrievers.filters import Filter
    from pixie_retrievers.llama_index.filters import NodeFilter
    from pixie_retrievers.retriever import SparseRetriever
    from pixie_retrievers.types import Document, Explanation

__all__ = ["Contents", "storable", "store", "translate_choice"]


def storable(nodes: Iterable[BaseNode]) -> tuple[list[BaseNode], list[Document]]:
    """Nodes, and what an index stores for them.

    Raises:
        InvalidDocumentError: It is one node, or as :func:`~pixie_retrievers.llama_index.nodes.to_document`.
    """
    if isinstance(nodes, BaseNode):  # which pydantic makes iterable
        raise InvalidDocumentError("nodes is one node; pass a list of nodes")
    nodes = list(nodes)
    return nodes, [to_document(node) for node in nodes]


def store(
    nodes: Iterable[BaseNode], documents: list[Document], retriever: SparseRetriever, *, show_progress: bool = False
) -> list[str]:
    """Store what :func:`storable` returned, and take empty embeddings from the nodes; return their ids.

    Raises:
        InvalidParameterError: The index puts metadata around texts itself, which nodes do by their metadata mode.
        InvalidDocumentError, InvalidTextError, DuplicateIdError: A node is at fault; nothing was stored.
        IndexLockedError: Another writer holds the index.
    """
    if retriever.text_fields is not None:
        raise InvalidParameterError(
            f"the index encodes {retriever.text_fields!r}, and nodes say themselves which metadata are encoded"
            " (excluded_embed_metadata_keys): put nodes into an index without text_fields"
        )
    ids = retriever.add(documents, show_progress=show_progress)
    drop_empty_embeddings(nodes)
    return ids


def translate_choice(filters: NodeFilter | None) -> Filter | None:
    """The same filter for what asks which nodes are meant: an empty group of filters means all of them."""
    return {} if (filter := translate(filters)) is None and filters is not None else filter


class Contents:
    """The facade's own methods, in LlamaIndex's words; the async ones run in a thread.

    Nothing is declared here at run time: a pydantic model would take it for a field.
    """

    if TYPE_CHECKING:

        @property
        def sparse_retriever(self) -> SparseRetriever:
            """The encoder and index beneath."""

    def explain(
        self, query: QueryType, node: str | BaseNode | NodeWithScore, *, top_k_tokens: int | None = None
    ) -> Explanation:
        """Why a node scores what it scores for a query, whoever found it, if anybody did.

        Args:
            query: A text, or a bundle, whose transform's texts count as at a retrieval.
            node: Its id; or a node, which is looked up by its id, and encoded where the index lacks it.
            top_k_tokens: At most so many tokens; None for all.

        Raises:
            DocumentNotFoundError: There is no node under the id.
            InvalidDocumentError: It is neither an id nor a node.
            InvalidTextError: The query is not a string or cannot be written as UTF-8.
        """
        words = query_text(query) if isinstance(query, QueryBundle) else query
        if isinstance(node, str):
            return self.sparse_retriever.explain(words, node, top_k_tokens=top_k_tokens)
        stored = to_document(node.node if isinstance(node, NodeWithScore) else node)
        return self.sparse_retriever.explain_many(words, [stored], top_k_tokens=top_k_tokens)[0]

    async def aexplain(
        self, query: QueryType, node: str | BaseNode | NodeWithScore, *, top_k_tokens: int | None = None
    ) -> Explanation:
        """As :meth:`explain`."""
        return await in_thread(self.explain, query, node, top_k_tokens=top_k_tokens)

    def update_metadata(
        self, changes: MetadataChanges, *, node_ids: Iterable[str] | None = None, filters: NodeFilter | None = None
    ) -> int:
        """Change the metadata of nodes; return how many there were.

        Only a node whose metadata is a part of what is embedded (``excluded_embed_metadata_keys``) is encoded again.

        Args:
            changes: The entries to set; or a function from a node's metadata to what it is to be.
            node_ids, filters: Which nodes: those under the ids, those that pass the filters, or those that do both.

        Raises:
            InvalidParameterError, InvalidDocumentError, FilterError, IndexLockedError: As
                :meth:`SparseRetriever.update_metadata <pixie_retrievers.SparseRetriever.update_metadata>`.
        """
        change = check_changes(changes)
        nodes = []
        retriever = self.sparse_retriever
        for document in retriever.get(chosen_ids(retriever.index, node_ids, translate_choice(filters))):
            if document is None:
                continue
            node = to_node(document)
            node.metadata = dict(changed_metadata(node.node_id, node.metadata, change))
            nodes.append(node)
        return len(store(*storable(nodes), retriever))

    def node_ids(self, *, filters: NodeFilter | None = None, limit: int | None = None, offset: int = 0) -> list[str]:
        """The ids of the nodes that pass the filters, in insertion order: ``limit`` of them, behind ``offset``."""
        return self.sparse_retriever.ids(filter=translate(filters), limit=limit, offset=offset)

    def count(self, *, filters: NodeFilter | None = None) -> int:
        """How many nodes pass the filters; all of them where there are none."""
        return self.sparse_retriever.count(filter=translate(filters))

    def facets(self, field: str, *, filters: NodeFilter | None = None) -> dict[Any, int]:
        """How many nodes have each value of a metadata field, the most common value first.

        Args:
            field: A dotted path; each value of a list counts.
            filters: Only nodes that pass them count.
        """
        return self.sparse_retriever.facets(field, filter=translate(filters))

    async def aupdate_metadata(
        self, changes: MetadataChanges, *, node_ids: Iterable[str] | None = None, filters: NodeFilter | None = None
    ) -> int:
        """As :meth:`update_metadata`."""
        return await in_thread(self.update_metadata, changes, node_ids=node_ids, filters=filters)

    async def anode_ids(
        self, *, filters: NodeFilter | None = None, limit: int | None = None, offset: int = 0
    ) -> list[str]:
        """As :meth:`node_ids`."""
        return await in_thread(self.node_ids, filters=filters, limit=limit, offset=offset)

    async def acount(self, *, filters: NodeFilter | None = None) -> int:
        """As :meth:`count`."""
        return await in_thread(self.count, filters=filters)

    async def afacets(self, field: str, *, filters: NodeFilter | None = None) -> dict[Any, int]:
        """As :meth:`facets`."""
        return await in_thread(self.facets, field, filters=filters)
