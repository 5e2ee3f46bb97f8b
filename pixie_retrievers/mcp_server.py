"""An index as tools of an agent: a server of the Model Context Protocol, through its official package."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar

from pydantic import Field
from typing_extensions import TypedDict  # pydantic asks for it before Python 3.12

from pixie_retrievers.errors import OptionalDependencyError, PixieError
from pixie_retrievers.retriever import SparseRetriever
from pixie_retrievers.types import Explanation

try:
    from mcp.server.mcpserver import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
except ImportError as error:
    raise OptionalDependencyError.of("an MCP server", "mcp", "pixie-retrievers[mcp]") from error

__all__ = ["make_server"]

_TEXT = 600  # characters of a hit's text: a model asks for the whole one if it needs it
_WHOLE_TEXT = 20_000
_TOKENS = 6
_MAX_HITS = 50

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class Hit(TypedDict):
    """A document that was found."""

    id: str
    score: float
    why: str
    text: str
    metadata: dict[str, Any]


class Whole(TypedDict):
    """A document."""

    id: str
    text: str
    metadata: dict[str, Any]


class Reason(TypedDict):
    """Why a document scores what it scores."""

    score: float
    why: str


def make_server(retriever: SparseRetriever, *, name: str = "pixie") -> MCPServer[Any]:
    """A server whose tools search an index, read its documents and explain; nothing of it writes.

    Run it with ``server.run("stdio")`` or ``server.run("streamable-http", port=8000)``; it listens on 127.0.0.1 alone.

    Args:
        retriever: What is asked, by several calls at once.
        name: What the agent's host calls it.
    """
    server: MCPServer[Any] = MCPServer(
        name,
        instructions="Searches a corpus by meaning and by words, and says which tokens made each document match.",
        log_level="WARNING",
    )

    @server.tool()
    @_told
    def search(
        query: Annotated[str, Field(description="A question or keywords, in the corpus's language.")],
        k: Annotated[int, Field(ge=1, le=_MAX_HITS, description="At most so many documents.")] = 5,
        filter: Annotated[
            dict[str, Any] | None,
            Field(description='Conditions on metadata, such as {"year": {"$gte": 2020}}; leave it out for all.'),
        ] = None,
    ) -> list[Hit]:
        """The best documents for a query, each with the tokens that made it match; `get` has long texts whole."""
        return [
            Hit(
                id=result.document.id,
                score=round(result.score, 3),
                why="" if result.explanation is None else _why(result.explanation),
                text=_cut(result.document.text, _TEXT),
                metadata=_own(result.document.metadata),
            )
            for result in retriever.search(query, k, filter=filter, top_k_tokens=_TOKENS)
        ]

    @server.tool()
    @_told
    def get(id: Annotated[str, Field(description="A document's id, as `search` gives it.")]) -> Whole:
        """The whole text of a document, with its metadata."""
        (document,) = retriever.get([id])
        if document is None:
            raise ToolError(f"there is no document with id {id!r}: search gives the ids that there are")
        return Whole(id=id, text=_cut(document.text, _WHOLE_TEXT), metadata=_own(document.metadata))

    @server.tool()
    @_told
    def explain(
        query: Annotated[str, Field(description="A question or keywords.")],
        id: Annotated[str, Field(description="A document's id.")],
    ) -> Reason:
        """Why one document scores what it scores for a query, whether or not a search would find it."""
        explanation = retriever.explain(query, id, top_k_tokens=3 * _TOKENS)
        return Reason(score=round(explanation.score, 3), why=_why(explanation))

    @server.tool()
    @_told
    def why_not(
        query: Annotated[str, Field(description="A question or keywords.")],
        id: Annotated[str, Field(description="The id of the document that was expected.")],
        k: Annotated[int, Field(ge=1, le=_MAX_HITS, description="Among how many it was expected.")] = 5,
        filter: Annotated[dict[str, Any] | None, Field(description="The filter of the search, if it had one.")] = None,
    ) -> Reason:
        """Why a document is not among the best: its rank, the tokens it lacks, or the filter that keeps it out."""
        told = retriever.why_not(query, id, k=k, filter=filter)
        costs = [f"{token.surface} -{token.difference:.2f}" for token in told.cost[:_TOKENS]]
        more = f" Beside the last of them it lacks: {', '.join(costs)}." if costs else ""
        return Reason(score=round(told.score or 0.0, 3), why=told.summary + more)

    return server


def _told(tool: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """What is wrong with a call is said to the model, which can mend it."""

    @wraps(tool)
    def wrapped(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            return tool(*args, **kwargs)
        except PixieError as error:
            raise ToolError(str(error)) from error

    return wrapped


def _why(explanation: Explanation) -> str:
    """Short enough for a model: ``위성 3.10, 궤도 2.20 (not in the query), 5 more 1.05``."""
    parts = []
    for one in explanation.contributions:
        absent = [name for name, there in (("query", one.in_query), ("document", one.in_document)) if not there]
        note = f" (not in the {' or '.join(absent)})" if absent else ""
        parts.append(f"{one.surface} {one.contribution:.2f}{note}")
    n_more = explanation.n_tokens - len(explanation.contributions)
    if n_more:
        parts.append(f"{n_more} more {explanation.residual:.2f}")
    return ", ".join(parts) or "no token in common"


def _cut(text: str, n: int) -> str:
    return text if len(text) <= n else text[:n] + f"… ({len(text) - n} characters more)"


def _own(metadata: Any) -> dict[str, Any]:
    """The caller's metadata, without what an adapter keeps there for itself."""
    return {key: value for key, value in metadata.items() if not key.startswith("_")}
