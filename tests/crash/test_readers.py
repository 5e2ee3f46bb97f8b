"""Readers beside a writer: in other processes, in threads, and after a fork."""

from __future__ import annotations

import multiprocessing
import time

import pytest
from figures import FORKS, READER_SECONDS, THREAD_QUERIES, Figure, holds
from histories import IDS, Step, apply, opened, queries, shown
from processes import script
from workers import HANG_S, answer, children, read, write_revisions

N_READERS = 8


@holds(READER_SECONDS)
def test_readers_beside_a_writer_see_whole_commits_and_never_older_ones(tmp_path):
    path = tmp_path / "index.db"
    with opened(path) as index:
        apply(index, Step("upsert", tuple(IDS[:40]), 0))
        shown(index, queries())  # the kernels are compiled once, here, not in all processes at once
    context = children()
    stop = context.Event()
    pipes = [context.Pipe(duplex=False) for _ in range(N_READERS + 1)]
    targets = [write_revisions] + [read] * N_READERS
    processes = [
        context.Process(target=target, args=(str(path), stop, READER_SECONDS.n, theirs))
        for target, (_, theirs) in zip(targets, pipes, strict=True)
    ]
    try:
        for process in processes:
            process.start()
        time.sleep(READER_SECONDS.n)
        stop.set()
        answers = []
        for ours, theirs in pipes:
            theirs.close()
            assert ours.poll(HANG_S)
            answers.append(ours.recv())
    finally:
        for process in processes:
            process.kill()
            process.join(HANG_S)
            process.close()
        for ours, _ in pipes:
            ours.close()
    n_commits, *readers = answers
    assert n_commits >= READER_SECONDS.n
    assert [problems for _, _, problems in readers] == [[]] * N_READERS
    assert all(n_searches >= READER_SECONDS.n and newest > 1 for n_searches, newest, _ in readers)
    with opened(path) as index:
        assert index.check().sound


THREADS = """
import json, sys, threading
from concurrent.futures import ThreadPoolExecutor
import histories
path, n = sys.argv[1], int(sys.argv[2])
model = histories.build(path, n_steps=60)
batch = histories.queries(5, 40)
filters = [None, {"even": True}, {"revision": {"$gte": 20}}, lambda metadata: metadata["even"]]

def answer(index, number):
    hits, = index.search(batch[number % 40], 7, filter=filters[number % 4])
    return [(hit.document.id, hit.score, hit.matches.term_ids.tolist()) for hit in hits]

with histories.opened(path) as index:
    serial = [answer(index, number) for number in range(n)]
    assert any(serial)

with histories.opened(path) as index:  # nothing is in memory yet: threads load blocks side by side
    start = threading.Barrier(32)
    def thread(_):
        start.wait()
        return sum(answer(index, number) != serial[number] for number in range(n))
    with ThreadPoolExecutor(32) as pool:
        wrong = sum(pool.map(thread, range(32)))

    # and while a writer replaces every document, over and over, in the same handle
    stop = threading.Event()
    torn = []
    ids = histories.IDS[:40]
    histories.apply(index, histories.Step("delete", tuple(histories.IDS)))
    histories.apply(index, histories.Step("upsert", tuple(ids), 0))
    n_terms = histories.VOCABULARY_SIZE
    full = histories.SparseVectors.from_dicts([dict.fromkeys(range(n_terms), 1.0)], n_terms)
    def look():
        newest = 0
        while not stop.is_set():
            for filter in ({"revision": {"$gte": 0}}, None, {"even": False}, {"even": True}):
                hits, = index.search(full, 100, filter=filter)
                seen = {hit.document.metadata["revision"] for hit in hits}
                if len(seen) > 1 or (seen and min(seen) < newest):
                    torn.append(sorted(seen))
                if seen:
                    revision = min(seen)
                    expected = sum(bool(histories.vector(id, revision)) for id in ids)
                    if len(hits) != expected:
                        torn.append((len(hits), expected))
                    newest = revision
    readers = [threading.Thread(target=look) for _ in range(6)]
    for reader in readers: reader.start()
    for revision in range(1, 1 + n // 4):
        histories.apply(index, histories.Step("upsert", tuple(ids), revision))
    stop.set()
    for reader in readers: reader.join()
    sound = index.check().sound
print(json.dumps({"wrong": wrong, "torn": torn[:5], "sound": sound}))
"""


@holds(THREAD_QUERIES)
def test_threads_get_what_one_thread_gets(tmp_path):
    found = script(THREADS, str(tmp_path / "index.db"), str(THREAD_QUERIES.n), NUMBA_THREADING_LAYER="workqueue")
    assert found == {"wrong": 0, "torn": [], "sound": True}


FORKING = """
import json, os, signal, sys, threading, time
import histories
from pixie_retrievers import IndexClosedError
path, n = sys.argv[1], int(sys.argv[2])
batch = histories.queries()
n_answers = n_refusals = 0
statuses = []

with histories.opened(path) as index:
    histories.apply(index, histories.Step("upsert", tuple(histories.IDS[:40]), 1))
    stop = threading.Event()
    def busy():
        revision = 1
        while not stop.is_set():
            index.search(batch, 5)
            if threading.current_thread().name == "writer":
                revision += 1
                histories.apply(index, histories.Step("upsert", tuple(histories.IDS[:40]), revision))
            time.sleep(0.001)
    threads = [threading.Thread(target=busy, name=name) for name in ("writer", "reader")]
    for thread in threads: thread.start()
    for number in range(n):
        time.sleep(0.005)
        child = os.fork()
        if child == 0:
            signal.alarm(120)  # a hang ends as a signal, which the parent counts
            status = 1
            try:
                found = histories.shown(index, batch)
                seen = {document.metadata["revision"] for document in found["documents"] if document}
                whole = len(seen) == 1 and found["n_documents"] == 40
                try:
                    histories.apply(index, histories.Step("delete", tuple(histories.IDS)))
                except IndexClosedError:
                    if number % 2:
                        index.close()
                    del index
                    status = 0 if whole else 2
                with histories.opened(path, lock_timeout_s=100) as own:  # in turn with the parent
                    histories.apply(own, histories.Step("upsert", tuple(histories.IDS[:40]), 10**5 + number))
                    status = status if len(own) == 40 else 4
            finally:
                if number % 5:
                    os._exit(status)
                sys.exit(status)  # the interpreter's whole goodbye, destructors included
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    stop.set()
    for thread in threads: thread.join()
    with histories.opened(path) as other:
        histories.apply(other, histories.Step("upsert", tuple(histories.IDS[:2]), 10**6))
    sound = index.check().sound
    kept = len(index)
print(json.dumps({"statuses": sorted(set(statuses)), "sound": sound, "kept": kept}))
"""


@holds(FORKS)
def test_a_handle_that_came_through_a_fork_reads_and_a_child_s_own_handle_writes_in_turn(tmp_path):
    found = script(FORKING, str(tmp_path / "index.db"), str(FORKS.n))
    assert found == {"statuses": [0], "sound": True, "kept": 40}


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_started_child_reads_beside_its_parent_who_writes(tmp_path, method):
    children()  # sets the path that a spawned child imports from
    context = multiprocessing.get_context(method)
    with opened(tmp_path / "index.db") as index:
        apply(index, Step("upsert", tuple(IDS[:9]), 1))
        expected = shown(index, queries())
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=answer, args=(str(tmp_path / "index.db"), theirs))
        child.start()
        theirs.close()
        assert ours.poll(HANG_S)
        assert ours.recv() == expected
        child.join(HANG_S)
        assert child.exitcode == 0
        child.close()
        ours.close()
        apply(index, Step("upsert", tuple(IDS[:9]), 2))


AWAITING = """
import asyncio, json, sys
import histories
from pixie_retrievers.langchain import PixieRetriever

class Encoder:
    vocabulary_size, fingerprint = histories.VOCABULARY_SIZE, histories.FINGERPRINT
    def encode_queries(self, texts):
        return histories.SparseVectors.concatenate([histories.queries(int(t), 1) for t in texts], self.vocabulary_size)
    encode_documents = encode_queries
    def tokens(self, term_ids): return [f"t{t}" for t in term_ids]
    surfaces = tokens

def seen(documents):
    return [(d.id, d.metadata["score"], d.metadata["token_explanations"]) for d in documents]

async def all_at_once(retriever, n):
    async def one(start):
        return [seen(await retriever.ainvoke(str((start + i) % 50))) for i in range(n)]
    return await asyncio.gather(*(one(start) for start in range(32)))

path, n = sys.argv[1], int(sys.argv[2])
histories.build(path, n_steps=60)
retriever = PixieRetriever.from_index(path, encoder=Encoder(), k=7)
serial = [seen(retriever.invoke(str(i))) for i in range(50)]
answers = asyncio.run(all_at_once(retriever, n))
wrong = sum(a != serial[(start + i) % 50] for start, row in enumerate(answers) for i, a in enumerate(row))
retriever.close()
print(json.dumps({"wrong": wrong, "hits": sum(map(len, serial)) > 50}))
"""


@holds(Figure(7, "queries of each of 32 awaiting tasks", 50, 500))
def test_awaiting_tasks_get_what_one_caller_gets(tmp_path):
    pytest.importorskip("langchain_core")
    n = str(Figure(7, "", 50, 500).n)
    found = script(
        AWAITING, str(tmp_path / "index.db"), n, NUMBA_THREADING_LAYER="workqueue", LANGSMITH_TRACING="false"
    )
    assert found == {"wrong": 0, "hits": True}
