"""What factors are learned on: for each question some documents, and what each token adds to their scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.index.base import Index
from pixie_retrievers.tuning.judgements import Question
from pixie_retrievers.tuning.measuring import DEPTH, DISCOUNTS, ideal
from pixie_retrievers.types import SparseVectors, TermMatches

__all__ = ["N_CANDIDATES", "Candidates", "found_candidates", "pair_candidates", "shown_candidates"]

N_CANDIDATES = 64
_N_HITS = 48  # the rest are sampled from what other questions find
_N_TERMS = 64  # a question's strongest; what others add is not learned
_QUERIES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Candidates:
    """n questions, each with m documents and t of its tokens.

    Attributes:
        question: int64, shape (n,): which question each row is of.
        terms: int32, shape (n, t): terms; -1 where there are fewer.
        adds: float32, shape (n, t, m): what each token adds to each document's score.
        base: float32, shape (n, m): what tokens add that are not learned; minus infinity where there are fewer
            documents.
        grades: float32, shape (n, m): how good an answer each document is.
        ideals: float64, shape (n,): the discounted gain of the best ranking there could be.
    """

    question: NDArray[np.int64]
    terms: NDArray[np.int32]
    adds: NDArray[np.float32]
    base: NDArray[np.float32]
    grades: NDArray[np.float32]
    ideals: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.terms)

    def rows_of(self, questions: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The rows of chosen questions."""
        return np.flatnonzero(questions[self.question])

    def scores(self, rows: NDArray[np.int64], factors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The scores of chosen rows' documents, shape (rows, m), under a factor for each term; the last is of -1."""
        weighed = factors[self.terms[rows]][:, None, :]
        scores: NDArray[np.float32] = self.base[rows] + np.matmul(weighed, self.adds[rows])[:, 0]
        return scores

    def ndcg(self, rows: NDArray[np.int64], factors: NDArray[np.float32]) -> NDArray[np.float64]:
        """NDCG at 10 of each chosen row under such factors, among its own documents."""
        scores = self.scores(rows, factors)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
        gains = np.take_along_axis(self.grades[rows], best, axis=1)
        found: NDArray[np.float64] = gains @ DISCOUNTS[: best.shape[1]] / self.ideals[rows]
        return found


def found_candidates(
    index: Index,
    vectors: SparseVectors,
    questions: Sequence[Question],
    fixed: NDArray[np.bool_],
    rng: np.random.Generator,
    advance: Callable[[int], object],
) -> Candidates:
    """Of each question: what it finds, what answers it, and some of what other questions find.

    Args:
        index: It is searched 48 deep.
        vectors: Of the questions.
        questions: What was judged.
        fixed: bool, shape (vocabulary,): terms whose factors are not learned.
        rng: Where chance comes from.
        advance: Is told of questions that are done.
    """
    ids: list[list[str]] = []
    matches: list[list[TermMatches]] = []
    for start in range(0, len(questions), _QUERIES_AT_ONCE):
        for hits in index.search(vectors[start : start + _QUERIES_AT_ONCE], _N_HITS):
            ids.append([hit.document.id for hit in hits])
            matches.append([hit.matches for hit in hits])
    pool = sorted({id for some in ids for id in some})
    for n, question in enumerate(questions):
        there = set(ids[n])
        lacking = [id for id in question.grades if id not in there][:_N_HITS]
        n_free = max(0, N_CANDIDATES - len(there) - len(lacking))
        sampled = [pool[at] for at in rng.integers(0, len(pool), n_free)] if pool else []
        lacking += [id for id in dict.fromkeys(sampled) if id not in there and id not in question.grades]
        for id, found in zip(lacking, index.match(vectors[n], lacking) if lacking else (), strict=True):
            if found is not None:
                ids[n].append(id)
                matches[n].append(found)
        advance(1)
    return _candidates(vectors, list(range(len(questions))), ids, matches, [one.grades for one in questions], fixed)


def shown_candidates(
    index: Index, vectors: SparseVectors, questions: Sequence[Question], fixed: NDArray[np.bool_]
) -> Candidates:
    """Of each question of a log: what was shown."""
    ids = [list(question.shown)[:N_CANDIDATES] for question in questions]
    matches = [[found or TermMatches.none() for found in index.match(vectors[n], some)] for n, some in enumerate(ids)]
    return _candidates(vectors, list(range(len(questions))), ids, matches, [one.grades for one in questions], fixed)


def pair_candidates(
    index: Index,
    vectors: SparseVectors,
    questions: Sequence[Question],
    fixed: NDArray[np.bool_],
    advance: Callable[[int], object],
) -> Candidates:
    """Of each question of a log: every document that was clicked, with one that was shown above it and was not."""
    owners: list[int] = []
    ids: list[list[str]] = []
    matches: list[list[TermMatches]] = []
    for n, question in enumerate(questions):
        named = sorted({id for pair in question.pairs for id in pair})
        known = dict(zip(named, index.match(vectors[n], named) if named else (), strict=True))
        for pair in question.pairs:
            owners.append(n)
            ids.append(list(pair))
            matches.append([known[id] or TermMatches.none() for id in pair])
        advance(1)
    grades = [{pair[0]: 1.0} for question in questions for pair in question.pairs]
    return _candidates(vectors, owners, ids, matches, grades, fixed)


def _candidates(
    vectors: SparseVectors,
    owners: list[int],
    ids: list[list[str]],
    matches: list[list[TermMatches]],
    grades: Sequence[dict[str, float]],
    fixed: NDArray[np.bool_],
) -> Candidates:
    n_rows = len(ids)
    n_documents = max((len(some) for some in ids), default=1)
    free = [_learnable(vectors, n, fixed) for n in range(len(vectors))]
    n_terms = max((len(terms) for terms in free), default=1)
    terms = np.full((n_rows, n_terms), -1, np.int32)
    adds = np.zeros((n_rows, n_terms, n_documents), np.float32)
    base = np.full((n_rows, n_documents), -np.inf, np.float32)
    judged = np.zeros((n_rows, n_documents), np.float32)
    place = np.full(vectors.vocabulary_size, -1, np.int64)
    for row, (owner, some) in enumerate(zip(owners, ids, strict=True)):
        own = free[owner]
        terms[row, : len(own)] = own
        place[own] = np.arange(len(own))
        base[row, : len(some)] = 0
        for column, found in enumerate(matches[row]):
            at, values = place[found.term_ids], found.contributions
            learned = at >= 0
            adds[row, at[learned], column] = values[learned]
            base[row, column] = values[~learned].sum()
        place[own] = -1
        judged[row, : len(some)] = [grades[row].get(id, 0.0) for id in some]
    ideals = np.array([ideal(list(one.values())) for one in grades], np.float64)
    return Candidates(np.array(owners, np.int64), terms, adds, base, judged, ideals)


def _learnable(vectors: SparseVectors, row: int, fixed: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The strongest of a question's terms that may have factors."""
    part = slice(int(vectors.indptr[row]), int(vectors.indptr[row + 1]))
    terms, weights = vectors.term_ids[part], vectors.weights[part]
    free = ~fixed[terms]
    terms, weights = terms[free], weights[free]
    strongest: NDArray[np.int32] = terms[np.argsort(-weights, kind="stable")[:_N_TERMS]]
    return strongest
