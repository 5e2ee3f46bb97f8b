"""`pixie inference-free`: a table that reads questions in place of the model, derived and measured."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pixie_retrievers.cli.options import Device, Encoding, IndexFile, ModelName
from pixie_retrievers.cli.terminal import notes, output, print_json

if TYPE_CHECKING:
    from pixie_retrievers.deriving.report import TableReport

__all__ = ["inference_free", "report_view"]


def inference_free(
    index_file: IndexFile,
    questions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Questions as people ask them, one a line, to learn from. Left out: sentences of the documents.",
            show_default=False,
        ),
    ] = None,
    judged: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help='A file with a row a question: {"question", "relevant": [ids]}. They say what the table costs.',
            show_default=False,
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the table to a file, and leave the index as it is.",
            show_default=False,
        ),
    ] = None,
    texts: Annotated[int, typer.Option(min=50, help="Put at most so many texts through the model.")] = 5000,
    remove: Annotated[bool, typer.Option("--remove", help="Take the table out of the index.")] = False,
    encoding: Encoding = None,
    model: ModelName = None,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON document.")] = False,
) -> None:
    """Learn what the model gives the tokens of questions, keep it as a table in the index, and say what that costs.

    `pixie search --fast`, and queries="inference-free" in Python, then answer without loading the model.
    """
    from pixie_retrievers.cli.models import retriever_of
    from pixie_retrievers.files.rows import input_files
    from pixie_retrievers.index.opening import open_index
    from pixie_retrievers.queries import keep_table

    if remove:
        with closing(open_index(index_file)) as index:
            keep_table(index, None)
        notes().print(Text(f"{index_file} keeps no query table"))
        return
    asked = None
    if questions is not None:
        (file,) = input_files([questions], encoding)
        asked = [" ".join(cells) for _, cells in file.cells()]
    with closing(open_index(index_file, read_only=save is not None)) as index:
        retriever = retriever_of(index, model, device=device)
        report = retriever.derive_query_table(
            asked, judged=judged, max_texts=texts, keep=save is None, show_progress=notes().is_terminal
        )
    if save is not None:
        report.table.save(save)
    if as_json:
        print_json(report.to_dict())
        return
    output().print(report_view(report))
    kept = f"`pixie search --fast {index_file}` uses it" if save is None else f"written to {save}"
    notes().print(Text(kept), soft_wrap=True)


def report_view(report: TableReport) -> RenderableType:
    """A report for a person: what it says, and all that was tried."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("tried")
    table.add_column("same among ten", justify="right")
    judged = report.model_ndcg is not None
    if judged:
        table.add_column("NDCG@10", justify="right")
    for variant in report.variants:
        style = "bold" if variant == report.chosen else ""
        cells = [variant.name, f"{variant.overlap:.1%}", *([f"{variant.ndcg:.4f}"] if judged else [])]
        table.add_row(*cells, style=style)
    if judged:
        table.add_row("the model", "", f"{report.model_ndcg:.4f}")
    return Group(Text(str(report)), Text(), table)
