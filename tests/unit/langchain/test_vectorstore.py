"""What the vector store translates, over a toy encoder whose scores can be counted by hand."""

from __future__ import annotations

import asyncio
import datetime as dt
import tempfile
from pathlib import Path

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import FakeEmbeddings
from langchain_core.load import dumps

from pixie_retrievers.errors import (
    FilterError,
    IncompatibleIndexError,
    IndexClosedError,
    InvalidDocumentError,
    InvalidParameterError,
    InvalidTextError,
)
from pixie_retrievers.index.opening import open_index
from pixie_retrievers.langchain import PixieVectorStore
from pixie_retrievers.retriever import SparseRetriever

TEXTS = ["위성 위성 위성", "위성 위성 발사", "위성 농업", "농업 농업"]
METADATAS = [{"year": 2019}, {"year": 2020}, {"year": 2021}, {"year": 2022}]
IDS = ["a", "b", "c", "d"]


@pytest.fixture
def store(words):
    with PixieVectorStore.from_texts(TEXTS, None, METADATAS, ids=IDS, encoder=words) as store:
        yield store


def ids(documents):
    return [document.id for document in documents]


class TestSearch:
    def test_returns_documents_as_they_were_stored_without_explanations(self, store):
        assert store.similarity_search("위성", k=2, top_k_tokens=0) == [
            Document("위성 위성 위성", id="a", metadata={"year": 2019}),
            Document("위성 위성 발사", id="b", metadata={"year": 2020}),
        ]

    def test_has_scores_beside_the_documents(self, store):
        assert [(d.id, score) for d, score in store.similarity_search_with_score("위성")] == [
            ("a", 3.0),
            ("b", 2.0),
            ("c", 1.0),
        ]

    def test_explains_what_it_finds(self, store, words):
        found = store.similarity_search("위성 발사", k=1)[0]
        assert found.metadata["score"] == sum(one["contribution"] for one in found.metadata["token_explanations"]) == 3
        explaining = PixieVectorStore(store.sparse_retriever, top_k_tokens=1)
        assert len(explaining.similarity_search("위성 발사")[1].metadata["token_explanations"]) == 1
        assert explaining.similarity_search("위성", top_k_tokens=0)[0].metadata == {"year": 2019}

    def test_knows_when_nothing_matches(self, store):
        assert store.similarity_search("바다") == []
        assert store.similarity_search("") == []

    def test_fills_up_at_score_zero_when_asked(self, store):
        filling = PixieVectorStore(store.sparse_retriever, fill=True)
        found = filling.similarity_search_with_score("농업", k=4)
        assert [(d.id, score) for d, score in found] == [("d", 2.0), ("c", 1.0), ("a", 0.0), ("b", 0.0)]
        assert ids(filling.similarity_search("바다", k=2, filter={"year": {"$gte": 2021}})) == ["c", "d"]
        assert ids(filling.similarity_search("농업", k=4, score_threshold=0.5)) == ["d", "c"]
        assert filling.similarity_search("바다", k=1, top_k_tokens=3)[0].metadata == {
            "year": 2019,
            "score": 0.0,
            "token_explanations": [],
            "token_explanations_residual": 0.0,
            "token_explanations_n_tokens": 0,
        }
        assert len(filling.similarity_search("위성", k=99)) == 4

    def test_takes_a_filter_before_the_best_are_taken(self, store):
        assert ids(store.similarity_search("위성", k=1, filter={"year": {"$gt": 2019}})) == ["b"]
        assert ids(store.similarity_search("위성", filter=lambda metadata: metadata["year"] == 2021)) == ["c"]

    def test_finds_nothing_when_nothing_passes_the_filter(self, store):
        filling = PixieVectorStore(store.sparse_retriever, fill=True)
        for one in (store, filling):
            assert one.similarity_search("위성", filter={"year": 1900}) == []
            assert one.max_marginal_relevance_search("위성", filter={"year": 1900}) == []

    def test_relevance_is_a_number_from_zero_to_one_in_the_order_of_scores(self, store):
        found = store.similarity_search_with_relevance_scores("위성")
        assert [(d.id, relevance) for d, relevance in found] == [("a", 3 / 4), ("b", 2 / 3), ("c", 1 / 2)]
        assert ids(d for d, _ in store.similarity_search_with_relevance_scores("위성", score_threshold=0.6)) == [
            *("a", "b")
        ]

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"k": 0}, InvalidParameterError),
            ({"top_k_tokens": -1}, InvalidParameterError),
            ({"score_threshold": "high"}, InvalidParameterError),
            ({"filter": {"year": {"$near": 1}}}, FilterError),
            ({"nonsense": 1}, TypeError),
        ],
    )
    def test_refuses_what_means_nothing(self, store, options, error):
        with pytest.raises(error):
            store.similarity_search("위성", **options)

    @pytest.mark.parametrize("query", [None, 7, ["위성"], {"question": "위성"}])
    def test_refuses_a_query_that_is_not_a_string(self, store, query):
        for search in (store.similarity_search, store.max_marginal_relevance_search):
            with pytest.raises(InvalidTextError, match="not a string"):
                search(query)

    def test_can_be_diverse(self, words):
        texts = ["위성 위성 발사", "위성 위성 발사 발사", "위성 농업"]
        with PixieVectorStore.from_texts(texts, ids=["a", "b", "c"], encoder=words) as store:
            assert ids(store.similarity_search("위성 발사", k=2)) == ["b", "a"]
            assert ids(store.max_marginal_relevance_search("위성 발사", k=2, lambda_mult=0.2)) == ["b", "c"]
            assert ids(store.max_marginal_relevance_search("위성 발사", k=2, lambda_mult=1)) == ["b", "a"]
            found = store.max_marginal_relevance_search("위성", k=1, top_k_tokens=3)[0]
            assert found.metadata["token_explanations"]
            with pytest.raises(InvalidParameterError, match="lambda_mult"):
                store.max_marginal_relevance_search("위성", lambda_mult=2)
            with pytest.raises(TypeError, match="nonsense"):
                store.max_marginal_relevance_search("위성", nonsense=1)


class TestAsRetriever:
    """A sparse store demands no dense embedding to be a retriever."""

    def test_takes_k_filter_and_threshold(self, store):
        assert len(store.as_retriever().invoke("위성")) == 3
        assert ids(store.as_retriever(search_kwargs={"k": 1}).invoke("위성")) == ["a"]
        filtered = store.as_retriever(search_kwargs={"filter": {"year": {"$gte": 2020}}, "score_threshold": 2})
        assert ids(filtered.invoke("위성")) == ["b"]
        assert ids(filtered.invoke("위성", filter={"year": 2019})) == ["a"]

    def test_takes_every_search_type(self, store):
        threshold = store.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.7})
        assert ids(threshold.invoke("위성")) == ["a"]
        diverse = store.as_retriever(search_type="mmr", search_kwargs={"k": 2, "fetch_k": 3, "lambda_mult": 0.5})
        assert len(diverse.invoke("위성")) == 2

    async def test_says_the_same_without_blocking(self, store):
        for options in (
            {"search_kwargs": {"k": 2}},
            {"search_type": "mmr"},
            {"search_type": "similarity_score_threshold", "search_kwargs": {"score_threshold": 0.6}},
        ):
            retriever = store.as_retriever(**options)
            assert await retriever.ainvoke("위성") == retriever.invoke("위성")

    def test_serialises_no_open_handle(self, store):
        assert "not_implemented" in dumps(store.as_retriever())
        assert store.as_retriever()._get_ls_params()["ls_vector_store_provider"] == "PixieVectorStore"


class TestDocuments:
    def test_are_added_replaced_got_and_deleted(self, store):
        assert store.add_documents([Document("발사 발사", id="e"), Document("발사", id="a")]) == ["e", "a"]
        assert ids(store.similarity_search("발사")) == ["e", "b", "a"]
        assert store.get_by_ids(["e", "nobody", "a"]) == [Document("발사 발사", id="e"), Document("발사", id="a")]
        assert store.delete(["e", "nobody"]) is True
        assert store.get_by_ids(["e"]) == []

    def test_ids_given_beside_documents_take_the_place_of_theirs(self, store):
        assert store.add_documents([Document("발사", id="x")], ids=["y"], batch_size=10) == ["y"]
        assert ids(store.get_by_ids(["x", "y"])) == ["y"]

    def test_none_removes_all_and_an_empty_list_none(self, store):
        assert store.delete([]) is True
        assert len(store.sparse_retriever) == 4
        assert store.delete() is True
        assert len(store.sparse_retriever) == 0
        assert store.similarity_search("위성") == []

    def test_that_came_from_a_search_lose_what_it_added(self, store):
        store.add_documents(store.similarity_search("위성", k=1, top_k_tokens=3))
        assert store.get_by_ids(["a"])[0].metadata == {"year": 2019}

    def test_that_cannot_be_stored_raise_and_nothing_is_stored(self, store):
        with pytest.raises(InvalidDocumentError):
            store.add_documents([Document("발사", id="e"), Document("발사", id="f", metadata={"x": object()})])
        assert len(store.sparse_retriever) == 4
        with pytest.raises(TypeError, match="nonsense"):
            store.add_texts(["발사"], nonsense=1)

    async def test_are_handled_without_blocking(self, store, words):
        words.gate.clear()
        words.waiting.clear()
        adding = asyncio.create_task(store.aadd_documents([Document("발사 발사", id="e")]))
        assert await asyncio.to_thread(words.waiting.wait, 20)
        words.gate.set()
        assert await adding == ["e"]
        assert await store.aadd_texts(["바다"], [{"year": 1}], ids=["f"]) == ["f"]
        assert ids(await store.aget_by_ids(["f"])) == ["f"]
        assert ids(await store.asimilarity_search("발사")) == ["e", "b"]
        assert [score for _, score in await store.asimilarity_search_with_score("발사")] == [2.0, 1.0]
        assert ids(await store.amax_marginal_relevance_search("발사", k=1)) == ["e"]
        assert await store.adelete(["e"]) is True

    async def test_the_event_loop_keeps_running_while_a_query_is_encoded(self, store, words):
        words.gate.clear()
        words.waiting.clear()
        searching = asyncio.create_task(store.asimilarity_search("위성"))
        assert await asyncio.to_thread(words.waiting.wait, 20)
        assert not searching.done()
        words.gate.set()
        assert len(await searching) == 3


class TestConstructors:
    def test_need_no_embedding_and_refuse_one(self, words):
        with pytest.raises(InvalidParameterError, match="takes no dense embedding"):
            PixieVectorStore.from_texts(TEXTS, FakeEmbeddings(size=3), encoder=words)
        with PixieVectorStore.from_texts(TEXTS, encoder=words) as store:
            assert store.embeddings is None

    async def test_take_documents_and_have_async_twins(self, words):
        documents = [Document(text, id=id) for text, id in zip(TEXTS, IDS, strict=True)]
        for store in (
            PixieVectorStore.from_documents(documents, encoder=words),
            await PixieVectorStore.afrom_documents(documents, encoder=words),
            await PixieVectorStore.afrom_texts(TEXTS, ids=IDS, encoder=words),
        ):
            with store:
                assert ids(store.similarity_search("위성")) == ["a", "b", "c"]

    def test_open_an_index_and_close_what_they_opened(self, words, tmp_path):
        path = tmp_path / "corpus.db"
        PixieVectorStore.from_texts(TEXTS, ids=IDS, encoder=words, path=path).close()
        with PixieVectorStore.from_index(path, encoder=words) as store:
            assert ids(store.similarity_search("위성", k=1)) == ["a"]
        with pytest.raises(IndexClosedError):
            store.similarity_search("위성")
        with open_index(path) as index, SparseRetriever.open(path, encoder=words) as facade:
            PixieVectorStore.from_index(index, encoder=words).close()
            PixieVectorStore(facade).close()
            assert len(index) == len(facade) == 4

    def test_choose_how_a_new_index_stores_weights(self, words, tmp_path):
        path = tmp_path / "corpus.db"
        with PixieVectorStore.from_texts(TEXTS, encoder=words, path=path, weights="float16") as store:
            assert store.sparse_retriever.index.stats().weights == "float16"
        with pytest.raises(IncompatibleIndexError, match="float16"):
            PixieVectorStore.from_documents([Document("위성")], encoder=words, path=path, weights="uint8")

    @pytest.mark.parametrize("bad", [{"metadatas": [{"x": {1, 2}}]}, {"ids": [""]}, {"top_k_tokens": -1}])
    def test_leave_no_temporary_index_when_they_fail(self, words, tmp_path, monkeypatch, bad):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        with pytest.raises(ValueError):
            PixieVectorStore.from_texts(["위성"], encoder=words, **bad)
        assert list(tmp_path.iterdir()) == []


class TestForeignMetadata:
    def test_is_stored_in_its_json_form(self, words):
        document = Document(
            "위성", id="a", metadata={"when": dt.date(2024, 5, 1), "n": np.int64(3), "seen": np.bool_(True)}
        )
        with PixieVectorStore.from_documents([document], encoder=words, path=":memory:") as store:
            found = store.get_by_ids(["a"])[0]
            assert found.metadata == {"when": "2024-05-01", "n": 3, "seen": True}
            assert [type(value) for value in found.metadata.values()] == [str, int, bool]
        assert not Path(":memory:").exists()

    def test_that_cannot_be_stored_is_named_by_place_and_key(self, words):
        chunks = [Document("위성", metadata={"source": "a.md", "page": n}) for n in range(40)]
        chunks[16].metadata["raw"] = {"bytes": b""}
        with pytest.raises(
            InvalidDocumentError, match=r"document 17, .*'source': 'a.md', 'page': 16.*metadata\['raw'\]\['bytes'\]"
        ):
            PixieVectorStore.from_documents(chunks, encoder=words)
