"""What LlamaIndex's auto-retriever tells a language model of an index, so that it can write filters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index.core.vector_stores.types import MetadataInfo, VectorStoreInfo

from pixie_retrievers.field_info import describe_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pixie_retrievers.ownership import Owner
    from pixie_retrievers.retriever import SparseRetriever

__all__ = ["vector_store_info"]


def vector_store_info(source: SparseRetriever | Owner, content_info: str, fields: Mapping[str, str]) -> VectorStoreInfo:
    """What ``VectorIndexAutoRetriever`` is told of an index: types and values of its metadata are the index's own.

    Example:
        >>> from llama_index.core.schema import TextNode
        >>> from pixie_retrievers import PixieEncoder
        >>> from pixie_retrievers.llama_index import PixieRetriever, vector_store_info
        >>> nodes = [TextNode(text="벼는 논에서 자란다.", metadata={"year": 2020})]
        >>> retriever = PixieRetriever.from_nodes(nodes, encoder=PixieEncoder.bundled())
        >>> vector_store_info(retriever, "농업 기사", {"year": "발행 연도"}).metadata_info[0].description
        '발행 연도. One of: 2020.'

    Args:
        source: An open facade, or what is built on one, as PixieVectorStore.
        content_info: What the nodes are, in words.
        fields: What each field means, in words, by its dotted path.

    Raises:
        InvalidParameterError: No node has a field.
    """
    return VectorStoreInfo(
        content_info=content_info,
        metadata_info=[
            MetadataInfo(name=one.name, type=one.type, description=one.description)
            for one in describe_fields(source, fields)
        ],
    )
