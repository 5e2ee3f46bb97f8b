"""`pixie index`: documents from files into an index file."""

from __future__ import annotations

import time
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from pixie_retrievers.cli.inputs import Split
from pixie_retrievers.cli.options import Device, Encoding
from pixie_retrievers.cli.terminal import file_size, notes, output, print_json

__all__ = ["index"]


class Weights(str, Enum):
    """How an index file keeps a weight."""

    float32 = "float32"
    float16 = "float16"
    uint8 = "uint8"


def index(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="JSON Lines, JSON, CSV, TSV, Parquet, .txt and .md files, or folders of them, read recursively.",
            show_default=False,
        ),
    ],
    target: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", help="The index file: made, or added to.", show_default=False),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER|bundled",
            help="The model. Left out: the one an existing index was built with, or PIXIE-Splade-Preview.",
            show_default=False,
        ),
    ] = None,
    device: Device = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Encode in so many processes, each with a model of its own, on --device.")
    ] = 1,
    weights: Annotated[
        Weights | None,
        typer.Option(help="How a new index keeps weights: smaller is faster and less exact.", show_default="float32"),
    ] = None,
    text_field: Annotated[
        str | None,
        typer.Option(
            help="Rows: the field or column of the text. Left out: text, content, contents, page_content, body, 본문 or"
            " 내용.",
            show_default=False,
        ),
    ] = None,
    id_field: Annotated[
        str | None,
        typer.Option(
            help="Rows: the field of the id. Left out: id or _id, or a hash of the content.", show_default=False
        ),
    ] = None,
    title_field: Annotated[
        str | None,
        typer.Option(
            help="Rows: the field of a title, which is encoded in front of the text. Left out: title or 제목.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        Split,
        typer.Option(
            help="Text files: one document a file or a paragraph. auto: a paragraph for a file named here, a file"
            " inside a folder."
        ),
    ] = Split.auto,
    encoding: Encoding = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON document.")] = False,
) -> None:
    """Add documents to an index file, or update them.

    Documents whose id is known are replaced; those that have not changed are not encoded again. All input is checked
    first: when a line is at fault, nothing is stored.
    """
    from pixie_retrievers.cli.inputs import read_documents
    from pixie_retrievers.files.fields import Fields

    fields = Fields(text_field, id_field, title_field)
    documents = read_documents(inputs, fields=fields, split=split, encoding=encoding)

    from pixie_retrievers.cli.models import encoder_for_index, load_encoder
    from pixie_retrievers.cli.storing import store
    from pixie_retrievers.index.opening import is_there
    from pixie_retrievers.index.sqlite.engine import SqliteIndex
    from pixie_retrievers.retriever import SparseRetriever

    began = time.perf_counter()
    console = notes()
    devices = [device or "auto"] * processes if processes > 1 else None
    fingerprint: str | None = None
    if is_there(target):
        with SqliteIndex(target, read_only=True) as existing:
            fingerprint = existing.fingerprint
    with console.status("loading the model"):
        if fingerprint is not None:
            encoder = encoder_for_index(fingerprint, model, device=device)
        else:
            encoder = load_encoder(model, device=device)
    opened = SqliteIndex(
        target,
        vocabulary_size=encoder.vocabulary_size,
        fingerprint=encoder.fingerprint,
        weights=weights.value if weights else None,
    )
    with SparseRetriever(encoder, opened) as retriever:
        stored = store(retriever.index, encoder, documents, console, total=len(documents), devices=devices)
        n_documents = len(retriever)
    summary = {
        "index": str(target),
        "model": encoder.fingerprint,
        "documents": n_documents,
        "added": stored.added,
        "updated": stored.updated,
        "unchanged": stored.unchanged,
        "seconds": round(time.perf_counter() - began, 3),
        "bytes": target.stat().st_size,
    }
    if as_json:
        print_json(summary)
        return
    counts = ", ".join(f"{getattr(stored, name)} {name}" for name in ("added", "updated", "unchanged"))
    output().print(
        f"{target}: {counts}; {n_documents} documents, {file_size(target.stat().st_size)}, {summary['seconds']:.1f} s",
        markup=False,
        soft_wrap=True,
    )
