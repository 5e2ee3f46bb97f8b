"""PixieVectorStore over the real engine and the bundled model."""

from __future__ import annotations

import asyncio
import copy
import datetime as dt
import json
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from llama_index.core.schema import Document, IndexNode, NodeRelationship, TextNode
from llama_index.core.vector_stores.types import (
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from pixie_retrievers import SparseRetriever
from pixie_retrievers.errors import (
    DuplicateIdError,
    FilterError,
    IncompatibleIndexError,
    IndexClosedError,
    IndexNotFoundError,
    InvalidDocumentError,
    InvalidParameterError,
)
from pixie_retrievers.llama_index import PixieRetriever, PixieVectorStore

QUERY = "지구 궤도를 도는 위성"
SPACE, FARM = "우주 책", "농사 책"


@pytest.fixture
def nodes(nodes):
    """The first two nodes are cut from one book, the third from another, the last from none."""
    for node, book in zip(nodes, [SPACE, SPACE, FARM], strict=False):
        node.relationships[NodeRelationship.SOURCE] = Document(text="책", id_=book).as_related_node_info()
    return nodes


@pytest.fixture
def store(nodes, encoder):
    with PixieVectorStore(encoder=encoder) as store:
        assert store.add(nodes) == [node.node_id for node in nodes]
        yield store


def sparse(text=QUERY, **options):
    return VectorStoreQuery(query_str=text, mode=VectorStoreQueryMode.SPARSE, **({"similarity_top_k": 10} | options))


def key(name, value, operator="=="):
    return MetadataFilters(filters=[MetadataFilter(key=name, value=value, operator=operator)])


class TestQuerying:
    def test_it_finds_what_the_retriever_finds_with_the_same_explanations(self, store):
        result = store.query(sparse())
        found = PixieRetriever(store.sparse_retriever, similarity_top_k=10).retrieve(QUERY)
        assert result.nodes == [hit.node for hit in found]
        assert result.similarities == [hit.score for hit in found]
        assert result.ids == [hit.node_id for hit in found]
        assert result.ids[:2] == ["orbit", "rocket"]
        assert all(node.metadata["token_explanations"] for node in result.nodes)

    async def test_asynchronously_it_finds_the_same(self, store):
        assert await store.aquery(sparse()) == store.query(sparse())

    @pytest.mark.parametrize("mode", [mode for mode in VectorStoreQueryMode if mode.value not in ("default", "sparse")])
    def test_a_mode_that_needs_dense_vectors_is_an_error_never_a_fallback(self, store, mode):
        with pytest.raises(InvalidParameterError, match=f"'{mode.value}'.*HybridRetriever"):
            store.query(VectorStoreQuery(query_str=QUERY, query_embedding=[0.5], mode=mode))

    def test_a_dense_vector_without_a_text_is_an_error_never_a_fallback(self, store):
        for mode in (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.SPARSE):
            with pytest.raises(InvalidParameterError, match="set query_str"):
                store.query(VectorStoreQuery(query_embedding=[0.5], mode=mode))

    def test_it_says_that_it_needs_no_dense_model(self, store):
        assert (store.is_embedding_query, store.stores_text) == (False, True)

    def test_top_k_and_an_empty_query(self, store):
        assert store.query(sparse(similarity_top_k=1)).ids == ["orbit"]
        assert store.query(sparse("")).ids == []
        assert store.query(sparse(similarity_top_k=1000)).ids == store.query(sparse()).ids

    @pytest.mark.parametrize(
        "setting",
        [
            {"alpha": 0.5},
            {"hybrid_top_k": 3},
            {"mmr_threshold": 0.5},
            {"output_fields": ["text"]},
            {"embedding_field": "dense"},
        ],
    )
    def test_a_setting_of_dense_stores_is_refused_and_never_swallowed(self, store, setting):
        with pytest.raises(InvalidParameterError, match=f"{next(iter(setting))}.*HybridRetriever"):
            store.query(sparse(**setting))

    def test_settings_that_mean_something_here_count(self, store):
        assert store.query(sparse(sparse_top_k=1)).ids == ["orbit"]
        assert store.query(sparse(alpha=0)).ids == store.query(sparse()).ids
        assert store.query(sparse(), top_k_tokens=0).nodes[0].metadata.keys() == {"field", "year", "tags"}
        best = store.query(sparse()).similarities[0]
        assert store.query(sparse(), score_threshold=best).ids == ["orbit"]

    async def test_what_nobody_knows_is_refused(self, store):
        for call in (
            lambda: store.query(sparse(), reranker="x"),
            lambda: store.add([], collection="x"),
            lambda: store.delete("x", collection="x"),
            lambda: store.delete_nodes(["x"], collection="x"),
        ):
            with pytest.raises(TypeError, match=r"does not take '(reranker|collection)'"):
                call()
        with pytest.raises(TypeError, match="collection"):
            await store.async_add([], collection="x")

    def test_explanations_can_be_shorter_or_off(self, nodes, encoder):
        with PixieVectorStore(encoder=encoder, top_k_tokens=0) as store:
            store.add(nodes)
            assert store.query(sparse(similarity_top_k=1)).nodes == [nodes[0]]
            store.top_k_tokens = 1
            assert len(store.query(sparse()).nodes[0].metadata["token_explanations"]) == 1

    def test_only_some_nodes_and_only_some_documents(self, store):
        query = f"{QUERY} 벼 논 빵 로켓"
        assert set(store.query(sparse(query)).ids) == {"orbit", "rocket", "rice", "bread"}
        assert set(store.query(sparse(query, node_ids=["rice", "rocket", "none"])).ids) == {"rice", "rocket"}
        assert set(store.query(sparse(query, doc_ids=[SPACE])).ids) == {"orbit", "rocket"}
        assert store.query(sparse(query, doc_ids=[SPACE, FARM], filters=key("field", "농업"))).ids == ["rice"]
        assert store.query(sparse(query, node_ids=["rice"], doc_ids=[SPACE])).ids == []
        assert set(store.query(sparse(query, node_ids=[], doc_ids=[])).ids) == {"orbit", "rocket", "rice", "bread"}

    def test_of_very_many_ids_only_the_nodes_under_them_count(self, store):
        many = [f"none {n}" for n in range(200)]
        everything = store.query(sparse(f"{QUERY} 벼 논 빵 로켓"))
        for some in (everything.ids, everything.ids[:2], everything.ids[1:], ["rice"], []):
            expected = [
                (id, score) for id, score in zip(everything.ids, everything.similarities, strict=True) if id in some
            ]
            for k in (10, 1):
                found = store.query(sparse(f"{QUERY} 벼 논 빵 로켓", node_ids=[*many, *some], similarity_top_k=k))
                assert list(zip(found.ids, found.similarities, strict=True)) == expected[:k]
        store.add([TextNode(id_="newer", text="인공위성은 지구 궤도를 돈다.")])
        assert "newer" not in store.query(sparse(node_ids=[*many, "orbit"])).ids
        passing = store.query(sparse("", node_ids=[*many, "rice", "orbit"], filters=key("year", 2020)))
        assert passing.ids == ["orbit", "rice"]

    def test_nested_filters_hold_before_the_best_are_taken(self, store):
        food = MetadataFilter(key="title", operator="text_match_insensitive", value="SOURDOUGH")
        old = MetadataFilters(filters=[key("field", "우주"), key("year", 2020, "<=")])
        either = MetadataFilters(filters=[food, old], condition="or")
        query = f"{QUERY} 벼 논 빵 로켓"
        assert set(store.query(sparse(query, filters=either)).ids) == {"orbit", "bread"}
        neither = MetadataFilters(filters=[either], condition="not")
        assert set(store.query(sparse(query, filters=neither)).ids) == {"rocket", "rice"}
        assert store.query(sparse(query, filters=key("tags", "발사", "contains"), similarity_top_k=1)).ids == ["rocket"]

    def test_filters_may_be_a_dict_or_a_callable(self, store):
        assert store.query(sparse(filters={"year": {"$gt": 2020}})).ids == ["rocket"]
        seen = []
        found = store.query(sparse(filters=lambda metadata: not seen.append(set(metadata)), doc_ids=[SPACE])).ids
        assert found == ["orbit", "rocket"]
        assert set().union(*seen) == {"field", "year", "tags"}
        with pytest.raises(FilterError):
            store.query(sparse(filters={"year": {"$near": 1}}))


class TestWriting:
    def test_nodes_come_back_as_they_went_in(self, store, nodes):
        assert store.get_nodes() == nodes
        assert store.get_nodes(["rice", "none", "orbit"]) == [nodes[2], nodes[0]]
        assert store.get_nodes(filters=key("field", "우주")) == nodes[:2]
        assert store.get_nodes(["rice", "orbit"], key("field", "우주")) == [nodes[0]]
        assert store.get_nodes([]) == []

    def test_a_node_is_replaced_by_its_id(self, store):
        store.add([TextNode(id_="orbit", text="보리는 밭에서 자란다.")])
        assert store.query(sparse(similarity_top_k=1)).ids == ["rocket"]

    def test_delete_takes_all_nodes_of_a_document(self, store, nodes):
        store.delete("nowhere")
        assert len(store.get_nodes()) == 4
        store.delete(SPACE)
        assert store.get_nodes() == nodes[2:]
        store.delete(SPACE)

    def test_nodes_are_deleted_by_id_by_filter_or_by_both(self, store, nodes):
        store.delete_nodes(["bread", "none"])
        store.delete_nodes(["orbit", "rice"], key("field", "농업"))
        assert store.get_nodes() == nodes[:2]
        store.delete_nodes(filters=key("year", 2023))
        assert store.get_nodes() == nodes[:1]
        with pytest.raises(InvalidParameterError, match="clear"):
            store.delete_nodes()
        store.delete_nodes([])
        assert store.get_nodes() == nodes[:1]

    def test_clear_leaves_a_store_that_takes_new_nodes(self, store, nodes):
        store.clear()
        assert (store.get_nodes(), store.query(sparse()).ids) == ([], [])
        store.clear()
        store.add(nodes[:1])
        assert store.query(sparse()).ids == ["orbit"]

    async def test_the_async_twins_do_the_same(self, encoder, nodes):
        with PixieVectorStore(encoder=encoder) as store:
            assert await store.async_add(nodes) == [node.node_id for node in nodes]
            assert await store.aget_nodes(["rice"]) == [nodes[2]]
            await store.adelete(SPACE)
            await store.adelete_nodes(filters=key("field", "농업"))
            assert await store.aget_nodes() == nodes[3:]
            await store.adelete_nodes(["bread"])
            await store.async_add(nodes[:1])
            await store.aclear()
            assert store.get_nodes() == []

    def test_bad_nodes_are_refused_and_nothing_is_stored(self, store):
        good = TextNode(id_="good", text="좋은 글")
        with pytest.raises(InvalidDocumentError):
            store.add([good, TextNode(id_="bad", text="글", metadata={"x": object()})])
        with pytest.raises(DuplicateIdError):
            store.add([good, good])
        assert store.get_nodes(["good"]) == []
        assert store.add([]) == []

    def test_dense_vectors_are_neither_stored_nor_changed(self, store):
        node = TextNode(id_="dense", text="글", embedding=[0.25])
        store.add([node])
        assert store.get_nodes(["dense"])[0].embedding is None
        assert node.embedding == [0.25]

    def test_an_empty_embedding_is_taken_from_what_was_stored(self, store):
        node, bad = TextNode(text="글", embedding=[]), TextNode(text="글", metadata={"x": object()}, embedding=[])
        with pytest.raises(InvalidDocumentError):
            store.add([node, bad])
        assert node.embedding == []
        store.add([node])
        assert node.embedding is None


class TestAsync:
    async def test_the_event_loop_goes_on_while_a_query_is_encoded(self, nodes, encoder):
        class Waiting:
            """The encoder, waiting for the event loop before each query."""

            go = threading.Event()

            def __getattr__(self, name):
                return getattr(encoder, name)

            def encode_queries(self, texts):
                assert self.go.wait(600)
                return encoder.encode_queries(texts)

        with PixieVectorStore(encoder=Waiting()) as store:
            store.add(nodes)
            running = asyncio.create_task(store.aquery(sparse()))
            await asyncio.sleep(0)
            Waiting.go.set()  # reached only by a loop that is free
            assert (await running).ids[0] == "orbit"


class TestKeeping:
    def test_a_file_is_opened_again_with_the_model_it_was_built_with(self, nodes, encoder, tmp_path):
        with PixieVectorStore(tmp_path / "corpus.db", encoder=encoder) as store:
            store.add(nodes)
            here = store.query(sparse())
        with PixieVectorStore(str(tmp_path / "corpus.db")) as store:
            assert store.query(sparse()) == here

    def test_serialised_it_is_a_path_and_a_fingerprint(self, nodes, encoder, tmp_path):
        with PixieVectorStore(tmp_path / "corpus.db", encoder=encoder, top_k_tokens=3) as store:
            store.add(nodes)
            here = store.query(sparse())
            dumped, pickled = store.to_json(), pickle.dumps(store)
        assert json.loads(dumped) == {
            "class_name": "PixieVectorStore",
            "path_or_index": str(tmp_path / "corpus.db"),
            "fingerprint": encoder.fingerprint,
            "weights": None,
            "top_k_tokens": 3,
            "queries": None,
        }
        assert len(pickled) < 2000
        for twin in (PixieVectorStore.from_json(dumped), pickle.loads(pickled)):
            with twin:
                assert twin.query(sparse()) == here
                assert twin.to_dict() == json.loads(dumped)

    def test_serialised_before_its_first_write_it_keeps_its_model_and_its_weights(self, nodes, encoder, tmp_path):
        with PixieVectorStore(tmp_path / "corpus.db", encoder=encoder, weights="uint8") as store:
            dumped = store.to_dict()
        with PixieVectorStore.from_dict(dumped) as twin:
            assert twin.sparse_retriever.encoder.fingerprint == encoder.fingerprint
            twin.add(nodes)
            assert twin.sparse_retriever.index.stats().weights == "uint8"
        with pytest.raises(IncompatibleIndexError, match="uint8"):
            PixieVectorStore(tmp_path / "corpus.db", encoder=encoder, weights="float32")

    def test_a_copy_is_the_same_store(self, store):
        for twin in (copy.copy(store), copy.deepcopy(store), store.model_copy(deep=True)):
            assert twin.sparse_retriever is store.sparse_retriever

    def test_another_model_than_the_files_is_refused(self, nodes, encoder, tmp_path):
        with PixieVectorStore(tmp_path / "corpus.db", encoder=encoder) as store:
            store.add(nodes)
            dumped = store.to_dict()
        with pytest.raises(IncompatibleIndexError):
            PixieVectorStore.from_dict(dumped | {"fingerprint": encoder.fingerprint.replace('"min_weight":0.0', "")})

    def test_a_temporary_store_is_persisted_as_a_copy_and_a_later_copy_takes_its_place(self, store, nodes, tmp_path):
        folder = tmp_path / "storage"
        store.persist(str(folder / "default__vector_store.json"))
        assert [path.name for path in folder.iterdir()] == ["default__vector_store.db"]
        with PixieVectorStore(folder / "default__vector_store.db") as kept:
            assert kept.get_nodes() == nodes
            kept.delete(FARM)  # its log lies beside the file when that is replaced
            store.delete(SPACE)
            store.persist(str(folder / "default__vector_store.json"))
            with PixieVectorStore(folder / "default__vector_store.db") as again:
                assert again.get_nodes() == nodes[2:]
        assert store.query(sparse("벼 논")).ids == ["rice"]

    def test_what_was_persisted_opens_by_its_folder_as_stores_of_llama_index_do(self, store, nodes, encoder, tmp_path):
        with pytest.raises(IndexNotFoundError, match="PixieVectorStore\\(file\\)"):
            PixieVectorStore.from_persist_dir(str(tmp_path))
        store.persist(str(tmp_path / "default__vector_store.json"))
        store.persist(str(tmp_path / "mine__vector_store.json"))
        with PixieVectorStore.from_persist_dir(str(tmp_path), encoder=encoder, top_k_tokens=0) as kept:
            assert (kept.get_nodes(), kept.top_k_tokens) == (nodes, 0)
        with PixieVectorStore.from_persist_dir(str(tmp_path), "mine") as kept:
            assert kept.get_nodes() == nodes

    def test_it_is_persisted_to_another_file_system_too(self, store, nodes, tmp_path):
        fs = DirFileSystem(str(tmp_path), LocalFileSystem())
        store.persist("default__vector_store.json", fs)
        with PixieVectorStore(tmp_path / "default__vector_store.db") as kept:
            assert kept.get_nodes() == nodes

    def test_nothing_is_persisted_where_nothing_is_or_where_every_write_is_kept_already(self, encoder, nodes, tmp_path):
        with PixieVectorStore(encoder=encoder) as empty, PixieVectorStore(tmp_path / "x.db", encoder=encoder) as kept:
            kept.add(nodes)
            for store in (empty, kept):
                store.persist(str(tmp_path / "storage" / "default__vector_store.json"))
        assert not (tmp_path / "storage").exists()

    def test_what_was_passed_in_stays_open(self, nodes, encoder):
        with SparseRetriever.open(encoder=encoder) as sparse_retriever:
            with PixieVectorStore(sparse_retriever) as store:
                store.add(nodes)
            assert len(sparse_retriever) == 4
            with pytest.raises(InvalidParameterError, match="encoder of its own"):
                PixieVectorStore(sparse_retriever, encoder=object())
            with pytest.raises(InvalidParameterError, match="leave weights out"):
                PixieVectorStore(sparse_retriever, weights="uint8")

    def test_wrong_settings_are_refused_and_the_file_is_let_go(self, encoder, tmp_path):
        with pytest.raises(InvalidParameterError, match="top_k_tokens"):
            PixieVectorStore(tmp_path / "corpus.db", encoder=encoder, top_k_tokens=-1)
        with PixieVectorStore(tmp_path / "corpus.db", encoder=encoder) as store:
            store.add([TextNode(text="글")])
        with pytest.raises(IndexClosedError):
            store.query(sparse())

    def test_the_retriever_reads_what_the_store_wrote_and_the_other_way_round(self, store, nodes):
        retriever = PixieRetriever.from_index(store.sparse_retriever)
        assert retriever.get_nodes(["orbit"]) == [nodes[0]]
        page = TextNode(id_="page", text="위성 사진 모음")
        retriever.add_nodes([IndexNode(id_="to page", text="달 탐사 요약", index_id="page", obj=page)])
        assert store.get_nodes(["to page"])[0].obj == page


class TestForeignMetadata:
    def test_is_stored_in_its_json_form_and_found_by_it(self, encoder, tmp_path):
        node = TextNode(
            id_="a", text="위성", metadata={"when": dt.date(2024, 5, 1), "n": np.int64(3), "seen": np.bool_(True)}
        )
        with PixieVectorStore(":memory:", encoder=encoder) as store:
            store.add([node])
            (found,) = store.get_nodes(filters=key("when", "2024-05-01"))
            assert found.metadata == {"when": "2024-05-01", "n": 3, "seen": True}
            assert type(found.metadata["seen"]) is bool
            assert store.get_nodes(filters=key("seen", np.bool_(True))) == [found]  # LlamaIndex makes it 1.0
            assert store.get_nodes(filters=key("seen", 0)) == []
            store.persist(str(tmp_path / "index.json"))
            assert (tmp_path / "index.db").exists()
        assert not Path(":memory:").exists()

    def test_that_cannot_be_stored_is_named_by_place_and_key(self, store):
        chunks = [TextNode(text="글", metadata={"source": "a.md", "page": n}) for n in range(40)]
        chunks[16].metadata["raw"] = {"bytes": b""}
        with pytest.raises(
            InvalidDocumentError, match=r"document 17, .*'source': 'a.md', 'page': 16.*metadata\['raw'\]\['bytes'\]"
        ):
            store.add(chunks)
