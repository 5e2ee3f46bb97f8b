"""An index into another, whatever engines keep the two: nothing is encoded again."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from pixie_retrievers.errors import IncompatibleIndexError
from pixie_retrievers.fingerprints import differences
from pixie_retrievers.index.base import Index
from pixie_retrievers.types import Document, Hit, SparseVectors

__all__ = ["Copied", "add_index", "copy_index"]

_GROUP_DOCUMENTS = 10_000  # so many are in memory, and stored at once ...
_GROUP_CHARACTERS = 10_000_000  # ... or those of so much text
_N_QUERIES = 20
_QUERY_TERMS = 32
_K = 10
_TOLERANCE = 1e-5

_Group = tuple[list[Document], SparseVectors]


@dataclass(frozen=True, slots=True)
class Copied:
    """What became of a copy.

    Attributes:
        copied: Documents that were stored in the target.
        unchanged: They were there already, document and vector alike.
        n_queries: So many queries were asked of both indexes.
        differences: What the two do not have alike, a line each; empty when the copy is good.
    """

    copied: int
    unchanged: int
    n_queries: int
    differences: tuple[str, ...]


def copy_index(source: Index, target: Index, *, advance: Callable[[int], Any] = lambda _: None) -> Copied:
    """Store every document of one index in another, in its order of insertion, and hold the two against each other.

    A copy that was interrupted goes on where it stopped: what the target has alike is not stored again. What is
    attached to the source follows. At the end the counts are compared, and the answers to queries made of a sample of
    the documents.

    Args:
        source: Read a batch at a time; others may read and write it.
        target: Of the same model; empty, or with a part of the source.
        advance: Called with the number of documents dealt with since the last call.

    Raises:
        IncompatibleIndexError: The two are of different models or vocabularies; nothing was stored.
    """
    sample = _Sample()
    copied, unchanged = add_index(source, target, advance=advance, look_at=sample.look_at)
    _copy_attachments(source, target)
    return Copied(copied, unchanged, len(sample.queries), tuple(_differences(source, target, sample.queries)))


def add_index(
    source: Index,
    target: Index,
    *,
    advance: Callable[[int], Any] = lambda _: None,
    look_at: Callable[[SparseVectors], Any] = lambda _: None,
) -> tuple[int, int]:
    """Store every document of one index in another; return how many were stored, and how many were there alike.

    Args:
        source, target, advance: As for :func:`copy_index`; the target may hold more.
        look_at: Called with the vectors of each group.

    Raises:
        IncompatibleIndexError: The two are of different models or vocabularies; nothing was stored.
    """
    found = differences(source.fingerprint, target.fingerprint)
    if found or source.vocabulary_size != target.vocabulary_size:
        raise IncompatibleIndexError(
            f"source ({source.vocabulary_size} terms) and target ({target.vocabulary_size} terms) are of different"
            f" models{found and f': {found}'}; copy into an index of the same model, or into a new one"
        )
    copied = unchanged = 0
    goes_on = len(target) > 0
    for documents, vectors in _read_ahead(_groups(source)):
        look_at(vectors)
        if goes_on and _has_all(target, documents, vectors):
            unchanged += len(documents)
        else:
            target.upsert(documents, vectors)  # all of the group, so that the order is the source's
            copied += len(documents)
        advance(len(documents))
    return copied, unchanged


def _copy_attachments(source: Any, target: Any) -> None:
    if hasattr(source, "attachments") and hasattr(target, "attach"):
        for name in source.attachments():
            content = source.attachment(name)
            if content != target.attachment(name):
                target.attach(name, content)


def _read_ahead(groups: Iterator[_Group]) -> Iterator[_Group]:
    """The same groups; the next one is read while one is stored."""
    with ThreadPoolExecutor(1, "pixie-copy") as reader:
        ahead = reader.submit(next, groups, None)
        while (group := ahead.result()) is not None:
            ahead = reader.submit(next, groups, None)
            yield group


def _groups(source: Index) -> Iterator[_Group]:
    documents: list[Document] = []
    parts: list[SparseVectors] = []
    n_characters = 0
    for some, vectors in source.scan():
        documents += some
        parts.append(vectors)
        n_characters += sum(len(document.text) for document in some)
        if len(documents) >= _GROUP_DOCUMENTS or n_characters >= _GROUP_CHARACTERS:
            yield _last_of_each(documents, SparseVectors.concatenate(parts, source.vocabulary_size))
            documents, parts, n_characters = [], [], 0
    if documents:
        yield _last_of_each(documents, SparseVectors.concatenate(parts, source.vocabulary_size))


def _last_of_each(documents: list[Document], vectors: SparseVectors) -> tuple[list[Document], SparseVectors]:
    """A document that was replaced while it was read stands twice: the later one counts."""
    rows = sorted({document.id: row for row, document in enumerate(documents)}.values())
    if len(rows) == len(documents):
        return documents, vectors
    chosen = SparseVectors.concatenate([vectors[row] for row in rows], vectors.vocabulary_size)
    return [documents[row] for row in rows], chosen


def _has_all(target: Index, documents: list[Document], vectors: SparseVectors) -> bool:
    ids = [document.id for document in documents]
    return target.get(ids) == documents and target.vectors(ids) == vectors


class _Sample:
    """A few of all documents, each as likely as any other (Vitter 1985, algorithm R), by their heaviest terms."""

    def __init__(self) -> None:
        self.queries: list[SparseVectors] = []
        self._n_seen = 0
        self._random = random.Random(0)  # noqa: S311  # a sample, not a secret

    def look_at(self, vectors: SparseVectors) -> None:
        for row, (low, high) in enumerate(pairwise(vectors.indptr.tolist())):
            if high == low:
                continue
            self._n_seen += 1
            place = self._random.randrange(self._n_seen)
            if len(self.queries) < _N_QUERIES:
                self.queries.append(_heaviest(vectors[row]))
            elif place < _N_QUERIES:
                self.queries[place] = _heaviest(vectors[row])


def _heaviest(vector: SparseVectors) -> SparseVectors:
    chosen = np.sort(np.argsort(-vector.weights, kind="stable")[:_QUERY_TERMS])
    return SparseVectors(
        np.array([0, len(chosen)], np.int64),
        vector.term_ids[chosen],
        vector.weights[chosen],
        vector.vocabulary_size,
        vector.literal[chosen],
    )


def _differences(source: Index, target: Index, queries: list[SparseVectors]) -> Iterator[str]:
    n_source, n_target = len(source), len(target)
    if n_source != n_target:
        yield f"the source has {n_source} documents, the target {n_target}"
    for number, query in enumerate(queries, start=1):
        if not _alike(source.search(query, _K)[0], target.search(query, _K)[0]):
            yield f"query {number} of the sample is answered differently"


def _alike(ours: list[Hit], theirs: list[Hit]) -> bool:
    return len(ours) == len(theirs) and all(
        one.document == other.document and math.isclose(one.score, other.score, rel_tol=_TOLERANCE)
        for one, other in zip(ours, theirs, strict=True)
    )
