"""What the last message of a conversation is about, where it says little by itself: "네, 그렇게 해 주세요".

A message leans on an earlier one when, by itself, it finds much less than that one does: an answer, a choice ("두 번째
것으로"), an action without its thing ("취소해 줘"). Whether a question needs its history is told by the best score that
it gets alone, and its history's terms are then added to it: historical query expansion, of Lin et al., "Multi-Stage
Conversational Passage Retrieval: An Approach to Fusing Term Importance Estimation and Neural Query Rewriting" (ACM TOIS
39, 2021), with a sparse model's scores in place of BM25's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pixie_retrievers.types import SparseVectors

__all__ = ["joined", "leaned_on"]

_MUCH_LESS = 0.65  # the share of an earlier message's best score below which a message leans on it
_FADING = 0.9  # what each message that is further back takes from that score


def leaned_on(best_scores: Sequence[float]) -> list[int]:
    """Which earlier messages the last one leans on: their positions, the nearest first.

    Args:
        best_scores: Of each message by itself, the best score that it gets, 0 where it finds nothing; the last
            message's last.
    """
    *earlier, found = best_scores
    positions = []
    for age, score in enumerate(reversed(earlier), start=1):
        worth = score * _FADING**age
        if found < _MUCH_LESS * worth:
            positions.append(len(earlier) - age)
            found = worth
    return positions


def joined(vectors: SparseVectors) -> SparseVectors:
    """One vector with the terms of several, each at its largest weight there: a text of all their texts, nearly."""
    terms, places = np.unique(vectors.term_ids, return_inverse=True)
    weights = np.zeros(len(terms), np.float32)
    literal = np.zeros(len(terms), np.bool_)
    np.maximum.at(weights, places, vectors.weights)
    np.logical_or.at(literal, places, vectors.literal)
    return SparseVectors(np.array([0, len(terms)], np.int64), terms, weights, vectors.vocabulary_size, literal)
