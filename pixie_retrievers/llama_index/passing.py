"""What LlamaIndex knows and does not hand on to a vector store: a query transform's texts, and that progress is shown.

Both go round LlamaIndex in context variables, which tasks, and calls in threads, inherit.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from llama_index.core.indices.vector_store.retrievers import retriever as vector_index_retriever
from llama_index.core.instrumentation.span import BaseSpan
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler

if TYPE_CHECKING:
    from inspect import BoundArguments

    from llama_index.core.schema import QueryBundle

__all__ = ["announce_progress", "announced_progress", "query_text", "text_for_store"]

_BUNDLE: ContextVar[QueryBundle | None] = ContextVar("_BUNDLE", default=None)
_PROGRESS: ContextVar[bool] = ContextVar("_PROGRESS", default=False)


def query_text(bundle: QueryBundle) -> str:
    """What is searched for: the strings that a query transform wrote to be embedded, or the query itself.

    Several strings are searched as one text. A sparse encoder keeps each token's strongest weight over the text, so
    this is the union of what they ask for, and every score still is the score of one text that can be explained.
    """
    return "\n".join(bundle.custom_embedding_strs or [bundle.query_str])


def text_for_store(query_str: str) -> str:
    """The same for a store that LlamaIndex asks: it is told ``query_str`` alone, whatever a transform wrote."""
    bundle = _BUNDLE.get()
    return query_str if bundle is None or bundle.query_str != query_str else query_text(bundle)


def announce_progress(shown: bool) -> None:
    """Say that the next nodes are stored by somebody who asked for a progress bar."""
    _PROGRESS.set(shown)


def announced_progress() -> bool:
    """Whether somebody did; it holds for once."""
    shown = _PROGRESS.get()
    _PROGRESS.set(False)
    return shown


class _Listener(BaseSpanHandler[BaseSpan]):
    """Hears a VectorIndexRetriever begin and end: its arguments are the one place where the whole query stands."""

    def new_span(self, id_: str, bound_args: BoundArguments, *_: Any, **__: Any) -> None:  # noqa: ARG002
        _BUNDLE.set(bound_args.arguments.get("query_bundle"))

    def prepare_to_exit_span(self, *_: Any, **__: Any) -> None:
        _BUNDLE.set(None)

    prepare_to_drop_span = prepare_to_exit_span


vector_index_retriever.dispatcher.add_span_handler(_Listener())
