"""A chat model that follows a script and notes what it was given."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage


class ScriptedModel(GenericFakeChatModel):
    """Says its messages one after the other; every call notes the tools it had and the messages it read."""

    tools_seen: list[list[str]] = []  # noqa: RUF012  # pydantic copies it
    messages_seen: list[Any] = []  # noqa: RUF012

    def bind_tools(self, tools, **kwargs):
        self.tools_seen.append([tool["name"] if isinstance(tool, dict) else _name(tool) for tool in tools])
        return self

    def _generate(self, messages, *args, **kwargs):
        self.messages_seen.append(messages)
        return super()._generate(messages, *args, **kwargs)


def script(*messages: AIMessage | str) -> ScriptedModel:
    return ScriptedModel(messages=iter(messages), tools_seen=[], messages_seen=[])


def call(name: str, id: str = "1", **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": id}])


def _name(tool: Any) -> str:
    return getattr(tool, "name", None) or tool.__name__
