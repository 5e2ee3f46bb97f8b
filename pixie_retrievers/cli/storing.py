"""Documents into an index, under a progress bar."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pixie_retrievers.cli.terminal import progress_bar
from pixie_retrievers.indexing import Indexed, index_documents
from pixie_retrievers.types import Document

if TYPE_CHECKING:
    from rich.console import Console

    from pixie_retrievers.encoder.base import Encoder
    from pixie_retrievers.index.base import Index

__all__ = ["store"]


def store(
    index: Index,
    encoder: Encoder,
    documents: Iterable[Document],
    console: Console,
    *,
    total: int | None,
    devices: Sequence[str] | None = None,
) -> Indexed:
    """Encode and upsert every document that the index does not hold already, word for word.

    Args:
        index: Where they go.
        encoder: The encoder that the index belongs to.
        documents: Documents with unique ids, read once.
        console: Where the progress bar is drawn.
        total: How many there are; None where nobody knows.
        devices: One process for each; None encodes in this one.
    """
    with progress_bar(console) as progress:
        task = progress.add_task("encoding", total=total)
        return index_documents(index, encoder, documents, devices=devices, advance=lambda n: progress.advance(task, n))
