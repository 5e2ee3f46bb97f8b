"""The retriever as a tool of an agent, and the retrieval of tools for agents that have too many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.objects import ObjectRetriever, SimpleToolNodeMapping
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle
from llama_index.core.tools import BaseTool, FunctionTool, RetrieverTool, ToolMetadata, ToolOutput

from pixie_retrievers.asynchronous import in_thread
from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.llama_index.asking import Asked, asked_of
from pixie_retrievers.llama_index.filters import NodeFilter, translate
from pixie_retrievers.llama_index.nodes import to_node
from pixie_retrievers.parameters import check_names, check_whole_number
from pixie_retrievers.tools import ToolDescription, citation
from pixie_retrievers.types import Document

if TYPE_CHECKING:
    from llama_index.core.memory import BaseMemory
    from llama_index.core.schema import QueryType
    from typing_extensions import Self

    from pixie_retrievers.tools import ToolIndex, ToolMatch

__all__ = ["ToolRetriever", "create_search_tool"]


def create_search_tool(
    retriever: BaseRetriever,
    name: str,
    description: str,
    *,
    similarity_top_k: int | None = None,
    filters: NodeFilter | None = None,
    metadata_keys: Iterable[str] | None = None,
    node_postprocessors: Iterable[BaseNodePostprocessor] = (),
    no_match: str = "No document matches.",
) -> RetrieverTool:
    """A tool that searches: the model reads the texts, the program keeps the nodes with their explanations.

    LlamaIndex's own ``RetrieverTool`` searches for ``input is ...`` where an agent calls it by the argument's name, so
    that those two words count too. This one searches for the words alone, refuses arguments that the model made up, and
    says so when nothing was found. The model sees a short id of each node, to cite
    (:func:`pixie_retrievers.tools.citation`), and of the metadata what the node's ``excluded_llm_metadata_keys`` leave.

    Args:
        retriever: What searches.
        name: The tool's name, as the model sees it.
        description: When to use it, as the model sees it.
        similarity_top_k: At most so many nodes; None for as many as the retriever gives.
        filters: Which nodes count, beside the filters that the retriever has: as for :class:`PixieRetriever`.
        metadata_keys: Of the metadata, what is shown before the text, a line each, where a node has it, whatever the
            node leaves; None shows what it leaves.
        node_postprocessors: Applied to what was found.
        no_match: The tool's answer when nothing is left.

    Returns:
        A tool whose output has the texts as ``content`` and the scored nodes as ``raw_output``.

    Raises:
        InvalidParameterError: ``similarity_top_k`` is out of range.
        FilterError: The filters mean nothing.
    """
    check_whole_number("similarity_top_k", similarity_top_k, none_means="as many as the retriever gives")
    translate(filters)
    return _SearchTool(
        retriever,
        ToolMetadata(description, name),
        list(node_postprocessors),
        no_match,
        similarity_top_k,
        filters,
        None if metadata_keys is None else list(metadata_keys),
    )


class _SearchTool(RetrieverTool):
    def __init__(
        self,
        retriever: BaseRetriever,
        metadata: ToolMetadata,
        node_postprocessors: list[BaseNodePostprocessor],
        no_match: str,
        top_k: int | None,
        filters: NodeFilter | None,
        metadata_keys: list[str] | None,
    ) -> None:
        super().__init__(retriever, metadata, node_postprocessors)
        self._no_match = no_match
        self._top_k = top_k
        self._filters = filters
        self._metadata_keys = metadata_keys

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        query = self._query(args, kwargs)
        asked = asked_of(self.retriever, top_k=self._top_k, filters=self._filters)
        return self._output(query, self._chosen(asked.part.retrieve(query), asked, query))

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        query = self._query(args, kwargs)
        asked = asked_of(self.retriever, top_k=self._top_k, filters=self._filters)
        hits = await asked.part.aretrieve(query)
        return self._output(query, await in_thread(self._chosen, hits, asked, query))

    def _query(self, args: Sequence[Any], kwargs: dict[str, Any]) -> QueryBundle:
        if len(args) + len(kwargs) > 1 or kwargs.keys() - {"input"}:
            raise TypeError(f"{self.metadata.get_name()} takes one argument, input: the words to search for")
        words = " ".join(str(value) for value in (*args, *kwargs.values()))
        if not words.strip():
            raise InvalidParameterError("the tool was called without words to search for")
        return QueryBundle(words)

    def _chosen(self, hits: list[NodeWithScore], asked: Asked, query: QueryBundle) -> list[NodeWithScore]:
        passing = [hit for hit in hits if asked.passes(hit.node)][: self._top_k]
        return self._apply_node_postprocessors(passing, query)

    def _shown(self, node: BaseNode) -> str:
        """A node as the model reads it."""
        if self._metadata_keys is None:
            text = node.get_content(MetadataMode.LLM)
        else:
            shown = [f"{key}: {node.metadata[key]}" for key in self._metadata_keys if key in node.metadata]
            text = "\n".join([*shown, node.get_content(MetadataMode.NONE)])
        return f"[{citation(node.node_id)}] {text}"

    def _output(self, query: QueryBundle, hits: list[NodeWithScore]) -> ToolOutput:
        texts = [self._shown(hit.node) for hit in hits]
        return ToolOutput(
            content="\n\n".join(texts) or self._no_match,
            tool_name=self.metadata.get_name(),
            raw_input={"input": query.query_str},
            raw_output=hits,
        )


class ToolRetriever(ObjectRetriever[BaseTool]):
    """The tools that a request is about, for an agent's ``tool_retriever``; none when no tool reaches the threshold.

    The tools live in a :class:`~pixie_retrievers.tools.ToolIndex`, keyed by name: LlamaIndex's own tool nodes have ids
    that change from process to process. What is in the index already is not encoded again.

    An agent asks for tools by the user's last message alone. :meth:`for_conversation` gives a copy that reads the
    conversation, so that "네, 그렇게 해 주세요" finds what was asked for before. When an agent calls a tool, it asks
    for that by the tool's name: then that tool comes first. What was chosen, and by which tokens, is shown by
    LlamaIndex's instrumentation as any retrieval is (``RetrievalEndEvent``).

    Example:
        >>> from pixie_retrievers import PixieEncoder
        >>> from pixie_retrievers.llama_index import ToolRetriever
        >>> from pixie_retrievers.tools import ToolIndex
        >>> def weather(city: str) -> str:
        ...     '''도시의 날씨를 알려 준다.'''
        >>> def mail(to: str, text: str) -> str:
        ...     '''편지를 보낸다.'''
        >>> tools = ToolRetriever(ToolIndex.open(encoder=PixieEncoder.bundled(), k=1), [weather, mail])
        >>> [tool.metadata.name for tool in tools.retrieve("서울 날씨는?")]
        ['weather']
        >>> tools.choose("서울 날씨는?")[0].explanation.contributions[0].surface
        '날씨'

    Args:
        index: Where the tools are found; its ``k`` and ``score_threshold`` count. It stays open.
        tools: LlamaIndex tools, or functions that are some.
        keep_others: Leave tools in the index that are not among these, which are never chosen here: agents with
            different tools may share an index.
        always_include: Names of tools that are handed on whatever is asked.
        top_k_tokens: At most so many tokens explain a choice; None for all, 0 for no explanation.
        node_postprocessors: Applied to what was found, as nodes.

    Raises:
        InvalidParameterError: A tool that is always to be included is not among the tools.
        DuplicateIdError: Two tools have one name.
        InvalidDocumentError: A tool has no name, or the index holds something other than tools.
        IndexLockedError: Another writer holds the index.
    """

    def __init__(
        self,
        index: ToolIndex,
        tools: Iterable[BaseTool | Callable[..., Any]],
        *,
        keep_others: bool = False,
        always_include: Iterable[str] = (),
        top_k_tokens: int | None = 10,
        node_postprocessors: Iterable[BaseNodePostprocessor] = (),
    ) -> None:
        ours = [tool if isinstance(tool, BaseTool) else FunctionTool.from_defaults(tool) for tool in tools]
        described = [ToolDescription(tool.metadata.name or "", tool.metadata.description) for tool in ours]
        always_include = tuple(dict.fromkeys(always_include))
        check_names("always_include", always_include, [tool.name for tool in described])
        index.sync(described, keep_others=keep_others)
        descriptions = {tool.name: tool.description for tool in described}
        self._nodes = _ToolNodes(index, descriptions, always_include, top_k_tokens)
        super().__init__(self._nodes, SimpleToolNodeMapping(ours), list(node_postprocessors))

    def for_conversation(self, memory: BaseMemory) -> Self:
        """A copy over the same tools that reads a conversation: for the agent that has the same memory.

        ``FunctionAgent(tool_retriever=tools.for_conversation(memory), ...).run(user_msg=..., memory=memory)``. A last
        message that says little by itself leans on what both sides said before (:meth:`ToolIndex.choose
        <pixie_retrievers.tools.ToolIndex.choose>`); tools that the conversation has called stay.

        Args:
            memory: It is read at each retrieval.
        """
        twin = copy(self)
        twin._nodes = twin._retriever = self._nodes.reading(memory)  # noqa: SLF001  # a copy of our own
        return twin

    def choose(self, request: QueryType) -> list[ToolMatch]:
        """What was found to be about the request, as names with scores and the tokens that chose them.

        :meth:`retrieve` retrieves these, and those that it keeps beside them.
        """
        return self._nodes.choose(request if isinstance(request, QueryBundle) else QueryBundle(request))


class _ToolNodes(BaseRetriever):
    """Chosen tools as nodes, explained, so that instrumentation and postprocessors see them as they see any node."""

    def __init__(
        self,
        index: ToolIndex,
        descriptions: Mapping[str, str],
        always_include: Sequence[str],
        top_k_tokens: int | None,
        memory: BaseMemory | None = None,
    ) -> None:
        super().__init__()
        self._index = index
        self._descriptions = descriptions
        self._always_include = always_include
        self._top_k_tokens = top_k_tokens
        self._memory = memory

    def reading(self, memory: BaseMemory) -> _ToolNodes:
        return _ToolNodes(self._index, self._descriptions, self._always_include, self._top_k_tokens, memory)

    def choose(self, query_bundle: QueryBundle) -> list[ToolMatch]:
        return self._chosen(query_bundle, [] if self._memory is None else self._memory.get_all())

    def _chosen(self, query_bundle: QueryBundle, said: list[ChatMessage]) -> list[ToolMatch]:
        request = query_bundle.query_str
        return self._index.choose(
            [*_texts(said, request), request], among=self._descriptions, top_k_tokens=self._top_k_tokens
        )

    def _hits(self, query_bundle: QueryBundle, said: list[ChatMessage]) -> list[NodeWithScore]:
        matches = {match.name: match for match in self._chosen(query_bundle, said)}
        named = [query_bundle.query_str] if query_bundle.query_str in self._descriptions else []  # an agent calls it
        called = [name for name in _called(said) if name in self._descriptions]
        return [
            self._hit(name, matches.get(name))
            for name in dict.fromkeys([*named, *matches, *called, *self._always_include])
        ]

    def _hit(self, name: str, match: ToolMatch | None) -> NodeWithScore:
        described = Document(name, self._descriptions[name], {"name": name})
        if match is None:
            return NodeWithScore(node=to_node(described), score=0.0)
        return NodeWithScore(node=to_node(described, match.explanation), score=match.score)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._hits(query_bundle, [] if self._memory is None else self._memory.get_all())

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        said = [] if self._memory is None else await self._memory.aget_all()
        return await in_thread(self._hits, query_bundle, said)


def _texts(said: Iterable[ChatMessage], request: str) -> list[str]:
    """What both sides said before a request; an agent's memory has the request itself already."""
    texts = [
        message.content
        for message in said
        if message.role in (MessageRole.USER, MessageRole.ASSISTANT) and message.content
    ]
    return texts[: len(texts) - 1 - texts[::-1].index(request)] if request in texts else texts


def _called(said: Iterable[ChatMessage]) -> Iterator[str]:
    """The names of tools that a conversation has called: in blocks of their own, or as the model's provider has it."""
    for message in said:
        for call in (*message.blocks, *message.additional_kwargs.get("tool_calls", ())):
            told = call.get("function", call) if isinstance(call, dict) else getattr(call, "function", call)
            names = (
                told.get(key) if isinstance(told, dict) else getattr(told, key, None) for key in ("tool_name", "name")
            )
            yield from (name for name in names if isinstance(name, str))
