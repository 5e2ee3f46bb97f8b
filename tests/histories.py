"""Histories of changes to an index, decided by a seed, and a dictionary that says what the index must show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from reference import Reference

from pixie_retrievers import Document, DocumentNotFoundError, Hit, SparseVectors, SqliteIndex, TermMatches

VOCABULARY_SIZE = 60
FINGERPRINT = "test"
Matches = dict[int, tuple[float, float, bool, bool]]
IDS = [f"문서-{number}" for number in range(80)]


def vector(id: str, revision: int) -> dict[int, float]:
    """The vector of a document's revision: a few weights of few values, so that ties are common."""
    rng = np.random.default_rng([*id.encode(), revision])
    terms = rng.choice(VOCABULARY_SIZE, rng.integers(0, 9), replace=False)
    return {int(term): float(weight) / 4 for term, weight in zip(terms, rng.integers(1, 9, len(terms)), strict=True)}


def literal(terms: Iterable[int], revision: int) -> frozenset[int]:
    """Which of some terms the text of a revision is made of."""
    return frozenset(term for term in terms if (term + revision) % 3 == 0)


def is_cut(id: str, revision: int) -> bool:
    """Whether the model read only a part of the text of a revision."""
    return (sum(id.encode()) + revision) % 4 == 0


def vectors(ids: Sequence[str], revision: int) -> SparseVectors:
    """The vectors of a revision of some documents, as an encoder gives them."""
    rows = [vector(id, revision) for id in ids]
    marked = SparseVectors.from_dicts(rows, VOCABULARY_SIZE).with_literal([literal(row, revision) for row in rows])
    return replace(marked, cut=np.array([is_cut(id, revision) for id in ids], np.bool_))


def as_stored(row: dict[int, float], weights: str) -> dict[int, float]:
    """What a format of weights leaves of a vector: float16 can hold quarters up to 2, a step of 8 bits cannot."""
    if weights != "uint8" or not row:
        return row
    step = np.float32(max(row.values())) / np.float32(255)
    return {term: float(np.float32(max(1, round(np.float32(weight) / step))) * step) for term, weight in row.items()}


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
        index.upsert([document(id, step.revision) for id in step.ids], vectors(step.ids, step.revision))
    elif step.action == "delete":
        index.delete(step.ids)
    else:
        index.compact()


def queries(seed: int = 0, n: int = 5) -> SparseVectors:
    """Queries over the vocabulary of the histories."""
    rng = np.random.default_rng(seed)
    rows = [
        {int(term): float(rng.integers(1, 5)) / 2 for term in rng.choice(VOCABULARY_SIZE, 6, replace=False)}
        for _ in range(n)
    ]
    return SparseVectors.from_dicts(rows, VOCABULARY_SIZE).with_literal([literal(row, 0) for row in rows])


@dataclass
class Model:
    """What an index must show after a history."""

    weights: str = "float32"
    reference: Reference = field(default_factory=Reference)
    revisions: dict[str, int] = field(default_factory=dict)

    def apply(self, step: Step) -> None:
        """Make the change."""
        if step.action == "upsert":
            self.reference.upsert(step.ids, [as_stored(vector(id, step.revision), self.weights) for id in step.ids])
            self.revisions.update(dict.fromkeys(step.ids, step.revision))
        elif step.action == "delete":
            self.reference.delete(step.ids)
            for id in step.ids:
                self.revisions.pop(id, None)

    def shows(self, batch: SparseVectors, k: int = 7) -> dict[str, Any]:
        """What :func:`shown` must say."""
        return {
            "n_documents": len(self.revisions),
            "n_cut": sum(is_cut(id, revision) for id, revision in self.revisions.items()),
            "documents": [document(id, self.revisions[id]) if id in self.revisions else None for id in IDS],
            "vectors": [self.vector(id) for id in IDS if id in self.revisions],
            "cut": [is_cut(id, self.revisions[id]) for id in IDS if id in self.revisions],
            "hits": [
                [(id, score, self.matches(query, id)) for id, score in self.reference.search(query, k)]
                for query in batch.to_dicts()
            ],
            "matches": [self.matches(batch.to_dicts()[0], id) for id in IDS if id in self.revisions],
        }

    def vector(self, id: str) -> tuple[dict[int, float], frozenset[int]]:
        """A document's weights as stored, and its literal terms."""
        row = self.reference.documents[id]
        return row, literal(row, self.revisions[id])

    def matches(self, query: dict[int, float], id: str) -> Matches:
        """The terms that a query shares with a document."""
        weights, its_literal = self.vector(id)
        return {
            term: (query[term], weight, term in literal(query, 0), term in its_literal)
            for term, weight in weights.items()
            if term in query
        }


def shown(index: SqliteIndex, batch: SparseVectors, k: int = 7) -> dict[str, Any]:
    """What an index shows to a reader."""
    documents = index.get(IDS)
    there = [document.id for document in documents if document]
    return {
        "n_documents": len(index),
        "n_cut": index.stats().n_cut,
        "documents": documents,
        "vectors": [(row.to_dicts()[0], frozenset(row.term_ids[row.literal].tolist())) for row in index.vectors(there)],
        "cut": index.vectors(there).cut.tolist(),
        "hits": as_rows(index.search(batch, k)),
        "matches": [as_dict(matches) for matches in index.match(batch[0], there)],
    }


def vectors_found(index: SqliteIndex, ids: Sequence[str]) -> list[SparseVectors | None]:
    """The whole vector of each document, asked for one by one; None where there is no document."""
    found: list[SparseVectors | None] = []
    for id in ids:
        try:
            found.append(index.vectors([id]))
        except DocumentNotFoundError:
            found.append(None)
    return found


def as_rows(hit_lists: Sequence[Sequence[Hit]]) -> list[list[tuple[str, float, Matches]]]:
    """Hits as ids, scores and matches."""
    return [[(hit.document.id, hit.score, as_dict(hit.matches)) for hit in hits] for hits in hit_lists]


def as_dict(matches: TermMatches) -> Matches:
    """Matches by term: the query's weight, the document's, and the literal bits of both."""
    names = ("term_ids", "query_weights", "document_weights", "in_query", "in_document")
    return {term: tuple(rest) for term, *rest in zip(*(getattr(matches, name).tolist() for name in names), strict=True)}


def model_after(seed: int, n_steps: int, weights: str = "float32") -> Model:
    """The model after so many steps of a history."""
    model = Model(weights)
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
    return model_after(seed, n_steps, options.get("weights", "float32"))
