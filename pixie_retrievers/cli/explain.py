"""`pixie explain`: why one document scores what it scores for a question, or what the model makes of either alone."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from pixie_retrievers.cli.options import Device, IndexFile, ModelName, MostTokens, RulesOption, chosen_rules
from pixie_retrievers.cli.terminal import output, print_json

__all__ = ["explain"]


def explain(
    index_file: IndexFile,
    query: Annotated[str | None, typer.Argument(metavar="[QUERY]", help="A question.", show_default=False)] = None,
    document_id: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="The id of a document. Left out: the question alone.", show_default=False),
    ] = None,
    alone: Annotated[
        str | None,
        typer.Option(
            "--document", metavar="ID", help="Instead of a question: this document alone.", show_default=False
        ),
    ] = None,
    tokens: MostTokens = None,
    raised_by: Annotated[
        bool, typer.Option("--raised-by", help="Name the word that raised each token which the model added.")
    ] = False,
    rules: RulesOption = None,
    model: ModelName = None,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the explanation as one JSON document.")] = False,
) -> None:
    """Show every token that a question shares with one document, found or not; or what the model makes of one alone."""
    if (query is None) == (alone is None):
        raise typer.BadParameter("a question with or without an id, or --document and an id", param_hint="QUERY")

    from pixie_retrievers.cli.lookup import stored_documents
    from pixie_retrievers.cli.models import retriever_of
    from pixie_retrievers.index.opening import open_index, without_credentials
    from pixie_retrievers.types import SearchResult, TextExplanation

    where, chosen = without_credentials(index_file), chosen_rules(rules)
    told: TextExplanation | SearchResult
    with closing(open_index(index_file, read_only=True)) as index:
        ids = [id for id in (document_id, alone) if id is not None]
        documents = stored_documents(index, ids, where=where)
        retriever = retriever_of(index, model, device=device)
        if query is None:
            told = retriever.explain_document(documents[0].id, raised_by=raised_by)
        elif documents:
            (document,) = documents
            explanation = retriever.explain(query, document.id, top_k_tokens=tokens, raised_by=raised_by, rules=chosen)
            told = SearchResult(document, explanation.score, explanation)
        else:
            told = retriever.explain_query(query, raised_by=raised_by, rules=chosen)
    if as_json:
        asked = {} if query is None else {"query": query}
        print_json(asked | {"index": where, "model": retriever.encoder.fingerprint, **told.to_dict()})
        return

    from pixie_retrievers.render import LEGEND, RAISED, result_view, text_view

    console = output()
    if isinstance(told, TextExplanation):
        console.print(text_view(told, max_tokens=tokens, max_characters=None))
        return
    console.print(result_view(told, max_characters=None))
    console.print()
    console.print(f"{LEGEND} {RAISED}" if raised_by else LEGEND, style="dim", markup=False)
