"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Device", "Encoding", "IndexFile", "ModelName", "Query"]

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
Encoding = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        metavar="NAME",
        help="What files are written in that are not UTF-8 and have no byte order mark, such as cp949.",
        show_default=False,
    ),
]
