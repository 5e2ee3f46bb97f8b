"""Sparse vectors: a batch of them in compressed sparse rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.errors import InvalidVectorError, OptionalDependencyError

__all__ = ["MAX_WEIGHT", "MIN_WEIGHT", "SparseVectors"]

MIN_WEIGHT = 2.0**-60
MAX_WEIGHT = 2.0**50
"""Weights stay inside [MIN_WEIGHT, MAX_WEIGHT], so that no product and no sum of a query can leave the range of a
normal float32: the index relies on it to select candidates in float32 without losing one."""
_LOWEST, _HIGHEST = np.float32(MIN_WEIGHT), np.float32(MAX_WEIGHT)

_ARRAYS = {
    "indptr": np.dtype(np.int64),
    "term_ids": np.dtype(np.int32),
    "weights": np.dtype(np.float32),
    "literal": np.dtype(np.bool_),
    "cut": np.dtype(np.bool_),
}

_MAX_VOCABULARY = 1 << 31  # term ids are int32


@dataclass(frozen=True, slots=True, eq=False)
class SparseVectors:
    """A batch of n sparse vectors over one vocabulary, in compressed sparse row form.

    Attributes:
        indptr: int64, shape (n + 1,): row i is the slice ``indptr[i]:indptr[i + 1]`` of the other two.
        term_ids: int32, shape (nnz,): ascending inside a row, no duplicates, below ``vocabulary_size``.
        weights: float32, shape (nnz,): finite, in [MIN_WEIGHT, MAX_WEIGHT].
        vocabulary_size: The number of terms.
        literal: bool, shape (nnz,): the text itself is made of this term; otherwise the model expanded to it. None
            where nobody knows, which counts as if no term were literal.
        cut: bool, shape (n,): the model read only a part of the text. None where nobody knows, which counts as if no
            text were cut.

    Raises:
        InvalidVectorError: An array breaks what is said above.
    """

    indptr: NDArray[np.int64]
    term_ids: NDArray[np.int32]
    weights: NDArray[np.float32]
    vocabulary_size: int
    literal: NDArray[np.bool_] = None  # type: ignore[assignment]  # never None once made
    cut: NDArray[np.bool_] = None  # type: ignore[assignment]  # never None once made

    def __post_init__(self) -> None:
        _check_vocabulary_size(self.vocabulary_size)
        for name, dtype in _ARRAYS.items():
            if name == "literal" and self.literal is None:
                object.__setattr__(self, name, np.zeros(len(self.term_ids), np.bool_))
            elif name == "cut" and self.cut is None:
                object.__setattr__(self, name, np.zeros(max(0, len(self.indptr) - 1), np.bool_))
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype != dtype:
                raise InvalidVectorError(f"{name} must be a one-dimensional numpy array of {dtype}")
        indptr, term_ids, weights = self.indptr, self.term_ids, self.weights
        nnz = len(term_ids)
        if len(weights) != nnz or len(self.literal) != nnz:
            raise InvalidVectorError(
                f"term_ids, weights and literal must be equally long, not {nnz}, {len(weights)} and {len(self.literal)}"
            )
        if len(indptr) < 1 or indptr[0] != 0 or indptr[-1] != nnz or bool((indptr[1:] < indptr[:-1]).any()):
            raise InvalidVectorError(f"indptr must rise from 0 to the number of term ids ({nnz})")
        if len(self.cut) != len(self):
            raise InvalidVectorError(f"cut must say something of each of {len(self)} vectors, not of {len(self.cut)}")
        if nnz == 0:
            return
        if int(term_ids.min()) < 0 or int(term_ids.max()) >= self.vocabulary_size:
            raise InvalidVectorError(
                f"term ids run from {term_ids.min()} to {term_ids.max()}, outside a vocabulary of"
                f" {self.vocabulary_size} terms: encode with the model the vocabulary belongs to"
            )
        rising = np.diff(term_ids) > 0
        row_starts = indptr[1:-1]
        rising[row_starts[(row_starts > 0) & (row_starts < nnz)] - 1] = True
        if not rising.all():
            raise InvalidVectorError("term ids must ascend inside a row, without duplicates")
        low, high = float(weights.min()), float(weights.max())
        if not (low >= MIN_WEIGHT and high <= MAX_WEIGHT):  # false for NaN too: min and max hand it on
            raise InvalidVectorError(
                f"weights run from {low} to {high}: they must be finite and inside [{MIN_WEIGHT:.1e}, {MAX_WEIGHT:.1e}]"
            )

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, rows: int | slice) -> SparseVectors:
        """A batch of the chosen rows: ``vectors[i]`` holds one vector, ``vectors[a:b]`` holds b - a."""
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step != 1:
                return SparseVectors.concatenate([self[i] for i in range(start, stop, step)], self.vocabulary_size)
            stop = max(start, stop)
        else:
            start = rows + len(self) if rows < 0 else rows
            if not 0 <= start < len(self):
                raise IndexError(f"row {rows} of {len(self)}")
            stop = start + 1
        low, high = int(self.indptr[start]), int(self.indptr[stop])
        return _unchecked(  # rows of what was checked need no check
            self.indptr[start : stop + 1] - low,
            self.term_ids[low:high],
            self.weights[low:high],
            self.vocabulary_size,
            self.literal[low:high],
            self.cut[start:stop],
        )

    def __iter__(self) -> Iterator[SparseVectors]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SparseVectors):
            return NotImplemented
        return (
            self.vocabulary_size == other.vocabulary_size
            and np.array_equal(self.indptr, other.indptr)
            and np.array_equal(self.term_ids, other.term_ids)
            and np.array_equal(self.weights, other.weights)
            and np.array_equal(self.literal, other.literal)
            and np.array_equal(self.cut, other.cut)
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash

    def __repr__(self) -> str:
        return (
            f"SparseVectors(n_vectors={len(self)}, n_weights={len(self.term_ids)},"
            f" vocabulary_size={self.vocabulary_size})"
        )

    @classmethod
    def concatenate(cls, parts: Sequence[SparseVectors], vocabulary_size: int) -> SparseVectors:
        """All rows of all parts, in order; ``vocabulary_size`` decides when there are no parts.

        Raises:
            InvalidVectorError: A part is over another vocabulary.
        """
        for part in parts:
            if not isinstance(part, SparseVectors):
                raise InvalidVectorError(f"a part is of type {type(part).__name__}; pass SparseVectors")
            if part.vocabulary_size != vocabulary_size:
                raise InvalidVectorError(
                    f"cannot join vectors over {part.vocabulary_size} terms with vectors over {vocabulary_size}"
                )
        lengths = [np.diff(part.indptr) for part in parts]
        return cls(
            np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate([np.zeros(0, np.int64), *lengths]))]),
            np.concatenate([np.zeros(0, np.int32), *(part.term_ids for part in parts)]),
            np.concatenate([np.zeros(0, np.float32), *(part.weights for part in parts)]),
            vocabulary_size,
            np.concatenate([np.zeros(0, np.bool_), *(part.literal for part in parts)]),
            np.concatenate([np.zeros(0, np.bool_), *(part.cut for part in parts)]),
        )

    def with_literal(self, terms: Sequence[Collection[int] | NDArray[np.int32]]) -> SparseVectors:
        """The same vectors, marked with the terms that each text itself is made of.

        Args:
            terms: One collection of term ids a row; terms that a row has no weight for change nothing.

        Raises:
            InvalidVectorError: There is not one collection a row, or a term is outside the vocabulary.
        """
        if len(terms) != len(self):
            raise InvalidVectorError(f"pass one collection of literal terms a vector, not {len(terms)} for {len(self)}")
        literal = np.zeros(len(self.term_ids), np.bool_)
        marked = np.zeros(self.vocabulary_size, np.bool_)
        for row, (start, stop) in zip(terms, pairwise(self.indptr.tolist()), strict=True):
            try:
                ids = np.fromiter(row, np.int64, len(row))
            except (TypeError, ValueError, OverflowError) as error:
                raise InvalidVectorError(f"the literal terms of a text must be term ids: {error}") from error
            if len(ids) and not 0 <= ids.min() <= ids.max() < self.vocabulary_size:
                raise InvalidVectorError(f"a literal term is outside a vocabulary of {self.vocabulary_size} terms")
            marked[ids] = True
            literal[start:stop] = marked[self.term_ids[start:stop]]
            marked[ids] = False
        return replace(self, literal=literal)

    def reweighed(self, weights: NDArray[np.float32]) -> SparseVectors:
        """The same terms under other weights; a weight of 0 takes its term out.

        Args:
            weights: float32, shape (nnz,), 0 or more; brought into [MIN_WEIGHT, MAX_WEIGHT] where they are not 0.

        Complexity:
            A few microseconds for one query's vector: what was checked is not checked again.
        """
        indptr, term_ids, literal = self.indptr, self.term_ids, self.literal
        kept = weights > 0
        if not kept.all():
            counts = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept, dtype=np.int64)])
            indptr, term_ids, weights, literal = counts[indptr], term_ids[kept], weights[kept], literal[kept]
        weights = np.minimum(np.maximum(weights, _LOWEST), _HIGHEST)
        return _unchecked(indptr, term_ids, weights, self.vocabulary_size, literal, self.cut)

    @classmethod
    def from_dicts(cls, rows: Iterable[Mapping[int, float]], vocabulary_size: int) -> SparseVectors:
        """Build a batch from ``{term id: weight}`` mappings; weights of exactly zero are dropped.

        Raises:
            InvalidVectorError: A weight is negative, not finite or out of range, or a term id is; or one of them is
                not a number.
        """
        _check_vocabulary_size(vocabulary_size)
        lengths = [0]
        term_ids: list[int] = []
        weights: list[float] = []
        for row in rows:
            try:
                kept = sorted((term, weight) for term, weight in row.items() if weight != 0)
            except (AttributeError, TypeError, ValueError) as error:
                raise _not_numbers(error) from error
            lengths.append(len(kept))
            term_ids.extend(term for term, _ in kept)
            weights.extend(weight for _, weight in kept)
        try:
            fits = not term_ids or -1 < min(term_ids) <= max(term_ids) < vocabulary_size
            terms = np.array(term_ids) if term_ids else np.zeros(0, np.int32)
            with np.errstate(over="ignore"):  # an overflow becomes infinite, and is refused as such
                values = np.array(weights, np.float64).astype(np.float32)
        except (TypeError, ValueError, OverflowError) as error:
            raise _not_numbers(error) from error
        if not fits:
            raise InvalidVectorError(
                f"term ids run from {min(term_ids)} to {max(term_ids)}, outside a vocabulary of {vocabulary_size} terms"
            )
        if terms.dtype.kind not in "iu":
            raise _not_numbers("a term id is not a whole number")
        return cls(
            np.cumsum(np.array(lengths, np.int64), dtype=np.int64), terms.astype(np.int32), values, vocabulary_size
        )

    def to_dicts(self) -> list[dict[int, float]]:
        """One ``{term id: weight}`` dictionary a row."""
        ids, weights, bounds = self.term_ids.tolist(), self.weights.tolist(), self.indptr.tolist()
        return [dict(zip(ids[a:b], weights[a:b], strict=True)) for a, b in pairwise(bounds)]

    @classmethod
    def from_scipy(cls, matrix: Any) -> SparseVectors:
        """Build a batch from a scipy sparse matrix or array of shape (n, vocabulary); zeros are dropped.

        Raises:
            InvalidVectorError: A weight is negative, not finite or out of range.
        """
        if not hasattr(matrix, "tocsr") or matrix.dtype.kind not in "buif":
            raise InvalidVectorError("the matrix is not one of scipy's sparse ones, of real numbers: pass a csr_array")
        rows = matrix.tocsr(copy=True)
        rows.sum_duplicates()
        rows.eliminate_zeros()
        return cls(
            rows.indptr.astype(np.int64),
            rows.indices.astype(np.int32),
            rows.data.astype(np.float32),
            int(rows.shape[1]),
        )

    def to_scipy(self) -> Any:
        """A ``scipy.sparse.csr_array`` of float32, shape (n, vocabulary_size).

        Raises:
            OptionalDependencyError: scipy is not installed.
        """
        try:
            from scipy.sparse import csr_array
        except ImportError as error:
            raise OptionalDependencyError.of("to_scipy", "scipy") from error

        return csr_array((self.weights, self.term_ids, self.indptr), shape=(len(self), self.vocabulary_size))

    @classmethod
    def from_torch(cls, tensor: Any) -> SparseVectors:
        """Build a batch from a torch tensor, dense or sparse, of shape (n, vocabulary) on any device.

        Raises:
            InvalidVectorError: A weight is negative, not finite or out of range.
        """
        if not hasattr(tensor, "is_sparse") or tensor.ndim != 2 or tensor.is_complex():
            raise InvalidVectorError("the tensor is not one of torch's, of real numbers and of shape (n, vocabulary)")
        coo = (tensor if tensor.is_sparse else tensor.to_sparse()).detach().coalesce().cpu()
        n_rows, vocabulary_size = (int(size) for size in coo.shape)
        rows, columns = coo.indices().numpy()
        values = coo.values().float().numpy()
        kept = values != 0
        counts = np.bincount(rows[kept], minlength=n_rows)
        return cls(
            np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)]),
            columns[kept].astype(np.int32),
            values[kept].astype(np.float32),
            vocabulary_size,
        )


def _unchecked(*values: Any) -> SparseVectors:
    """Vectors of values that are known to be sound, in the order of the attributes."""
    vectors = object.__new__(SparseVectors)
    for name, value in zip(SparseVectors.__slots__, values, strict=True):
        object.__setattr__(vectors, name, value)
    return vectors


def _check_vocabulary_size(value: Any) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or not 1 <= int(value) <= _MAX_VOCABULARY:
        raise InvalidVectorError(f"vocabulary_size must be a whole number from 1 to {_MAX_VOCABULARY}")


def _not_numbers(error: Exception | str) -> InvalidVectorError:
    return InvalidVectorError(f"a vector must be a mapping of term ids, whole numbers, to weights, numbers: {error}")
