"""milvus-lite: a client in an environment of its own, driven over pipes; it measures its own calls."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from corpus import Corpus

from peers.base import Peer
from pixie_retrievers.types import SparseVectors

__all__ = ["Milvus"]


class Milvus(Peer):
    """MilvusClient on a file, in the Python given.

    Args:
        python: The interpreter that has milvus-lite 2.5.1 and pymilvus below 3; None leaves this peer out.
    """

    name = "milvus-lite"
    what = "MilvusClient.search over its local socket, timed in the client's process: ids and scores"
    max_documents = 200_000
    too_large = "inserting through the client takes many minutes"
    changes = True

    def __init__(self, python: Path | None = None) -> None:
        self._python = python
        self._worker: subprocess.Popen[str] | None = None
        self._seconds = 0.0

    def missing(self) -> str | None:
        if self._python is None:
            return (
                'an environment of its own is needed (pip install "milvus-lite==2.5.1" "pymilvus<3" numpy),'
                " and its Python given as --milvus-python"
            )
        return None

    def version(self) -> str:
        self._start()
        try:
            return str(self._call("version")["result"])
        finally:
            self.close()

    def _start(self) -> None:
        script = Path(__file__).with_name("milvus_worker.py")
        self._worker = subprocess.Popen(
            [str(self._python), str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "GRPC_VERBOSITY": "NONE"},
        )

    def _call(self, command: str, **arguments: Any) -> dict[str, Any]:
        worker = self._worker
        assert worker is not None
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
        worker.stdin.flush()
        line = worker.stdout.readline()
        if not line:
            raise RuntimeError("the milvus worker ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"milvus: {answer['error']}")
        return answer

    def build(self, corpus: Corpus, folder: Path) -> None:
        self._start()
        arrays = _store(corpus.documents, folder)
        self._call("build", folder=str(folder), arrays=str(arrays))
        for path in arrays.iterdir():
            path.unlink()
        arrays.rmdir()

    def open(self, folder: Path) -> None:
        self._start()
        self._call("open", folder=str(folder))

    def prepare(self, query: SparseVectors) -> dict[str, float]:
        return {str(term): weight for term, weight in query.to_dicts()[0].items()}

    def search(self, query: dict[str, float], k: int) -> Any:
        answer = self._call("search", query=query, k=k)
        self._seconds = answer["seconds"]
        return answer["result"]

    def timed_search(self, query: Any, k: int) -> tuple[Any, float]:
        result = self.search(query, k)
        return result, self._seconds

    def add(self, corpus: Corpus, first: int, last: int) -> None:
        rows = [{str(t): w for t, w in row.items()} for row in corpus.added[first:last].to_dicts()]
        self._call("add", rows=rows, first=len(corpus) + first)

    def delete(self, positions: list[int]) -> None:
        self._call("delete", positions=positions)

    def close(self) -> None:
        if self._worker is not None:
            worker, self._worker = self._worker, None
            assert worker.stdin is not None
            worker.stdin.close()
            try:
                worker.wait(30)
            except subprocess.TimeoutExpired:
                worker.kill()


def _store(vectors: SparseVectors, folder: Path) -> Path:
    arrays = folder / "arrays"
    arrays.mkdir()
    for name in ("indptr", "term_ids", "weights"):
        np.save(arrays / f"{name}.npy", getattr(vectors, name))
    return arrays
