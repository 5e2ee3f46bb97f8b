"""An index in each engine, for the tests that hold all of them to the same."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from itertools import count

import pytest

from engines.files import milvus_server, qdrant_folder
from engines.servers import running_node
from pixie_retrievers.errors import IndexNotFoundError
from pixie_retrievers.index.opening import begin_index, open_index

__all__ = [
    "elasticsearch_node",
    "milvus_node",
    "new_index",
    "new_location",
    "opensearch_node",
    "qdrant_node",
    "server_engines",
]

_NUMBERS = count()


def server_engines(*names):
    """One parameter an engine, all where none is named; each has its own server, in one worker of a parallel run."""
    return [
        pytest.param(engine, marks=[pytest.mark.server, pytest.mark.xdist_group(engine)])
        for engine in names or ("opensearch", "elasticsearch", "milvus", "qdrant")
    ]


@pytest.fixture(scope="session")
def opensearch_node():
    """A running OpenSearch node."""
    with running_node("opensearch") as node:
        yield node


@pytest.fixture(scope="session")
def elasticsearch_node():
    """A running Elasticsearch node."""
    with running_node("elasticsearch") as node:
        yield node


@pytest.fixture(scope="session")
def milvus_node():
    """Milvus Lite, which answers as a server."""
    with milvus_server() as node:
        yield node


@pytest.fixture(scope="session")
def qdrant_node():
    """A folder for Qdrant's local mode."""
    with qdrant_folder() as node:
        yield node


def new_location(request, tmp_path=None):
    """Where nothing is yet, in the engine that the test's parameter names; a file in ``tmp_path`` for "sqlite"."""
    if request.param == "sqlite":
        return tmp_path / "corpus.db"
    node = request.getfixturevalue(f"{request.param}_node")
    return node.url(f"test_{next(_NUMBERS)}", shards=1, replicas=0)


@contextmanager
def new_index(request, **options):
    """A new index in the engine that the test's parameter names; it goes at the end."""
    location = new_location(request)
    with begin_index(location, **options) as index:
        yield index
    with suppress(IndexNotFoundError), open_index(location) as index:
        index.drop()
