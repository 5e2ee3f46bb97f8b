"""The manifest: what one commit point consists of. Writing it is what makes a transaction count."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from pixie_retrievers.errors import CorruptIndexError, IncompatibleIndexError
from pixie_retrievers.index.sqlite.codec import FORMAT_VERSION, decode_row, encode_row
from pixie_retrievers.index.sqlite.segment import MAX_DOCUMENTS

__all__ = [
    "IDENTITY_KEY",
    "MANIFEST_KEY",
    "MAX_DOCNO",
    "MAX_SEGMENT",
    "MAX_VOCABULARY",
    "WEIGHT_FORMATS",
    "Manifest",
    "SegmentEntry",
    "new_identity",
    "new_stamp",
]

MANIFEST_KEY = "manifest"
IDENTITY_KEY = "identity"
"""A row of what is fixed for the life of the file, written once: a repair needs it when the manifest is damaged."""

MAX_VOCABULARY = 1 << 20
"""How many terms an index may be over: an open segment takes four bytes a term, whatever it holds."""
MAX_DOCNO = 1 << 62
MAX_SEGMENT = 9 * 10**9  # keys have ten digits

_LEAST_DOCUMENT = 16
"""So many bytes a file has for each document at the least, one in three of which may be deleted."""
_LEAST_POSTING = 3
_MOST_PLACES, _PLACES_A_BYTE = 16 << 20, 1
"""Of the terms of all open segments together: what the smallest index may have, and how many more for each byte."""

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
        attachments: The names of what is kept beside the documents, ascending, each with a stamp that was drawn when it
            was written.
    """

    vocabulary_size: int
    fingerprint: str
    weights: str
    identity: int = 0
    generation: int = 0
    next_docno: int = 0
    next_segment: int = 0
    segments: tuple[SegmentEntry, ...] = ()
    attachments: tuple[tuple[str, int], ...] = ()

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
    def decode(cls, row: bytes | None, *, n_bytes: int | None = None) -> Manifest:
        """Read a manifest back, and believe nothing that it says.

        Args:
            row: What was found.
            n_bytes: How much its file holds: a manifest that claims more is refused before anything is allocated.

        Raises:
            CorruptIndexError: The row is missing or damaged, or says what cannot be.
            IncompatibleIndexError: A newer format wrote it.
        """
        version, content = decode_row(MANIFEST_KEY, row, int, dict)
        if version != FORMAT_VERSION:
            raise IncompatibleIndexError(
                f"the index has format {version}, this version reads format {FORMAT_VERSION}: upgrade pixie-retrievers"
            )
        try:
            segments = tuple(SegmentEntry(*numbers) for numbers in content.pop("segments"))
            attachments = tuple((name, stamp) for name, stamp in content.pop("attachments", ()))
            manifest = cls(**content | {"segments": segments, "attachments": attachments})
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise CorruptIndexError(
                "the manifest does not hold what it should: restore the file from a copy"
            ) from error
        if not manifest.is_sound():
            raise CorruptIndexError("the manifest says what cannot be: restore the file from a copy")
        if n_bytes is not None and not manifest.fits(n_bytes):
            raise CorruptIndexError("the manifest says more than its file can hold: restore the file from a copy")
        return manifest

    def is_sound(self) -> bool:
        """Whether all its values are of the types and in the ranges that a commit writes."""
        return (
            _is_whole(self.vocabulary_size, 1, MAX_VOCABULARY)
            and type(self.fingerprint) is str
            and type(self.weights) is str
            and self.weights in WEIGHT_FORMATS
            and _is_whole(self.identity, 0, (1 << 31) - 1)
            and _is_whole(self.generation, 0, MAX_DOCNO)
            and _is_whole(self.next_docno, 0, MAX_DOCNO)
            and _is_whole(self.next_segment, 0, MAX_SEGMENT)
            and all(
                _is_whole(entry.number, 0, self.next_segment - 1)
                and _is_whole(entry.n_documents, 1, MAX_DOCUMENTS)
                and _is_whole(entry.n_deleted, 0, entry.n_documents)
                and _is_whole(entry.n_postings, 0, entry.n_documents * self.vocabulary_size)
                and _is_whole(entry.stamp, 0, 1 << 53)
                and _is_whole(entry.deletion_stamp, 0, 1 << 53)
                for entry in self.segments
            )
            and len({entry.number for entry in self.segments}) == len(self.segments)
            and all(type(name) is str and _is_whole(stamp, 1, 1 << 53) for name, stamp in self.attachments)
            and len(dict(self.attachments)) == len(self.attachments)
        )

    def fits(self, n_bytes: int) -> bool:
        """Whether a file of so many bytes can hold what it says."""
        n_documents = sum(entry.n_documents for entry in self.segments)
        return (
            n_documents * _LEAST_DOCUMENT <= n_bytes
            and self.n_postings * _LEAST_POSTING <= n_bytes
            and len(self.segments) * self.vocabulary_size <= _MOST_PLACES + _PLACES_A_BYTE * n_bytes
        )

    def first_rows(self) -> dict[str, str]:
        """The rows that a new file begins with."""
        return {MANIFEST_KEY: self.encode(), IDENTITY_KEY: encode_row(IDENTITY_KEY, [self.origin()])}

    def origin(self) -> dict[str, Any]:
        """What is fixed for the life of the file."""
        return self.describe() | {"identity": self.identity}

    def describe(self) -> dict[str, Any]:
        """Which vectors the file takes."""
        return {"vocabulary_size": self.vocabulary_size, "fingerprint": self.fingerprint, "weights": self.weights}


def _is_whole(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high
