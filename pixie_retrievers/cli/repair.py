"""`pixie repair`: what verifies in a damaged index file, as a new file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pixie_retrievers.cli.options import IndexFile
from pixie_retrievers.cli.terminal import counted, notes, one_line, output, print_json

__all__ = ["repair"]


def repair(
    index_file: IndexFile,
    target: Annotated[
        Path, typer.Argument(metavar="NEW_FILE", help="The index file to write; it must not exist.", show_default=False)
    ],
    vocabulary_size: Annotated[
        int | None,
        typer.Option(help="The model's number of terms: only if the file has lost it.", min=1, show_default=False),
    ] = None,
    fingerprint: Annotated[
        str | None, typer.Option(help="The model's fingerprint: only if the file has lost it.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as one JSON document.")] = False,
) -> None:
    """Write all that verifies in a damaged index into a new file, and list what was lost (exit code 1).

    The damaged file is only read. Documents that lost their vector but not their text go to NEW_FILE.lost.jsonl, one
    JSON object of id, text and metadata a line.
    """
    from pixie_retrievers.index.sqlite.repair import repair_index

    with notes().status("repairing"):
        report = repair_index(index_file, target, vocabulary_size=vocabulary_size, fingerprint=fingerprint)
    lost = [{"what": loss.what, "why": one_line(loss.why)} for loss in report.lost]
    texts = None if report.texts is None else str(report.texts)
    if as_json:
        print_json({"index": str(target), "documents": report.n_documents, "lost": lost, "texts": texts})
    else:
        for loss in lost:
            output().print(Text(f"lost: {one_line(loss['what'])}: {loss['why']}"), soft_wrap=True)
        output().print(Text(f"{target}: {counted(report.n_documents, 'document')}"), soft_wrap=True)
        if texts is not None:
            kept = f"the texts, but not the vectors, of {counted(report.n_texts, 'document')} are in {texts}"
            notes().print(Text(f"{kept}: encode and add them again"), soft_wrap=True)
    if lost:
        raise typer.Exit(1)
