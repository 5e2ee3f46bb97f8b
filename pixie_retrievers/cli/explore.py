"""`pixie explore`: a local page over an index."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixie_retrievers.cli.options import Device, IndexFile, ModelName
from pixie_retrievers.cli.terminal import notes, print_json

if TYPE_CHECKING:
    from pixie_retrievers.rules.rules import Rules

__all__ = ["explore"]


def explore(
    index_file: IndexFile,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Listen on this port of 127.0.0.1.")] = 8077,
    judged: Annotated[
        Path | None,
        typer.Option(
            "--judged",
            metavar="FILE",
            help="Judged questions, on which a change of rules is tried.",
            show_default=False,
        ),
    ] = None,
    edit: Annotated[bool, typer.Option("--edit", help="Let the page keep the sliders' settings as rules.")] = False,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    model: ModelName = None,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address as one JSON document.")] = False,
) -> None:
    """Show an index on a local page: search, and see why; weigh tokens anew; two documents side by side.

    It only reads, unless --edit lets it keep rules, and answers this machine alone. Ctrl-C ends it.
    """
    from pixie_retrievers.cli.models import encoder_for_index
    from pixie_retrievers.explore.app import make_app
    from pixie_retrievers.index.opening import open_index, without_credentials
    from pixie_retrievers.retriever import SparseRetriever
    from pixie_retrievers.tuning.effects import JudgedQuestions

    with closing(open_index(index_file, read_only=True)) as index:
        with notes().status("loading the model"):
            encoder = encoder_for_index(index.fingerprint, model, device=device)
        retriever = SparseRetriever(encoder, index)
        questions = None if judged is None else JudgedQuestions(index, encoder, judged)
        app = make_app(retriever, judged=questions, keep=partial(_keep, index_file) if edit else None)

        import uvicorn

        url = f"http://127.0.0.1:{port}/"
        if as_json:
            print_json({"index": without_credentials(index_file), "model": encoder.fingerprint, "url": url})
        else:
            notes().print(url, soft_wrap=True)
        if open_browser:
            typer.launch(url)
        uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def _keep(index_file: str, rules: Rules | None) -> None:
    """Put rules into the index, or undo their last change, through a handle that may write."""
    from pixie_retrievers.index.opening import open_index
    from pixie_retrievers.rules import stored

    with closing(open_index(index_file)) as index:
        if rules is None:
            stored.undo(index)
        else:
            stored.write(index, rules, rules.version)
