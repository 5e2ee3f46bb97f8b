"""`pixie explore`: a local page over an index."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from pixie_retrievers.cli.options import Device, IndexFile, ModelName
from pixie_retrievers.cli.terminal import notes, print_json

__all__ = ["explore"]


def explore(
    index_file: IndexFile,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Listen on this port of 127.0.0.1.")] = 8077,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    model: ModelName = None,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address as one JSON document.")] = False,
) -> None:
    """Show an index on a local page: search, and see why; weigh tokens anew; two documents side by side.

    It only reads, and answers this machine alone. Ctrl-C ends it.
    """
    from pixie_retrievers.cli.models import encoder_for_index
    from pixie_retrievers.explore.app import make_app
    from pixie_retrievers.index.opening import open_index, without_credentials
    from pixie_retrievers.retriever import SparseRetriever

    with closing(open_index(index_file, read_only=True)) as index:
        with notes().status("loading the model"):
            encoder = encoder_for_index(index.fingerprint, model, device=device)
        app = make_app(SparseRetriever(encoder, index))

        import uvicorn

        url = f"http://127.0.0.1:{port}/"
        if as_json:
            print_json({"index": without_credentials(index_file), "model": encoder.fingerprint, "url": url})
        else:
            notes().print(url, soft_wrap=True)
        if open_browser:
            typer.launch(url)
        uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
