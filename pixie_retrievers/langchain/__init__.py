"""The LangChain adapter: ``from pixie_retrievers.langchain import PixieRetriever``.

Names are loaded when first used; ``langchain-core`` comes with ``pip install "pixie-retrievers[langchain]"``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pixie_retrievers.errors import OptionalDependencyError

if TYPE_CHECKING:
    from pixie_retrievers.langchain.retriever import PixieRetriever

__all__ = ["PixieRetriever"]

_HOMES = {"PixieRetriever": "retriever"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "langchain_core":
            raise
        raise OptionalDependencyError(
            f'{name} needs langchain-core, which is not installed: pip install "pixie-retrievers[langchain]"'
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
