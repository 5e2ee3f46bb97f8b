"""Holds a fork back while another thread is inside SQLite or numba's compiler.

Both have locks of their own, for the whole process. A child that is forked while another thread holds one of them has
that lock for ever, and without the thread that would let it go: it hangs at its first search. And SQLite forbids using
a connection that came through a fork, and even closing it: those that rest are closed before.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod, WeakSet

__all__ = ["before_forks", "unforked"]

_PATIENCE_S = 10.0
"""A fork waits so long at most: what is inside may itself wait for the thread that forks."""


class _Gate:
    """A lock for each thread, which it holds while it is inside; a fork takes all of them first.

    No counter could say who is inside: an interrupt may come between any two steps of Python, and only a ``with`` on a
    lock of the interpreter's own is one step.
    """

    def __init__(self) -> None:
        self._mine = threading.local()
        self._threads: WeakSet[Any] = WeakSet()  # their locks, RLocks, go with the threads
        self._registering = threading.Lock()
        self._held: list[Any] = []
        self._is_forking = False
        self.closing: list[WeakMethod[Callable[[], Any]]] = []

    def mine(self) -> contextlib.AbstractContextManager[Any]:
        """The lock of the thread that asks."""
        mine: threading.RLock | None = getattr(self._mine, "lock", None)
        if mine is None:
            mine = self._mine.lock = threading.RLock()
            with self._registering:
                self._threads.add(mine)
        if self._is_forking and not mine._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001  # as Condition asks
            with self._registering:  # a fork waits for threads that come and go faster than it can get hold of them
                pass
        return mine

    def before_fork(self) -> None:
        self._is_forking = True
        deadline = time.monotonic() + _PATIENCE_S
        for lock in (self._registering, *self._threads):
            if lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
                self._held.append(lock)
        for reference in self.closing:
            if close := reference():
                close()

    def after_in_parent(self) -> None:
        self._is_forking = False
        while self._held:
            self._held.pop().release()

    def after_in_child(self) -> None:
        mine = getattr(self._mine, "lock", None)
        if mine is not None and mine in self._held:
            mine.release()
        self._held, self._is_forking = [], False
        self._threads = WeakSet() if mine is None else WeakSet([mine])  # other threads are not in this process
        self._registering = threading.Lock()


_gate = _Gate()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_gate.before_fork, after_in_parent=_gate.after_in_parent, after_in_child=_gate.after_in_child
    )


def before_forks(close: Callable[[], Any]) -> None:
    """Call a bound method before every fork of this process, for as long as its object is there."""
    _gate.closing = [known for known in _gate.closing if known() is not None] + [WeakMethod(close)]


def unforked() -> contextlib.AbstractContextManager[Any]:
    """``with unforked():`` no other thread forks this process inside the block, which may stand inside another one."""
    return _gate.mine()
