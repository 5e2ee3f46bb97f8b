"""Engines that pip installs: Milvus Lite, which is Milvus's own core, and the local mode of Qdrant's client."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from engines.servers import START_S, free_port, missing, new_folder

__all__ = ["milvus_client", "milvus_server", "qdrant_folder", "with_milvus_lite"]


@dataclass
class MilvusLite:
    """A running server.

    Attributes:
        file: What it keeps.
        address: Where it listens.
        process: The server's.
    """

    file: Path
    address: str
    process: subprocess.Popen | None = field(repr=False, default=None)

    def start(self):
        """Begin, or go on after it was killed, and wait until it answers."""
        from milvus_lite.server import BIN_PATH

        environment = os.environ | {"LD_LIBRARY_PATH": BIN_PATH, "DYLD_LIBRARY_PATH": BIN_PATH}
        command = [f"{BIN_PATH}/milvus", self.file, self.address, "ERROR"]
        self.process = subprocess.Popen(command, env=environment, cwd=self.file.parent)
        host, _, port = self.address.partition(":")
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            with suppress(OSError), socket.create_connection((host, int(port)), 1):
                return
            time.sleep(0.05)
        pytest.fail("Milvus Lite was not ready in time")

    def kill(self):
        """End it at once, as a crash does."""
        self.process.kill()
        self.process.wait()

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
    stands_in = "pkg_resources" not in sys.modules and find_spec("pkg_resources") is None
    if stands_in:
        told = ModuleType("pkg_resources")
        told.DistributionNotFound = PackageNotFoundError
        told.get_distribution = lambda name: type("Distribution", (), {"version": version(name)})
        sys.modules["pkg_resources"] = told
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # setuptools, where it does answer, warns
        import milvus_lite  # noqa: F401
    if stands_in:
        del sys.modules["pkg_resources"]  # others ask it for more


@contextmanager
def milvus_server():
    with_milvus_lite()
    with new_folder() as folder:
        node = MilvusLite(Path(folder, "test.db"), f"127.0.0.1:{free_port()}")
        node.start()
        try:
            yield node
        finally:
            node.kill()


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
