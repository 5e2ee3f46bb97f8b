"""Asynchronous calls in threads: how many wait at once, and what passes through."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from contextvars import ContextVar

import pytest

from pixie_retrievers.asynchronous import MAX_THREADS, in_thread

ASKED = ContextVar("asked", default="nobody")


async def test_as_many_wait_at_once_as_there_are_callers():
    together = threading.Barrier(MAX_THREADS)  # asyncio's own threads would never all come here
    assert len(await asyncio.gather(*(in_thread(together.wait, 20) for _ in range(MAX_THREADS)))) == MAX_THREADS


async def test_arguments_context_results_and_errors_pass_through():
    ASKED.set("me")
    assert await in_thread(lambda a, *, b: (a, b, ASKED.get()), 1, b=2) == (1, 2, "me")
    with pytest.raises(KeyError, match="missing"):
        await in_thread({}.__getitem__, "missing")


async def test_the_end_of_an_iterator_is_an_error_and_not_a_wait_for_ever():
    with pytest.raises(RuntimeError, match="StopIteration"):
        await asyncio.wait_for(in_thread(next, iter(())), 20)


def _asked_in_a_fork(pipe):
    pipe.send(asyncio.run(in_thread(os.getpid)))


@pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")  # whatever other tests left running
def test_a_fork_has_threads_of_its_own():
    assert asyncio.run(in_thread(os.getpid)) == os.getpid()
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no forks here")
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    child = fork.Process(target=_asked_in_a_fork, args=(theirs,))
    child.start()
    assert ours.poll(20)
    assert ours.recv() == child.pid
    child.join(20)
