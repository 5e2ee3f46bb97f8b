"""`pixie export`: an index in the format of another program."""

from __future__ import annotations

from contextlib import closing
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pixie_retrievers.cli.options import Device, IndexFile, ModelName
from pixie_retrievers.cli.terminal import counted, file_size, notes, one_line, output, print_json, progress_bar

__all__ = ["export"]


class Format(str, Enum):
    """What can be written."""

    anserini = "anserini"
    ciff = "ciff"
    opensearch = "opensearch"
    elasticsearch = "elasticsearch"
    beir = "beir"
    parquet = "parquet"
    npz = "npz"


def export(
    index_file: IndexFile,
    to: Annotated[Format, typer.Option("--to", help="The format.", show_default=False)],
    folder: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="A new folder for the files.", show_default=False),
    ],
    quantise: Annotated[
        int | None,
        typer.Option(min=1, help="anserini, ciff: steps a unit of weight. Left out: 100.", show_default=False),
    ] = None,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Write the token of every term to terms.tsv, too; loads the model.")
    ] = False,
    model: ModelName = None,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON document.")] = False,
) -> None:
    """Write an index as files that other programs read. Nothing is encoded again.

    FOLDER is there when it is whole; what was killed leaves a folder FOLDER.partial-... behind.
    """
    from pixie_retrievers.cli.models import encoder_for_index
    from pixie_retrievers.exports.exporting import export_index
    from pixie_retrievers.index.opening import open_index, without_credentials

    with closing(open_index(index_file, read_only=True)) as index:
        names = None
        if tokens:
            with notes().status("loading the model"):
                names = encoder_for_index(index.fingerprint, model, device=device).tokens
        with progress_bar(notes()) as bar:
            task = bar.add_task("exporting", total=len(index))
            done = export_index(
                index, to.value, folder, quantise=quantise, tokens=names, advance=lambda n: bar.advance(task, n)
            )
    if as_json:
        shown = without_credentials(index_file)
        summary = {"index": shown, "folder": str(done.folder), "files": done.files, "bytes": done.n_bytes}
        print_json({**summary, **done.manifest})
        return
    n_files, n_documents = counted(len(done.files), "file"), counted(done.manifest["n_documents"], "document")
    told = f"{folder}: {n_documents} in {n_files}, {file_size(done.n_bytes)}"
    output().print(Text(one_line(told)), soft_wrap=True)
