"""ToolSelector: of an agent's many tools, the few that a request is about go to the model."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables.config import run_in_executor
from langchain_core.tools import BaseTool

from pixie_retrievers.langchain.tools import describe_tool
from pixie_retrievers.types.metadata import TOKEN_EXPLANATIONS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from langchain.agents.middleware import ModelRequest, ModelResponse

    from pixie_retrievers.tools import ToolDescription, ToolIndex, ToolMatch

__all__ = ["ToolSelector"]


class ToolSelector(AgentMiddleware):
    """Middleware that hands a model the tools its request is about, not all that the agent has.

    The tools are searched by the last thing the user said. Kept beside those found are tools that the conversation has
    called already, those of ``always_include``, and tools of the provider itself, which come as dicts. When no tool
    reaches the threshold, those are all.

    What was chosen, and why, stands in the model's message: ``response_metadata["chosen_tools"]`` is a list of
    ``{"name", "score", "token_explanations"}``, best first.

    Args:
        index: Finds the tools; its ``k`` and ``score_threshold`` count. Tools that it does not know yet, or knows by
            another description, are added when the agent first has them.
        always_include: Names of tools that are handed on whatever is asked.
        request_text: Reads what to search for from a model request; None takes the last message of the user.
        top_k_tokens: At most so many tokens explain a choice; None for all, 0 for no explanation.
    """

    def __init__(
        self,
        index: ToolIndex,
        *,
        always_include: Iterable[str] = (),
        request_text: Callable[[ModelRequest], str] | None = None,
        top_k_tokens: int | None = 10,
    ) -> None:
        super().__init__()
        self.index = index
        self.always_include = frozenset(always_include)
        self.top_k_tokens = top_k_tokens
        self._request_text = request_text or _last_words
        self._known: set[ToolDescription] = set()
        self._lock = Lock()

    def wrap_model_call(self, request: ModelRequest, handler: Callable[[ModelRequest], ModelResponse]) -> ModelResponse:
        """Choose, call the model, and note the choice."""
        matches = self._choose(request)
        return _noted(handler(self._narrowed(request, matches)), matches)

    async def awrap_model_call(
        self, request: ModelRequest, handler: Callable[[ModelRequest], Awaitable[ModelResponse]]
    ) -> ModelResponse:
        """:meth:`wrap_model_call` without blocking the event loop."""
        matches = await run_in_executor(None, self._choose, request)
        return _noted(await handler(self._narrowed(request, matches)), matches)

    def _choose(self, request: ModelRequest) -> list[ToolMatch]:
        described = [describe_tool(tool) for tool in request.tools if isinstance(tool, BaseTool)]
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


def _last_words(request: ModelRequest) -> str:
    said = (message.text for message in reversed(request.messages) if isinstance(message, HumanMessage))
    return str(next(said, ""))


def _called(request: ModelRequest) -> set[str]:
    return {
        call["name"] for message in request.messages if isinstance(message, AIMessage) for call in message.tool_calls
    }


def _noted(response: ModelResponse, matches: list[ToolMatch]) -> ModelResponse:
    chosen: list[dict[str, Any]] = []
    for match in matches:
        chosen.append({"name": match.name, "score": match.score})
        if match.explanation is not None:
            chosen[-1][TOKEN_EXPLANATIONS] = match.explanation.to_metadata()
    for position, message in enumerate(response.result):
        if isinstance(message, AIMessage):
            metadata = {**message.response_metadata, "chosen_tools": chosen}
            response.result[position] = message.model_copy(update={"response_metadata": metadata})
    return response
