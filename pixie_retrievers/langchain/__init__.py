"""The LangChain adapter: ``from pixie_retrievers.langchain import PixieRetriever``.

Names are loaded when first used; ``langchain-core`` comes with ``pip install "pixie-retrievers[langchain]"``;
``ToolSelector`` alone needs ``langchain`` itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pixie_retrievers.errors import OptionalDependencyError

if TYPE_CHECKING:
    from pixie_retrievers.langchain.agents import ToolSelector
    from pixie_retrievers.langchain.embeddings import PixieSparseEmbeddings
    from pixie_retrievers.langchain.explainer import TokenExplainer
    from pixie_retrievers.langchain.hybrid import HybridRetriever
    from pixie_retrievers.langchain.retriever import PixieRetriever
    from pixie_retrievers.langchain.self_query import PixieTranslator, attribute_info
    from pixie_retrievers.langchain.tools import create_search_tool, retrieve_tools_functions
    from pixie_retrievers.langchain.vectorstore import PixieVectorStore

__all__ = [
    "HybridRetriever",
    "PixieRetriever",
    "PixieSparseEmbeddings",
    "PixieTranslator",
    "PixieVectorStore",
    "TokenExplainer",
    "ToolSelector",
    "attribute_info",
    "create_search_tool",
    "retrieve_tools_functions",
]

_HOMES = {
    "HybridRetriever": "hybrid",
    "PixieRetriever": "retriever",
    "PixieSparseEmbeddings": "embeddings",
    "PixieTranslator": "self_query",
    "PixieVectorStore": "vectorstore",
    "TokenExplainer": "explainer",
    "ToolSelector": "agents",
    "attribute_info": "self_query",
    "create_search_tool": "tools",
    "retrieve_tools_functions": "tools",
}
_PACKAGES = {
    "langchain_core": ("langchain-core", '"pixie-retrievers[langchain]"'),
    "langchain": ("langchain", '"langchain>=1.0"'),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        package = _PACKAGES.get((error.name or "").partition(".")[0])
        if package is None:
            raise
        raise OptionalDependencyError.of(name, *package) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
