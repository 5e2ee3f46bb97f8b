"""ToolSelector: of an agent's many tools, the few that a request is about go to the model."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import AgentMiddleware
from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool

from pixie_retrievers.asynchronous import in_thread
from pixie_retrievers.langchain.tools import describe_tool
from pixie_retrievers.parameters import check_names
from pixie_retrievers.types.metadata import token_notes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from langchain.agents.middleware import ModelRequest, ModelResponse

    from pixie_retrievers.tools import ToolDescription, ToolIndex, ToolMatch

__all__ = ["ToolSelector"]

_CHOSEN_TOOLS = "chosen_tools"


class ToolSelector(AgentMiddleware):
    """Middleware that hands a model the tools its request is about, not all that the agent has.

    The tools are searched by the last thing the user said, which leans on what both sides said before where it says
    little by itself ("네, 그렇게 해 주세요"): see :meth:`ToolIndex.choose <pixie_retrievers.tools.ToolIndex.choose>`.
    Kept beside those found are tools that the conversation has called already, those of ``always_include``, and tools
    of the provider itself, which come as dicts. When no tool reaches the threshold, those are all.

    What was chosen, and why, is a list, best first, of ``{"name", "score", "token_explanations"}`` and what stands
    beside the tokens in a document. Callbacks get it before the model is called, as ``{"chosen_tools": [...]}`` in a
    custom event named ``chosen_tools`` (``on_custom_event``; also in ``astream_events``), and the model's message keeps
    it in ``response_metadata``.

    Args:
        index: Finds the tools; its ``k`` and ``score_threshold`` count. Tools that it does not know yet, or knows by
            another description, are added when the agent first has them.
        always_include: Names of tools that are handed on whatever is asked; an agent must have them.
        request_text: Reads from a model request what to search for, or the messages that end with it; None takes what
            the user and the model said, up to the user's last message.
        top_k_tokens: At most so many tokens explain a choice; None for all, 0 for no explanation.
    """

    def __init__(
        self,
        index: ToolIndex,
        *,
        always_include: Iterable[str] = (),
        request_text: Callable[[ModelRequest], str | Sequence[str]] | None = None,
        top_k_tokens: int | None = 10,
    ) -> None:
        super().__init__()
        self.index = index
        self.always_include = frozenset(always_include)
        self.top_k_tokens = top_k_tokens
        self._request_text = request_text or _conversation
        self._known: set[ToolDescription] = set()
        self._lock = Lock()

    def wrap_model_call(self, request: ModelRequest, handler: Callable[[ModelRequest], ModelResponse]) -> ModelResponse:
        """Choose, tell callbacks, call the model, and note the choice.

        Raises:
            InvalidParameterError: The agent lacks a tool that is always to be included.
        """
        matches = self._choose(request)
        chosen = _as_metadata(matches)
        if _is_in_a_run():
            dispatch_custom_event(_CHOSEN_TOOLS, {_CHOSEN_TOOLS: chosen})
        return _noted(handler(self._narrowed(request, matches)), chosen)

    async def awrap_model_call(
        self, request: ModelRequest, handler: Callable[[ModelRequest], Awaitable[ModelResponse]]
    ) -> ModelResponse:
        """:meth:`wrap_model_call` without blocking the event loop."""
        matches = await in_thread(self._choose, request)
        chosen = _as_metadata(matches)
        if _is_in_a_run():
            await adispatch_custom_event(_CHOSEN_TOOLS, {_CHOSEN_TOOLS: chosen})
        return _noted(await handler(self._narrowed(request, matches)), chosen)

    def _choose(self, request: ModelRequest) -> list[ToolMatch]:
        described = [describe_tool(tool) for tool in request.tools if isinstance(tool, BaseTool)]
        names = {str(tool.get("name") if isinstance(tool, dict) else tool.name) for tool in request.tools}
        check_names("always_include", self.always_include, names)
        eligible = [tool for tool in described if tool.name not in self.always_include]
        with self._lock:
            if not self._known.issuperset(eligible):
                # Tools of other requests stay: agents, and users of one agent, may have different sets.
                self.index.sync(eligible, keep_others=True)
                self._known.update(eligible)
        return self.index.choose(
            self._request_text(request), among=[tool.name for tool in eligible], top_k_tokens=self.top_k_tokens
        )

    def _narrowed(self, request: ModelRequest, matches: list[ToolMatch]) -> ModelRequest:
        kept = self.always_include | {match.name for match in matches} | _called(request)
        return request.override(
            tools=[tool for tool in request.tools if not isinstance(tool, BaseTool) or tool.name in kept]
        )


def _conversation(request: ModelRequest) -> list[str]:
    """What both sides said up to the user's last message; tool calls and results have no say in it."""
    said = [message for message in request.messages if isinstance(message, (HumanMessage, AIMessage)) and message.text]
    while said and not isinstance(said[-1], HumanMessage):
        said.pop()
    return [str(message.text) for message in said]


def _called(request: ModelRequest) -> set[str]:
    return {
        call["name"] for message in request.messages if isinstance(message, AIMessage) for call in message.tool_calls
    }


def _is_in_a_run() -> bool:
    """Whether there is somebody to tell; on Python 3.10 an asynchronous call does not know of its run."""
    return getattr(ensure_config().get("callbacks"), "parent_run_id", None) is not None


def _as_metadata(matches: list[ToolMatch]) -> list[dict[str, Any]]:
    chosen: list[dict[str, Any]] = []
    for match in matches:
        chosen.append({"name": match.name, "score": match.score})
        if match.explanation is not None:
            chosen[-1] |= token_notes(match.explanation)
    return chosen


def _noted(response: ModelResponse, chosen: list[dict[str, Any]]) -> ModelResponse:
    for position, message in enumerate(response.result):
        if isinstance(message, AIMessage):
            metadata = {**message.response_metadata, _CHOSEN_TOOLS: chosen}
            response.result[position] = message.model_copy(update={"response_metadata": metadata})
    return response
