"""`pixie compare`: why one of two documents scores more for a question than the other."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from pixie_retrievers.cli.options import Device, IndexFile, ModelName, MostTokens, Query, RulesOption, chosen_rules
from pixie_retrievers.cli.terminal import output, print_json

__all__ = ["compare"]


def compare(
    index_file: IndexFile,
    query: Query,
    id_a: Annotated[str, typer.Argument(metavar="ID_A", help="The id of one document.", show_default=False)],
    id_b: Annotated[str, typer.Argument(metavar="ID_B", help="The id of the other.", show_default=False)],
    tokens: MostTokens = None,
    rules: RulesOption = None,
    model: ModelName = None,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as one JSON document.")] = False,
) -> None:
    """Show what each token of a question adds to two documents' scores, and where they differ."""
    from pixie_retrievers.cli.lookup import stored_documents
    from pixie_retrievers.cli.models import retriever_of
    from pixie_retrievers.index.opening import open_index, without_credentials

    where = without_credentials(index_file)
    with closing(open_index(index_file, read_only=True)) as index:
        first, second = stored_documents(index, [id_a, id_b], where=where)
        retriever = retriever_of(index, model, device=device)
        told = retriever.compare(query, first.id, second.id, rules=chosen_rules(rules))
    if as_json:
        print_json({"index": where, "model": retriever.encoder.fingerprint, **told.to_dict()})
        return

    from pixie_retrievers.render import comparison_view

    output().print(comparison_view(told, max_tokens=tokens))
