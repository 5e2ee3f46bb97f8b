"""A Milvus that dies while documents are written to it, or stops answering: what is written is there, and right."""

from __future__ import annotations

import threading

import pytest
from engines.files import milvus_server
from vectors import documents, random_vectors

from pixie_retrievers.errors import EngineUnavailableError
from pixie_retrievers.index.opening import begin_index, open_index

pytestmark = [pytest.mark.server, pytest.mark.xdist_group("milvus")]

N, BATCH = 3000, 200


@pytest.fixture
def node():
    with milvus_server() as node:
        yield node


def test_a_server_that_is_killed_and_started_again_loses_nothing_that_was_written(node):
    vectors = random_vectors(N)
    written = threading.Event()
    with begin_index(node.url("corpus"), vocabulary_size=200, fingerprint="model-1") as index:

        def write():
            for start in range(0, N, BATCH):
                index.upsert(documents(BATCH, start=start), vectors[start : start + BATCH])
                if start >= N // 3:
                    written.set()

        writer = threading.Thread(target=write)
        writer.start()
        written.wait()
        node.kill()
        node.start()
        writer.join()
        assert index.ids() == [f"d{i}" for i in range(N)]
        assert index.vectors([f"d{i}" for i in range(N)]) == vectors
        assert index.check().sound


def test_a_server_that_is_gone_is_told_from_one_that_comes_back(node):
    url = f"{node.url('corpus')}?timeout_s=1&request_timeout_s=1"
    with begin_index(url, vocabulary_size=200, fingerprint="model-1") as index:
        index.upsert(documents(50), random_vectors(50))
        found = index.search(random_vectors(3), 5)
        node.kill()
        for attempt in (
            lambda: index.search(random_vectors(3), 5),
            lambda: index.delete(["d1"]),
            index.ids,
            lambda: len(index),
            lambda: open_index(url),
        ):
            with pytest.raises(EngineUnavailableError, match="see whether it runs"):
                attempt()
        node.start()
    with open_index(node.url("corpus")) as index:
        assert index.search(random_vectors(3), 5) == found
