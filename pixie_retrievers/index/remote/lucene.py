"""What OpenSearch and Elasticsearch share: one mapping, one query language, bulk requests, Lucene's rounding."""

from __future__ import annotations

import base64
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from pixie_retrievers.errors import EngineError, IncompatibleIndexError, IndexNotFoundError
from pixie_retrievers.index.remote.clauses import AllOf, AnyOf, Between, Clause, Keys, Not, Tokens
from pixie_retrievers.index.remote.digests import sortable
from pixie_retrievers.index.remote.engine import (
    Candidate,
    Engine,
    EngineFigures,
    Page,
    Removed,
    Request,
    TransientFailureError,
    Written,
)
from pixie_retrievers.index.remote.location import Location
from pixie_retrievers.index.remote.records import Record, Stored

__all__ = ["CONNECTIONS", "LuceneEngine", "refusal"]

_BUSY = frozenset((429, 502, 503, 504))
_ROUNDING = (1 + 2.0**-8) * (1 + 1e-6)
"""FeatureField keeps 8 bits of a weight's mantissa and drops the rest: no weight, and no sum, is larger by more; and
sums are of float32."""
_PAGE = 1000
_TASK_POLL_S = 0.2
CONNECTIONS = 64
"""So many connections to a node are kept for the next call: one that many threads share opens none anew."""
_WHOLE = ["id", "text", "metadata", "w", "seq"]
_SMALL = ["id", "metadata", "seq"]
_TOKENS_AT_ONCE = 50_000  # a terms query takes 65,536


class LuceneEngine(ABC):
    """An index of one of the two, through its official client.

    Args:
        location: Where it is; its name is that of an index, or of an alias of one.
        client: The caller's own, who closes it; None makes one.
    """

    max_terms = 700  # of the 1,024 clauses that a query may have: the rest are for the filter
    spare = 4  # of the weights' rounding: 12 candidates at most proved the best ten of 200 queries
    max_candidates = 10_000
    max_clauses = 250
    max_depth = 12
    may_negate = True
    batch_bytes = 4 << 20

    vector_type: str
    """The mapping's type of the searched weights."""

    found_source: Any = _WHOLE
    """What a search is to give of a document: some fields, or True for all, where a server is quicker so."""

    def __init__(self, location: Location, client: Any = None) -> None:
        self.location = str(location)
        self._where = location
        self._name = location.name
        self._path = "/" + quote(location.name, safe="")
        self._shards, self._replicas = location.number("shards"), location.number("replicas")
        self._is_alias = True
        self._owns_client = client is None
        self._client = self.connect(location) if client is None else client

    @staticmethod
    @abstractmethod
    def connect(location: Location) -> Any:
        """Make a client.

        Raises:
            OptionalDependencyError: Its package is not installed.
        """

    @abstractmethod
    def send(self, method: str, path: str, body: bytes | None = None, *, lines: bool = False, **params: Any) -> Any:
        """Make one request; return the answer's JSON.

        Raises:
            TransientFailureError: It may go well the next time.
            PixieError: It will not (:func:`refusal`).
        """

    @abstractmethod
    def term_query(self, term: int, weight: float) -> dict[str, Any]:
        """Finds the documents that have a term, scored by both weights' product."""

    def manifest(self) -> Mapping[str, Any] | None:
        # Asked this way, an index that is not there is no error, which the clients would log as one.
        answer = self.send("GET", self._path + "/_mapping", ignore_unavailable="true")
        if not answer:
            return None
        if len(answer) != 1:
            raise IncompatibleIndexError(f"{self.location} stands for {len(answer)} indexes: name one of them")
        ((name, found),) = answer.items()
        self._is_alias = name != self._name
        meta: Mapping[str, Any] = found["mappings"].get("_meta") or {}
        return meta

    def create(self, manifest: Mapping[str, Any]) -> None:
        shape = {"number_of_shards": self._shards, "number_of_replicas": self._replicas}
        searched = {"type": "keyword", "doc_values": False}
        unsearched = {"type": "keyword", "index": False, "doc_values": False}
        body = {
            "settings": {"index": {name: value for name, value in shape.items() if value is not None}},
            # Under an alias a batch never begins an index: of one that was deleted meanwhile, it says so.
            "aliases": {self._name: {}},
            "mappings": {
                "_meta": dict(manifest),
                "dynamic": False,
                "properties": {
                    "v": {"type": self.vector_type},
                    "f": searched,
                    "o": searched,
                    "id": unsearched,
                    "text": unsearched,
                    "metadata": unsearched,
                    "key": {"type": "keyword", "index": False},
                    "seq": {"type": "long"},
                    "n_terms": {"type": "integer", "index": False},
                    "w": {"type": "binary"},
                },
            },
        }
        try:
            self.send("PUT", self._path + "-000001", _json(body))
        except EngineError as error:
            if "resource_already_exists" not in str(error):
                raise

    def store(self, records: Sequence[Record]) -> Written:
        lines = []
        for record in records:
            lines += [b'{"index":{"_id":"%s"}}' % record.key.encode(), _source(record)]
        answer = self._bulk(lines)
        refused: dict[str, str] = {}
        again: dict[str, str] = {}
        for record, item in zip(records, answer["items"], strict=True):
            (result,) = item.values()
            if "error" in result:
                why = f"{result['error'].get('type')}: {result['error'].get('reason')}"
                (again if result["status"] in _BUSY else refused)[record.key] = why
        return Written(refused, again)

    def remove(self, keys: Sequence[str]) -> Removed:
        answer = self._bulk([b'{"delete":{"_id":"%s"}}' % key.encode() for key in keys])
        n, again = 0, []
        for key, item in zip(keys, answer["items"], strict=True):
            (result,) = item.values()
            if "error" not in result:
                n += result["result"] == "deleted"
            elif result["status"] in _BUSY:
                again.append(key)
            else:
                raise refusal(self.location, result["status"], result["error"])
        return Removed(n, again)

    def _bulk(self, lines: Iterable[bytes]) -> Any:
        options = {"require_alias": "true"} if self._is_alias else {}
        return self.send("POST", self._path + "/_bulk", b"\n".join(lines) + b"\n", lines=True, **options)

    def publish(self) -> None:
        self._whole(self.send("POST", self._path + "/_refresh"))

    def fetch(self, keys: Sequence[str]) -> list[Stored | None]:
        body = _json({"ids": list(keys)})
        found = self.send("POST", self._path + "/_mget", body, _source_includes=",".join(_WHOLE))["docs"]
        for item in found:
            if "error" in item:
                raise TransientFailureError(f"{item['error'].get('type')}: {item['error'].get('reason')}")
        return [_stored(item["_source"]) if item.get("found") else None for item in found]

    def search(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        if len(requests) == 1:
            answers = [self._search(self._query(requests[0]))]
        else:
            head = b'{"allow_partial_search_results":false}'
            lines = [line for request in requests for line in (head, _json(self._query(request)))]
            answers = self.send("POST", self._path + "/_msearch", b"\n".join(lines) + b"\n", lines=True)["responses"]
            for answer in answers:
                if "error" in answer:
                    raise refusal(self.location, answer["status"], answer["error"])
                self._whole(answer)
        return [
            [Candidate(_stored(hit["_source"]), hit["_score"]) for hit in answer["hits"]["hits"]] for answer in answers
        ]

    def at_most(self, score: float) -> float:
        return score * _ROUNDING

    def page(self, clause: Clause, rest: Any, *, whole: bool) -> Page:
        body = {
            "size": _PAGE,
            "track_total_hits": False,
            "_source": _WHOLE if whole else _SMALL,
            "query": _clause(clause),
            "sort": ["seq", "key"],
        }
        if rest is not None:
            body["search_after"] = rest
        hits = self._search(body)["hits"]["hits"]
        rows = [_stored(hit["_source"]) for hit in hits]
        return Page(rows, hits[-1]["sort"] if len(hits) == _PAGE else None)

    def count(self, clause: Clause) -> int:
        answer = self.send("POST", self._path + "/_count", _json({"query": _clause(clause)}))
        self._whole(answer)
        return int(answer["count"])

    def figures(self) -> EngineFigures:
        stats = self.send("GET", self._path + "/_stats/docs,store,segments")["_all"]["primaries"]
        total = self._search({"size": 0, "aggs": {"n": {"sum": {"field": "n_terms"}}}})
        return EngineFigures(
            n_deleted=stats["docs"]["deleted"],
            n_segments=stats["segments"]["count"],
            n_postings=int(total["aggregations"]["n"]["value"]),
            n_bytes=stats["store"]["size_in_bytes"],
        )

    def compact(self) -> None:
        begun = self.send("POST", self._path + "/_forcemerge", max_num_segments="1", wait_for_completion="false")
        task = "/_tasks/" + quote(begun["task"], safe=":")
        with suppress(IndexNotFoundError):  # of a task that ended, some servers know nothing more
            while not self.send("GET", task)["completed"]:  # it takes as long as the index is large
                time.sleep(_TASK_POLL_S)
        self.publish()  # searches, and figures, see the old segments until then

    def drop(self) -> None:
        for name in self.send("GET", self._path + "/_alias"):
            self.send("DELETE", "/" + quote(name, safe=""))

    def beside(self, suffix: str) -> Engine:
        return type(self)(self._where.beside(suffix), self._client)

    def close(self) -> None:
        if self._owns_client:
            self._client.close()

    def _search(self, body: Mapping[str, Any]) -> Any:
        answer = self.send("POST", self._path + "/_search", _json(body), allow_partial_search_results="false")
        self._whole(answer)
        return answer

    def _query(self, request: Request) -> dict[str, Any]:
        query: dict[str, Any] = {
            "should": [self.term_query(term, weight) for term, weight in request.weights.items()],
            "minimum_should_match": 1,
        }
        if request.clause != AllOf(()):
            query["filter"] = _clause(request.clause)
        return {"size": request.n, "track_total_hits": False, "_source": self.found_source, "query": {"bool": query}}

    def _whole(self, answer: Mapping[str, Any]) -> None:
        """Refuse an answer that a shard had no part in."""
        shards = answer.get("_shards", {})
        if answer.get("timed_out") or shards.get("failed"):
            raise TransientFailureError(f"{shards.get('failed', 0)} of {shards.get('total')} shards did not answer")


def refusal(location: str, status: int | None, error: Any) -> Exception:
    """What an HTTP status and the error beside it mean.

    Args:
        location: Where the index is.
        status: The status.
        error: The answer's ``error``, a text or an object.
    """
    kind = str(error.get("type", "")) if isinstance(error, Mapping) else str(error)
    reason = str(error.get("reason", "")) if isinstance(error, Mapping) else ""
    told = ": ".join(part for part in (kind, reason) if part)[:500]
    if status in _BUSY:
        return TransientFailureError(told or f"HTTP status {status}")
    if status == 404:
        return IndexNotFoundError(f"there is no index at {location} ({told}): check the name; it may have been deleted")
    if status == 401 or (status == 403 and "block_exception" not in kind):
        return EngineError(
            f"{location} refuses these credentials ({told}): check the user, the password or the key, and what they may"
            " do"
        )
    if "block_exception" in kind:
        return EngineError(f"{location} is blocked ({told}): free what it asks for or lift the block, then try again")
    return EngineError(f"{location} refuses the request with status {status} ({told})")


def _source(record: Record) -> bytes:
    stored = record.stored
    weights = zip(record.term_ids.tolist(), record.weights.tolist(), strict=True)
    features = ",".join([f'"{term}":{weight:.7g}' for term, weight in weights])
    rest = {
        "f": record.tokens,
        "o": [order.field + sortable(order.value) for order in record.orders],
        "id": stored.id,
        "text": stored.text,
        "metadata": stored.metadata,
        "key": record.key,
        "seq": stored.seq,
        "n_terms": len(record.term_ids),
        "w": base64.b64encode(stored.vector).decode(),
    }
    return b'{"v":{%s},%s' % (features.encode(), _json(rest)[1:])


def _stored(source: Mapping[str, Any]) -> Stored:
    return Stored(
        source["id"],
        source.get("text", ""),
        source["metadata"],
        base64.b64decode(source.get("w", "")),
        source["seq"],
    )


def _clause(clause: Clause) -> dict[str, Any]:
    if isinstance(clause, Tokens):
        parts = [clause.tokens[i : i + _TOKENS_AT_ONCE] for i in range(0, len(clause.tokens), _TOKENS_AT_ONCE)]
        return _any([{"terms": {"f": part}} for part in parts])
    if isinstance(clause, Keys):
        parts = [clause.keys[i : i + _TOKENS_AT_ONCE] for i in range(0, len(clause.keys), _TOKENS_AT_ONCE)]
        return _any([{"ids": {"values": part}} for part in parts])
    if isinstance(clause, Between):
        kind = clause.field + ("s" if clause.is_string else "n")
        if clause.low is not None:
            bounds = {"gte" if clause.inclusive else "gt": clause.field + sortable(clause.low), "lt": kind + "~"}
        else:
            assert clause.high is not None
            bounds = {"gte": kind, "lte" if clause.inclusive else "lt": clause.field + sortable(clause.high)}
        return {"range": {"o": bounds}}
    if isinstance(clause, Not):
        return {"bool": {"must_not": _clause(clause.part)}}
    if isinstance(clause, AnyOf):
        return _any([_clause(part) for part in clause.parts])
    assert isinstance(clause, AllOf)
    return {"bool": {"filter": [_clause(part) for part in clause.parts]}} if clause.parts else {"match_all": {}}


def _any(parts: list[dict[str, Any]]) -> dict[str, Any]:
    if len(parts) == 1:
        return parts[0]
    return {"bool": {"should": parts, "minimum_should_match": 1}} if parts else {"match_none": {}}


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
