"""What holds an index is handed to another process, or copied: the file is opened again, a copy shares the handle."""

from __future__ import annotations

import copy
import pickle

import pytest
from langchain_core.documents import Document

from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.langchain import HybridRetriever, PixieRetriever, PixieSparseEmbeddings, PixieVectorStore

DOCUMENTS = [Document("위성을 궤도에 올린다.", id="a"), Document("김치를 담근다.", id="b")]


def test_what_is_pickled_opens_its_index_again_with_its_options(encoder, tmp_path):
    with (
        PixieRetriever.from_documents(DOCUMENTS, encoder=encoder, path=tmp_path / "a.db", k=1) as retriever,
        PixieVectorStore.from_documents(DOCUMENTS, encoder=encoder, path=tmp_path / "b.db", top_k_tokens=3) as store,
    ):
        for one, find in (
            (retriever, lambda one: one.invoke("위성")),
            (HybridRetriever(retrievers=[retriever], k=1), lambda one: one.invoke("위성")),
            (store, lambda one: one.similarity_search("위성")),
        ):
            assert find(pickle.loads(pickle.dumps(one))) == find(one) != []


def test_a_deep_copy_shares_the_index(encoder):
    with PixieRetriever.from_documents(DOCUMENTS, encoder=encoder) as retriever:
        for twin in (copy.deepcopy(retriever), retriever.model_copy(deep=True)):
            assert twin.sparse_retriever is retriever.sparse_retriever
        assert copy.deepcopy(HybridRetriever(retrievers=[retriever])).invoke("위성")[0].id == "a"
    with PixieVectorStore.from_documents(DOCUMENTS, encoder=encoder) as store:
        assert copy.deepcopy(store).sparse_retriever is store.sparse_retriever


def test_a_temporary_index_is_not_pickled(encoder):
    with (
        PixieRetriever.from_documents(DOCUMENTS, encoder=encoder) as retriever,
        pytest.raises(InvalidParameterError, match="path"),
    ):
        pickle.dumps(retriever)


def test_embeddings_are_pickled_as_the_name_of_their_model(encoder):
    embeddings = PixieSparseEmbeddings(encoder)
    pickled = pickle.dumps(embeddings)
    assert len(pickled) < 2000
    assert pickle.loads(pickled).embed_query("위성") == embeddings.embed_query("위성")
