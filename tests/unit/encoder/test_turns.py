"""Questions go before documents, together, and each gets its own answer, whatever happens to the others."""

from __future__ import annotations

import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from processes import script

from pixie_retrievers.encoder.turns import Turns
from pixie_retrievers.errors import InvalidVectorError
from pixie_retrievers.types import SparseVectors


def readings(*terms):
    return [SimpleNamespace(term=term) for term in terms]


def answer(asked):
    """One vector a reading: its own term, with weight one; a negative one fails, whoever it is asked with."""
    if any(reading.term < 0 for reading in asked):
        raise InvalidVectorError("a negative term")
    return SparseVectors.from_dicts([{reading.term: 1.0} for reading in asked], 1000)


class Slow:
    """Answers one pass at a time, slowly, and remembers how many were in each."""

    def __init__(self, seconds=0.02):
        self.passes = []
        self._seconds = seconds
        self._inside = threading.Lock()

    def __call__(self, asked):
        assert self._inside.acquire(blocking=False), "two passes at once"
        try:
            self.passes.append(len(asked))
            time.sleep(self._seconds)
            return answer(asked)
        finally:
            self._inside.release()


def test_a_lone_question_is_one_pass():
    slow = Slow()
    assert Turns().ask(readings(3, 4), slow).to_dicts() == [{3: 1.0}, {4: 1.0}]
    assert slow.passes == [2]


def test_questions_that_wait_go_together_and_each_gets_its_own():
    turns, slow = Turns(), Slow()
    with ThreadPoolExecutor(50) as pool:
        asked = [(n, n + 500) for n in range(400)]
        answers = list(pool.map(lambda terms: turns.ask(readings(*terms), slow), asked))
    assert [vectors.to_dicts() for vectors in answers] == [[{a: 1.0}, {b: 1.0}] for a, b in asked]
    assert sum(slow.passes) == 800
    assert len(slow.passes) < 100


def test_an_error_meets_only_whoever_asked_for_it():
    turns, slow = Turns(), Slow()

    def ask(n):
        try:
            return turns.ask(readings(n if n % 7 else -1 - n), slow).to_dicts()
        except InvalidVectorError as error:
            return str(error)

    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(ask, range(100)))
    assert found == [[{n: 1.0}] if n % 7 else "a negative term" for n in range(100)]


def test_a_question_passes_documents_that_wait():
    turns, order, go = Turns(), [], threading.Event()

    def documents(name):
        go.wait()
        for _ in range(20):
            with turns.of_documents():
                time.sleep(0.01)
                order.append(name)
            turns.passed()

    def question():
        go.wait()
        time.sleep(0.015)  # in the middle of a batch
        turns.ask(readings(1), lambda asked: (order.append("question"), answer(asked))[1])

    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(documents, "a"), pool.submit(documents, "b"), pool.submit(question)]
        go.set()
        for one in waiting:
            one.result()
    assert order.index("question") <= 4
    assert len(order) == 41


def test_documents_are_not_kept_from_the_model_for_ever(monkeypatch):
    monkeypatch.setattr("pixie_retrievers.encoder.turns._LONGEST_WAIT_S", 0.05)
    turns, done, over = Turns(), threading.Event(), threading.Event()
    slow = Slow(0.005)

    def ask():
        while not over.is_set():
            turns.ask(readings(random.randrange(1000)), slow)

    def documents():
        for _ in range(5):
            with turns.of_documents():
                pass
            turns.passed()
        done.set()

    with ThreadPoolExecutor(9) as pool:
        for _ in range(8):
            pool.submit(ask)
        pool.submit(documents)
        assert done.wait(60)
        over.set()


INTERRUPTED = """
import json, os, random, signal, threading, time
from types import SimpleNamespace
from pixie_retrievers.encoder.turns import Turns
from pixie_retrievers.types import SparseVectors

turns, over, wrong, moments = Turns(), threading.Event(), [], random.Random(0)
inside = threading.Lock()

def answer(asked):
    if not inside.acquire(blocking=False):
        wrong.append("two passes at once")
    try:
        time.sleep(0.001)
        return SparseVectors.from_dicts([{one.term: 1.0} for one in asked], 1000)
    finally:
        inside.release()

def ask(rng):
    term = rng.randrange(1000)
    if turns.ask([SimpleNamespace(term=term)], answer).to_dicts() != [{term: 1.0}]:
        wrong.append(term)

def others(seed):
    rng = random.Random(seed)
    while not over.is_set():
        ask(rng)

def interrupt():
    while not over.is_set():
        time.sleep(moments.random() * 0.01)
        os.kill(os.getpid(), signal.SIGINT)

n, rng = 0, random.Random(99)
threads = [threading.Thread(target=others, args=(seed,)) for seed in range(4)]
for thread in threads:
    thread.start()
threading.Thread(target=interrupt, daemon=True).start()
while n < 200:
    try:
        while True:
            ask(rng)
    except KeyboardInterrupt:
        n += 1
while True:
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        over.set()
        break
    except KeyboardInterrupt:
        pass
for thread in threads:
    thread.join(20)
ask(rng)
print(json.dumps([wrong, [thread.is_alive() for thread in threads], len(turns._waiting)]))
"""


@pytest.mark.new_process
@pytest.mark.skipif(not hasattr(signal, "SIGINT") or not hasattr(signal, "pthread_kill"), reason="sends itself Ctrl-C")
def test_interrupts_of_one_that_asks_are_not_those_of_others():
    assert script(INTERRUPTED) == [[], [False] * 4, 0]


def test_many_callers_get_what_each_would_get_alone(encoder, sentences):
    questions = [f"{sentence} {n}" for n, sentence in enumerate(sentences * 4)]
    alone = [encoder._encode([question], "query").to_scipy().toarray() for question in questions]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda question: encoder._encode([question], "query").to_scipy().toarray(), questions))
    for one, other in zip(alone, together, strict=True):
        assert np.abs(one - other).max() <= 1e-5
