"""Qdrant, through qdrant-client: a cluster, or the client's local mode, which keeps collections in a folder.

What ranges compare lies in a payload as small whole numbers, a few for each value: Qdrant compares floats, and no
strings. So text of a caller's never stands in a filter, and the most exact float compares exactly.
"""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from pixie_retrievers.errors import EngineError, IndexNotFoundError, InvalidParameterError, OptionalDependencyError
from pixie_retrievers.index.remote.apart import RefusedError, store_apart
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
    float32_sum_at_most,
)
from pixie_retrievers.index.remote.listing import next_page
from pixie_retrievers.index.remote.location import Location
from pixie_retrievers.index.remote.records import Record, Stored

__all__ = ["QdrantEngine"]

_BUSY = frozenset((408, 429, 500, 502, 503, 504))  # 500 too: a copy that is away
_CONSISTENCIES = ("majority", "quorum", "all")
_LISTED_AT_ONCE = 10_000
_LIMB = 10
"""So many hexadecimal digits make a number that a float64 holds."""
_LIMBS = {"n": 2, "s": 5}
_WHOLE = ["id", "text", "metadata", "w", "seq"]
_SMALL = ["id", "metadata", "seq"]


class QdrantEngine:
    """A collection of Qdrant.

    Weights are a named sparse vector. Its index is exact, whatever a search is told: a score is the dot product, summed
    in float32.

    Args:
        location: ``qdrant+http://host:6333/name``, or ``qdrant+file:///folder#name``.
        client: A qdrant_client.QdrantClient of the caller's; None makes one.
    """

    max_terms = 4096
    spare = 1
    max_candidates = 10_000
    max_clauses = 250
    max_depth = 12
    may_negate = True
    batch_bytes = 4 << 20

    def __init__(self, location: Location, client: Any = None) -> None:
        try:
            import qdrant_client
        except ImportError as error:
            raise OptionalDependencyError.of(
                "an index in Qdrant", "qdrant-client", "pixie-retrievers[qdrant]"
            ) from error

        self.location = str(location)
        self._where = location
        self._name = location.name
        self._models: Any = qdrant_client.models
        consistency = location.options.get("consistency")
        if consistency not in (None, *_CONSISTENCIES):
            raise InvalidParameterError(
                f"in the URL, consistency is {consistency!r}; it must be one of {', '.join(_CONSISTENCIES)}"
            )
        self._reading = {} if consistency is None else {"consistency": consistency}
        self._shards, self._replicas = location.number("shards"), location.number("replicas")
        self._folder = _Folder.of(location.hosts[0], self.location) if location.transport == "file" else None
        self._owns_client = client is None and self._folder is None
        self._turn: AbstractContextManager[Any] = nullcontext()
        if self._folder is not None:
            self._client, self._turn = self._folder.client, self._folder.turn
        else:
            self._client = _connect(location) if client is None else client

    def manifest(self) -> Mapping[str, Any] | None:
        if not self._ask("collection_exists"):
            return None
        manifest: Mapping[str, Any] = self._ask("get_collection").config.metadata or {}
        return manifest

    def create(self, manifest: Mapping[str, Any]) -> None:
        models = self._models
        if self._folder is None:
            told = self._answer(lambda: self._client.info().version)
            if tuple(int(part) for part in told.split("-")[0].split(".")[:2]) < (1, 16):
                raise EngineError(f"{self.location}: the server is Qdrant {told}: 1.16 or newer is needed")
        shape = {"shard_number": self._shards}
        if self._replicas is not None:
            shape["replication_factor"] = self._replicas + 1
        try:
            self._ask(
                "create_collection",
                vectors_config={},
                sparse_vectors_config={"v": models.SparseVectorParams()},
                metadata=dict(manifest),
                **{name: value for name, value in shape.items() if value is not None},
            )
        except EngineError:
            if self.manifest() is None:
                raise
            return
        if self._folder is None:
            self._ask("create_payload_index", field_name="f", field_schema=models.PayloadSchemaType.KEYWORD, wait=True)

    def store(self, records: Sequence[Record]) -> Written:
        def send(some: Sequence[Record]) -> None:
            self._ask("upsert", points=[self._point(record) for record in some], wait=True)

        return store_apart(records, send)

    def remove(self, keys: Sequence[str]) -> Removed:
        found = [point.id for point in self._retrieved(keys, with_payload=False)]
        if found:
            self._ask("delete", points_selector=self._models.PointIdsList(points=found), wait=True)
        return Removed(len(found), ())

    def publish(self) -> None:
        """Nothing: a write is answered when it is applied."""

    def fetch(self, keys: Sequence[str]) -> list[Stored | None]:
        return self._fetched(keys, _WHOLE)

    def search(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        models = self._models
        queries = [
            models.QueryRequest(
                query=models.SparseVector(indices=list(request.weights), values=list(request.weights.values())),
                using="v",
                filter=self._filter(request.clause),
                limit=request.n,
                with_payload=_WHOLE,
            )
            for request in requests
        ]
        answers = self._ask("query_batch_points", requests=queries, **self._reading)
        return [[Candidate(_stored(point.payload), point.score) for point in answer.points] for answer in answers]

    def at_most(self, score: float) -> float:
        return float32_sum_at_most(score, self.max_terms)

    def page(self, clause: Clause, rest: Any, *, whole: bool) -> Page:
        def read_all() -> Iterable[tuple[int, str]]:
            return ((point.payload["seq"], UUID(str(point.id)).hex) for point in self._scrolled(clause, ["seq"]))

        return next_page(rest, read_all, lambda keys: self._fetched(keys, _WHOLE if whole else _SMALL))

    def count(self, clause: Clause) -> int:
        return int(self._ask("count", count_filter=self._filter(clause), exact=True).count)

    def figures(self) -> EngineFigures:
        n_bytes = 0
        if self._folder is not None:
            files = (self._folder.path / "collection" / self._name).rglob("*")
            n_bytes = sum(file.stat().st_size for file in files if file.is_file())
        return EngineFigures(
            n_deleted=0,
            n_segments=0 if self._folder is not None else self._ask("get_collection").segments_count,
            n_postings=sum(point.payload["n_terms"] for point in self._scrolled(AllOf(()), ["n_terms"])),
            n_bytes=n_bytes,
        )

    def compact(self) -> None:
        """Nothing: Qdrant's optimizer does so by itself."""

    def drop(self) -> None:
        self._ask("delete_collection")

    def beside(self, suffix: str) -> Engine:
        return QdrantEngine(self._where.beside(suffix), None if self._folder is not None else self._client)

    def close(self) -> None:
        if self._folder is not None:
            self._folder.close()
        elif self._owns_client:
            self._client.close()

    def _ask(self, method: str, **arguments: Any) -> Any:
        return self._answer(lambda: getattr(self._client, method)(self._name, **arguments))

    def _answer(self, call: Any) -> Any:
        from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
        from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

        try:
            with self._turn:
                return call()
        except (ResourceExhaustedResponse, ResponseHandlingException) as error:
            raise TransientFailureError(f"{type(error).__name__}: {getattr(error, 'source', error)}") from error
        except UnexpectedResponse as error:
            raise _meaning(self.location, error) from error
        except (ValueError, RuntimeError) as error:  # of the local mode, and of what a client checks itself
            if "not found" in str(error):
                raise _gone(self.location, str(error)) from error
            raise RefusedError(f"{self.location} refuses the request ({str(error)[:500]})") from error

    def _point(self, record: Record) -> Any:
        stored, models = record.stored, self._models
        vector = models.SparseVector(indices=record.term_ids.tolist(), values=record.weights.tolist())
        return models.PointStruct(
            id=str(UUID(record.key)),
            vector={"v": vector} if len(record.term_ids) else {},
            payload={
                "f": record.tokens,
                "o": {
                    f"{order.field}{value[0]}{number}": limb
                    for order in record.orders
                    for value in [sortable(order.value)]
                    for number, limb in enumerate(_limbs(value))
                },
                "id": stored.id,
                "text": stored.text,
                "metadata": stored.metadata,
                "w": base64.b64encode(stored.vector).decode(),
                "n_terms": len(record.term_ids),
                "seq": stored.seq,
            },
        )

    def _fetched(self, keys: Sequence[str], fields: list[str]) -> list[Stored | None]:
        found = {
            UUID(str(point.id)).hex: _stored(point.payload) for point in self._retrieved(keys, with_payload=fields)
        }
        return [found.get(key) for key in keys]

    def _retrieved(self, keys: Sequence[str], *, with_payload: Any) -> Any:
        ids = [str(UUID(key)) for key in keys]
        return self._ask("retrieve", ids=ids, with_payload=with_payload, **self._reading)

    def _scrolled(self, clause: Clause, fields: list[str]) -> Iterable[Any]:
        """Some payload of every document that satisfies a clause."""
        condition, offset = self._filter(clause), None
        while True:
            points, offset = self._ask(
                "scroll",
                scroll_filter=condition,
                limit=_LISTED_AT_ONCE,
                offset=offset,
                with_payload=fields,
                **self._reading,
            )
            yield from points
            if offset is None:
                return

    def _filter(self, clause: Clause) -> Any:
        if clause == AllOf(()):
            return None
        condition = self._condition(clause)
        return condition if isinstance(condition, self._models.Filter) else self._models.Filter(must=[condition])

    def _condition(self, clause: Clause) -> Any:
        models = self._models
        if isinstance(clause, Tokens):
            return models.FieldCondition(key="f", match=models.MatchAny(any=list(clause.tokens)))
        if isinstance(clause, Keys):
            return models.HasIdCondition(has_id=[str(UUID(key)) for key in clause.keys])
        if isinstance(clause, Not):
            return models.Filter(must_not=[self._condition(clause.part)])
        if isinstance(clause, AllOf | AnyOf):
            if not clause.parts:
                nobody = [models.HasIdCondition(has_id=[])]
                return models.Filter(must=nobody) if isinstance(clause, AnyOf) else models.Filter(must_not=nobody)
            parts = [self._condition(part) for part in clause.parts]
            return models.Filter(must=parts) if isinstance(clause, AllOf) else models.Filter(should=parts)
        assert isinstance(clause, Between)
        return self._between(clause)

    def _between(self, clause: Between) -> Any:
        """Limb by limb, as words are compared letter by letter."""
        models = self._models
        bound = clause.low if clause.low is not None else clause.high
        assert bound is not None
        bound, further = sortable(bound), "gt" if clause.low is not None else "lt"
        condition = None
        for number, limb in reversed(list(enumerate(_limbs(bound)))):
            key = f"o.{clause.field}{bound[0]}{number}"
            if condition is None:
                name = further + ("e" if clause.inclusive else "")
                condition = models.FieldCondition(key=key, range=models.Range(**{name: limb}))
                continue
            beyond = models.FieldCondition(key=key, range=models.Range(**{further: limb}))
            equal = models.FieldCondition(key=key, range=models.Range(gte=limb, lte=limb))
            condition = models.Filter(should=[beyond, models.Filter(must=[equal, condition])])
        return condition


class _Folder:
    """The local mode's client of a folder: one for all handles of a process, which take turns."""

    _open: ClassVar[dict[tuple[int, Path], _Folder]] = {}
    _opening = threading.Lock()

    def __init__(self, path: Path, client: Any) -> None:
        self.path = path
        self.client = client
        self.turn = threading.Lock()
        self.n_handles = 0

    @classmethod
    def of(cls, name: str, location: str) -> _Folder:
        from qdrant_client import QdrantClient

        path = Path(os.path.realpath(name))
        with cls._opening:
            folder = cls._open.get((os.getpid(), path))
            if folder is None:
                try:
                    client = QdrantClient(path=str(path), force_disable_check_same_thread=True)
                except (RuntimeError, OSError) as error:
                    raise EngineError(
                        f"{location} cannot be opened ({error}): one process at a time holds such a folder; close it"
                        " there, or run a server"
                    ) from error
                folder = cls._open[os.getpid(), path] = cls(path, client)
            folder.n_handles += 1
            return folder

    def close(self) -> None:
        with self._opening:
            self.n_handles -= 1
            if not self.n_handles:
                self._open.pop((os.getpid(), self.path), None)
                self.client.close()


def _connect(location: Location) -> Any:
    from qdrant_client import QdrantClient

    if len(location.hosts) > 1:
        raise InvalidParameterError(f"{location} names {len(location.hosts)} hosts: name one, or a balancer")
    _, password = location.user_and_password()
    tls: dict[str, Any] = {}
    if location.transport == "https":
        tls["verify"] = location.options.get("ca", location.verifies)
    return QdrantClient(
        url=f"{location.transport}://{location.with_port(location.hosts[0], 6333)}",
        api_key=location.secret("api_key") or password,
        timeout=location.number("request_timeout_s") or 10,
        check_compatibility=False,
        **tls,
    )


def _meaning(location: str, error: Any) -> Exception:
    """What a status means."""
    told = str(error.content)[:500]
    with suppress(ValueError, KeyError, TypeError):
        told = str(error.structured()["status"]["error"])[:500]
    if error.status_code in _BUSY:
        return TransientFailureError(told or f"HTTP status {error.status_code}")
    if error.status_code == 404:
        return _gone(location, told)
    if error.status_code in (401, 403):
        return EngineError(f"{location} refuses these credentials ({told}): check the key, and what it may do")
    return RefusedError(f"{location} refuses the request with status {error.status_code} ({told})")


def _gone(location: str, told: str) -> IndexNotFoundError:
    return IndexNotFoundError(f"there is no index at {location} ({told}): check the name; it may have been deleted")


def _limbs(value: str) -> list[int]:
    """The digits of what ranges compare, as numbers; of a string its length too, for zeros may end it."""
    digits = value[1:]
    if value[0] == "s":
        digits = f"{digits:0<48}{len(digits):02x}"
    padded = f"{digits:0<{_LIMB * _LIMBS[value[0]]}}"
    return [int(padded[start : start + _LIMB], 16) for start in range(0, len(padded), _LIMB)]


def _stored(payload: Mapping[str, Any]) -> Stored:
    return Stored(
        payload["id"],
        payload.get("text", ""),
        payload["metadata"],
        base64.b64decode(payload.get("w", "")),
        payload["seq"],
    )
