"""OpenSearch, through opensearch-py."""

from __future__ import annotations

from typing import Any

from pixie_retrievers.errors import OptionalDependencyError
from pixie_retrievers.index.remote.engine import TransientFailureError
from pixie_retrievers.index.remote.location import Location
from pixie_retrievers.index.remote.lucene import CONNECTIONS, LuceneEngine, refusal

__all__ = ["OpenSearchEngine"]


class OpenSearchEngine(LuceneEngine):
    """An index of an OpenSearch cluster.

    Weights are rank features: a query adds up their products with the query's weights, and skips no document that could
    be among the best (``linear``, since OpenSearch 2.0).
    """

    vector_type = "rank_features"

    def __init__(self, location: Location, client: Any = None) -> None:
        super().__init__(location, client)
        import opensearchpy

        self._errors = opensearchpy

    def term_query(self, term: int, weight: float) -> dict[str, Any]:
        return {"rank_feature": {"field": f"v.{term}", "boost": weight, "linear": {}}}

    def send(self, method: str, path: str, body: bytes | None = None, *, lines: bool = False, **params: Any) -> Any:
        kind = "application/x-ndjson" if lines else "application/json"
        try:
            return self._client.transport.perform_request(
                method, path, params=params or None, body=body, headers={"content-type": kind}
            )
        except self._errors.ConnectionError as error:  # time-outs too
            raise TransientFailureError(f"{type(error).__name__}: {error.error}") from error
        except self._errors.TransportError as error:
            told = error.info.get("error", error.error) if isinstance(error.info, dict) else error.error
            raise refusal(self.location, int(error.status_code), told) from error

    @staticmethod
    def connect(location: Location) -> Any:
        try:
            from opensearchpy import OpenSearch
        except ImportError as error:
            raise OptionalDependencyError.of(
                "an index in OpenSearch", "opensearch-py", "pixie-retrievers[opensearch]"
            ) from error

        user, password = location.user_and_password()
        tls: dict[str, Any] = {"ca_certs": location.options["ca"]} if "ca" in location.options else {}
        return OpenSearch(
            hosts=[f"{location.transport}://{location.with_port(host, 9200)}" for host in location.hosts],
            http_auth=None if user is None else (user, password),
            timeout=location.number("request_timeout_s") or 10,
            max_retries=max(3, len(location.hosts)),
            retry_on_timeout=True,
            maxsize=CONNECTIONS,
            verify_certs=location.verifies,
            ssl_show_warn=False,
            **tls,
        )
