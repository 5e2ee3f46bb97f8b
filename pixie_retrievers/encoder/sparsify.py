"""From one batch of dense model output to the weights that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.errors import InvalidVectorError
from pixie_retrievers.types import MIN_WEIGHT, SparseVectors

__all__ = ["SparseRows", "assemble", "sparsify"]


@dataclass(frozen=True, slots=True, eq=False)
class SparseRows:
    """The kept weights of a batch of n texts, row after row.

    Attributes:
        counts: int64, shape (n,): how many weights each row has.
        term_ids: int32, shape (nnz,): ascending inside a row.
        weights: float32, shape (nnz,).
    """

    counts: NDArray[np.int64]
    term_ids: NDArray[np.int32]
    weights: NDArray[np.float32]


def sparsify(dense: Any, *, special_ids: Sequence[int], min_weight: float, max_active_terms: int | None) -> SparseRows:
    """Keep what the reference semantics keep: weights strictly above ``min_weight``, no special tokens.

    Args:
        dense: A torch tensor of any float type on any device, shape (n, vocabulary).
        special_ids: Terms to drop.
        min_weight: 0 or more; in addition, weights below :data:`~pixie_retrievers.types.MIN_WEIGHT` count as zero.
        max_active_terms: Then keep at most so many per row, the largest; of equal ones those with the lower id.

    Raises:
        InvalidVectorError: An output is NaN or infinite.
    """
    counts, term_ids, weights = (_on_gpu if dense.device.type == "cuda" else _on_host)(dense, special_ids, min_weight)
    if max_active_terms is not None:
        rows = np.repeat(np.arange(len(counts)), counts)
        chosen = _strongest(rows, weights, len(counts), max_active_terms)
        counts = np.bincount(rows[chosen], minlength=len(counts)).astype(np.int64)
        term_ids, weights = term_ids[chosen], weights[chosen]
    return SparseRows(counts, term_ids, weights)


_Kept = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]


def _on_host(dense: Any, special_ids: Sequence[int], min_weight: float) -> _Kept:
    """By numpy: for one question, torch's threads would take longer to begin than it does.

    Apple GPUs lose memory in sparse operations (sentence-transformers issue 3851), so what they computed comes here.
    """
    values = dense.detach().cpu().float().numpy()
    if not np.isfinite(values).all():
        raise _not_finite(dense)
    kept = (values > min_weight) & (values >= MIN_WEIGHT)
    kept[:, list(special_ids)] = False
    rows, terms = kept.nonzero()
    return np.bincount(rows, minlength=len(values)), terms.astype(np.int32), values[rows, terms]


def _on_gpu(dense: Any, special_ids: Sequence[int], min_weight: float) -> _Kept:
    """Where the numbers are, on the current stream; what is kept comes through pinned memory."""
    import torch

    with torch.inference_mode():
        values = dense.float()
        kept = (values > min_weight) & (values >= MIN_WEIGHT)
        kept[:, list(special_ids)] = False
        is_finite = torch.isfinite(values).all()
        rows, terms = kept.nonzero(as_tuple=True)
        found = (is_finite, kept.sum(dim=1), terms.int(), values[rows, terms])
        on_host = [torch.empty(part.shape, dtype=part.dtype, pin_memory=True) for part in found]
        for target, part in zip(on_host, found, strict=True):
            target.copy_(part, non_blocking=True)
        torch.cuda.current_stream().synchronize()
    if not bool(on_host[0]):
        raise _not_finite(dense)
    counts, term_ids, weights = (part.numpy() for part in on_host[1:])
    return counts, term_ids, weights


def _not_finite(dense: Any) -> InvalidVectorError:
    return InvalidVectorError(
        f"the model gave weights that are not finite (in {str(dense.dtype).removeprefix('torch.')}):"
        " load it with precision='float32'; if it still does, its weights file is damaged"
    )


def _strongest(rows: NDArray[np.int64], weights: NDArray[np.float32], n_rows: int, limit: int) -> NDArray[np.int64]:
    """Positions, ascending, of the ``limit`` largest weights of each row."""
    # The sort is stable and terms ascend inside a row: of equal weights the lower term comes first.
    order = np.lexsort((-weights, rows))
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(rows, minlength=n_rows))])
    rank = np.arange(len(rows)) - starts[rows[order]]
    return np.sort(order[rank < limit])


def assemble(batches: Sequence[tuple[Sequence[int], SparseRows]], n_texts: int, vocabulary_size: int) -> SparseVectors:
    """Put the rows of all batches where their texts stood; a text in no batch gets an empty vector.

    Args:
        batches: Positions of the texts of a batch, with its rows in the same order.
        n_texts: The number of vectors to return.
        vocabulary_size: The number of terms.
    """
    counts = np.zeros(n_texts, np.int64)
    for positions, rows in batches:
        counts[list(positions)] = rows.counts
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
    term_ids = np.empty(int(indptr[-1]), np.int32)
    weights = np.empty(int(indptr[-1]), np.float32)
    for positions, rows in batches:
        start = 0
        for position, count in zip(positions, rows.counts.tolist(), strict=True):
            target = slice(int(indptr[position]), int(indptr[position + 1]))
            term_ids[target] = rows.term_ids[start : start + count]
            weights[target] = rows.weights[start : start + count]
            start += count
    return SparseVectors(indptr, term_ids, weights, vocabulary_size)
