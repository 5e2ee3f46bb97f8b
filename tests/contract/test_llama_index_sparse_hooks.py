"""The hooks for LlamaIndex's stores for Qdrant and Milvus: with the stores themselves where they are installed."""

from __future__ import annotations

import asyncio
import sys
import threading
from abc import ABC, abstractmethod
from types import ModuleType

import pytest
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

from pixie_retrievers import SparseRetriever
from pixie_retrievers.errors import OptionalDependencyError
from pixie_retrievers.llama_index import milvus_sparse_function, qdrant_sparse_functions

QUERY = "지구를 도는 위성"
TEXTS = [
    "인공위성은 지구 궤도를 돌며 사진을 찍는다.",
    "로켓은 위성을 우주로 쏘아 올린다.",
    "벼는 물을 채운 논에서 자란다.",
]
MILVUS = "llama_index.vector_stores.milvus"


@pytest.fixture
def expected(encoder):
    """What our own index finds: texts and scores."""
    with SparseRetriever.open(encoder=encoder) as retriever:
        retriever.add_texts(TEXTS)
        return {result.document.text: pytest.approx(result.score, rel=1e-5) for result in retriever.search(QUERY)}


@pytest.fixture
def milvus_base(monkeypatch):
    """The class that Milvus's store asks for, or one of the same shape where that store is not installed."""
    try:
        from llama_index.vector_stores.milvus.utils import BaseSparseEmbeddingFunction
    except ImportError:

        class BaseSparseEmbeddingFunction(ABC):
            @abstractmethod
            def encode_queries(self, queries): ...

            @abstractmethod
            def encode_documents(self, documents): ...

        utils = ModuleType(f"{MILVUS}.utils")
        utils.BaseSparseEmbeddingFunction = BaseSparseEmbeddingFunction
        monkeypatch.setitem(sys.modules, MILVUS, ModuleType(MILVUS))
        monkeypatch.setitem(sys.modules, f"{MILVUS}.utils", utils)
    return BaseSparseEmbeddingFunction


def nodes():
    return [TextNode(text=text, embedding=[1.0, float(n)]) for n, text in enumerate(TEXTS)]


def found(result):
    return {node.text: score for node, score in zip(result.nodes, result.similarities, strict=True)}


def sparse(text):
    return VectorStoreQuery(query_str=text, mode=VectorStoreQueryMode.SPARSE, similarity_top_k=3, sparse_top_k=3)


def test_qdrants_functions_give_a_list_of_terms_and_one_of_weights_a_text(encoder):
    functions = qdrant_sparse_functions(encoder)
    texts = [TEXTS[0], "", TEXTS[1]]
    for name, vectors in (
        ("sparse_doc_fn", encoder.encode_documents(texts)),
        ("sparse_query_fn", encoder.encode_queries(texts)),
    ):
        indices, values = functions[name](texts)
        assert [dict(zip(*row, strict=True)) for row in zip(indices, values, strict=True)] == vectors.to_dicts()
        assert {type(term) for row in indices for term in row} == {int}


async def test_milvuss_function_gives_a_dict_a_text_and_leaves_the_event_loop_free(encoder, milvus_base):
    class Waiting:
        go = threading.Event()

        def encode_queries(self, texts):
            assert self.go.wait(600)
            return encoder.encode_queries(texts)

        def encode_documents(self, texts):
            return encoder.encode_documents(texts)

    function = milvus_sparse_function(Waiting())
    assert isinstance(function, milvus_base)
    running = asyncio.create_task(function.async_encode_queries(TEXTS))
    await asyncio.sleep(0)
    Waiting.go.set()  # reached only by a loop that is free
    assert await running == function.encode_queries(TEXTS) == encoder.encode_queries(TEXTS).to_dicts()
    assert await function.async_encode_documents(TEXTS) == function.encode_documents(TEXTS)
    assert function.encode_documents([]) == []


def test_milvus_is_never_given_a_vector_of_nothing_on_which_some_versions_fail(encoder, milvus_base):
    function = milvus_sparse_function(encoder)
    ((term, weight),) = function.encode_queries([""])[0].items()
    assert weight > 0
    assert function.encode_documents(["", TEXTS[0]]) == [
        {term: weight},
        *encoder.encode_documents(TEXTS[:1]).to_dicts(),
    ]
    assert all(term not in vector for vector in function.encode_documents(TEXTS))


def test_without_the_package_of_milvus_the_error_says_what_to_install(encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, f"{MILVUS}.utils", None)
    with pytest.raises(OptionalDependencyError, match="pip install llama-index-vector-stores-milvus"):
        milvus_sparse_function(encoder)


@pytest.mark.filterwarnings("ignore")  # the client's own
def test_qdrants_store_scores_as_our_index_does(encoder, expected):
    pytest.importorskip("llama_index.vector_stores.qdrant", reason="llama-index-vector-stores-qdrant is not installed")
    from llama_index.vector_stores.qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient

    client = QdrantClient(":memory:")
    store = QdrantVectorStore("corpus", client=client, enable_hybrid=True, **qdrant_sparse_functions(encoder))
    store.add(nodes())
    assert found(store.query(sparse(QUERY))) == expected
    assert not any(found(store.query(sparse(""))).values())  # a query of no token fails nowhere and matches nothing
    client.close()


@pytest.mark.filterwarnings("ignore")  # the client's own
def test_milvuss_store_scores_as_our_index_does(encoder, expected, tmp_path):
    pytest.importorskip(MILVUS, reason="llama-index-vector-stores-milvus is not installed")
    from llama_index.vector_stores.milvus import MilvusVectorStore

    store = MilvusVectorStore(
        str(tmp_path / "milvus.db"),
        dim=2,
        enable_sparse=True,
        sparse_embedding_function=milvus_sparse_function(encoder),
        sparse_index_config={"index_type": "SPARSE_INVERTED_INDEX", "metric_type": "IP"},
        use_async_client=False,
    )
    store.add(nodes())
    assert found(store.query(sparse(QUERY))) == expected
    assert found(store.query(sparse(""))) == {}
    store.client.close()
