"""Runs in milvus-lite's own environment: JSON lines in, JSON lines out; knows nothing of this package."""

import json
import logging
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pymilvus import DataType, MilvusClient

NAME = "benchmark"
BATCH = 2_000


class Worker:
    """One client on one file."""

    def version(self):
        return f"{version('milvus-lite')} (pymilvus {version('pymilvus')})"

    def build(self, folder, arrays):
        self._connect(folder)
        schema = MilvusClient.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.SPARSE_FLOAT_VECTOR)
        index = self.client.prepare_index_params()
        index.add_index(
            "vector",
            index_type="SPARSE_INVERTED_INDEX",
            metric_type="IP",
            params={"inverted_index_algo": "DAAT_MAXSCORE"},
        )
        self.client.create_collection(NAME, schema=schema, index_params=index)
        indptr, terms, weights = (np.load(Path(arrays) / f"{name}.npy") for name in ("indptr", "term_ids", "weights"))
        n = len(indptr) - 1
        for start in range(0, n, BATCH):
            rows = []
            for i in range(start, min(start + BATCH, n)):
                part = slice(indptr[i], indptr[i + 1])
                vector = dict(zip(terms[part].tolist(), weights[part].tolist(), strict=True))
                rows.append({"id": i, "vector": vector})
            self.client.insert(NAME, rows)
        self.client.flush(NAME)
        self.client.load_collection(NAME)

    def open(self, folder):
        self._connect(folder)
        self.client.load_collection(NAME)

    def _connect(self, folder):
        self.client = MilvusClient(str(Path(folder) / "index.db"))

    def search(self, query, k):
        vector = {int(term): weight for term, weight in query.items()}
        start = time.perf_counter()
        hits = self.client.search(NAME, [vector], limit=k, search_params={"params": {"drop_ratio_search": 0.0}})
        self.seconds = time.perf_counter() - start
        return [[hit["id"] for hit in hits[0]], [hit["distance"] for hit in hits[0]]]

    def add(self, rows, first):
        vectors = [{int(term): weight for term, weight in row.items()} for row in rows]
        self.client.insert(NAME, [{"id": first + i, "vector": vector} for i, vector in enumerate(vectors)])
        self.client.flush(NAME)

    def delete(self, positions):
        self.client.delete(NAME, ids=positions)


def main():
    logging.disable(logging.CRITICAL)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the server may write to standard output: the answers must not mix with it
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            start = time.perf_counter()
            result = getattr(worker, request.pop("command"))(**request)
            seconds = getattr(worker, "seconds", time.perf_counter() - start)
            answer = {"result": result, "seconds": seconds}
        except Exception as error:  # noqa: BLE001  # it goes back to the caller
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
