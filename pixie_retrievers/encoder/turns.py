"""Who may use the model next: questions before documents, and questions that wait together go together.

A pass over a few questions takes hardly longer than one over one, so whoever has the model answers all that wait, in
one pass. Nobody waits for company who was alone the last time. No thread is kept for this; a question is
answered in the thread of one that asked.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress

from pixie_retrievers.encoder.forks import locks_of_models
from pixie_retrievers.encoder.vocabulary import Reading
from pixie_retrievers.types import SparseVectors

__all__ = ["Turns"]

_LONGEST_WAIT_S = 1.0
"""Documents let questions pass for so long, then go on: neither waits for ever."""
_LOOK_S, _YIELD_S = 0.05, 0.0005
_GATHER_S = 0.002
"""Where the last pass answered several, those who got their answers ask again at once: the next waits for them."""

Answer = Callable[[list[Reading]], SparseVectors]


class Turns:
    """The right to use a model. Safe to use from many threads.

    An interrupt may come between any two steps of the main thread, but not between a ``with`` and the lock it takes:
    so there the model is only ever taken by one.
    """

    def __init__(self) -> None:
        self._model = threading.Lock()
        locks_of_models.add(self._model)
        self._waiting: deque[_Question] = deque()
        self._has_company = False

    def of_documents(self) -> AbstractContextManager[object]:
        """The right for one batch of documents, when questions that wait have gone first; :meth:`passed` behind it."""
        until = time.monotonic() + _LONGEST_WAIT_S
        while self._waiting and time.monotonic() < until:
            time.sleep(_YIELD_S)
        return self._model

    def passed(self) -> None:
        """Tell a question that waits that the model is free."""
        for next_ in list(self._waiting)[:1]:
            next_.woken.release()

    def ask(self, readings: Sequence[Reading], answer: Answer) -> SparseVectors:
        """The vectors of a question or a few, computed with those of whoever waits at the same time.

        Args:
            readings: What the model reads of them.
            answer: Gives one vector a reading; the same for all who ask.

        Raises:
            Exception: Whatever ``answer`` raises for these readings; it does not meet others.
        """
        question = _Question(list(readings))
        self._waiting.append(question)
        try:
            while not question.is_done:
                if self._lead(question, answer):
                    self.passed()
                # Woken when it is answered, or when the model is free. It looks by itself as well: whoever was to wake
                # it may have been interrupted.
                elif not question.is_done:
                    question.woken.acquire(timeout=_LOOK_S)
        finally:
            if not question.is_done:  # interrupted: nobody wants to know any more
                with suppress(ValueError):
                    self._waiting.remove(question)
        return question.result()

    def _lead(self, question: _Question, answer: Answer) -> bool:
        """Answer all that wait, this question among them, if the model is free; whether it was."""
        if threading.current_thread() is threading.main_thread():  # where interrupts come
            if self._model.locked():
                return False
            with self._model:
                if not question.is_done:
                    self._answer_all(answer)
            return True
        # Not by `with`: who waits for a lock may be passed again and again, with the answer there long since.
        if not self._model.acquire(blocking=False):
            return False
        try:
            self._answer_all(answer)
        finally:
            self._model.release()
        return True

    def _answer_all(self, answer: Answer) -> None:
        taken: list[_Question] = []
        try:
            if self._has_company:
                time.sleep(_GATHER_S)
            while self._waiting:
                taken.append(self._waiting.popleft())
            if taken:  # another thread may have answered them all just now
                self._has_company = len(taken) > 1
                _answered(taken, answer)
        finally:
            # An interrupt of this thread is not one of the others: they ask again.
            self._waiting.extendleft(one for one in reversed(taken) if not one.is_done)
            for one in taken:
                one.woken.release()


class _Question:
    """What somebody waits for."""

    def __init__(self, readings: list[Reading]) -> None:
        self.readings = readings
        self.woken = threading.Semaphore(0)
        self.is_done = False
        self._vectors: SparseVectors | None = None
        self._error: Exception | None = None

    def done(self, vectors: SparseVectors | None, error: Exception | None = None) -> None:
        self._vectors, self._error = vectors, error
        self.is_done = True

    def result(self) -> SparseVectors:
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback would keep it
        assert self._vectors is not None
        return self._vectors


def _answered(questions: Sequence[_Question], answer: Answer) -> None:
    """Answer some questions in one pass; where that fails, each in its own, so that it fails for whom it must."""
    try:
        vectors = answer([reading for question in questions for reading in question.readings])
    except Exception as error:  # noqa: BLE001  # whatever it is, it is raised where the question was asked
        if len(questions) == 1:
            questions[0].done(None, error)
            return
        for question in questions:
            _answered([question], answer)
        return
    start = 0
    for question in questions:
        stop = start + len(question.readings)
        question.done(vectors[start:stop])
        start = stop
