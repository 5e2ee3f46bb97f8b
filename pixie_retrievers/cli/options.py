"""Arguments and options that several commands share."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from pixie_retrievers.cli.lookup import composed_sources

__all__ = [
    "Device",
    "Encoding",
    "FilterOption",
    "IndexFile",
    "ModelName",
    "MostTokens",
    "Query",
    "RulesOption",
    "chosen_rules",
    "parsed_filter",
]

IndexFile = Annotated[
    str, typer.Argument(metavar="INDEX", help="An index file, or the URL of a server's index.", show_default=False)
]
Query = Annotated[str, typer.Argument(metavar="QUERY", help="What to look for.", show_default=False)]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME|FOLDER|bundled",
        help="The model. Left out: the one the index was built with.",
        show_default=False,
    ),
]
Device = Annotated[
    str | None,
    typer.Option("--device", help="cpu, cuda, cuda:1, mps. Left out: the best there is.", show_default=False),
]
FilterOption = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="JSON",
        help="""Only documents whose metadata pass: '{"year": {"$gte": 2020}}'.""",
        show_default=False,
    ),
]
RulesOption = Annotated[
    str | None,
    typer.Option(
        "--rules",
        metavar="off|FILE",
        help="Search without the rules of the index, or with those of a file.",
        show_default=False,
    ),
]
MostTokens = Annotated[
    int | None, typer.Option("--tokens", min=1, help="At most so many tokens. Left out: all.", show_default=False)
]
Encoding = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        metavar="NAME",
        help="What files are written in that are not UTF-8 and have no byte order mark, such as cp949.",
        show_default=False,
    ),
]


def chosen_rules(text: str | None) -> bool | str:
    """Which rules are meant, as a retriever takes it."""
    return True if text is None else False if text == "off" else text


def parsed_filter(text: str | None) -> dict[str, Any] | None:
    """A filter as it is typed, as a retriever takes it.

    Raises:
        BadParameter: It is not a JSON object.
    """
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"not valid JSON: {error}", param_hint="--filter") from None
    if not isinstance(value, dict):
        raise typer.BadParameter('a filter is a JSON object, such as {"year": 2020}', param_hint="--filter")
    return composed_sources(value)
