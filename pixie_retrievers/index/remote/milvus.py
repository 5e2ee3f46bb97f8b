"""Milvus, through pymilvus: a cluster, or Milvus Lite, which keeps a collection in a file.

A string field holds 65,535 bytes and a JSON field 65,536, so that what is long lies in arrays of
pieces.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from pixie_retrievers.errors import EngineError, IndexNotFoundError, InvalidParameterError, OptionalDependencyError
from pixie_retrievers.index.remote.apart import RefusedError, store_apart
from pixie_retrievers.index.remote.clauses import EVERYTHING, Clause
from pixie_retrievers.index.remote.digests import BEYOND, sortable
from pixie_retrievers.index.remote.engine import (
    Candidate,
    Engine,
    EngineFigures,
    Page,
    Removed,
    Request,
    TransientFailureError,
    Written,
    float32_sum_at_most,
)
from pixie_retrievers.index.remote.listing import next_page
from pixie_retrievers.index.remote.location import Location
from pixie_retrievers.index.remote.milvus_expressions import among, expression
from pixie_retrievers.index.remote.records import Record, Stored

__all__ = ["MilvusEngine"]

_PIECE = 16_383  # characters, of at most four bytes each
_MAX_PIECES = 4096
_MAX_ORDERS = 700  # as many as a JSON field takes
_PASSING = frozenset((1, 2, 3, 4, 8, 101, 503, 700, 901, 65534))
"""Codes of what passes: not ready, not reachable, too many requests, a collection that another process is beginning."""
_NOT_FOUND = 100
_CONSISTENCIES = ("Strong", "Session", "Bounded", "Eventually")
_MAX_JSON_BYTES = 48_000  # servers take 65,536, as they count
_WHOLE = ["document", "pieces", "seq"]
_LISTED_AT_ONCE = 10_000


class MilvusEngine:
    """A collection of Milvus.

    Weights are a sparse vector under an inverted index, of which neither building nor searching drops anything: a score
    is the dot product, summed in float32.

    Args:
        location: ``milvus+http://host:19530/name``, or ``milvus+file:///path/x.db#name``.
        client: A pymilvus.MilvusClient of the caller's; None makes one.
    """

    max_terms = 4096
    spare = 1
    max_candidates = 16_384
    max_clauses = 250
    max_depth = 12
    batch_bytes = 1 << 20  # Lite takes longer for each of more

    def __init__(self, location: Location, client: Any = None) -> None:
        self.location = str(location)
        self._where = location
        self._file = Path(location.hosts[0]) if location.transport == "file" else None
        self._is_lite = True  # till a server says what it is: Milvus Lite can do less
        self._name = location.name
        self._consistency = location.options.get("consistency", "Strong").capitalize()
        if self._consistency not in _CONSISTENCIES:
            raise InvalidParameterError(
                f"in the URL, consistency is {location.options['consistency']!r}; it must be one of"
                f" {', '.join(_CONSISTENCIES)}"
            )
        self._shards, self._replicas = location.number("shards"), location.number("replicas")
        self._timeout_s = location.number("request_timeout_s") or 30
        self._connect = partial(_connect, location, self._timeout_s)
        self._owns_client = client is None
        self._client = client
        self._unused_term: int | None = None

    @property
    def may_negate(self) -> bool:
        """Milvus Lite has no ``not``."""
        return not self._is_lite

    def manifest(self) -> Mapping[str, Any] | None:
        manifest = self._description()
        if not manifest:
            return manifest
        self._unused_term = manifest.get("vocabulary_size")
        if not self._ask("list_indexes"):
            return None  # somebody began it, and did not come to the end
        if "NotLoad" in str(self._ask("get_load_state")["state"]):
            self._ask("load_collection", **self._copies())
        return manifest

    def create(self, manifest: Mapping[str, Any]) -> None:
        from pymilvus import DataType, MilvusClient

        self._unused_term = manifest["vocabulary_size"]
        schema = MilvusClient.create_schema(
            auto_id=False, enable_dynamic_field=False, description=json.dumps(manifest, ensure_ascii=False)
        )
        schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=32)
        schema.add_field("v", DataType.SPARSE_FLOAT_VECTOR)
        for name, length in (("f", 40), ("pieces", 65_535)):
            strings = {"element_type": DataType.VARCHAR, "max_capacity": _MAX_PIECES, "max_length": length}
            schema.add_field(name, DataType.ARRAY, **strings)
        schema.add_field("o", DataType.JSON)
        schema.add_field("document", DataType.JSON)
        schema.add_field("n_terms", DataType.INT64)
        schema.add_field("seq", DataType.INT64)
        shards = {} if self._shards is None else {"num_shards": self._shards}
        try:
            self._ask("create_collection", schema=schema, consistency_level=self._consistency, **shards)
        except EngineError:
            if self._description() is None:
                raise
        if not self._description():
            return  # somebody else's, begun meanwhile
        index = MilvusClient.prepare_index_params()
        index.add_index(
            field_name="v", index_type="SPARSE_INVERTED_INDEX", metric_type="IP", params={"drop_ratio_build": 0.0}
        )
        self._ask("create_index", index_params=index)
        self._ask("load_collection", **self._copies())

    def store(self, records: Sequence[Record]) -> Written:
        def send(some: Sequence[Record]) -> None:
            self._ask("upsert", data=[self._row(record) for record in some])

        return store_apart(records, send)

    def remove(self, keys: Sequence[str]) -> Removed:
        # What `delete` answers counts keys that were never there.
        found = [row["key"] for row in self._query(among(keys), ["key"])]
        if found:
            self._ask("delete", filter=among(found))
        return Removed(len(found), ())

    def publish(self) -> None:
        """Nothing: a search of strong consistency waits for what was stored before it."""

    def fetch(self, keys: Sequence[str]) -> list[Stored | None]:
        return self._fetched(keys, _WHOLE)

    def search(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        found: list[list[Candidate]] = []
        for (n, clause), alike in groupby(requests, lambda request: (request.n, request.clause)):
            queries = [dict(request.weights) for request in alike]
            at_once = max(1, min(4 if self._is_lite else 64, self.max_candidates // n))  # more take Lite longer
            for start in range(0, len(queries), at_once):
                answers = self._ask(
                    "search",
                    data=queries[start : start + at_once],
                    anns_field="v",
                    limit=n,
                    filter=expression(clause),
                    output_fields=_WHOLE,
                    search_params={"metric_type": "IP", "params": {"drop_ratio_search": 0.0}},
                    consistency_level=self._consistency,
                )
                found += [[Candidate(_stored(hit["entity"]), hit["distance"]) for hit in hits] for hits in answers]
        return found

    def at_most(self, score: float) -> float:
        return float32_sum_at_most(score, self.max_terms)

    def page(self, clause: Clause, rest: Any, *, whole: bool) -> Page:  # noqa: ARG002  # a field holds all or nothing
        def read_all() -> Iterable[tuple[int, str]]:
            return ((row["seq"], row["key"]) for row in self._listed(clause, ["seq", "key"]))

        return next_page(rest, read_all, lambda keys: self._fetched(keys, _WHOLE))

    def count(self, clause: Clause) -> int:
        return int(self._query(expression(clause), ["count(*)"])[0]["count(*)"])

    def figures(self) -> EngineFigures:
        return EngineFigures(
            n_deleted=0,
            n_segments=0 if self._is_lite else len(self._ask("list_persistent_segments")),
            n_postings=sum(row["n_terms"] for row in self._listed(EVERYTHING, ["n_terms"])),
            n_bytes=0 if self._file is None else self._file.stat().st_size,
        )

    def compact(self) -> None:
        if not self._is_lite:
            self._ask("compact")

    def drop(self) -> None:
        self._ask("drop_collection")

    def beside(self, suffix: str) -> Engine:
        return MilvusEngine(self._where.beside(suffix), self._client)

    def close(self) -> None:
        if self._owns_client and self._client is not None:
            self._client.close()

    def _ask(self, method: str, **arguments: Any) -> Any:
        if self._client is None:  # made here, a connection that fails is tried again
            self._client = self._connect()
        try:
            return getattr(self._client, method)(collection_name=self._name, timeout=self._timeout_s, **arguments)
        except _failures() as error:
            raise _meaning(self.location, error) from error

    def _description(self) -> dict[str, Any] | None:
        """What a collection says of itself: None where there is none, nothing where it is not ours."""
        if not self._ask("has_collection"):  # to describe one that is not there is logged as an error
            return None
        manifest, told = None, self._ask("describe_collection")
        self._is_lite = self._file is not None or told["num_shards"] == 0
        with suppress(ValueError):
            manifest = json.loads(told["description"])
        return manifest if isinstance(manifest, dict) and "pixie_retrievers" in manifest else {}

    def _copies(self) -> dict[str, int]:
        return {} if self._replicas is None else {"replica_number": self._replicas + 1}

    def _row(self, record: Record) -> dict[str, Any]:
        stored = record.stored
        orders = {order.field: sortable(order.value) for order in record.orders[:_MAX_ORDERS]}
        document = [stored.id, stored.metadata, stored.text, base64.b64encode(stored.vector).decode()]
        is_small = sum(len(part.encode()) for part in document) < _MAX_JSON_BYTES
        beyond = [BEYOND] if len(record.orders) > _MAX_ORDERS else []
        return {
            "key": record.key,
            "v": dict(zip(record.term_ids.tolist(), record.weights.tolist(), strict=True)) or self._nothing(),
            "f": [*record.tokens, *(field + value[0] for field, value in orders.items()), *beyond],
            "o": orders,
            "document": {"is": document} if is_small else {},  # far faster than pieces
            "pieces": [] if is_small else _pieces(document),
            "n_terms": len(record.term_ids),
            "seq": stored.seq,
        }

    def _nothing(self) -> dict[int, float]:
        """The vector of a document without terms: Milvus takes no empty one. No query has a term of that number."""
        if self._unused_term is None:
            self.manifest()
        assert self._unused_term is not None
        return {self._unused_term: 1.0}

    def _fetched(self, keys: Sequence[str], fields: list[str]) -> list[Stored | None]:
        try:
            rows = self._query(among(keys), [*fields, "key"])
        except RefusedError:  # too much for one answer
            if len(keys) == 1:
                raise
            half = len(keys) // 2
            return self._fetched(keys[:half], fields) + self._fetched(keys[half:], fields)
        found = {row["key"]: _stored(row) for row in rows}
        return [found.get(key) for key in keys]

    def _query(self, filter: str, fields: list[str]) -> Any:
        return self._ask("query", filter=filter, output_fields=fields, consistency_level=self._consistency)

    def _listed(self, clause: Clause, fields: list[str]) -> list[dict[str, Any]]:
        """Some fields of every document that satisfies a clause."""
        if self._is_lite:  # it has no limit, and logs a warning of each iterator
            return list(self._query(expression(clause) or "seq >= 0", fields))
        iterator = self._ask(
            "query_iterator",
            batch_size=_LISTED_AT_ONCE,
            filter=expression(clause),
            output_fields=fields,
            consistency_level=self._consistency,
        )
        rows: list[dict[str, Any]] = []
        try:
            while part := iterator.next():
                rows += part
        except _failures() as error:
            raise _meaning(self.location, error) from error
        finally:
            iterator.close()
        return rows


def _connect(location: Location, timeout_s: int) -> Any:
    try:
        from pymilvus import MilvusClient
    except ImportError as error:
        raise OptionalDependencyError.of("an index in Milvus", "pymilvus", "pixie-retrievers[milvus]") from error

    if location.transport == "file":
        return _open_file(location, timeout_s)
    if len(location.hosts) > 1:
        raise InvalidParameterError(f"{location} names {len(location.hosts)} hosts: name Milvus's proxy, or a balancer")
    if not location.verifies:
        raise InvalidParameterError(f"{location}: pymilvus always verifies certificates; name the server's by ca=")
    user, password = location.user_and_password()
    tls = {"server_pem_path": location.options["ca"]} if "ca" in location.options else {}
    try:
        return MilvusClient(
            f"{location.transport}://{location.with_port(location.hosts[0], 19530)}",
            user=user or "",
            password=password or "",
            token=location.secret("token") or "",
            db_name=location.options.get("database", ""),
            timeout=timeout_s,
            dedicated=True,  # a connection that others share may come from before a fork
            **tls,
        )
    except _failures() as error:
        raise _meaning(str(location), error) from error


def _open_file(location: Location, timeout_s: int) -> Any:
    from pymilvus import MilvusClient, MilvusException

    path = Path(location.hosts[0])
    if path.suffix != ".db" or not path.parent.is_dir():
        raise InvalidParameterError(f"{location}: the file's name must end in .db, and its folder must be there")
    try:
        import milvus_lite  # noqa: F401
    except ImportError as error:
        install = "milvus-lite" + (" 'setuptools<81'" if error.name == "pkg_resources" else "")
        raise OptionalDependencyError.of("Milvus in a file", error.name or "milvus-lite", install) from error
    try:
        return MilvusClient(str(path), timeout=timeout_s, dedicated=True)
    except RuntimeError as error:  # a name that it does not like
        raise InvalidParameterError(f"{location}: {error}") from error
    except MilvusException as error:
        raise EngineError(
            f"{location} cannot be opened ({error.message}): one process at a time holds such a file; close it there"
        ) from error


def _failures() -> tuple[type[Exception], ...]:
    import grpc
    from pymilvus import MilvusException

    return MilvusException, grpc.RpcError


def _meaning(location: str, error: Any) -> Exception:
    """What a client's exception means."""
    import grpc

    code = error.code() if callable(error.code) else error.code
    told = str(getattr(error, "message", "") or error.details() if isinstance(error, grpc.RpcError) else error.message)
    told = " ".join(told.split())[:500]
    if code == _NOT_FOUND:
        return IndexNotFoundError(f"there is no index at {location} ({told}): check the name; it may have been deleted")
    status = grpc.StatusCode
    if code in (status.UNAUTHENTICATED, status.PERMISSION_DENIED) or code == 1800 or "auth check failure" in told:
        return EngineError(
            f"{location} refuses these credentials ({told}): check the user, the password or the token, and what they"
            " may do"
        )
    if code in (status.INVALID_ARGUMENT, status.RESOURCE_EXHAUSTED, status.UNIMPLEMENTED):
        return RefusedError(f"{location} refuses the request ({told})")
    passes = code in _PASSING and type(error).__name__ in ("MilvusException", "MilvusUnavailableException")
    if passes or isinstance(code, status) or getattr(error, "retriable", False):
        return TransientFailureError(told)
    return RefusedError(f"{location} refuses the request with code {code} ({told})")


def _pieces(value: list[str]) -> list[str]:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))  # it holds no control character
    if len(text) > _PIECE * _MAX_PIECES:
        raise RefusedError(
            f"its text or its metadata takes {len(text):,} characters, and Milvus stores {_PIECE * _MAX_PIECES:,}: cut"
            " it into passages"
        )
    return [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]


def _stored(row: Mapping[str, Any]) -> Stored:
    document = row["document"].get("is") or json.loads("".join(row["pieces"]))
    id, metadata, text, vector = document
    return Stored(id, text, metadata, base64.b64decode(vector), row["seq"])
