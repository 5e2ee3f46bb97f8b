"""Documents into an index, with progress: what has not changed is not encoded again."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from pixie_retrievers.cli.terminal import progress_bar
from pixie_retrievers.types import Document, SparseVectors

if TYPE_CHECKING:
    from rich.console import Console

    from pixie_retrievers.encoder.base import Encoder
    from pixie_retrievers.index.base import Index

__all__ = ["Stored", "store"]

_COMMIT_EVERY = 10_000  # documents: an interrupted run loses at most so many, and goes on where it stopped
_BATCH_S = 0.5  # a batch is made so large that the bar moves about twice a second


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of the documents."""

    added: int
    updated: int
    unchanged: int


def store(index: Index, encoder: Encoder, documents: Sequence[Document], console: Console) -> Stored:
    """Encode and upsert every document that the index does not hold already, word for word.

    Args:
        index: Where they go.
        encoder: The encoder that the index belongs to.
        documents: Checked documents with unique ids.
        console: Where the progress bar is drawn.
    """
    n_before = len(index)
    changed = _changed(index, documents) if n_before else list(documents)
    with progress_bar(console) as progress:
        task = progress.add_task("encoding", total=len(changed))
        size = 8
        rest = iter(changed)
        while group := list(islice(rest, _COMMIT_EVERY)):
            parts = []
            start = 0
            while start < len(group):
                began = time.perf_counter()
                batch = group[start : start + size]
                parts.append(encoder.encode_documents([document.text for document in batch]))
                start += len(batch)
                progress.advance(task, len(batch))
                size = _next_size(size, time.perf_counter() - began)
            index.upsert(group, SparseVectors.concatenate(parts, encoder.vocabulary_size))
    added = len(index) - n_before
    return Stored(added=added, updated=len(changed) - added, unchanged=len(documents) - len(changed))


def _next_size(size: int, seconds: float) -> int:
    """Twice as many after a quick batch, half as many after a slow one."""
    if seconds < _BATCH_S / 2:
        return min(1024, size * 2)
    return max(8, size // 2) if seconds > _BATCH_S * 2 else size


def _changed(index: Index, documents: Sequence[Document]) -> list[Document]:
    changed: list[Document] = []
    rest = iter(documents)
    while group := list(islice(rest, _COMMIT_EVERY)):
        stored = index.get([document.id for document in group])
        changed.extend(
            new for new, old in zip(group, stored, strict=True) if old is None or _content(old) != _content(new)
        )
    return changed


def _content(document: Document) -> tuple[str, str]:
    """What two equal documents share to the letter: in Python, 1 and True would be equal metadata."""
    return document.text, json.dumps(document.metadata, sort_keys=True)
