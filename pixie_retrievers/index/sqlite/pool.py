"""The threads that searches share: idle cores help with a search, busy ones are left alone."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

__all__ = ["SearchPool", "the_pool"]

_T = TypeVar("_T")


class _Job(Generic[_T]):
    """A task that one thread does: whichever comes first."""

    def __init__(self, task: Callable[[], _T]) -> None:
        self._task = task
        self._begun = threading.Lock()
        self._done = threading.Lock()
        self._done.acquire()
        self._outcome: list[_T] = []
        self._error: BaseException | None = None

    def work(self) -> None:
        """Do the task, unless another thread has begun it."""
        if self._begun.acquire(blocking=False):
            try:
                self._outcome.append(self._task())
            except BaseException as error:  # noqa: BLE001  # handed to the thread that asked
                self._error = error
            finally:
                self._done.release()

    def finish(self) -> None:
        """Return when it is done, by this thread if no other has begun it."""
        self.work()
        self._done.acquire()

    def result(self) -> _T:
        """What the task returned, or raised."""
        if self._error is not None:
            raise self._error
        return self._outcome[0]


class _Turns:
    """So many at once, for threads that no interrupt reaches.

    Attributes:
        n_taken: How many have theirs.
    """

    def __init__(self, n: int) -> None:
        self._free = threading.Semaphore(n)
        self._counting = threading.Lock()
        self.n_taken = 0

    def __enter__(self) -> None:
        self._free.acquire()
        with self._counting:
            self.n_taken += 1

    def __exit__(self, *_: object) -> None:
        with self._counting:
            self.n_taken -= 1
        self._free.release()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class SearchPool:
    """Hands tasks to threads that wait for them, and knows how many searches are running.

    An executor of the standard library does the same with twice the time from one thread to the other, which is what a
    search lasts. The threads are daemons: they hold nothing between tasks, and whoever gave a task waits for it.
    """

    def __init__(self) -> None:
        self.n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._large_turns = _Turns(self.n_cores)
        self._small_turn = threading.Lock()
        self._lock = threading.Lock()
        self._n_threads = 0
        self._jobs: SimpleQueue[_Job[Any]] = SimpleQueue()

    def turn(self, *, is_large: bool) -> AbstractContextManager[Any]:
        """What to hold for a search: over large indexes only one a core runs at once, over small ones one alone.

        More would lose: a search goes into compiled code and out of it several times, and each time its thread would
        wait for another to hand it the interpreter. Over a small index that takes longer than the search itself.

        Nothing that is done meanwhile may wait for another search. No interrupt gets between taking a plain lock and
        letting go of it; a semaphore would be torn, so the main thread, the only one that is interrupted, does without.

        Args:
            is_large: Most of a search is compiled code, during which other threads may run.
        """
        if not is_large:
            return self._small_turn
        return nullcontext() if _in_main_thread() else self._large_turns

    def n_idle_cores(self) -> int:
        """How many threads a search that has its turn may use: the cores, shared among those that have theirs."""
        n_searching = self._large_turns.n_taken + self._small_turn.locked() + _in_main_thread()
        return max(1, self.n_cores // max(1, n_searching))

    def run(self, tasks: Sequence[Callable[[], _T]]) -> list[_T]:
        """Do the tasks side by side, the first in this thread; on an error too, not before every one is done."""
        others = [_Job(task) for task in tasks[1:]]
        if others:
            self._start_threads(len(others))
            for job in others:
                self._jobs.put(job)
        try:
            first = tasks[0]()
        finally:
            for job in others:
                job.finish()
        return [first, *(job.result() for job in others)]

    def _start_threads(self, wanted: int) -> None:
        """Start threads, up to one a core."""
        if self._n_threads < min(wanted, self.n_cores):
            with self._lock:
                while self._n_threads < min(wanted, self.n_cores):
                    self._n_threads += 1
                    threading.Thread(target=self._serve, name=f"pixie-search-{self._n_threads}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._jobs.get().work()


_pool = SearchPool()


def the_pool() -> SearchPool:
    """The one pool of this process."""
    return _pool


def _renew() -> None:
    global _pool  # noqa: PLW0603  # a forked process has neither the threads nor a lock it may trust
    _pool = SearchPool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
