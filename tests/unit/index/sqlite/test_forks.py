"""A fork waits for what must not be cut in two."""

from __future__ import annotations

import os
import threading

import pytest

from pixie_retrievers.index.sqlite import forks
from pixie_retrievers.index.sqlite.forks import _Gate


def is_free(lock):
    """Whether another thread could take it."""
    taken = []

    def take():
        taken.append(lock.acquire(blocking=False))
        if taken[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join(60)
    return taken == [True]


def test_a_fork_waits_until_other_threads_are_outside_and_they_wait_for_the_fork():
    gate, inside, forked, entered = _Gate(), threading.Event(), threading.Event(), threading.Event()
    leave = threading.Event()

    def work():
        with gate.mine(), gate.mine():  # a search inside a search
            inside.set()
            leave.wait(60)
            assert not forked.is_set()
        with gate.mine():
            entered.set()

    def fork():
        gate.before_fork()
        forked.set()
        assert not entered.wait(0.05)  # nobody comes in meanwhile
        gate.after_in_parent()

    worker = threading.Thread(target=work)
    worker.start()
    assert inside.wait(60)
    forker = threading.Thread(target=fork)
    forker.start()
    assert not forked.wait(0.05)
    leave.set()
    for thread in (worker, forker):
        thread.join(60)
    assert forked.is_set()
    assert entered.is_set()
    assert is_free(gate._registering)


def test_a_thread_that_is_inside_may_fork_and_its_child_is_inside_alone():
    gate, other_inside, leave = _Gate(), threading.Event(), threading.Event()
    mine = gate.mine()

    def work():
        gate.mine()  # known, and outside
        other_inside.set()
        leave.wait(60)

    other = threading.Thread(target=work)
    other.start()
    assert other_inside.wait(60)
    with mine:
        gate.before_fork()
        gate.after_in_child()
        assert list(gate._threads) == [mine]
        assert is_free(gate._registering)
        assert not is_free(mine)
    assert is_free(mine)
    leave.set()
    other.join(60)


def test_a_fork_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(forks, "_PATIENCE_S", 0.01)
    gate, inside, leave = _Gate(), threading.Event(), threading.Event()

    def work():
        with gate.mine():
            inside.set()
            leave.wait(60)

    worker = threading.Thread(target=work)
    worker.start()
    assert inside.wait(60)
    gate.before_fork()
    gate.after_in_parent()
    leave.set()
    worker.join(60)
    assert is_free(gate._registering)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_is_registered_is_called_before_a_fork_while_it_is_there():
    class Closing:
        n_calls = 0

        def close(self):
            self.n_calls += 1

    kept, dropped = Closing(), Closing()
    for closing in (kept, dropped):
        forks.before_forks(closing.close)
    calls = dropped.__dict__
    del dropped, closing
    child = os.fork()
    if child == 0:
        os._exit(kept.n_calls)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert calls == {}
