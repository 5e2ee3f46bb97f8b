"""The retriever as a tool of an agent, and the retrieval of tools for agents that have too many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# Callbacks and Document stand in the signatures of tools, which agents evaluate: they must be there at run time.
from langchain_core.callbacks import Callbacks
from langchain_core.documents import Document
from langchain_core.prompts import format_document
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, ConfigDict, Field

from pixie_retrievers.asynchronous import in_thread
from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.filters import MISSING, Filter, resolve
from pixie_retrievers.index.documents import content_id
from pixie_retrievers.langchain.asking import asked_of
from pixie_retrievers.parameters import check_whole_number
from pixie_retrievers.tools import ToolDescription, citation
from pixie_retrievers.types.metadata import without_annotations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from langchain_core.prompts import BasePromptTemplate
    from langchain_core.runnables import Runnable

    from pixie_retrievers.tools import ToolIndex

__all__ = ["create_search_tool", "describe_tool", "retrieve_tools_functions"]


class _Search(BaseModel):
    model_config = ConfigDict(extra="forbid")  # an argument that a model made up would be lost otherwise

    query: str = Field(description="What to look for, in words")


def create_search_tool(
    retriever: Runnable[str, list[Document]],
    name: str,
    description: str,
    *,
    k: int | None = None,
    filter: Filter | None = None,
    document_prompt: BasePromptTemplate[str] | None = None,
    metadata_keys: Iterable[str] = (),
    separator: str = "\n\n",
    no_match: str = "No document matches.",
) -> StructuredTool:
    """A tool that searches: the model reads ids and texts, the program keeps the documents with their explanations.

    LangChain's own ``create_retriever_tool`` works with every retriever here too. This one shows the model a short id
    of each document, to cite (:func:`pixie_retrievers.tools.citation`), refuses arguments that the model made up, and
    says in words that nothing was found: an empty answer is refused by some models and misread by others.

    Args:
        retriever: What searches.
        name: The tool's name, as the model sees it.
        description: When to use it, as the model sees it.
        k: At most so many documents; None for as many as the retriever gives.
        filter: Which documents count, beside a filter that the retriever has; it holds whatever the retriever is.
        document_prompt: How a document is shown: a template over ``page_content``, ``citation`` and the metadata.
            None shows ``[citation] page_content``.
        metadata_keys: Of the metadata, what is shown before the text, a line each, where a document has it; the rest
            the model never sees. A ``document_prompt`` says so itself.
        separator: What stands between two documents.
        no_match: The tool's answer when nothing is found.

    Returns:
        A tool whose message has the texts as ``content`` and the documents as ``artifact``.

    Raises:
        InvalidParameterError: ``k`` is out of range, or ``metadata_keys`` stand beside a ``document_prompt``.
        FilterError: The filter means nothing.
    """
    check_whole_number("k", k, none_means="as many as the retriever gives")
    shown = [metadata_keys] if isinstance(metadata_keys, str) else list(metadata_keys)
    if document_prompt is not None and shown:
        raise InvalidParameterError("a document_prompt says itself which metadata are shown: leave metadata_keys out")
    asked = asked_of(retriever, k=k, filter=filter)

    def content(documents: list[Document]) -> str:
        return separator.join(_shown(document, document_prompt, shown) for document in documents) or no_match

    def chosen(found: list[Document]) -> tuple[str, list[Document]]:
        documents = [document for document in found if asked.passes(document)][:k]
        return content(documents), documents

    def search(query: str, callbacks: Callbacks = None) -> tuple[str, list[Document]]:
        return chosen(retriever.invoke(query, {"callbacks": callbacks}, **asked.options))

    async def asearch(query: str, callbacks: Callbacks = None) -> tuple[str, list[Document]]:
        return chosen(await retriever.ainvoke(query, {"callbacks": callbacks}, **asked.options))

    return StructuredTool(
        name=name,
        description=description,
        func=search,
        coroutine=asearch,
        args_schema=_Search,
        response_format="content_and_artifact",
    )


def _shown(document: Document, prompt: BasePromptTemplate[str] | None, keys: Sequence[str]) -> str:
    """A document as the model reads it."""
    own = without_annotations(document.metadata)
    cited = citation(content_id(document.page_content, own) if document.id is None else document.id)
    if prompt is not None:
        return format_document(document.model_copy(update={"metadata": {**own, "citation": cited}}), prompt)
    lines = [f"{key}: {value}" for key in keys if (value := resolve(own, key)) is not MISSING]
    return f"[{cited}] " + "\n".join([*lines, document.page_content])


def describe_tool(tool: BaseTool | Callable[..., Any]) -> ToolDescription:
    """What a LangChain tool, or a function that is one, is found by.

    Raises:
        InvalidParameterError: It has no name.
    """
    if isinstance(tool, BaseTool):
        return ToolDescription(tool.name, tool.description)
    name = getattr(tool, "__name__", None)
    if name is None:
        raise InvalidParameterError(
            f"an object of type {type(tool).__name__} is not a tool: pass a BaseTool or a function"
        )
    return ToolDescription(name, tool.__doc__ or "")


def retrieve_tools_functions(
    index: ToolIndex, tool_registry: Mapping[str, BaseTool | Callable[..., Any]]
) -> tuple[Callable[[str], list[str]], Callable[[str], Awaitable[list[str]]]]:
    """The two functions by which langgraph-bigtool retrieves tools, sync and async, over a tool index.

    The index is brought up to date with the registry first.

    Args:
        index: Where the tools are found; its ``k`` and ``score_threshold`` count.
        tool_registry: The agent's tools, by the ids that langgraph-bigtool knows them by.

    Returns:
        ``retrieve_tools_function`` and ``retrieve_tools_coroutine`` for langgraph-bigtool's ``create_agent``; each
        returns the ids of the tools that a query is about, none when no tool is.

    Raises:
        DuplicateIdError: Two tools have one name.
    """
    described = {id: describe_tool(tool) for id, tool in tool_registry.items()}
    index.sync(described.values())
    id_of = {tool.name: id for id, tool in described.items()}

    def retrieve_tools(query: str) -> list[str]:
        """Find tools for a task described in words. Returns nothing when there is no tool for it."""
        return [id_of[match.name] for match in index.choose(query, among=id_of, top_k_tokens=0)]

    async def aretrieve_tools(query: str) -> list[str]:
        """Find tools for a task described in words. Returns nothing when there is no tool for it."""
        return await in_thread(retrieve_tools, query)

    return retrieve_tools, aretrieve_tools
