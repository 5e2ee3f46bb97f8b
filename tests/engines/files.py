"""Engines that pip installs: Milvus Lite, which is Milvus's own core, and the local mode of Qdrant's client."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from engines.servers import free_port, missing, new_folder

__all__ = ["milvus_client", "milvus_server", "qdrant_folder", "with_milvus_lite"]


@dataclass
class MilvusLite:
    """A running server.

    Attributes:
        address: Where it listens.
    """

    address: str

    def url(self, name, **_):
        """The location of an index; there are no shards to say anything of."""
        return f"milvus+http://{self.address}/{name}"


@dataclass
class QdrantFolder:
    """A folder with a folder an index: one process at a time has one of them open."""

    path: Path

    def url(self, name, **_):
        """The location of an index."""
        return f"qdrant+file://{(self.path / name).as_posix()}#{name}"


def needed(*names):
    for name in names:
        if find_spec(name) is None:
            missing(f"{name} is not installed: make engines")


def with_milvus_lite():
    """Make it importable: it asks setuptools for its own version, and newer ones do not answer."""
    needed("pymilvus", "milvus_lite")
    if find_spec("pkg_resources") is None:
        told = ModuleType("pkg_resources")
        told.DistributionNotFound = PackageNotFoundError
        told.get_distribution = lambda name: type("Distribution", (), {"version": version(name)})
        sys.modules["pkg_resources"] = told


@contextmanager
def milvus_server():
    with_milvus_lite()
    from milvus_lite.server import Server

    with new_folder() as folder:
        address = f"127.0.0.1:{free_port()}"
        server = Server(f"{folder}/test.db", address)
        assert server.init()
        assert server.start()
        try:
            yield MilvusLite(address)
        finally:
            server.stop()


@contextmanager
def qdrant_folder():
    needed("qdrant_client")
    with new_folder() as folder:
        yield QdrantFolder(Path(folder))


@contextmanager
def milvus_client(node):
    """The official client of a server, past every engine."""
    from pymilvus import MilvusClient

    client = MilvusClient(f"http://{node.address}")
    yield client
    client.close()
