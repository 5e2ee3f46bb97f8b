"""`pixie compact`: an index without what was deleted, in a smaller file."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer
from rich.text import Text

from pixie_retrievers.cli.options import IndexFile
from pixie_retrievers.cli.terminal import counted, file_size, notes, output, print_json

__all__ = ["compact"]


def compact(
    index_file: IndexFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as one JSON document.")] = False,
) -> None:
    """Drop what was deleted for good, merge what belongs together, and give unused space back."""
    from pixie_retrievers.index.opening import open_index, without_credentials

    with closing(open_index(index_file)) as index:
        before = index.stats()
        with notes().status("compacting"):
            index.compact()
        after = index.stats()
    if as_json:
        print_json(
            {
                "index": without_credentials(index_file),
                "n_documents": after.n_documents,
                "n_segments": {"before": before.n_segments, "after": after.n_segments},
                "file_bytes": {"before": before.file_bytes, "after": after.file_bytes},
            }
        )
        return
    sizes = f"{file_size(before.file_bytes)} before, {file_size(after.file_bytes)} now"
    output().print(Text(f"{counted(after.n_documents, 'document')}; {sizes}"))
