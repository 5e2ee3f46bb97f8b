"""`pixie backup`: a copy of an index, taken while others read and write it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pixie_retrievers.cli.options import IndexFile
from pixie_retrievers.cli.terminal import counted, file_size, notes, output, print_json

__all__ = ["backup"]


def backup(
    index_file: IndexFile,
    target: Annotated[
        Path, typer.Argument(metavar="NEW_FILE", help="The file to write; it must not exist.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as one JSON document.")] = False,
) -> None:
    """Copy an index into a new file, as it is at one commit, while others may read and write it.

    To restore it, let the programs that have the index open end, and put the copy in its place.
    """
    from pixie_retrievers.index.sqlite.engine import SqliteIndex

    with closing(SqliteIndex(index_file, read_only=True)) as index, notes().status("copying") as status:
        index.backup(target, progress=lambda done, total: status.update(f"copying: {done / max(total, 1):.0%}"))
    with closing(SqliteIndex(target, read_only=True)) as copy:
        stats = copy.stats()
    if as_json:
        print_json(
            {"index": index_file, "copy": str(target), "n_documents": stats.n_documents, "bytes": stats.file_bytes}
        )
        return
    output().print(
        Text(f"{target}: {counted(stats.n_documents, 'document')}, {file_size(stats.file_bytes)}"), soft_wrap=True
    )
