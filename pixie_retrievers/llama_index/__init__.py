"""LlamaIndex on the shared sparse core: ``from pixie_retrievers.llama_index import PixieRetriever``.

Names are loaded when first used; without ``llama-index-core`` they raise :class:`OptionalDependencyError`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pixie_retrievers.errors import OptionalDependencyError

if TYPE_CHECKING:
    from pixie_retrievers.llama_index.auto_retrieval import vector_store_info
    from pixie_retrievers.llama_index.embedding import PixieSparseEmbedding, SparseOnly
    from pixie_retrievers.llama_index.explainer import TokenExplainer
    from pixie_retrievers.llama_index.hybrid import HybridRetriever
    from pixie_retrievers.llama_index.nodes import without_notes
    from pixie_retrievers.llama_index.retriever import PixieRetriever
    from pixie_retrievers.llama_index.sparse_hooks import milvus_sparse_function, qdrant_sparse_functions
    from pixie_retrievers.llama_index.tools import ToolRetriever, create_search_tool
    from pixie_retrievers.llama_index.vector_store import PixieVectorStore

__all__ = [
    "HybridRetriever",
    "PixieRetriever",
    "PixieSparseEmbedding",
    "PixieVectorStore",
    "SparseOnly",
    "TokenExplainer",
    "ToolRetriever",
    "create_search_tool",
    "milvus_sparse_function",
    "qdrant_sparse_functions",
    "vector_store_info",
    "without_notes",
]

_HOMES = {
    "HybridRetriever": "hybrid",
    "PixieRetriever": "retriever",
    "PixieSparseEmbedding": "embedding",
    "PixieVectorStore": "vector_store",
    "SparseOnly": "embedding",
    "TokenExplainer": "explainer",
    "ToolRetriever": "tools",
    "create_search_tool": "tools",
    "milvus_sparse_function": "sparse_hooks",
    "qdrant_sparse_functions": "sparse_hooks",
    "vector_store_info": "auto_retrieval",
    "without_notes": "nodes",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "llama_index":
            raise
        raise OptionalDependencyError.of(name, "llama-index-core", '"pixie-retrievers[llama-index]"') from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
