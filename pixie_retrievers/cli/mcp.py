"""`pixie mcp`: an index as tools of an agent."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from pixie_retrievers.cli.options import Device, Fast, IndexFile, ModelName
from pixie_retrievers.cli.terminal import notes

__all__ = ["mcp"]


def mcp(
    index_file: IndexFile,
    http: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            min=1,
            max=65535,
            help="Listen on 127.0.0.1:PORT/mcp instead of standard input.",
            show_default=False,
        ),
    ] = None,
    fast: Fast = False,
    model: ModelName = None,
    device: Device = None,
) -> None:
    """Serve an index to agents by the Model Context Protocol: they search, read and explain; nothing of it writes.

    Without --http the host of an agent starts it, and talks to it by standard input and output.
    """
    from pixie_retrievers.cli.models import retriever_of
    from pixie_retrievers.index.opening import open_index
    from pixie_retrievers.mcp_server import make_server

    with closing(open_index(index_file, read_only=True)) as index:
        server = make_server(retriever_of(index, model, device=device, fast=fast))
        if http is None:
            server.run("stdio")
        else:
            notes().print(f"http://127.0.0.1:{http}/mcp", soft_wrap=True)
            server.run("streamable-http", host="127.0.0.1", port=http)
