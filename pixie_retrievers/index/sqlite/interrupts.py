"""Writes that Ctrl-C ends, and never tears.

Python raises KeyboardInterrupt in the main thread, between any two of its steps: also where a lock was just taken and
nothing would let go of it, or where one of two threads that wait for each other is taken away. So a write that the main
thread asks for runs in a thread of its own, which no interrupt reaches; the main thread waits, and passes the wish on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["uninterrupted", "was_interrupted"]

_Result = TypeVar("_Result")


def uninterrupted(work: Callable[[], _Result], cancel: Callable[[], None]) -> _Result:
    """Do something that must not be torn, and return what it returns.

    Args:
        work: It runs to its end, in another thread where this is the main one.
        cancel: Called at an interrupt; ``work`` may end early then, in its own way.

    Raises:
        KeyboardInterrupt: There was one, and ``work`` has ended, done or undone. After a second one, it ends by itself.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    task = _Task(work)
    try:
        _start(task)
        task.done.acquire()
    except KeyboardInterrupt:
        if not task.begun.acquire(blocking=False):
            cancel()
            task.done.acquire()
        raise
    return task.result()


def _start(task: _Task[Any]) -> None:
    try:
        threading.Thread(target=task.run, name="pixie-write").start()
    except RuntimeError as error:
        if was_interrupted(error):  # while it waited for the thread to begin, with a lock that is no single step
            raise KeyboardInterrupt from None
        task.run()  # the interpreter is ending: it starts no more threads


class _Task(Generic[_Result]):
    """Work that whoever first takes ``begun`` does, or keeps from being done; ``done`` is free when it is over."""

    def __init__(self, work: Callable[[], _Result]) -> None:
        self._work = work
        self.begun = threading.Lock()
        self.done = threading.Lock()
        self.done.acquire()
        self._results: list[_Result] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        if not self.begun.acquire(blocking=False):
            return
        try:
            self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is raised where the work was asked for
            self._error = error
        finally:
            self.done.release()

    def result(self) -> _Result:
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback would keep it
        return self._results.pop()


def was_interrupted(error: BaseException) -> bool:
    """Whether an interrupt is what an error came from."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    return cause is not None
