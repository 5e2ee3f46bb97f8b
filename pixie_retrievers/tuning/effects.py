"""What rules do to judged questions, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixie_retrievers.encoder.base import Encoder
from pixie_retrievers.index.base import Index
from pixie_retrievers.rules.rules import Rules
from pixie_retrievers.tuning.judgements import Judged, Question, read_questions
from pixie_retrievers.tuning.measuring import DEPTH, ndcg
from pixie_retrievers.types import SparseVectors

__all__ = ["Change", "Effect", "JudgedQuestions", "answered", "changes", "encoded"]

_QUERIES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Change:
    """A judged question before and after a change of rules.

    Attributes:
        question: The question.
        before, after: How well it is answered, 0 to 1.
    """

    question: str
    before: float
    after: float

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return {"question": self.question, "before": self.before, "after": self.after}


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change of rules does to judged questions.

    Attributes:
        n_questions: How many there are.
        before, after: NDCG at 10, their mean.
        gained, lost: The questions that are answered better, or worse, the largest change first.
    """

    n_questions: int
    before: float
    after: float
    gained: tuple[Change, ...]
    lost: tuple[Change, ...]


class JudgedQuestions:
    """Judged questions over an index, encoded once, for one change of rules after the other.

    Args:
        index, encoder: Those of a retriever.
        judged: As for :meth:`~pixie_retrievers.SparseRetriever.tune`.

    Raises:
        InvalidParameterError: A row is at fault.
    """

    def __init__(self, index: Index, encoder: Encoder, judged: Judged) -> None:
        self._index = index
        self._encoder = encoder
        self.questions = [question for question in read_questions(judged).questions if question.grades]

    def effect(self, before: Rules, after: Rules) -> Effect:
        """What it does to them that other rules are in force."""
        first, second = (answered(self._index, one.apply(self._vectors), self.questions) for one in (before, after))
        gained, lost = changes([question.text for question in self.questions], first, second)
        n = len(self.questions)
        return Effect(n, float(first.sum()) / max(1, n), float(second.sum()) / max(1, n), gained, lost)

    @cached_property
    def _vectors(self) -> SparseVectors:
        return encoded(self._encoder, [question.text for question in self.questions], lambda _: None)


def encoded(encoder: Encoder, texts: Sequence[str], advance: Callable[[int], object]) -> SparseVectors:
    """The vectors of questions; ``advance`` is told of those that are done."""
    parts = []
    for start in range(0, len(texts), _QUERIES_AT_ONCE):
        parts.append(encoder.encode_queries(texts[start : start + _QUERIES_AT_ONCE]))
        advance(len(parts[-1]))
    return SparseVectors.concatenate(parts, encoder.vocabulary_size)


def answered(index: Index, vectors: SparseVectors, questions: Sequence[Question]) -> NDArray[np.float64]:
    """NDCG at 10 of each question, searched for as anybody would."""
    found = []
    for start in range(0, len(questions), _QUERIES_AT_ONCE):
        hits = index.search(vectors[start : start + _QUERIES_AT_ONCE], DEPTH)
        some = questions[start : start + _QUERIES_AT_ONCE]
        found += [
            ndcg([hit.document.id for hit in its], question.grades) for its, question in zip(hits, some, strict=True)
        ]
    return np.array(found, np.float64)


def changes(
    texts: Sequence[str], before: Iterable[float], after: Iterable[float]
) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    """The questions that are answered better, and those that are answered worse, the largest change first."""
    every = [Change(*one) for one in zip(texts, map(float, before), map(float, after), strict=True)]
    every.sort(key=lambda change: change.before - change.after)
    gained = tuple(change for change in every if change.after > change.before)
    return gained, tuple(change for change in reversed(every) if change.after < change.before)
