"""The encoder as other stores' sparse embeddings: the stores' own classes, and a real Qdrant in memory."""

from __future__ import annotations

import asyncio
import sys

import pytest

from pixie_retrievers.errors import InvalidTextError, OptionalDependencyError
from pixie_retrievers.langchain import PixieSparseEmbeddings
from pixie_retrievers.retriever import SparseRetriever

TEXTS = ["위성을 궤도에 올린다.", "위성 자료로 농사를 돕는다.", "김치를 담근다."]


@pytest.fixture
def embeddings(encoder):
    return PixieSparseEmbeddings(encoder)


def test_vectors_are_the_encoders(embeddings, encoder):
    assert embeddings.embed_documents(TEXTS) == encoder.encode_documents(TEXTS).to_dicts()
    assert embeddings.embed_query("위성") == encoder.encode_queries(["위성"]).to_dicts()[0]
    assert embeddings.embed_documents([]) == []
    assert embeddings.embed_query("") == {}
    with pytest.raises(InvalidTextError):
        embeddings.embed_query(None)


async def test_async_says_the_same(embeddings):
    assert await embeddings.aembed_documents(TEXTS[:1]) == embeddings.embed_documents(TEXTS[:1])
    assert await embeddings.aembed_query("위성") == embeddings.embed_query("위성")


async def test_async_leaves_the_event_loop_free(words):
    words.gate.clear()
    embedding = asyncio.create_task(PixieSparseEmbeddings(words).aembed_query("위성"))
    assert await asyncio.to_thread(words.waiting.wait, 20)
    assert not embedding.done()
    words.gate.set()
    assert len(await embedding) == 1


def found_by_us(encoder):
    with SparseRetriever.open(encoder=encoder) as ours:
        ours.add_texts(TEXTS, ids=["0", "1", "2"])
        return [(int(result.document.id), result.score) for result in ours.search("위성 궤도", k=3)]


class TestQdrant:
    @pytest.fixture
    def module(self):
        return pytest.importorskip("langchain_qdrant")

    def test_gets_its_own_class(self, module, embeddings):
        ours = embeddings.for_qdrant()
        assert isinstance(ours, module.SparseEmbeddings)
        query = ours.embed_query("위성")
        assert isinstance(query, module.sparse_embeddings.SparseVector)
        assert dict(zip(query.indices, query.values, strict=True)) == embeddings.embed_query("위성")
        assert [len(vector.indices) for vector in ours.embed_documents([*TEXTS, ""])][-1] == 0

    async def test_async_says_the_same(self, module, embeddings):
        ours = embeddings.for_qdrant()
        assert await ours.aembed_query("위성") == ours.embed_query("위성")

    def test_ranks_and_scores_as_our_own_index(self, module, embeddings, encoder):
        store = module.QdrantVectorStore.from_texts(
            TEXTS,
            metadatas=[{"n": n} for n in range(len(TEXTS))],
            sparse_embedding=embeddings.for_qdrant(),
            retrieval_mode=module.RetrievalMode.SPARSE,
            location=":memory:",
            collection_name="tests",
        )
        found = [(d.metadata["n"], score) for d, score in store.similarity_search_with_score("위성 궤도", k=3)]
        expected = found_by_us(encoder)
        assert [n for n, _ in found][: len(expected)] == [n for n, _ in expected]
        assert [score for _, score in found][: len(expected)] == pytest.approx(
            [score for _, score in expected], rel=1e-4
        )
        # A query of which no token is known has no weights; the store takes it, and none of ours matches.
        assert all(score == 0 for _, score in store.similarity_search_with_score("", k=3))
        store.client.close()


class TestMilvus:
    """langchain-milvus brings hundreds of megabytes: these run where it is installed, as in ``make test-matrix``."""

    @pytest.fixture
    def interface(self):
        return pytest.importorskip("langchain_milvus.utils.sparse").BaseSparseEmbedding

    def test_gets_its_own_class(self, interface, embeddings):
        ours = embeddings.for_milvus()
        assert isinstance(ours, interface)
        assert ours.embed_query("위성") == embeddings.embed_query("위성")
        assert ours.embed_documents(TEXTS) == embeddings.embed_documents(TEXTS)

    def test_is_never_given_a_vector_of_nothing_on_which_some_versions_fail(self, interface, embeddings, encoder):
        ours = embeddings.for_milvus()
        term, weight = next(iter(ours.embed_query("").items()))
        assert weight > 0
        assert all(term not in vector for vector in embeddings.embed_documents(TEXTS))
        assert ours.embed_documents(["", "위성"])[0] == {term: weight}

    def test_ranks_and_scores_in_milvus_as_in_our_own_index(self, interface, embeddings, encoder, tmp_path):
        """Through Milvus's own client."""
        pytest.importorskip("milvus_lite")
        from pymilvus import DataType, MilvusClient

        ours = embeddings.for_milvus()
        client = MilvusClient(str(tmp_path / "milvus.db"))
        schema = client.create_schema()
        schema.add_field("n", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.SPARSE_FLOAT_VECTOR)
        parameters = client.prepare_index_params()
        parameters.add_index("vector", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
        client.create_collection("tests", schema=schema, index_params=parameters)
        vectors = ours.embed_documents(TEXTS)
        client.insert("tests", [{"n": n, "vector": vector} for n, vector in enumerate(vectors)])

        def found(query):
            hits = client.search("tests", [ours.embed_query(query)], limit=3, search_params={"metric_type": "IP"})[0]
            return [(hit["id"], hit["distance"]) for hit in hits]

        expected = found_by_us(encoder)
        assert [n for n, _ in found("위성 궤도")] == [n for n, _ in expected]
        assert [score for _, score in found("위성 궤도")] == pytest.approx([score for _, score in expected], rel=1e-4)
        assert found("") == []
        client.close()

    @pytest.mark.filterwarnings("ignore")  # the clients' own
    def test_ranks_and_scores_in_langchains_store_as_in_our_own_index(self, interface, embeddings, encoder, tmp_path):
        pytest.importorskip("milvus_lite")
        from langchain_milvus import Milvus
        from pymilvus import connections

        uri = str(tmp_path / "milvus.db")
        store = Milvus(
            embedding_function=embeddings.for_milvus(),
            connection_args={"uri": uri},
            index_params={"index_type": "SPARSE_INVERTED_INDEX", "metric_type": "IP"},
        )
        # The store asks pymilvus's older interface for a connection that pymilvus 2.6 made in the newer one alone.
        connections.connect(alias=store.alias, uri=uri)
        store.add_texts([*TEXTS, ""], [{"n": n} for n in range(len(TEXTS) + 1)])
        found = [(d.metadata["n"], score) for d, score in store.similarity_search_with_score("위성 궤도", k=3)]
        expected = found_by_us(encoder)
        assert [n for n, _ in found] == [n for n, _ in expected]
        assert [score for _, score in found] == pytest.approx([score for _, score in expected], rel=1e-4)
        assert [d.metadata["n"] for d in store.similarity_search("", k=3)] == [len(TEXTS)]  # nothing is like nothing
        connections.disconnect(store.alias)


@pytest.mark.parametrize("store", ["qdrant", "milvus"])
def test_without_the_store_the_error_holds_the_install_command(embeddings, monkeypatch, store):
    for name in [name for name in sys.modules if name.partition(".")[0] == f"langchain_{store}"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, f"langchain_{store}", None)
    with pytest.raises(OptionalDependencyError, match=f"pip install langchain-{store}"):
        getattr(embeddings, f"for_{store}")()
