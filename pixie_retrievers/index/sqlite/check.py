"""The integrity check: reads everything and holds it against everything else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pixie_retrievers.errors import CorruptIndexError
from pixie_retrievers.index.sqlite.codec import decode_row
from pixie_retrievers.index.sqlite.snapshot import Snapshot, docno_key
from pixie_retrievers.index.sqlite.store import DOCUMENTS, IDS, POSTINGS, SEGMENTS, TOMBSTONES

__all__ = ["CheckReport", "check_index"]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found.

    Attributes:
        problems: What is damaged, a line each; empty when the index is sound.
    """

    problems: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Nothing is damaged."""
        return not self.problems


def check_index(snapshot: Snapshot) -> CheckReport:
    """Check one commit point, whole."""
    return CheckReport(tuple(_problems(snapshot)))


def _problems(snapshot: Snapshot) -> Iterator[str]:
    store = snapshot.store
    yield from (f"SQLite: {problem}" for problem in store.damage())
    n_blocks = n_tombstones = 0
    for position, view in enumerate(snapshot.views):
        n_blocks += len(view.head.blocks) - 1
        n_tombstones += snapshot.manifest.segments[position].n_deleted > 0
        try:
            view.whole(store)
            dead = snapshot.tombstones(position)
        except CorruptIndexError as error:
            yield str(error)
            continue
        alive = view.head.docnos if dead is None else view.head.docnos[dead == 0]
        for docno in alive.tolist():
            yield from _document_problems(snapshot, docno)
    counts = {
        SEGMENTS: len(snapshot.views),
        POSTINGS: n_blocks,
        TOMBSTONES: n_tombstones,
        DOCUMENTS: snapshot.manifest.n_live,
        IDS: snapshot.manifest.n_live,
    }
    for table, expected in counts.items():
        found = store.count(table)
        if found != expected:
            yield f"the table {table} has {found} rows where {expected} belong"


def _document_problems(snapshot: Snapshot, docno: int) -> Iterator[str]:
    key = docno_key(docno)
    try:
        id, _, _ = decode_row(key, snapshot.store.get(DOCUMENTS, key), 3)
        if decode_row(id, snapshot.store.get(IDS, id), 1) != [docno]:
            yield f"the id of document number {docno} leads to another document"
    except CorruptIndexError as error:
        yield str(error)
