"""The values that travel between encoder, index and adapters: immutable, and plain to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.errors import InvalidVectorError

__all__ = [
    "MAX_WEIGHT",
    "MIN_WEIGHT",
    "Document",
    "Explanation",
    "Hit",
    "SearchResult",
    "SparseVectors",
    "TermMatches",
    "TokenContribution",
    "sum_contributions",
]

MIN_WEIGHT = 2.0**-60
MAX_WEIGHT = 2.0**50
"""Weights stay inside [MIN_WEIGHT, MAX_WEIGHT], so that no product and no sum of a query can leave the range of a
normal float32: the index relies on it to select candidates in float32 without losing one."""


def sum_contributions(contributions: NDArray[np.float64] | Sequence[float]) -> float:
    """Add up in float64, one after the other from the first to the last: how every score is made.

    The built-in ``sum`` compensates for rounding from Python 3.12 on, and ``numpy.sum`` adds in pairs: each may differ
    in its last bits from what the index's compiled loops find, and turn a tie.

    Args:
        contributions: Shape (m,), by ascending term.
    """
    return float(np.add.accumulate(np.asarray(contributions, np.float64))[-1]) if len(contributions) else 0.0


@dataclass(frozen=True, slots=True)
class Document:
    """What a caller stores and gets back.

    Attributes:
        id: The caller's own key, not empty; storing another document under it replaces this one.
        text: The text that is encoded and shown.
        metadata: JSON types only: str keys; str, int, finite float, bool, None, list and dict values.
    """

    id: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class SparseVectors:
    """A batch of n sparse vectors over one vocabulary, in compressed sparse row form.

    Attributes:
        indptr: int64, shape (n + 1,): row i is the slice ``indptr[i]:indptr[i + 1]`` of the other two.
        term_ids: int32, shape (nnz,): ascending inside a row, no duplicates, below ``vocabulary_size``.
        weights: float32, shape (nnz,): finite, in [MIN_WEIGHT, MAX_WEIGHT].
        vocabulary_size: The number of terms.

    Raises:
        InvalidVectorError: An array breaks what is said above.
    """

    indptr: NDArray[np.int64]
    term_ids: NDArray[np.int32]
    weights: NDArray[np.float32]
    vocabulary_size: int

    def __post_init__(self) -> None:
        if self.vocabulary_size < 1:
            raise InvalidVectorError(f"vocabulary_size is {self.vocabulary_size}; it must be at least 1")
        for name, dtype in (("indptr", np.int64), ("term_ids", np.int32), ("weights", np.float32)):
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype != dtype:
                raise InvalidVectorError(f"{name} must be a one-dimensional numpy array of {np.dtype(dtype)}")
        indptr, term_ids, weights = self.indptr, self.term_ids, self.weights
        nnz = len(term_ids)
        if len(weights) != nnz:
            raise InvalidVectorError(f"{nnz} term ids but {len(weights)} weights")
        if len(indptr) < 1 or indptr[0] != 0 or indptr[-1] != nnz or bool((indptr[1:] < indptr[:-1]).any()):
            raise InvalidVectorError(f"indptr must rise from 0 to the number of term ids ({nnz})")
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
        indptr = self.indptr[start : stop + 1] - low
        return SparseVectors(indptr, self.term_ids[low:high], self.weights[low:high], self.vocabulary_size)

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
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash

    def __repr__(self) -> str:
        return (
            f"SparseVectors({len(self)} vectors, {len(self.term_ids)} weights, vocabulary_size={self.vocabulary_size})"
        )

    @classmethod
    def concatenate(cls, parts: Sequence[SparseVectors], vocabulary_size: int) -> SparseVectors:
        """All rows of all parts, in order; ``vocabulary_size`` decides when there are no parts.

        Raises:
            InvalidVectorError: A part is over another vocabulary.
        """
        for part in parts:
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
        )

    @classmethod
    def from_dicts(cls, rows: Iterable[Mapping[int, float]], vocabulary_size: int) -> SparseVectors:
        """Build a batch from ``{term id: weight}`` mappings; weights of exactly zero are dropped.

        Raises:
            InvalidVectorError: A weight is negative, not finite or out of range, or a term id is.
        """
        lengths = [0]
        term_ids: list[int] = []
        weights: list[float] = []
        for row in rows:
            kept = sorted((term, weight) for term, weight in row.items() if weight != 0)
            lengths.append(len(kept))
            term_ids.extend(term for term, _ in kept)
            weights.extend(weight for _, weight in kept)
        if term_ids and not -1 < min(term_ids) <= max(term_ids) < vocabulary_size:
            raise InvalidVectorError(
                f"term ids run from {min(term_ids)} to {max(term_ids)}, outside a vocabulary of {vocabulary_size} terms"
            )
        with np.errstate(over="ignore"):  # an overflow becomes infinite, and is refused as such
            values = np.array(weights, np.float64).astype(np.float32)
        return cls(
            np.cumsum(np.array(lengths, np.int64), dtype=np.int64),
            np.array(term_ids, np.int32),
            values,
            vocabulary_size,
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
        """A ``scipy.sparse.csr_array`` of float32, shape (n, vocabulary_size)."""
        from scipy.sparse import csr_array

        return csr_array((self.weights, self.term_ids, self.indptr), shape=(len(self), self.vocabulary_size))

    @classmethod
    def from_torch(cls, tensor: Any) -> SparseVectors:
        """Build a batch from a torch tensor, dense or sparse, of shape (n, vocabulary) on any device.

        Raises:
            InvalidVectorError: A weight is negative, not finite or out of range.
        """
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


@dataclass(frozen=True, slots=True, eq=False)
class TermMatches:
    """Every term that a query and a document share.

    Attributes:
        term_ids: int32, shape (m,), ascending.
        query_weights: float32, shape (m,).
        document_weights: float32, shape (m,): as the index stores them.
    """

    term_ids: NDArray[np.int32]
    query_weights: NDArray[np.float32]
    document_weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.term_ids)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TermMatches):
            return NotImplemented
        return (
            np.array_equal(self.term_ids, other.term_ids)
            and np.array_equal(self.query_weights, other.query_weights)
            and np.array_equal(self.document_weights, other.document_weights)
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash

    @property
    def contributions(self) -> NDArray[np.float64]:
        """float64, shape (m,): query weight times document weight, which is exact; their sum is the score."""
        return self.query_weights.astype(np.float64) * self.document_weights.astype(np.float64)

    @property
    def score(self) -> float:
        """The sum of the contributions by ascending term: to the last bit what the index ranks by."""
        return sum_contributions(self.contributions)


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that an index found.

    Attributes:
        document: The stored document.
        score: The dot product of query and document.
        matches: The terms that made it, all of them.
    """

    document: Document
    score: float
    matches: TermMatches


@dataclass(frozen=True, slots=True)
class TokenContribution:
    """What one token added to a score.

    Attributes:
        token: The vocabulary's own spelling, markers included (``##에서``, ``▁위성``, ``ìľĦìĦ±``).
        surface: The token as a person reads it.
        token_id: The term.
        query_weight: Its weight in the query.
        document_weight: Its weight in the document.
        contribution: The product of the two weights.
        in_query: The query's text literally has the token; otherwise the model expanded to it.
        in_document: The document's text literally has the token.
    """

    token: str
    surface: str
    token_id: int
    query_weight: float
    document_weight: float
    contribution: float
    in_query: bool
    in_document: bool

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types, keys in the order of the attributes."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a document got its score: contributions, largest first, and what was left out.

    Attributes:
        score: The whole score: all contributions, added in float64 by ascending token id.
        contributions: The tokens shown, by contribution descending, then by token id.
        residual: The score of the tokens not shown, added in the same way; 0 when all are shown. Contributions and
            residual sum to the score: in another order than that of token ids, to within the rounding of ``n_tokens``
            additions, a share of at most ``n_tokens * 2**-52`` of the score.
        n_tokens: How many tokens matched, shown or not.
    """

    score: float
    contributions: tuple[TokenContribution, ...]
    residual: float
    n_tokens: int

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return {
            "score": self.score,
            "contributions": [contribution.to_dict() for contribution in self.contributions],
            "residual": self.residual,
            "n_tokens": self.n_tokens,
        }


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A document found for a query, with the reason.

    Attributes:
        document: The stored document.
        score: The dot product of query and document.
        explanation: The tokens that made the score; None when explanations were switched off.
    """

    document: Document
    score: float
    explanation: Explanation | None

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return {
            "id": self.document.id,
            "score": self.score,
            "text": self.document.text,
            "metadata": dict(self.document.metadata),
            "explanation": None if self.explanation is None else self.explanation.to_dict(),
        }
