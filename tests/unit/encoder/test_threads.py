"""A question takes the threads that were quicker lately, for its own thread alone, and never what a user chose."""

from __future__ import annotations

import os

import pytest
from processes import script

from pixie_retrievers.encoder import threads
from pixie_retrievers.encoder.threads import QuestionThreads, question_threads

MS = 0.001


class Machine:
    """Two cores, on which threads take as long as they are told, by a clock that is set."""

    def __init__(self, monkeypatch, *, count=2):
        monkeypatch.setattr(threads, "_defaults", lambda: {2, 1})
        self.now = 0.0
        self.count = count
        self.one, self.all, self.answer = 10 * MS, 6 * MS, 0.1 * MS
        self.chosen = QuestionThreads(self.set, lambda: self.count, self.answered, lambda: self.now)

    def set(self, count):
        self.count = count

    def answered(self):
        self.now += self.answer

    def ask(self, n=1, *, n_tokens=20):
        """How many threads each of some questions took, a tenth of a second apart."""
        taken = []
        for _ in range(n):
            with self.chosen(n_tokens):
                taken.append(self.count)
                self.now += self.one if self.count == 1 else self.all
            self.now += 100 * MS
        return taken

    def neighbour(self):
        self.answer, self.all = 8 * MS, 500 * MS


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


def test_all_threads_are_taken_once_they_are_seen_to_be_quicker(machine):
    assert set(machine.ask(5)) == {1}
    assert set(machine.ask(20)) == {2}
    assert machine.count == 2


def test_one_thread_is_taken_where_all_gain_nothing(machine):
    machine.all = 9.8 * MS
    assert machine.ask(100).count(2) < 5


def test_with_a_neighbour_one_thread_is_taken_and_the_others_are_not_tried(machine):
    machine.neighbour()
    assert set(machine.ask(500)) == {1}


def test_a_neighbour_that_comes_costs_one_question_at_most(machine):
    assert machine.ask(20)[-1] == 2
    machine.neighbour()
    assert set(machine.ask(500)) == {1}
    assert machine.ask(20, n_tokens=900) == [1] * 20


def test_threads_that_answer_and_are_slow_are_tried_less_and_less(machine):
    machine.all = 500 * MS
    taken = machine.ask(3000)  # five minutes
    assert 3 <= taken.count(2) <= 12


def test_all_threads_are_taken_again_when_the_neighbour_is_gone(machine):
    machine.ask(20)
    machine.neighbour()
    machine.ask(100)
    machine.answer, machine.all = 0.1 * MS, 6 * MS
    assert machine.ask(700)[-1] == 2


def test_sizes_are_told_apart(machine):
    machine.ask(20)
    machine.all = 9.8 * MS  # short questions gain nothing, long ones do
    machine.ask(100)
    machine.one, machine.all = 100 * MS, 50 * MS
    assert machine.ask(20, n_tokens=900)[-1] == 2
    machine.one, machine.all = 10 * MS, 9.8 * MS
    assert machine.ask(20)[-1] == 1


def test_a_number_that_somebody_chose_stays(machine):
    machine.neighbour()
    machine.count = 3
    assert set(machine.ask(20)) == {3}


def test_a_pass_that_fails_leaves_the_number_as_it_was(machine):
    with pytest.raises(ValueError, match="broken"), machine.chosen(20):
        raise ValueError("broken")
    assert machine.count == 2


def test_what_the_environment_says_stays(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert not isinstance(question_threads("cpu"), QuestionThreads)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert not isinstance(question_threads("cuda:0"), QuestionThreads)


CODE = """
import json, threading, torch
from pixie_retrievers import PixieEncoder
from pixie_retrievers.encoder.threads import QuestionThreads

inside, outside = [], []
encoder = PixieEncoder.bundled(device="cpu")
passes = encoder._streams["query"].passes
start = passes.start

def watched(readings, *arguments, **options):
    inside.append(torch.get_num_threads())
    other = threading.Thread(target=lambda: outside.append(torch.get_num_threads()))
    other.start()
    other.join()
    return start(readings, *arguments, **options)

passes.start = watched
before = torch.get_num_threads()
encoder.encode_queries(["위성 영상"])
encoder.encode_documents(["위성 영상"])
print(json.dumps([before, *inside, *outside, torch.get_num_threads()]))
"""


@pytest.mark.skipif(len(getattr(os, "sched_getaffinity", lambda _: [0])(0)) < 2, reason="there is one core")
def test_no_other_thread_notices(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if not isinstance(question_threads("cpu"), QuestionThreads):
        pytest.skip("torch computes with another library than OpenMP")
    before, asked, stored, *others, after = script(CODE, OMP_WAIT_POLICY="PASSIVE")
    assert (asked, stored) == (1, before)
    assert {*others, after} == {before}
