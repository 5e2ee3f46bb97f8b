"""`pixie index`: documents from files into an index file."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixie_retrievers.cli.inference_free import report_view
from pixie_retrievers.cli.inputs import Split
from pixie_retrievers.cli.options import Device, Encoding
from pixie_retrievers.cli.terminal import counted, file_size, notes, one_line, output, print_json
from pixie_retrievers.errors import InvalidParameterError, PixieError

if TYPE_CHECKING:
    from pixie_retrievers.retriever import SparseRetriever
    from pixie_retrievers.types import Document

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
        str,
        typer.Option(
            "--output", "-o", metavar="INDEX", help="The index, a file or a URL: made, or added to.", show_default=False
        ),
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
        int,
        typer.Option(min=1, max=1024, help="Encode in so many processes, each with a model of its own, on --device."),
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
    template: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="What a new index encodes, and shows, of a document: '{title} ({year})\\n{text}', fields on lines of"
            " their own or beside each other. Left out: what an existing index has, or title and text.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            metavar="auto|file|paragraph|TOKENS",
            help="Text files: one document a file or a paragraph. auto: a paragraph for a file named here, a file"
            " inside a folder. A number: every document in passages of at most so many tokens.",
        ),
    ] = "auto",
    encoding: Encoding = None,
    sync: Annotated[
        bool, typer.Option("--sync", help="Delete what the index holds and the inputs do not, such as removed files.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Let --sync delete more than half without asking.")] = False,
    inference_free: Annotated[
        bool,
        typer.Option("--inference-free", help="Then derive the table that `pixie search --fast` reads questions by."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON document.")] = False,
) -> None:
    """Add documents to an index, or update them; with --sync, make it hold these and no others.

    Documents whose id is known are replaced; those that have not changed are not encoded again. All input is checked
    first: when a line is at fault, nothing is stored.
    """
    from pixie_retrievers.cli.inputs import read_documents
    from pixie_retrievers.files.fields import Fields
    from pixie_retrievers.index.opening import begin_index, open_if_there, open_index, without_credentials
    from pixie_retrievers.text_fields import TextFields, split_fingerprint

    parts, max_tokens = _split(split)
    wanted = None if template is None else TextFields.of(template.replace("\\n", "\n"))
    fingerprint: str | None = None
    if (found := open_if_there(target, read_only=True)) is not None:
        with closing(found):
            fingerprint = found.fingerprint
        if wanted is not None:
            wanted.check_index(fingerprint, without_credentials(target))
        _, wanted = split_fingerprint(fingerprint)
    fields = Fields(text_field, id_field, title_field, title_in_text=wanted is None)
    whole = read_documents(inputs, fields=fields, split=parts, encoding=encoding)

    from pixie_retrievers.cli.models import encoder_for_index, load_encoder
    from pixie_retrievers.cli.storing import store
    from pixie_retrievers.indexing import left_over
    from pixie_retrievers.passages import split_documents
    from pixie_retrievers.queries import check_keeps_tables
    from pixie_retrievers.retriever import SparseRetriever

    began = time.perf_counter()
    console = notes()
    devices = [device or "auto"] * processes if processes > 1 else None
    shown = without_credentials(target)

    def documents() -> Iterable[Document]:
        return whole if max_tokens is None else split_documents(whole, encoder, max_tokens)

    def agreed() -> list[str]:
        if not sync or fingerprint is None:
            return []
        with closing(open_index(target, read_only=True)) as existing:
            left = left_over(existing, documents())
            _agree(len(left), len(existing), shown, yes=yes)
            return left

    if max_tokens is None:  # passages are known once there is a model; all else is asked before it is loaded
        gone = agreed()
    with console.status("loading the model"):
        if fingerprint is not None:
            encoder = encoder_for_index(fingerprint, model, device=device)
        else:
            encoder = load_encoder(model, device=device)
    if max_tokens is not None:
        gone = agreed()
    opened = begin_index(
        target,
        vocabulary_size=encoder.vocabulary_size,
        fingerprint=fingerprint or (wanted.marked(encoder.fingerprint) if wanted else encoder.fingerprint),
        weights=weights.value if weights else None,
    )
    with SparseRetriever(encoder, opened) as retriever:
        if inference_free:
            check_keeps_tables(retriever.index)
        total = len(whole) if max_tokens is None else None
        try:
            stored = store(retriever.index, encoder, documents(), console, total=total, devices=devices)
            if gone:  # last: nothing that the inputs hold is ever missing
                stored = replace(stored, deleted=retriever.delete(gone))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_so_far(retriever, shown)) from None
        table = retriever.derive_query_table(show_progress=console.is_terminal) if inference_free else None
        n_documents, n_bytes = len(retriever), retriever.index.stats().file_bytes
    summary = {
        "index": shown,
        "model": encoder.fingerprint,
        "documents": n_documents,
        "added": stored.added,
        "updated": stored.updated,
        "unchanged": stored.unchanged,
        "deleted": stored.deleted,
        "cut": stored.cut,
        "seconds": round(time.perf_counter() - began, 3),
        "bytes": n_bytes,
        **({} if table is None else {"inference_free": table.to_dict()}),
    }
    if as_json:
        print_json(summary)
        return
    names = ("added", "updated", "unchanged", "deleted") if sync else ("added", "updated", "unchanged")
    counts = ", ".join(f"{getattr(stored, name)} {name}" for name in names)
    if stored.cut:
        counts += f", {stored.cut} longer than the model reads"
    output().print(
        f"{shown}: {counts}; {counted(n_documents, 'document')}, {file_size(n_bytes)}, {summary['seconds']:.1f} s",
        markup=False,
        soft_wrap=True,
    )
    if table is not None:
        output().print(report_view(table))


def _split(split: str) -> tuple[Split, int | None]:
    """What one document of a text file is, and how many tokens a passage may have."""
    if split.isdecimal():
        return Split.file, int(split)
    try:
        return Split(split), None
    except ValueError:
        raise typer.BadParameter(
            f"{split!r} is neither auto, file or paragraph nor a number of tokens", param_hint="--split"
        ) from None


def _agree(n_gone: int, n_stored: int, target: str, *, yes: bool) -> None:
    """Ask before most of an index goes: the inputs may be the wrong ones, or not all of them.

    Raises:
        InvalidParameterError: There is nobody to ask.
        typer.Exit: The answer is not yes.
    """
    if yes or n_gone * 2 <= n_stored:
        return
    what = f"{target}: {n_gone} of {n_stored} documents are not in the inputs"
    if not _has_terminal():
        raise InvalidParameterError(f"{what}, and --sync would delete them: pass --yes if that is meant")
    typer.echo(f"{one_line(what)}. Delete them? [y/N] ", err=True, nl=False)
    if sys.stdin.readline().strip().casefold() not in ("y", "yes"):
        typer.echo("nothing was changed", err=True)
        raise typer.Exit(1)


def _so_far(retriever: SparseRetriever, shown: str) -> str:
    """What there is when somebody has had enough; nothing where a server that keeps it does not say."""
    with suppress(PixieError):
        if n_documents := len(retriever):
            there = counted(n_documents, "document")
            return f"{shown} is sound and holds {there}; the same command again does the rest"
        return "nothing is stored yet"
    return ""


def _has_terminal() -> bool:
    return sys.stdin.isatty()
