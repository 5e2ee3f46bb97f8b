"""`pixie search`: the best documents for a question, and why."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Annotated

import typer

from pixie_retrievers.cli.options import (
    Device,
    FilterOption,
    IndexFile,
    ModelName,
    RulesOption,
    chosen_rules,
    parsed_filter,
)
from pixie_retrievers.cli.terminal import output, print_json

__all__ = ["search"]


def search(
    index_file: IndexFile,
    query: Annotated[
        str | None,
        typer.Argument(
            metavar="QUERY", help="What to look for. Left out: one question a line is read.", show_default=False
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="At most so many hits.")] = 5,
    filter: FilterOption = None,
    tokens: Annotated[int, typer.Option(min=0, help="At most so many tokens a hit; 0 for none.")] = 8,
    threshold: Annotated[float | None, typer.Option(help="Leave out hits that score less.", show_default=False)] = None,
    full: Annotated[bool, typer.Option("--full", help="Show whole texts instead of the passage that matches.")] = False,
    rules: RulesOption = None,
    model: ModelName = None,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the hits as one JSON document.")] = False,
) -> None:
    """Find the best documents for a question, and show which tokens made each one match.

    Without a question it asks for one after the other, on a terminal, or reads one a line from standard input.
    """
    wanted, chosen = parsed_filter(filter), chosen_rules(rules)

    from pixie_retrievers.cli.models import retriever_of
    from pixie_retrievers.index.opening import open_index, without_credentials
    from pixie_retrievers.render import LEGEND, results_view

    console = output()
    with closing(open_index(index_file, read_only=True)) as index:
        retriever = retriever_of(index, model, device=device)
        for question in [query] if query is not None else _questions():
            results = retriever.search(
                question, k, filter=wanted, top_k_tokens=tokens, score_threshold=threshold, rules=chosen
            )
            if as_json:
                hits = [{"rank": rank, **result.to_dict()} for rank, result in enumerate(results, start=1)]
                shown = without_credentials(index_file)
                print_json({"query": question, "index": shown, "model": retriever.encoder.fingerprint, "results": hits})
                continue
            console.print(results_view(results, max_characters=None if full else 240))
            if results and tokens and console.is_terminal:
                console.print()
                console.print(LEGEND, style="dim", markup=False)


def _questions() -> Iterator[str]:
    """One a line, until there are no more; on a terminal with a prompt, and Ctrl-D ends it."""
    asks = sys.stdin.isatty()
    if asks:
        with suppress(ImportError):
            import readline  # noqa: F401  # lines are edited, and remembered
    while True:
        try:
            question = input("? " if asks else "").strip()
        except EOFError:
            return
        if question:
            yield question
