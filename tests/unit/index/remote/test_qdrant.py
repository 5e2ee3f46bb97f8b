"""What Qdrant is asked, and what its answers mean."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from property.test_columns import numbers, strings
from vectors import documents, random_vectors

from pixie_retrievers import open_index
from pixie_retrievers.errors import (
    EngineError,
    EngineUnavailableError,
    IncompatibleIndexError,
    IndexNotFoundError,
    InvalidParameterError,
)
from pixie_retrievers.index.opening import begin_index
from pixie_retrievers.index.remote.digests import order_of, sortable
from pixie_retrievers.index.remote.qdrant import _limbs

NEW = {"vocabulary_size": 200, "fingerprint": "model-1"}
NUMBERS = count()


@given(st.one_of(*(st.tuples(kind, kind) for kind in (numbers, strings, st.text(max_size=30)))))
def test_limbs_come_in_the_order_of_what_they_stand_for(pair):
    first, second = (sortable(order_of(value)) for value in pair)
    assert (_limbs(first) < _limbs(second)) == (first < second)
    assert (_limbs(first) == _limbs(second)) == (first == second)
    assert all(0 <= limb < 2**53 and float(limb) == limb for limb in _limbs(first))


@pytest.mark.parametrize(
    ("url", "told"),
    [("qdrant+http://a,b/x", "balancer"), ("qdrant+http://a/x?consistency=Strong", "majority, quorum, all")],
)
def test_a_location_that_qdrant_cannot_have_is_refused(url, told):
    with pytest.raises(InvalidParameterError, match=told):
        open_index(url)


def test_a_server_that_is_not_there_is_said_so():
    with pytest.raises(EngineUnavailableError, match="timeout_s"):
        open_index("qdrant+http://127.0.0.1:1/x?timeout_s=1&request_timeout_s=1")


@contextmanager
def server_that_answers(status, body):
    """A server that gives one answer to all."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"qdrant+http://127.0.0.1:{server.server_port}/x?timeout_s=1"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        (401, EngineError, "refuses these credentials .*no key"),
        (403, EngineError, "refuses these credentials"),
        (400, EngineError, "refuses the request with status 400 .*no key"),
        (503, EngineUnavailableError, "did not answer within 1 s .*no key"),
        (429, EngineUnavailableError, "no key"),
        (404, IndexNotFoundError, "may have been deleted"),
    ],
)
def test_a_status_means_what_it_says(status, error, told):
    with server_that_answers(status, {"status": {"error": "no key"}}) as url, pytest.raises(error, match=told):
        open_index(url)


@pytest.mark.server
@pytest.mark.xdist_group("qdrant")
class TestInAFolder:
    @pytest.fixture
    def location(self, qdrant_node):
        return qdrant_node.url(f"own_{next(NUMBERS)}")

    def test_handles_see_each_others_writes(self, location):
        with begin_index(location, **NEW) as one, open_index(location) as other:
            one.upsert(documents(3), random_vectors(3))
            assert other.ids() == ["d0", "d1", "d2"]
            other.delete(["d1"])
            assert one.ids() == ["d0", "d2"]
            with pytest.raises(IncompatibleIndexError, match="another model"):
                begin_index(location, vocabulary_size=200, fingerprint="model-2")
            one.drop()
            with pytest.raises(IndexNotFoundError, match="may have been deleted"):
                other.search(random_vectors(1), 3)
        with pytest.raises(IndexNotFoundError, match="begin one"):
            open_index(location)

    def test_what_is_stored_is_there_after_all_handles_are_closed(self, location):
        with begin_index(location, **NEW) as index:
            index.upsert(documents(30), random_vectors(30))
            found = index.search(random_vectors(3), 5, filter={"n": {"$gte": 7}})
        with open_index(location) as index:
            assert index.search(random_vectors(3), 5, filter={"n": {"$gte": 7}}) == found
            assert index.check().sound

    # Refused its folder, the client leaves the lock's file open.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_a_collection_of_somebody_elses_is_left_alone(self, tmp_path):
        from qdrant_client import QdrantClient, models

        client = QdrantClient(path=str(tmp_path / "q"))
        client.create_collection("x", vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT))
        location = f"qdrant+file://{tmp_path.as_posix()}/q#x"
        with pytest.raises(EngineError, match="one process at a time"):
            open_index(location)
        client.close()
        for attempt in (lambda: open_index(location), lambda: begin_index(location, **NEW)):
            with pytest.raises(IncompatibleIndexError, match="not made by pixie-retrievers"):
                attempt()
