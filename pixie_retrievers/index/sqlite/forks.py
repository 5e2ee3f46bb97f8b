"""Holds a fork back while another thread is inside SQLite or numba's compiler.

Both have locks of their own, for the whole process. A child that is forked while another thread holds one of them has
that lock for ever, and without the thread that would let it go: it hangs at its first search. And SQLite forbids using
a connection that came through a fork, and even closing it: those that rest are closed before.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakMethod

__all__ = ["before_forks", "enter_unforked", "leave_unforked", "unforked"]

_PATIENCE_S = 10.0
"""A fork waits so long at most: what is inside may itself wait for the thread that forks."""


class _Gate:
    def __init__(self) -> None:
        self.changed = threading.Condition(threading.Lock())
        self.inside: dict[int, int] = {}  # how deep each thread is inside
        self.n_forking = 0
        self.closing: list[WeakMethod[Callable[[], Any]]] = []

    def enter(self) -> None:
        me = threading.get_ident()
        with self.changed:
            while self.n_forking and me not in self.inside:
                self.changed.wait(_PATIENCE_S)
            self.inside[me] = self.inside.get(me, 0) + 1

    def leave(self) -> None:
        me = threading.get_ident()
        with self.changed:
            self.inside[me] -= 1
            if not self.inside[me]:
                del self.inside[me]
                self.changed.notify_all()

    def before_fork(self) -> None:
        me = threading.get_ident()
        self.changed.acquire()  # until the fork is over, in both processes
        self.n_forking += 1
        self.changed.wait_for(lambda: not self.inside.keys() - {me}, _PATIENCE_S)
        for reference in self.closing:
            if close := reference():
                close()

    def after_in_parent(self) -> None:
        self.n_forking -= 1
        self.changed.notify_all()
        self.changed.release()

    def after_in_child(self) -> None:
        me = threading.get_ident()
        depth = self.inside.get(me)
        self.changed, self.n_forking = threading.Condition(threading.Lock()), 0
        self.inside = {me: depth} if depth else {}


_gate = _Gate()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_gate.before_fork, after_in_parent=_gate.after_in_parent, after_in_child=_gate.after_in_child
    )


def before_forks(close: Callable[[], Any]) -> None:
    """Call a bound method before every fork of this process, for as long as its object is there."""
    with _gate.changed:
        _gate.closing = [known for known in _gate.closing if known() is not None] + [WeakMethod(close)]


def enter_unforked() -> None:
    """From here to :func:`leave_unforked` no other thread forks this process."""
    _gate.enter()


def leave_unforked() -> None:
    """The end of what :func:`enter_unforked` began."""
    _gate.leave()


@contextlib.contextmanager
def unforked() -> Iterator[None]:
    """No other thread forks this process inside the block."""
    enter_unforked()
    try:
        yield
    finally:
        leave_unforked()
