"""`pixie copy`: an index into another engine, without encoding again."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from pixie_retrievers.cli.terminal import counted, notes, one_line, output, print_json, progress_bar

__all__ = ["copy"]


def copy(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="An index file or URL.", show_default=False)],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="An index file or URL: new, or of a copy that was interrupted.", show_default=False
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as one JSON document.")] = False,
) -> None:
    """Copy an index into another engine, without encoding again, and hold the two against each other.

    Run it again after an interruption: it goes on where it stopped. Exit code 1 if the two differ at the end.
    """
    from pixie_retrievers.index.copying import copy_index
    from pixie_retrievers.index.opening import begin_index, open_index, without_credentials

    with ExitStack() as stack:
        ours = stack.enter_context(closing(open_index(source, read_only=True)))
        theirs = stack.enter_context(
            closing(begin_index(target, vocabulary_size=ours.vocabulary_size, fingerprint=ours.fingerprint))
        )
        with progress_bar(notes()) as bar:
            task = bar.add_task("copying", total=len(ours))
            copied = copy_index(ours, theirs, advance=lambda n: bar.advance(task, n))
        n_documents = len(theirs)
    where = without_credentials(target)
    if as_json:
        source = without_credentials(source)
        print_json({"source": source, "target": where, "n_documents": n_documents, **asdict(copied)})
    else:
        counts = f"{copied.copied:,} copied, {copied.unchanged:,} there already"
        told = f"{where}: {counted(n_documents, 'document')}, {counts}"
        if not copied.differences:
            told += f"; both answer {copied.n_queries} queries alike"
        output().print(Text(one_line(told)), soft_wrap=True)
        for difference in copied.differences:
            notes().print(Text(one_line(difference)), soft_wrap=True)
    if copied.differences:
        raise typer.Exit(1)
