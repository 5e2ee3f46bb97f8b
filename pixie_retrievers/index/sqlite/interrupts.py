"""Writes that Ctrl-C ends, and never tears.

Python raises KeyboardInterrupt in the main thread, between any two of its steps: also where a lock was just taken and
nothing would let go of it, or where one of two threads that wait for each other is taken away. So a write that the main
thread asks for runs in a thread of its own, which no interrupt reaches; the main thread waits, and passes the wish on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

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
    outcome: Future[_Result] = Future()
    thread = threading.Thread(target=_run, args=(work, outcome), name="pixie-write")
    try:
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending: it starts no more threads
            return work()
        return outcome.result()
    except KeyboardInterrupt:
        cancel()
        if thread.ident is not None:
            thread.join()
        raise
    finally:
        del outcome  # an error's traceback would keep it, and it the error


def _run(work: Callable[[], _Result], outcome: Future[_Result]) -> None:
    try:
        outcome.set_result(work())
    except BaseException as error:  # noqa: BLE001  # whatever it is, it is raised where the work was asked for
        outcome.set_exception(error)
    finally:
        del work, outcome


def was_interrupted(error: BaseException) -> bool:
    """Whether an interrupt is what an error came from."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    return cause is not None
