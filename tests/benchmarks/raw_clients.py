"""The servers' own clients, as their documentations show them, and an explained search of ours to set beside them."""

from __future__ import annotations

from typing import Any

from pixie_retrievers import Document
from pixie_retrievers.types import Explanation, KnownNames, SparseVectors

K = 10
NAMES = KnownNames({})


def explained(index: Any, query: SparseVectors, **options: Any) -> list[Any]:
    (found,) = index.search(query, K, **options)
    return [(hit.document, Explanation(hit.score, hit.matches, 10, NAMES).to_metadata()) for hit in found]


class RawOpenSearch:
    """opensearch-py as its documentation shows it: the bulk helper, and one search."""

    field = "rank_features"

    def __init__(self, node: Any) -> None:
        from opensearchpy import OpenSearch, helpers

        self.client: Any = OpenSearch(f"http://{node.address}", timeout=60, maxsize=50)
        self.helpers: Any = helpers

    def clause(self, term: int, weight: float) -> dict[str, Any]:
        return {"rank_feature": {"field": f"v.{term}", "boost": weight, "linear": {}}}

    def add(self, name: str, documents: list[Document], vectors: SparseVectors) -> None:
        unsearched = {"type": "keyword", "index": False, "doc_values": False}
        properties = {"v": {"type": self.field}, "text": unsearched, "metadata": {"type": "object", "enabled": False}}
        self.client.indices.create(
            index=name,
            body={
                "settings": {"number_of_shards": 1, "number_of_replicas": 0},
                "mappings": {"dynamic": False, "properties": properties},
            },
        )
        rows = zip(documents, vectors.to_dicts(), strict=True)
        self.helpers.bulk(
            self.client,
            (
                {
                    "_index": name,
                    "_id": document.id,
                    "v": {str(term): weight for term, weight in row.items()},
                    "id": document.id,
                    "text": document.text,
                    "metadata": document.metadata,
                }
                for document, row in rows
            ),
        )
        self.client.indices.refresh(index=name)

    def search(self, name: str, query: SparseVectors) -> Any:
        should = [self.clause(term, weight) for term, weight in query.to_dicts()[0].items()]
        body = {
            "size": K,
            "track_total_hits": False,
            "_source": ["id", "text", "metadata"],
            "query": {"bool": {"should": should, "minimum_should_match": 1}},
        }
        return self.client.search(index=name, body=body)["hits"]["hits"]

    def compact(self, name: str) -> None:
        self.client.indices.forcemerge(index=name, max_num_segments=1)
        self.client.indices.refresh(index=name)

    def drop(self, name: str) -> None:
        self.client.indices.delete(index=name)


class RawElasticsearch(RawOpenSearch):
    """The official client of Elasticsearch, the same way."""

    field = "sparse_vector"

    def __init__(self, node: Any) -> None:
        from elasticsearch import Elasticsearch, helpers

        self.client = Elasticsearch(f"http://{node.address}", request_timeout=60, connections_per_node=50)
        self.helpers = helpers

    def clause(self, term: int, weight: float) -> dict[str, Any]:
        return {"term": {"v": {"value": str(term), "boost": weight}}}


class RawMilvus:
    """pymilvus as its documentation shows it."""

    def __init__(self, node: Any) -> None:
        from pymilvus import MilvusClient

        self.client: Any = MilvusClient(f"http://{node.address}", timeout=60)

    def add(self, name: str, documents: list[Document], vectors: SparseVectors) -> None:
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=100)
        schema.add_field("v", DataType.SPARSE_FLOAT_VECTOR)
        schema.add_field("text", DataType.VARCHAR, max_length=65_535)
        schema.add_field("metadata", DataType.JSON)
        index = MilvusClient.prepare_index_params()
        index.add_index(field_name="v", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
        self.client.create_collection(name, schema=schema, index_params=index)
        rows = [
            {"id": document.id, "v": row, "text": document.text, "metadata": dict(document.metadata)}
            for document, row in zip(documents, vectors.to_dicts(), strict=True)
        ]
        for start in range(0, len(rows), 500):
            self.client.upsert(name, rows[start : start + 500])

    def search(self, name: str, query: SparseVectors) -> Any:
        return self.client.search(
            name,
            data=query.to_dicts(),
            anns_field="v",
            limit=K,
            output_fields=["id", "text", "metadata"],
            consistency_level="Strong",
        )

    def compact(self, name: str) -> None:
        pass

    def drop(self, name: str) -> None:
        self.client.drop_collection(name)


RAW = {"milvus": RawMilvus, "opensearch": RawOpenSearch, "elasticsearch": RawElasticsearch}
