"""What may stand where an encoder is taken, by every door; and that mistakes are told before a model is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pixie_retrievers
from pixie_retrievers import (
    Document,
    FilterError,
    IncompatibleIndexError,
    InvalidParameterError,
    PixieEncoder,
    SparseRetriever,
    SqliteIndex,
    split_documents,
)
from pixie_retrievers.models import chosen_encoder
from pixie_retrievers.tools import ToolIndex

FOLDER = Path(pixie_retrievers.__file__).parent / "encoder/nano"


@pytest.fixture
def loaded(encoder, monkeypatch):
    """How often a model was loaded."""
    models = []
    monkeypatch.setattr(PixieEncoder, "bundled", lambda **options: (models.append(options), encoder)[1])
    monkeypatch.setattr(PixieEncoder, "from_fingerprint", lambda *_, **__: (models.append("index's"), encoder)[1])
    monkeypatch.setattr(PixieEncoder, "__init__", lambda *_, **__: models.append("other"))
    return models


@pytest.fixture
def path(encoder, tmp_path):
    with SparseRetriever.open(tmp_path / "corpus.db", encoder=encoder) as retriever:
        retriever.add_texts(["위성은 지구를 돈다."], ids=["a"])
    return tmp_path / "corpus.db"


def langchain():
    return pytest.importorskip("pixie_retrievers.langchain")


def llama_index():
    return pytest.importorskip("pixie_retrievers.llama_index")


DOORS = {
    "open": lambda path, encoder: SparseRetriever.open(path, encoder=encoder),
    "open a new one": lambda path, encoder: SparseRetriever.open(encoder=encoder),
    "from_index": lambda path, encoder: SparseRetriever.from_index(path, encoder=encoder),
    "the facade": lambda path, encoder: SparseRetriever(encoder, SqliteIndex(path)),
    "tools": lambda path, encoder: ToolIndex.open(encoder=encoder),
    "langchain from_texts": lambda path, encoder: langchain().PixieRetriever.from_texts(["위성"], encoder=encoder),
    "langchain from_index": lambda path, encoder: langchain().PixieRetriever.from_index(path, encoder=encoder),
    "langchain store": lambda path, encoder: langchain().PixieVectorStore(path, encoder=encoder),
    "langchain store from_texts": lambda path, encoder: langchain().PixieVectorStore.from_texts([], encoder=encoder),
    "llama_index from_nodes": lambda path, encoder: llama_index().PixieRetriever.from_nodes([], encoder=encoder),
    "llama_index store": lambda path, encoder: llama_index().PixieVectorStore(path, encoder=encoder),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_name_is_taken_wherever_an_encoder_is(door, path, encoder, loaded):
    with DOORS[door](path, "bundled") as opened:
        assert len(loaded) == 1
        assert getattr(opened, "sparse_retriever", opened).encoder is encoder


def test_encoders_alone_are_named_too(encoder, loaded):
    assert langchain().PixieSparseEmbeddings("bundled").encoder is encoder
    assert llama_index().PixieSparseEmbedding("bundled").encoder is encoder
    assert llama_index().qdrant_sparse_functions("bundled")["sparse_query_fn"](["위성"])
    assert [one.id for one in split_documents([Document("a", "글")], "bundled")] == ["a#1"]
    assert chosen_encoder(encoder, "anything") is encoder
    assert loaded == [{}] * 4


def test_a_named_model_takes_the_thresholds_of_the_index_it_is_for(tmp_path, path):
    narrow = PixieEncoder.bundled(max_active_terms=8, max_length=64)
    with SparseRetriever.open(tmp_path / "narrow.db", encoder=narrow) as retriever:
        retriever.add_texts(["위성은 지구를 돈다."])
    with SparseRetriever.from_index(tmp_path / "narrow.db", encoder="bundled") as retriever:
        assert retriever.encoder.max_length == 64
    folder = PixieEncoder(FOLDER)
    assert chosen_encoder(str(FOLDER)).fingerprint == chosen_encoder(FOLDER).fingerprint == folder.fingerprint


def test_the_langchain_store_opens_a_path_and_closes_it(path, encoder, tmp_path):
    with langchain().PixieVectorStore(path) as store:  # with the model that the index names
        assert store.similarity_search("위성")[0].id == "a"
    with langchain().PixieVectorStore(str(tmp_path / "new.db"), encoder=encoder) as store:
        store.add_texts(["벼"], ids=["b"])
    with langchain().PixieVectorStore(tmp_path / "new.db", encoder=encoder) as store:
        assert store.ids() == ["b"]
        with pytest.raises(InvalidParameterError, match="leave encoder out"):
            langchain().PixieVectorStore(store.sparse_retriever, encoder=encoder)


MISTAKES = {
    "weights": (InvalidParameterError, "weights is 'int3'", lambda _: SparseRetriever.open(weights="int3")),
    "fields": (InvalidParameterError, "text_fields", lambda _: SparseRetriever.open(text_fields=("title",))),
    "tools": (InvalidParameterError, "k is 0", lambda _: ToolIndex.open(k=0)),
    "langchain name": (TypeError, "'topk'", lambda _: langchain().PixieRetriever.from_texts([], topk=1)),
    "langchain k": (InvalidParameterError, "k is 0", lambda _: langchain().PixieRetriever.from_texts([], k=0)),
    "langchain index": (TypeError, "'topk'", lambda path: langchain().PixieRetriever.from_index(path, topk=1)),
    "langchain filter": (
        FilterError,
        "near",
        lambda path: langchain().PixieRetriever.from_index(path, filter={"n": {"$near": 1}}),
    ),
    "langchain store": (
        InvalidParameterError,
        "top_k_tokens",
        lambda path: langchain().PixieVectorStore.from_index(path, top_k_tokens=-1),
    ),
    "langchain store name": (TypeError, "'k'", lambda _: langchain().PixieVectorStore.from_documents([], k=1)),
    "llama_index name": (TypeError, "'topk'", lambda _: llama_index().PixieRetriever.from_nodes([], topk=1)),
    "llama_index k": (
        InvalidParameterError,
        "similarity_top_k is 0",
        lambda _: llama_index().PixieRetriever.from_documents([], similarity_top_k=0),
    ),
    "llama_index index": (TypeError, "'k'", lambda path: llama_index().PixieRetriever.from_index(path, k=1)),
    "llama_index filters": (
        FilterError,
        "near",
        lambda path: llama_index().PixieRetriever.from_index(path, filters={"n": {"$near": 1}}),
    ),
    "llama_index store": (TypeError, "'k'", lambda path: llama_index().PixieVectorStore(path, k=1)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_before_a_model_is_loaded(mistake, path, loaded):
    error, message, call = MISTAKES[mistake]
    with pytest.raises(error, match=message):
        call(path)
    assert loaded == []


def test_a_message_names_nothing_that_cannot_be_passed(path):
    with pytest.raises(TypeError) as caught:
        langchain().PixieRetriever.from_texts([], topk=1)
    assert "sparse_retriever" not in str(caught.value)


def test_an_encoder_of_another_model_is_refused(path):
    other = PixieEncoder.bundled(max_length=64)
    with pytest.raises(IncompatibleIndexError):
        SparseRetriever.from_index(path, encoder=other)
    with SqliteIndex(path.with_name("other.db"), vocabulary_size=9, fingerprint="stand-in") as index:
        with pytest.raises(IncompatibleIndexError, match="'stand-in' was not written by PixieEncoder"):
            SparseRetriever("bundled", index)
        with pytest.raises(InvalidParameterError, match="the index is of type str"):
            SparseRetriever(other, "PIXIE")
    for encoder in (5, b"bundled"):
        with pytest.raises(InvalidParameterError, match=f"the encoder is of type {type(encoder).__name__}"):
            SparseRetriever.from_index(path, encoder=encoder)


def test_numpys_numbers_are_numbers(path, encoder):
    three = np.int64(3)
    with SparseRetriever.from_index(path, encoder=encoder) as retriever:
        assert len(retriever.search("위성", three, top_k_tokens=three, score_threshold=np.float32(0.1))) == 1
        assert retriever.ids(limit=three, offset=np.int32(0)) == ["a"]
        assert langchain().PixieVectorStore(retriever, top_k_tokens=three).similarity_search("위성", k=three)
        for made in (
            langchain().PixieRetriever(sparse_retriever=retriever, k=three).k,
            langchain().HybridRetriever(retrievers=[langchain().PixieRetriever(sparse_retriever=retriever)], k=three).k,
            llama_index().PixieRetriever(retriever, similarity_top_k=three).similarity_top_k,
            llama_index().PixieRetriever(retriever, top_k_tokens=three).top_k_tokens,
        ):
            assert (made, type(made)) == (3, int)
