"""What an engine has to do, and what it is asked; everything above this is the same for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from pixie_retrievers.index.remote.clauses import Clause
from pixie_retrievers.index.remote.records import Record, Stored

__all__ = [
    "Candidate",
    "Engine",
    "EngineFigures",
    "Page",
    "Removed",
    "Request",
    "TransientFailureError",
    "Written",
    "float32_sum_at_most",
]


class TransientFailureError(Exception):
    """What may go well when it is done again: a time-out, a lost connection, a server that is busy or gone."""


class Request(NamedTuple):
    """One search.

    Attributes:
        weights: Weight by term; at most :attr:`Engine.max_terms`.
        n: At most so many candidates, the best by the engine's own score.
        clause: Which documents count.
    """

    weights: Mapping[int, float]
    n: int
    clause: Clause


class Candidate(NamedTuple):
    """A document that an engine found.

    Attributes:
        stored: The document.
        score: The engine's own score.
    """

    stored: Stored
    score: float


class Written(NamedTuple):
    """What became of a batch.

    Attributes:
        refused: Why a record cannot be stored, by key.
        again: Why a record was not stored this time, by key.
    """

    refused: Mapping[str, str]
    again: Mapping[str, str]


class Removed(NamedTuple):
    """What became of keys that were to go.

    Attributes:
        n: So many documents there were, and are not any more.
        again: Keys that could not be removed this time.
    """

    n: int
    again: Sequence[str]


class Page(NamedTuple):
    """A part of all documents.

    Attributes:
        rows: Some, by ascending ``seq``.
        rest: What the next call is given, to go on; None at the end.
    """

    rows: Sequence[Stored]
    rest: Any


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """What an engine says of itself; 0 is what it does not tell.

    Attributes:
        n_deleted: Documents that are deleted and still take room.
        n_segments: Segments.
        n_postings: Weights stored.
        n_bytes: What they take on the engine's disks, once each copy.
    """

    n_deleted: int
    n_segments: int
    n_postings: int
    n_bytes: int


def float32_sum_at_most(score: float, n_terms: int) -> float:
    """The highest dot product that an engine which multiplies and adds in float32 may have summed to a score.

    Each product and each sum is off by 2^-24 of itself at most: weights are such that no product leaves the range.

    Args:
        score: What it summed to; all weights are positive.
        n_terms: So many products at most.
    """
    return score * (1 + (n_terms + 2) * 2.0**-23)


class Engine(Protocol):
    """A collection on a server. Every method may raise TransientFailureError, and is then called again.

    Attributes:
        location: Where it is, without credentials.
        max_terms: A search has at most so many terms.
        spare: So many candidates more than are wanted prove them nearly always; more are asked for where they do not.
        max_candidates: ... and gives at most so many documents.
        max_clauses, max_depth: A clause has at most so many parts, and levels; more goes unasked.
        may_negate: It knows of negation.
        batch_bytes: About so much goes into one request that stores.
    """

    location: str
    max_terms: int
    spare: int
    max_candidates: int
    max_clauses: int
    max_depth: int
    batch_bytes: int

    @property
    def may_negate(self) -> bool: ...

    def manifest(self) -> Mapping[str, Any] | None:
        """What was given to :meth:`create`; None where there is no such collection.

        Raises:
            IncompatibleIndexError: There is one, and it is not ours.
        """
        ...

    def create(self, manifest: Mapping[str, Any]) -> None:
        """Begin a collection; one that another process began meanwhile stays as it is."""
        ...

    def store(self, records: Sequence[Record]) -> Written:
        """Store a batch, replacing what stands under the same keys."""
        ...

    def remove(self, keys: Sequence[str]) -> Removed:
        """Remove documents."""
        ...

    def publish(self) -> None:
        """Wait until searches see what was stored and removed."""
        ...

    def fetch(self, keys: Sequence[str]) -> list[Stored | None]:
        """The documents under some keys, in order."""
        ...

    def search(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        """The best candidates of each request, best first, over every shard."""
        ...

    def at_most(self, score: float) -> float:
        """The highest true score that a document with this engine's score may have."""
        ...

    def page(self, clause: Clause, rest: Any, *, whole: bool) -> Page:
        """Documents that satisfy a clause, a page a call, in the order of ``seq``.

        A document that is replaced meanwhile may come twice; none that is there all the time is left out.

        Args:
            clause: Which.
            rest: None at the beginning; then what the page before said.
            whole: With text and vector, which are empty otherwise.
        """
        ...

    def count(self, clause: Clause) -> int:
        """How many documents satisfy a clause."""
        ...

    def figures(self) -> EngineFigures:
        """What the collection takes."""
        ...

    def compact(self) -> None:
        """Drop what is deleted for good."""
        ...

    def drop(self) -> None:
        """Remove the whole collection."""
        ...

    def beside(self, suffix: str) -> Engine:
        """A small collection of another name, this one's and a suffix, over the same connection."""
        ...

    def close(self) -> None:
        """Let go of the connection, if it was made here."""
        ...
