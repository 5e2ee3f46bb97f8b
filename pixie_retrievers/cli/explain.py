"""`pixie explain`: why one document scores what it scores for a question."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from pixie_retrievers.cli.options import Device, IndexFile, ModelName, Query
from pixie_retrievers.cli.terminal import notes, output, print_json

__all__ = ["explain"]


def explain(
    index_file: IndexFile,
    query: Query,
    document_id: Annotated[str, typer.Argument(metavar="ID", help="The id of a document.", show_default=False)],
    tokens: Annotated[
        int | None, typer.Option(min=1, help="At most so many tokens. Left out: all.", show_default=False)
    ] = None,
    model: ModelName = None,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the explanation as one JSON document.")] = False,
) -> None:
    """Show every token that a question shares with one document, whether or not a search would find it."""
    from pixie_retrievers.cli.lookup import stored_ids
    from pixie_retrievers.cli.models import encoder_for_index
    from pixie_retrievers.errors import InvalidDocumentError
    from pixie_retrievers.index.opening import open_index, without_credentials
    from pixie_retrievers.retriever import SparseRetriever
    from pixie_retrievers.types import SearchResult

    with closing(open_index(index_file, read_only=True)) as index:
        document_id = stored_ids(index, [document_id])[0]
        document = index.get([document_id])[0]
        if document is None:  # found out before the model is loaded
            raise InvalidDocumentError(f"{without_credentials(index_file)} holds no document with id {document_id!r}")
        with notes().status("loading the model"):
            encoder = encoder_for_index(index.fingerprint, model, device=device)
        explanation = SparseRetriever(encoder, index).explain(query, document_id, top_k_tokens=tokens)
    result = SearchResult(document, explanation.score, explanation)
    if as_json:
        shown = without_credentials(index_file)
        print_json({"query": query, "index": shown, "model": encoder.fingerprint, **result.to_dict()})
        return

    from pixie_retrievers.render import LEGEND, result_view

    console = output()
    console.print(result_view(result, max_characters=None))
    console.print()
    console.print(LEGEND, style="dim", markup=False)
