"""Files for OpenSearch and Elasticsearch; the servers themselves take them, and answer with our scores."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from itertools import count

import numpy as np
import pytest
from engines.fixtures import server_engines

from pixie_retrievers import SparseVectors, SqliteIndex
from pixie_retrievers.exports.exporting import export_index

ENGINES = ["opensearch", "elasticsearch"]
LUCENE = 2.0**-8  # a weight loses less of itself, being kept in 9 bits
_NUMBERS = count()


def key_of(id):
    return id if len(id.encode()) <= 512 else hashlib.sha256(id.encode()).hexdigest()


def query_of(folder):
    return json.loads((folder / "query.json").read_text("utf-8"))


@pytest.mark.parametrize("engine", ENGINES)
def test_bulk_files_hold_the_exact_weights(exported, held, json_lines, engine):
    documents, vectors = held
    folder = exported(engine)
    lines = json_lines(folder, "bulk-*.ndjson")
    assert lines[::2] == [{"index": {"_id": key_of(document.id)}} for document in documents]
    assert json.loads((folder / "manifest.json").read_text("utf-8"))["n_hashed_ids"] == 1
    for source, document, row in zip(lines[1::2], documents, vectors.to_dicts(), strict=True):
        found = source.pop("vector")
        assert {int(term): float(np.float32(weight)) for term, weight in found.items()} == row
        assert source == {"id": document.id, "text": document.text, "metadata": document.metadata}


@pytest.mark.parametrize("engine", ENGINES)
def test_no_field_of_the_mapping_or_the_weights_holds_a_dot(exported, json_lines, engine):
    folder = exported(engine)
    mapping = json.loads((folder / "mapping.json").read_text("utf-8"))["mappings"]
    assert sorted(mapping["properties"]) == ["id", "metadata", "text", "vector"]
    assert mapping["_meta"] == {"vocabulary_size": 200, "fingerprint": "모델"}
    assert all(term.isdigit() for source in json_lines(folder, "bulk-*.ndjson")[1::2] for term in source["vector"])


@pytest.mark.parametrize("engine", ENGINES)
def test_an_empty_index_has_a_mapping_and_a_query(tmp_path, engine):
    with SqliteIndex(tmp_path / "empty.db", vocabulary_size=9) as index:
        files = export_index(index, engine, tmp_path / "out").files
    assert files == ("manifest.json", "mapping.json", "query.json")
    assert len(query_of(tmp_path / "out")["query"]["bool"]["should"]) == 1


@pytest.fixture(params=server_engines("opensearch", "elasticsearch"))
def served(request, exported):
    """The exported folder, and what asks the server's index that was made of it."""
    node = request.getfixturevalue(f"{request.param}_node")
    folder = exported(request.param)
    path = f"/exported-{next(_NUMBERS)}"
    node.ask(path, "PUT", json.loads((folder / "mapping.json").read_text("utf-8")))
    for file in sorted(folder.glob("bulk-*.ndjson")):
        bulk = urllib.request.Request(
            f"http://{node.address}{path}/_bulk?refresh=true",
            data=file.read_bytes(),
            headers={"content-type": "application/x-ndjson"},
        )
        with urllib.request.urlopen(bulk, timeout=60) as answer:
            said = json.loads(answer.read())
            assert not said["errors"], [item for item in said["items"] if "error" in item["index"]][:3]
    yield folder, lambda body, what="_search": node.ask(f"{path}/{what}", "POST", body)
    node.ask(path, "DELETE")


def test_a_server_holds_every_document_as_the_index_does(served, held):
    _, ask = served
    documents, _ = held
    assert ask({"query": {"match_all": {}}}, "_count")["count"] == len(documents)
    for document in documents[:10]:
        (hit,) = ask({"query": {"ids": {"values": [key_of(document.id)]}}})["hits"]["hits"]
        source = hit["_source"]
        assert (source["id"], source["text"], source["metadata"]) == (document.id, document.text, document.metadata)
        assert len(ask({"query": {"term": {"id": document.id}}})["hits"]["hits"]) == 1


def test_the_query_gives_our_scores_within_lucenes_rounding(served, held, index):
    folder, ask = served
    _, vectors = held
    body = query_of(folder)
    queries = [example_of(body), *(vectors[n] for n in range(1, 20))]
    for query in queries:
        clauses = [with_term(body["query"]["bool"]["should"][0], *item) for item in query.to_dicts()[0].items()]
        asked = body | {"size": 300, "query": {"bool": {"should": clauses, "minimum_should_match": 1}}}
        theirs = {hit["_source"]["id"]: hit["_score"] for hit in ask(asked)["hits"]["hits"]}
        ours = {hit.document.id: hit.score for hit in index.search(query, 300)[0]}
        assert theirs.keys() == ours.keys()
        for id, score in ours.items():
            assert score * (1 - LUCENE) * (1 - 1e-6) <= theirs[id] <= score * (1 + 1e-6)
    found = ask(body)["hits"]["hits"]
    assert [hit["_score"] for hit in found] == sorted((hit["_score"] for hit in found), reverse=True)
    assert len(found) == 10


def example_of(body):
    """The query's vector, read out of its clauses."""
    weights = {}
    for clause in body["query"]["bool"]["should"]:
        if "term" in clause:
            weights[int(clause["term"]["vector"]["value"])] = clause["term"]["vector"]["boost"]
        else:
            field, _, term = clause["rank_feature"]["field"].partition(".")
            assert (field, clause["rank_feature"]["linear"]) == ("vector", {})
            weights[int(term)] = clause["rank_feature"]["boost"]
    return SparseVectors.from_dicts([weights], 200)


def with_term(clause, term, weight):
    """The clause of the exported query, for another term."""
    if "term" in clause:
        return {"term": {"vector": {"value": str(term), "boost": weight}}}
    return {"rank_feature": clause["rank_feature"] | {"field": f"vector.{term}", "boost": weight}}
