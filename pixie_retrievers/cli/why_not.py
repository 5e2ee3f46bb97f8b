"""`pixie why-not`: why a document is not among the best for a question."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from pixie_retrievers.cli.options import (
    Device,
    FilterOption,
    IndexFile,
    ModelName,
    MostTokens,
    Query,
    RulesOption,
    chosen_rules,
    parsed_filter,
)
from pixie_retrievers.cli.terminal import output, print_json

__all__ = ["why_not"]


def why_not(
    index_file: IndexFile,
    query: Query,
    document_id: Annotated[str, typer.Argument(metavar="ID", help="The id of a document.", show_default=False)],
    k: Annotated[int, typer.Option("-k", min=1, help="How many hits were asked for.")] = 10,
    filter: FilterOption = None,
    tokens: MostTokens = None,
    rules: RulesOption = None,
    model: ModelName = None,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the reason as one JSON document.")] = False,
) -> None:
    """Say why a document is not among the best: its rank and what it lacks, a filter, or the model's length."""
    wanted, chosen = parsed_filter(filter), chosen_rules(rules)

    from pixie_retrievers.cli.lookup import stored_ids
    from pixie_retrievers.cli.models import retriever_of
    from pixie_retrievers.index.opening import open_index, without_credentials

    with closing(open_index(index_file, read_only=True)) as index:
        (document_id,) = stored_ids(index, [document_id])
        retriever = retriever_of(index, model, device=device)
        told = retriever.why_not(query, document_id, k=k, filter=wanted, rules=chosen)
    if as_json:
        where = without_credentials(index_file)
        print_json({"index": where, "model": retriever.encoder.fingerprint, **told.to_dict()})
        return

    from pixie_retrievers.render import why_not_view

    output().print(why_not_view(told, max_tokens=tokens))
