"""Pointers, a shared counter and prefetching inside compiled code."""

from __future__ import annotations

import threading

import numpy as np
from numba import carray, njit

from pixie_retrievers.index.sqlite.intrinsics import at, claim, prefetch


@njit(nogil=True)
def total(address, length):
    result = 0
    for value in carray(at(address), (length,), np.int32):
        result += value
    return result


@njit(nogil=True)
def claimed(address, n):
    taken = np.empty(n, np.int64)
    for i in range(n):
        taken[i] = claim(address)
    return taken


@njit(nogil=True)
def ask_for(values, place):
    prefetch(values, place)
    return values[0]


def test_an_address_is_read_as_the_array_that_lies_there():
    values = np.arange(10, dtype=np.int32)
    assert total(values.ctypes.data, 10) == 45


def test_threads_that_share_a_counter_claim_each_number_once():
    counter = np.zeros(1, np.int64)
    taken = [None] * 4

    def work(i):
        taken[i] = claimed(counter.ctypes.data, 10_000)

    claimed(np.zeros(1, np.int64).ctypes.data, 1)  # compiled here, not in every thread
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.sort(np.concatenate(taken)).tolist() == list(range(40_000))
    assert counter[0] == 40_000


def test_asking_for_memory_ahead_changes_nothing_even_outside_the_array():
    values = np.arange(5, dtype=np.float32)
    for place in (0, 4, 10**6, -(10**6)):
        assert ask_for(values, place) == 0
