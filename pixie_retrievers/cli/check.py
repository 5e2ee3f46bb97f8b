"""`pixie check`: whether an index file is sound."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pixie_retrievers.cli.options import IndexFile
from pixie_retrievers.cli.terminal import notes, one_line, output, print_json

__all__ = ["check"]


def check(
    index_file: IndexFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as one JSON document.")] = False,
) -> None:
    """Read a whole index and say "sound", or name what is damaged (exit code 1). Changes nothing."""
    from pixie_retrievers.index.opening import open_index, without_credentials
    from pixie_retrievers.index.remote.location import is_url
    from pixie_retrievers.index.sqlite.check import check_file

    with notes().status("checking"):
        if is_url(index_file):
            with closing(open_index(index_file, read_only=True)) as index:
                report = index.check()
        else:  # one that is too damaged to be opened is checked all the same
            report = check_file(Path(index_file))
    problems = [one_line(problem) for problem in report.problems]
    if as_json:
        print_json({"index": without_credentials(index_file), "sound": not problems, "problems": problems})
    elif problems:
        for problem in problems:
            output().print(Text(problem), soft_wrap=True)
        if is_url(index_file):
            raise typer.Exit(1)
        notes().print(Text(f"damaged; save what can be saved with: pixie repair {index_file} NEW_FILE"), soft_wrap=True)
    else:
        output().print(Text("sound"))
    if problems:
        raise typer.Exit(1)
