"""Threads that help with searches: every task once, and no search waits for ever."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from vectors import documents, random_vectors

from pixie_retrievers import SqliteIndex
from pixie_retrievers.index.sqlite import engine, pool
from pixie_retrievers.index.sqlite.pool import SearchPool, the_pool


@pytest.mark.parametrize("is_large", [False, True])
def test_only_as_many_searches_run_at_once_as_there_are_turns(tmp_path, monkeypatch, is_large):
    monkeypatch.setattr(the_pool(), "_large_turns", pool._Turns(2))
    monkeypatch.setattr(engine, "_LARGE", 0 if is_large else 1 << 40)
    queries = random_vectors(1, seed=15)
    running, most = set(), 0

    real = engine.search_snapshot

    def slowly(*arguments):
        nonlocal most
        running.add(threading.get_ident())
        most = max(most, len(running))
        time.sleep(0.002)
        running.discard(threading.get_ident())
        return real(*arguments)

    def searched(_):
        return index.search(queries, 5)

    with SqliteIndex(tmp_path / "index.db", vocabulary_size=200) as index, ThreadPoolExecutor(6) as executor:
        index.upsert(documents(20), random_vectors(20, seed=16))
        expected = index.search(queries, 5)
        monkeypatch.setattr(engine, "search_snapshot", slowly)
        assert list(executor.map(searched, range(12))) == [expected] * 12
        assert most == (2 if is_large else 1)
        assert the_pool()._large_turns.n_taken == 0
        most = 0
        if is_large:
            with the_pool()._large_turns:
                assert list(executor.map(searched, range(4))) == [expected] * 4
                assert most == 1
                assert searched(0) == expected  # the main thread waits for nobody


def test_a_pool_does_every_task_once_and_hands_on_an_error_when_all_are_done():
    ours, done = SearchPool(), []
    assert ours.run([lambda i=i: i for i in range(20)]) == list(range(20))  # more tasks than threads

    def fail():
        raise ValueError("task")

    def slow():
        time.sleep(0.05)
        done.append(True)

    for tasks in ([fail, slow, slow], [slow, fail, slow]):
        done.clear()
        with pytest.raises(ValueError, match="task"):
            ours.run(tasks)
        assert len(done) == 2
    assert ours.run([threading.get_ident] * 2)[0] == threading.get_ident()


def test_a_search_inside_a_search_does_not_wait_for_ever(tmp_path):
    queries = random_vectors(1, seed=15)
    with SqliteIndex(tmp_path / "index.db", vocabulary_size=200) as index:
        index.upsert(documents(5), random_vectors(5, seed=16))
        expected = index.search(queries, 5)
        assert index.search(queries, 5, filter=lambda _: index.search(queries, 5) == expected) == expected
    assert not the_pool()._small_turn.locked()
