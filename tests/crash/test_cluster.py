"""A cluster that breaks: nothing acknowledged is lost, no answer is wrong, and nothing hangs."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress

import numpy as np
import pytest
from engines.servers import running_cluster, running_node
from vectors import documents, random_vectors

from pixie_retrievers import (
    Document,
    EngineError,
    EngineUnavailableError,
    IndexNotFoundError,
    PartialWriteError,
    PixieError,
    SparseVectors,
    SqliteIndex,
)
from pixie_retrievers.index.opening import begin_index

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("opensearch")]

VOCABULARY_SIZE = 200


def location(nodes, name, **options):
    hosts = ",".join(node.address for node in nodes)
    query = "&".join(f"{key}={value}" for key, value in options.items())
    return f"opensearch+http://{hosts}/{name}?{query}"


def manager_of(nodes):
    """The node that manages the cluster now."""
    for node in nodes:
        with suppress(OSError):
            name = node.ask("/_cat/cluster_manager?format=json")[0]["node"]
            return next(one for one in nodes if one.settings["node.name"] == name)
    raise AssertionError("no node answers")


def searched_until(index, reference, queries, stop, answers, k=10):
    """Search again and again; note what was wrong, and what was refused."""
    number = 0
    while not stop.is_set():
        query = queries[number % len(queries)]
        number += 1
        began = time.monotonic()
        try:
            (hits,) = index.search(query, k)
        except PixieError as error:
            answers.append(("refused", str(error)))
        else:
            right = reference(number - 1)
            found = [(hit.document.id, hit.score) for hit in hits]
            answers.append(("right" if found == right else "wrong", time.monotonic() - began))


def test_a_cluster_that_loses_its_manager_in_a_write_loses_nothing(tmp_path):
    n = 20_000
    vectors, queries = random_vectors(n, seed=1), random_vectors(20, seed=2)
    stable = SparseVectors.from_dicts([{VOCABULARY_SIZE - 1: 1.0 + i} for i in range(20)], VOCABULARY_SIZE)
    asked = SparseVectors.from_dicts([{VOCABULARY_SIZE - 1: 1.0}], VOCABULARY_SIZE)
    kept = np.flatnonzero(vectors.term_ids == VOCABULARY_SIZE - 1)
    assert len(kept) < n  # a term of its own for what is searched meanwhile
    with running_cluster("opensearch") as nodes:
        options = {"shards": 3, "replicas": 1, "timeout_s": 120, "request_timeout_s": 5}
        begin = {"vocabulary_size": VOCABULARY_SIZE, "fingerprint": "m"}
        still = begin_index(location(nodes, "still", **options), **begin)
        still.upsert([Document(f"s{i}", f"문서 {i}") for i in range(20)], stable)
        index = begin_index(location(nodes, "moving", **options), **begin)
        nodes[0].wait(3, "green")

        stop, answers = threading.Event(), []
        right = [(f"s{19 - i}", float(20 - i)) for i in range(10)]
        searching = threading.Thread(target=searched_until, args=(still, lambda _: right, [asked], stop, answers))
        searching.start()
        failed: list[PartialWriteError] = []

        def write():
            for start in range(0, n, 2000):
                try:
                    index.upsert(documents(2000, start=start), vectors[start : start + 2000])
                except PartialWriteError as error:
                    failed.append(error)

        writing = threading.Thread(target=write)
        writing.start()
        while len(index) < 6000:
            time.sleep(0.1)
        manager = manager_of(nodes)
        manager.process.send_signal(signal.SIGKILL)
        manager.process.wait()
        writing.join()
        stop.set()
        searching.join()

        lost = {id for error in failed for id in error.reasons}
        assert len(index) == n - len(lost)
        assert {kind for kind, _ in answers} <= {"right", "refused"}
        assert sum(kind == "right" for kind, _ in answers) > 0
        with SqliteIndex(tmp_path / "same.db", vocabulary_size=VOCABULARY_SIZE, fingerprint="m") as same:
            for start in range(0, n, 2000):
                part = [d for d in documents(2000, start=start) if d.id not in lost]
                rows = [start + i for i, d in enumerate(documents(2000, start=start)) if d.id not in lost]
                same.upsert(part, SparseVectors.concatenate([vectors[row] for row in rows], VOCABULARY_SIZE))
            assert index.search(queries, 10) == same.search(queries, 10)

        # The node comes back, and every copy is whole again.
        manager.start_again()
        next(node for node in nodes if node is not manager).wait(3, "green", timeout_s=180)
        assert len(index) == n - len(lost)

        # One that is stopped, and not dead, does not answer: another node does.
        stopped = manager_of(nodes)
        other = next(node for node in nodes if node is not stopped)
        stopped.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        assert [(hit.document.id, hit.score) for hit in still.search(asked, 10)[0]] == right
        assert time.monotonic() - began < 120
        stopped.process.send_signal(signal.SIGCONT)
        other.wait(3, "green", timeout_s=180)
        index.close()
        still.close()


def test_what_a_busy_server_refuses_is_sent_again():
    with running_node("opensearch", indexing_pressure__memory__limit="500kb") as node:
        index = begin_index(node.url("busy", shards=1, replicas=0), vocabulary_size=VOCABULARY_SIZE, fingerprint="m")
        large = [Document(f"d{i}", "가" * 5000) for i in range(2000)]
        writers = [
            threading.Thread(target=index.upsert, args=(large[start::4], random_vectors(500, seed=start)))
            for start in range(4)
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert len(index) == 2000
        pressure = node.ask("/_nodes/stats/indexing_pressure")["nodes"]
        refused = sum(
            one["indexing_pressure"]["memory"]["total"]["coordinating_rejections"]
            + one["indexing_pressure"]["memory"]["total"]["primary_rejections"]
            for one in pressure.values()
        )
        assert refused > 0
        index.close()


def test_an_index_that_is_blocked_or_deleted_under_a_writer(opensearch_node):
    index = begin_index(
        opensearch_node.url("blocked", shards=1, replicas=0, timeout_s=3),
        vocabulary_size=VOCABULARY_SIZE,
        fingerprint="m",
    )
    index.upsert(documents(10), random_vectors(10))
    opensearch_node.ask("/blocked/_settings", "PUT", {"index.blocks.write": True})
    with pytest.raises(PartialWriteError, match="block") as caught:
        index.upsert(documents(5, start=100), random_vectors(5))
    assert set(caught.value.reasons) == {f"d{i}" for i in range(100, 105)}
    with pytest.raises(EngineError, match="block"):
        index.delete(["d1"])
    opensearch_node.ask("/blocked/_settings", "PUT", {"index.blocks.write": False})
    index.upsert(documents(5, start=100), random_vectors(5))
    assert len(index) == 15

    opensearch_node.ask("/blocked-000001", "DELETE")
    with pytest.raises(PartialWriteError) as caught:
        index.upsert(documents(5), random_vectors(5))
    assert set(caught.value.reasons) == {f"d{i}" for i in range(5)}
    with pytest.raises(IndexNotFoundError, match="blocked"):
        index.search(random_vectors(1), 3)
    assert "blocked" not in opensearch_node.ask("/_cat/indices?format=json&h=index").__repr__()
    index.close()


def test_a_server_that_is_not_there_is_said_in_time():
    began = time.monotonic()
    with pytest.raises(EngineUnavailableError, match=r"127\.0\.0\.1:9/x did not answer within 2 s"):
        begin_index("opensearch+http://127.0.0.1:9/x?timeout_s=2", vocabulary_size=5, fingerprint="m")
    assert time.monotonic() - began < 30
