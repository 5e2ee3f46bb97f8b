"""A fork waits for what must not be cut in two."""

from __future__ import annotations

import threading

from pixie_retrievers.index.sqlite.forks import _Gate


def test_a_fork_waits_until_other_threads_are_outside_and_they_wait_for_the_fork():
    gate, inside, forked, entered = _Gate(), threading.Event(), threading.Event(), threading.Event()
    leave = threading.Event()

    def work():
        gate.enter()
        gate.enter()  # a search inside a search
        inside.set()
        leave.wait(60)
        gate.leave()
        assert not forked.is_set()
        gate.leave()
        gate.enter()
        entered.set()
        gate.leave()

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
    assert (gate.inside, gate.n_forking) == ({}, 0)


def test_a_thread_that_is_inside_may_fork_and_its_child_is_inside_alone():
    gate = _Gate()
    gate.enter()
    gate.inside[-1] = 1  # another thread, which the child does not have
    gate.changed.acquire()
    gate.n_forking = 1
    gate.after_in_child()
    assert gate.inside == {threading.get_ident(): 1}
    gate.before_fork()
    gate.after_in_parent()
    gate.leave()
    assert gate.inside == {}
