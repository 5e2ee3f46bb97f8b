"""What the formats share: batches of documents, settings, lines in files of bounded size, whole-number weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.types import Document, SparseVectors

__all__ = ["Batches", "Exporter", "Parts", "Settings", "json_line", "quantised"]

_PART_BYTES = 50_000_000  # half of what OpenSearch and Elasticsearch take in one request
_LARGEST = 2**31 - 1

Batches = Iterator[tuple[list[Document], SparseVectors]]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a format may have to know.

    Attributes:
        vocabulary_size: The number of terms.
        fingerprint: The identity of the encoder.
        quantise: So many steps a unit of weight, where a format has whole numbers only.
    """

    vocabulary_size: int
    fingerprint: str
    quantise: int


Exporter = Callable[[Batches, Path, Settings], Mapping[str, Any]]
"""Writes all documents into files of an empty folder; returns what its manifest says besides."""


class Parts:
    """Lines in numbered files of bounded size, used in a ``with`` block.

    Args:
        folder: Where they are made.
        name: What their names begin with.
        suffix: What they end with.
        max_bytes: Of a file; lines that are written together stay together, however long.
    """

    def __init__(self, folder: Path, name: str, suffix: str, *, max_bytes: int = _PART_BYTES) -> None:
        self._folder, self._name, self._suffix, self._max_bytes = folder, name, suffix, max_bytes
        self._file: IO[bytes] | None = None
        self._n_files = self._n_bytes = 0

    def write(self, lines: bytes) -> None:
        if self._file is None or self._n_bytes + len(lines) > self._max_bytes:
            self.close()
            path = self._folder / f"{self._name}-{self._n_files:05}{self._suffix}"
            self._file = path.open("xb")
            self._n_files += 1
            self._n_bytes = 0
        self._file.write(lines)
        self._n_bytes += len(lines)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def json_line(value: Any) -> bytes:
    """One line of JSON, in UTF-8; a line break inside is escaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def quantised(documents: list[Document], vectors: SparseVectors, steps: int) -> NDArray[np.int64]:
    """The weights as whole numbers, rounded to the nearest; 0 for one below half a step.

    Returns:
        int64, shape (nnz,): the sum of each vector fits into 31 bits, as readers count with.

    Raises:
        InvalidParameterError: A vector's sum does not.
    """
    impacts = np.rint(vectors.weights.astype(np.float64) * steps)
    sums = np.diff(np.concatenate([[0.0], np.cumsum(impacts)])[vectors.indptr])
    if len(sums) and sums.max() > _LARGEST:
        heavy = documents[int(sums.argmax())].id
        raise InvalidParameterError(
            f"quantise is {steps}: the weights of document {heavy[:40]!r} come to more than 31 bits; take fewer steps"
        )
    return impacts.astype(np.int64)
