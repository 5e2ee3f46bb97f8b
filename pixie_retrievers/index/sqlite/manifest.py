"""The manifest: what one commit point consists of. Writing it is what makes a transaction count."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from pixie_retrievers.errors import CorruptIndexError, IncompatibleIndexError
from pixie_retrievers.index.sqlite.codec import FORMAT_VERSION, decode_row, encode_row

__all__ = ["IDENTITY_KEY", "MANIFEST_KEY", "WEIGHT_FORMATS", "Manifest", "SegmentEntry", "new_identity", "new_stamp"]

MANIFEST_KEY = "manifest"
IDENTITY_KEY = "identity"
"""A row of what is fixed for the life of the file, written once: a repair needs it when the manifest is damaged."""

WEIGHT_FORMATS = ("float32", "float16", "uint8")


def new_identity() -> int:
    """What a new file is told apart from every other by: 31 random bits, which SQLite's header has room for."""
    return secrets.randbits(31) | 1


def new_stamp() -> int:
    """What a new state of a segment is told apart by, in whatever file: 53 random bits, which JSON holds exactly."""
    return secrets.randbits(53) | 1


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """A live segment.

    Numbers come again where a file is restored from a copy and written to anew; stamps never do. What is kept of a
    segment in memory is kept under them.

    Attributes:
        number: What its rows are stored under.
        n_documents, n_deleted, n_postings: How many documents, tombstones and postings it holds.
        stamp: Drawn when the segment was written.
        deletion_stamp: Drawn when its tombstones last changed; 0 while it has none.
    """

    number: int
    n_documents: int
    n_deleted: int
    n_postings: int
    stamp: int
    deletion_stamp: int = 0

    @property
    def n_live(self) -> int:
        """How many of its documents can be found."""
        return self.n_documents - self.n_deleted


@dataclass(frozen=True)
class Manifest:
    """One commit point.

    Attributes:
        vocabulary_size: The number of terms, fixed for the life of the file.
        fingerprint: The encoder's identity, fixed for the life of the file.
        weights: One of WEIGHT_FORMATS, fixed for the life of the file.
        identity: Drawn when the file was made; SQLite's header has it too, as ``user_version``.
        generation: Rises by one with every commit.
        next_docno: The insertion number that the next document gets; numbers are never used again.
        next_segment: The number that the next segment gets.
        segments: In insertion order: every document of one is older than every document of the next.
    """

    vocabulary_size: int
    fingerprint: str
    weights: str
    identity: int = 0
    generation: int = 0
    next_docno: int = 0
    next_segment: int = 0
    segments: tuple[SegmentEntry, ...] = ()

    @cached_property
    def n_live(self) -> int:
        """How many documents can be found."""
        return sum(entry.n_live for entry in self.segments)

    @cached_property
    def n_postings(self) -> int:
        """How many postings there are, those of tombstones included."""
        return sum(entry.n_postings for entry in self.segments)

    def encode(self) -> str:
        """The manifest as a JSON row."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        content["segments"] = [[getattr(entry, name) for name in SegmentEntry.__slots__] for entry in self.segments]
        return encode_row(MANIFEST_KEY, [FORMAT_VERSION, content])

    @classmethod
    def decode(cls, row: bytes | None) -> Manifest:
        """Read a manifest back.

        Raises:
            CorruptIndexError: The row is missing or damaged.
            IncompatibleIndexError: A newer format wrote it.
        """
        version, content = decode_row(MANIFEST_KEY, row, 2)
        if version != FORMAT_VERSION:
            raise IncompatibleIndexError(
                f"the index has format {version}, this version reads format {FORMAT_VERSION}: upgrade pixie-retrievers"
            )
        try:
            segments = tuple(SegmentEntry(*numbers) for numbers in content.pop("segments"))
            return cls(**content | {"segments": segments})
        except (TypeError, KeyError, AttributeError) as error:
            raise CorruptIndexError("the manifest does not hold what it should") from error

    def first_rows(self) -> dict[str, str]:
        """The rows that a new file begins with."""
        return {MANIFEST_KEY: self.encode(), IDENTITY_KEY: encode_row(IDENTITY_KEY, [self.origin()])}

    def origin(self) -> dict[str, Any]:
        """What is fixed for the life of the file."""
        return self.describe() | {"identity": self.identity}

    def describe(self) -> dict[str, Any]:
        """Which vectors the file takes."""
        return {"vocabulary_size": self.vocabulary_size, "fingerprint": self.fingerprint, "weights": self.weights}
