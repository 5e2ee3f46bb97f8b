"""What must not be torn runs to its end, and an interrupt is passed on."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading

import pytest

from pixie_retrievers.index.sqlite.interrupts import uninterrupted, was_interrupted


def test_work_that_the_main_thread_asks_for_is_done_in_another_thread():
    assert uninterrupted(threading.get_ident, lambda: None) != threading.get_ident()


def test_other_threads_do_it_themselves():
    found = []
    thread = threading.Thread(target=lambda: found.append(uninterrupted(threading.get_ident, lambda: None)))
    thread.start()
    thread.join(60)
    assert found == [thread.ident]


def test_an_error_is_raised_where_the_work_was_asked_for():
    def fail():
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        uninterrupted(fail, lambda: None)


@pytest.mark.skipif(os.name != "posix", reason="needs a signal to itself")
def test_at_an_interrupt_the_work_is_asked_to_end_and_ends_before_it_is_raised():
    code = """
        import os, signal, threading, time
        from pixie_retrievers.index.sqlite.interrupts import uninterrupted
        cancelled, done = threading.Event(), []
        def work():
            os.kill(os.getpid(), signal.SIGINT)
            assert cancelled.wait(60)
            time.sleep(0.05)
            done.append(True)
        try:
            uninterrupted(work, cancelled.set)
        except KeyboardInterrupt:
            print("interrupted", done)
        """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ran.stdout, ran.stderr) == ("interrupted [True]\n", "")


def test_an_interrupt_is_recognised_behind_what_came_of_it():
    first, second = SystemError("first"), SystemError("second")
    first.__context__ = KeyboardInterrupt()
    second.__cause__ = first
    assert was_interrupted(second)
    first.__context__ = None
    assert not was_interrupted(second)
