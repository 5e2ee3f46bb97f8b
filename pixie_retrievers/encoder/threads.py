"""How many threads a question takes: one or all, whichever lately was quicker for questions of its size.

Threads that share a pass wait for each other many hundred times in it. On an idle machine all of them halve a question
of a large model; where a neighbour holds one core, each wait may last until the neighbour's turn is over, and the
question takes fifty times as long. One thread never waits. So all are used only while they are seen to answer each
other at once, and after they were slow, only when that has been seen several times.

The number is set for the thread that computes, in the OpenMP library itself: what torch would set is everybody's.
Documents keep all threads. So does whoever chose a number: by ``torch.set_num_threads``, or in the environment.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

__all__ = ["QuestionThreads", "question_threads"]

_SAID_BY_USER = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_GAIN = 0.9  # of the time that one thread takes: less is not worth the risk
_SLOW = 2.0
_NEW = 0.3  # how much the latest counts
_AGAIN = 64  # questions: how long what one thread took is believed
_SIGNS = 3  # so many times they must have been quick before they are trusted
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_ANSWER_S = 0.001  # idle threads take a tenth of it, and those that wait for a neighbour's turn four times as much
_SHARED = 1 << 17  # numbers: torch shares the work on them


@dataclass(slots=True)
class _Times:
    """What questions of one size took, in seconds; the first of a process are not counted."""

    one: float | None = None
    all: float | None = None
    n: int = 0
    has_begun: bool = False


class QuestionThreads:
    """Chooses for each question, and remembers what it took. To be used by one thread at a time.

    Args:
        set_here: Sets the number of threads for the thread that calls it.
        count_here: The number that it has.
        answer: Work that all threads share, as little as may be.
        clock: The time in seconds.
    """

    def __init__(
        self,
        set_here: Callable[[int], Any],
        count_here: Callable[[], int],
        answer: Callable[[], Any],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._set_here = set_here
        self._count_here = count_here
        self._answer = answer
        self._clock = clock
        self._times: defaultdict[int, _Times] = defaultdict(_Times)
        self._signs = 0
        self._again_at = 0.0
        self._pause_s = _FIRST_PAUSE_S

    @contextmanager
    def __call__(self, n_tokens: int) -> Iterator[None]:
        """Compute so many tokens with the threads that suit."""
        before = self._count_here()
        if before == 1 or before not in _defaults():
            yield
            return
        times = self._times[n_tokens.bit_length()]
        shared = self._is_shared(times)
        began = self._clock()
        try:
            if not shared:
                self._set_here(1)
            yield
            self._note(times, self._clock() - began, shared=shared)
        finally:
            self._set_here(before)

    def _is_shared(self, times: _Times) -> bool:
        if times.one is None or self._clock() < self._again_at:
            return False
        times.n += 1
        if times.n % _AGAIN == 0 or not self._answer_at_once():
            return False
        self._signs += 1
        if self._signs <= _SIGNS:
            return False
        return times.all is None or times.all < _GAIN * times.one or times.n % _AGAIN == 1

    def _answer_at_once(self) -> bool:
        for _ in range(3):
            began = self._clock()
            self._answer()
            if self._clock() - began > _ANSWER_S:
                self._pause()
                return False
        return True

    def _pause(self) -> None:
        self._signs = 0
        self._again_at = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def _note(self, times: _Times, took: float, *, shared: bool) -> None:
        if not shared:
            if times.has_begun:
                times.one = took if times.one is None else times.one + _NEW * (took - times.one)
            times.has_begun = True
            return
        assert times.one is not None
        if took > _SLOW * times.one:  # of what a neighbour did to it, the next ones learn nothing
            self._pause()
            return
        self._pause_s = max(self._pause_s / 2, _FIRST_PAUSE_S)
        times.all = took if times.all is None else times.all + _NEW * (took - times.all)


def question_threads(device: str) -> Callable[[int], AbstractContextManager[object]]:
    """What questions of a model on a device are computed in: called with the number of tokens, it gives a context."""
    if not device.startswith("cpu") or any(name in os.environ for name in _SAID_BY_USER):
        return lambda _: nullcontext()
    import torch

    set_here = _setter()
    if set_here is None:
        return lambda _: nullcontext()
    numbers = torch.zeros(_SHARED)
    return QuestionThreads(set_here, torch.get_num_threads, lambda: numbers.add_(1))


def _setter() -> Callable[[int], Any] | None:
    """What sets the number in the OpenMP library that torch computes with; None where it computes with another."""
    import torch
    from threadpoolctl import ThreadpoolController

    before = torch.get_num_threads()
    for library in ThreadpoolController().select(user_api="openmp").lib_controllers:
        own = library.num_threads
        library.set_num_threads(before + 1)
        is_torchs = torch.get_num_threads() == before + 1
        library.set_num_threads(own)
        if is_torchs:
            return library.set_num_threads  # type: ignore[no-any-return]
    return None


def _defaults() -> set[int]:
    """The numbers that torch takes by itself: of cores, with or without those that share one."""
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {n_cores, (n_cores + 1) // 2}
