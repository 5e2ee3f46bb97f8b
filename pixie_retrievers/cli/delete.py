"""`pixie delete`: documents out of an index, by their ids."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer
from rich.text import Text

from pixie_retrievers.cli.options import IndexFile
from pixie_retrievers.cli.terminal import notes, one_line, output, print_json

__all__ = ["delete"]


def delete(
    index_file: IndexFile,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Documents' ids.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as one JSON document.")] = False,
) -> None:
    """Remove documents from an index, in one commit. An id that is not there is named, and is not an error."""
    from pixie_retrievers.cli.lookup import stored_ids
    from pixie_retrievers.index.opening import open_index, without_credentials

    with closing(open_index(index_file)) as index:
        unique = list(dict.fromkeys(stored_ids(index, ids)))
        stored = [id for id, document in zip(unique, index.get(unique), strict=True) if document is not None]
        n_deleted = index.delete(unique)
        n_left = len(index)
    missing = [id for id in unique if id not in stored]
    if as_json:
        shown = without_credentials(index_file)
        print_json(
            {
                "index": shown,
                "n_deleted": n_deleted,
                "not_there": missing,
                "n_documents": n_left,
            }
        )
        return
    output().print(Text(f"{n_deleted} deleted, {n_left} left"))
    for id in missing:
        notes().print(Text(f"not there: {one_line(id)}"), soft_wrap=True)
