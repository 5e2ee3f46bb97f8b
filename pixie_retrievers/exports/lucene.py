"""Mapping, bulk files and an example query for OpenSearch and Elasticsearch."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from pixie_retrievers.exports.base import Batches, Parts, Settings, json_line
from pixie_retrievers.types import SparseVectors

__all__ = ["export_elasticsearch", "export_opensearch"]

_MAX_ID_BYTES = 512  # of an _id
_MAX_ID_CHARACTERS = 8000  # in UTF-8, just below what Lucene takes for a term
_QUERY_TERMS = 16


def export_opensearch(batches: Batches, folder: Path, settings: Settings) -> Mapping[str, Any]:
    """Write what an index of OpenSearch is made from: its weights are ``rank_features``."""
    return _export(batches, folder, settings, _OpenSearch())


def export_elasticsearch(batches: Batches, folder: Path, settings: Settings) -> Mapping[str, Any]:
    """Write what an index of Elasticsearch is made from: its weights are a ``sparse_vector``."""
    return _export(batches, folder, settings, _Elasticsearch())


class _Dialect(ABC):
    type: str

    @abstractmethod
    def clause(self, term: int, weight: float) -> Mapping[str, Any]:
        """Scores documents with a term by both weights' product."""


class _OpenSearch(_Dialect):
    type = "rank_features"

    def clause(self, term: int, weight: float) -> Mapping[str, Any]:
        return {"rank_feature": {"field": f"vector.{term}", "boost": weight, "linear": {}}}


class _Elasticsearch(_Dialect):
    type = "sparse_vector"

    def clause(self, term: int, weight: float) -> Mapping[str, Any]:
        # On this type of field a plain term query is Lucene's linear feature query.
        return {"term": {"vector": {"value": str(term), "boost": weight}}}


def _export(batches: Batches, folder: Path, settings: Settings, dialect: _Dialect) -> Mapping[str, Any]:
    example: SparseVectors | None = None
    n_hashed = 0
    with Parts(folder, "bulk", ".ndjson") as parts:
        for documents, vectors in batches:
            terms, weights = vectors.term_ids.tolist(), vectors.weights.tolist()
            for row, (low, high) in enumerate(pairwise(vectors.indptr.tolist())):
                document = documents[row]
                if example is None and high > low:
                    example = vectors[row]
                key = document.id
                if len(key.encode()) > _MAX_ID_BYTES:
                    key = hashlib.sha256(key.encode()).hexdigest()
                    n_hashed += 1
                # Nine digits are any float32.
                features = ",".join(
                    [f'"{term}":{weight:.9g}' for term, weight in zip(terms[low:high], weights[low:high], strict=True)]
                )
                rest = {"id": document.id, "text": document.text, "metadata": document.metadata}
                parts.write(
                    json_line({"index": {"_id": key}}) + b'{"vector":{%s},' % features.encode() + json_line(rest)[1:]
                )
    _write_json(folder / "mapping.json", _mapping(dialect, settings))
    _write_json(folder / "query.json", _query(dialect, example))
    return {"n_hashed_ids": n_hashed}


def _mapping(dialect: _Dialect, settings: Settings) -> Mapping[str, Any]:
    return {
        "mappings": {
            "_meta": {"vocabulary_size": settings.vocabulary_size, "fingerprint": settings.fingerprint},
            "dynamic": False,
            "properties": {
                "vector": {"type": dialect.type},
                "id": {"type": "keyword", "ignore_above": _MAX_ID_CHARACTERS},
                "text": {"type": "text"},
                "metadata": {"type": "object", "enabled": False},  # any keys, any types
            },
        }
    }


def _query(dialect: _Dialect, example: SparseVectors | None) -> Mapping[str, Any]:
    """A query whose score is the dot product, made of the heaviest terms of the first document."""
    weights = {0: 1.0} if example is None else example.to_dicts()[0]
    heaviest = sorted(weights.items(), key=lambda item: -item[1])[:_QUERY_TERMS]
    clauses = [dialect.clause(term, weight) for term, weight in heaviest]
    return {
        "size": 10,
        "_source": ["id", "text", "metadata"],
        "query": {"bool": {"should": clauses, "minimum_should_match": 1}},
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
