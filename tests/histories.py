"""Histories of changes to an index, decided by a seed, and a dictionary that says what the index must show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from reference import Reference

from pixie_retrievers import Document, SparseVectors, SqliteIndex

VOCABULARY_SIZE = 60
FINGERPRINT = "test"
IDS = [f"문서-{number}" for number in range(80)]


def vector(id: str, revision: int) -> dict[int, float]:
    """The vector of a document's revision: a few weights of few values, so that ties are common."""
    rng = np.random.default_rng([*id.encode(), revision])
    terms = rng.choice(VOCABULARY_SIZE, rng.integers(0, 9), replace=False)
    return {int(term): float(weight) / 4 for term, weight in zip(terms, rng.integers(1, 9, len(terms)), strict=True)}


def document(id: str, revision: int) -> Document:
    """The document of a revision."""
    return Document(id, f"{id}의 {revision}번째 글", {"revision": revision, "even": revision % 2 == 0})


@dataclass(frozen=True)
class Step:
    """One change: of ``ids`` to a revision, their deletion, or a compaction."""

    action: str
    ids: tuple[str, ...] = ()
    revision: int = 0


def steps(seed: int, first: int = 0) -> Iterator[Step]:
    """The endless history of a seed, from its ``first`` step on."""
    number = first
    while True:
        rng = np.random.default_rng([seed, number])
        action = rng.choice(["upsert", "delete", "compact"], p=[0.7, 0.22, 0.08])
        size = {"upsert": rng.integers(1, 13), "delete": rng.integers(1, 6), "compact": 0}[str(action)]
        chosen = rng.choice(len(IDS), size, replace=False)
        yield Step(str(action), tuple(IDS[i] for i in chosen), number)
        number += 1


def apply(index: SqliteIndex, step: Step) -> None:
    """Make the change."""
    if step.action == "upsert":
        vectors = SparseVectors.from_dicts([vector(id, step.revision) for id in step.ids], VOCABULARY_SIZE)
        index.upsert([document(id, step.revision) for id in step.ids], vectors)
    elif step.action == "delete":
        index.delete(step.ids)
    else:
        index.compact()


def queries(seed: int = 0, n: int = 5) -> SparseVectors:
    """Queries over the vocabulary of the histories."""
    rng = np.random.default_rng(seed)
    return SparseVectors.from_dicts(
        [
            {int(term): float(rng.integers(1, 5)) / 2 for term in rng.choice(VOCABULARY_SIZE, 6, replace=False)}
            for _ in range(n)
        ],
        VOCABULARY_SIZE,
    )


@dataclass
class Model:
    """What an index must show after a history."""

    reference: Reference = field(default_factory=Reference)
    revisions: dict[str, int] = field(default_factory=dict)

    def apply(self, step: Step) -> None:
        """Make the change."""
        if step.action == "upsert":
            self.reference.upsert(step.ids, [vector(id, step.revision) for id in step.ids])
            self.revisions.update(dict.fromkeys(step.ids, step.revision))
        elif step.action == "delete":
            self.reference.delete(step.ids)
            for id in step.ids:
                self.revisions.pop(id, None)

    def shows(self, batch: SparseVectors, k: int = 7) -> dict[str, Any]:
        """What :func:`shown` must say."""
        return {
            "n_documents": len(self.revisions),
            "documents": [document(id, self.revisions[id]) if id in self.revisions else None for id in IDS],
            "hits": [self.reference.search(query, k) for query in batch.to_dicts()],
        }


def shown(index: SqliteIndex, batch: SparseVectors, k: int = 7) -> dict[str, Any]:
    """What an index shows to a reader."""
    return {
        "n_documents": len(index),
        "documents": index.get(IDS),
        "hits": [[(hit.document.id, hit.score) for hit in hits] for hits in index.search(batch, k)],
    }


def model_after(seed: int, n_steps: int) -> Model:
    """The model after so many steps of a history."""
    model = Model()
    for _, step in zip(range(n_steps), steps(seed), strict=False):
        model.apply(step)
    return model


@contextmanager
def opened(path: Any, **options: Any) -> Iterator[SqliteIndex]:
    """An index of the histories, made when it is not there."""
    if not options.get("read_only"):
        options = {"vocabulary_size": VOCABULARY_SIZE, "fingerprint": FINGERPRINT, **options}
    with SqliteIndex(path, **options) as index:
        yield index


def build(path: Any, *, seed: int = 0, n_steps: int = 40, **options: Any) -> Model:
    """Make an index file with a history, and close it."""
    with opened(path, **options) as index:
        for _, step in zip(range(n_steps), steps(seed), strict=False):
            apply(index, step)
    return model_after(seed, n_steps)
