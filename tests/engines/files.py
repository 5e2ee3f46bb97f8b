"""Engines that need no server: Milvus's core in a file, and Qdrant's local mode in a folder."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from engines.servers import missing, new_folder

__all__ = ["milvus_client", "milvus_file", "qdrant_folder"]


@dataclass
class InFile:
    """What stands for a server.

    Attributes:
        engine: Which.
        path: Where it keeps its collections.
    """

    engine: str
    path: Path

    def url(self, name, **options):
        """The location of an index; there are no shards to say anything of."""
        return f"{self.engine}+file://{self.path.as_posix()}#{name}"


def packages_are_there(*names):
    for name in names:
        if find_spec(name) is None:
            missing(f"{name} is not installed: make engines")


@contextmanager
def milvus_file():
    packages_are_there("pymilvus", "milvus_lite")
    if find_spec("pkg_resources") is None:  # milvus-lite asks setuptools for its own version; newer ones have no answer
        told = ModuleType("pkg_resources")
        told.DistributionNotFound = PackageNotFoundError
        told.get_distribution = lambda name: type("Distribution", (), {"version": version(name)})
        sys.modules["pkg_resources"] = told
    from milvus_lite.server_manager import server_manager_instance

    with new_folder() as folder:
        yield InFile("milvus", Path(folder, "test.db"))
        server_manager_instance.release_all()


@contextmanager
def qdrant_folder():
    packages_are_there("qdrant_client")
    with new_folder() as folder:
        yield InFile("qdrant", Path(folder))


@contextmanager
def milvus_client(node):
    """The official client of a file, past every engine."""
    from pymilvus import MilvusClient

    client = MilvusClient(str(node.path))
    yield client
    client.close()
