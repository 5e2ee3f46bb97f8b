"""PixieVectorStore inside LlamaIndex's own machinery: indices, storage contexts, ingestion pipelines."""

from __future__ import annotations

import json

import pytest
from engines.fixtures import new_location, server_engines
from llama_index.core import MockEmbedding, Settings, StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.base.llms.types import CompletionResponse
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.retrievers import QueryFusionRetriever, VectorIndexAutoRetriever, VectorIndexRetriever
from llama_index.core.schema import Document, IndexNode, QueryBundle, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    MetadataInfo,
    VectorStoreInfo,
    VectorStoreQuery,
)

from pixie_retrievers.errors import InvalidParameterError
from pixie_retrievers.llama_index import PixieRetriever, PixieVectorStore, SparseOnly

QUERY = "지구를 도는 위성"
TEXTS = {
    "orbit": "인공위성은 지구 궤도를 돌며 사진을 찍는다.",
    "rocket": "로켓은 위성을 우주로 쏘아 올린다.",
    "rice": "벼는 물을 채운 논에서 자란다.",
}


class Counting:
    """The encoder, keeping every text that it encoded as a document."""

    def __init__(self, encoder):
        self._encoder = encoder
        self.texts = []

    def __getattr__(self, name):
        return getattr(self._encoder, name)

    def encode_documents(self, texts, *, show_progress=False):
        self.texts += texts
        return self._encoder.encode_documents(texts, show_progress=show_progress)


@pytest.fixture(autouse=True)
def no_dense_model(monkeypatch):
    """Whatever asks for the default embedding model fails: it would be an API's."""
    monkeypatch.setattr(Settings, "_embed_model", None)
    monkeypatch.setattr("llama_index.core.settings.resolve_embed_model", lambda *_, **__: pytest.fail("a dense model"))


@pytest.fixture
def documents():
    return [Document(text=text, id_=id, metadata={"길이": len(text)}) for id, text in TEXTS.items()]


@pytest.fixture(params=["sqlite", *server_engines()])
def location(request, tmp_path):
    return new_location(request, tmp_path)


@pytest.fixture
def store(encoder, location):
    with PixieVectorStore(location, encoder=encoder) as store:
        yield store


def ids(found):
    return [hit.node.ref_doc_id or hit.node_id for hit in found]


def context(store):
    return StorageContext.from_defaults(vector_store=store)


class TestVectorStoreIndex:
    @pytest.fixture
    def index(self, store, documents):
        return VectorStoreIndex.from_documents(
            documents,
            storage_context=context(store),
            transformations=[SentenceSplitter()],
            embed_model=SparseOnly(),
        )

    @pytest.mark.parametrize("mode", ["default", "sparse"])
    async def test_it_retrieves_with_explanations_and_without_a_dense_model(self, index, mode):
        retriever = index.as_retriever(vector_store_query_mode=mode, similarity_top_k=3)
        found = retriever.retrieve(QUERY)
        assert ids(found) == ["orbit", "rocket"]
        assert all(hit.metadata["token_explanations"] for hit in found)
        assert [(hit.node_id, hit.score) for hit in await retriever.aretrieve(QUERY)] == [
            (hit.node_id, hit.score) for hit in found
        ]

    def test_a_mode_that_is_not_sparse_is_an_error(self, index):
        for mode in ("hybrid", "text_search", "mmr"):
            with pytest.raises(InvalidParameterError, match=mode):
                index.as_retriever(vector_store_query_mode=mode).retrieve(QUERY)

    def test_filters_reach_the_index(self, index):
        long = MetadataFilters(filters=[MetadataFilter(key="길이", operator=FilterOperator.LT, value=22)])
        assert ids(index.as_retriever(filters=long).retrieve(QUERY)) == ["rocket"]

    def test_a_query_engine_answers_with_explained_sources(self, index):
        response = index.as_query_engine(llm=MockLLM()).query(QUERY)
        assert TEXTS["orbit"] in str(response)  # the mock answers with its prompt
        assert "token_explanations" not in str(response)
        assert all(hit.metadata["token_explanations"] for hit in response.source_nodes)

    @pytest.mark.filterwarnings("ignore:Call to deprecated method get_doc_id")  # older versions of core, to themselves
    def test_documents_are_inserted_updated_and_deleted(self, index, store):
        index.insert(Document(text="기상 위성은 지구의 구름을 지켜본다.", id_="weather"))
        retriever = index.as_retriever(similarity_top_k=5)
        assert set(ids(retriever.retrieve(QUERY))) == {"orbit", "rocket", "weather"}
        index.update_ref_doc(Document(text="보리는 밭에서 자란다.", id_="weather"))
        assert set(ids(retriever.retrieve(QUERY))) == {"orbit", "rocket"}
        index.delete_ref_doc("orbit")
        index.delete_nodes([node.node_id for node in store.get_nodes() if node.ref_doc_id == "rocket"])
        assert retriever.retrieve(QUERY) == []
        assert {node.ref_doc_id for node in store.get_nodes()} == {"rice", "weather"}

    async def test_documents_are_inserted_and_deleted_asynchronously(self, index):
        await index.ainsert_nodes([TextNode(id_="moon", text="달은 지구를 도는 위성이다.")])
        await index.adelete_ref_doc("orbit")
        assert set(ids(await index.as_retriever().aretrieve(QUERY))) == {"moon", "rocket"}

    def test_a_storage_context_is_persisted_and_loaded(self, index, store, location, tmp_path):
        index.set_index_id("글")
        before = index.as_retriever().retrieve(QUERY)
        index.storage_context.persist(persist_dir=tmp_path / "storage")
        store.close()
        with PixieVectorStore(location) as again:
            loaded = load_index_from_storage(
                StorageContext.from_defaults(vector_store=again, persist_dir=str(tmp_path / "storage")),
                index_id="글",
                embed_model=SparseOnly(),
            )
            assert loaded.as_retriever().retrieve(QUERY) == before
            fresh = VectorStoreIndex.from_vector_store(again, embed_model=SparseOnly())
            assert fresh.as_retriever().retrieve(QUERY) == before

    def test_a_temporary_store_is_persisted_with_the_rest_and_loaded(self, encoder, documents, tmp_path):
        with PixieVectorStore(encoder=encoder) as store:
            index = VectorStoreIndex.from_documents(
                documents,
                storage_context=context(store),
                embed_model=SparseOnly(),
                transformations=[SentenceSplitter()],
            )
            before = index.as_retriever().retrieve(QUERY)
            index.storage_context.persist(persist_dir=tmp_path)
        with PixieVectorStore(tmp_path / "default__vector_store.db") as again:
            storage_context = StorageContext.from_defaults(vector_store=again, persist_dir=str(tmp_path))
            loaded = load_index_from_storage(storage_context, embed_model=SparseOnly())
            assert loaded.as_retriever().retrieve(QUERY) == before

    @pytest.mark.parametrize("include_original", [False, True])
    async def test_a_hypothetical_answer_is_searched_in_place_of_the_query(self, index, store, include_original):
        bundle = QueryBundle(QUERY, custom_embedding_strs=["벼 논", *([QUERY] if include_original else [])])
        expected = PixieRetriever(store.sparse_retriever).retrieve(bundle)
        assert ids(expected)[0] == "rice"
        retriever = index.as_retriever()
        assert retriever.retrieve(bundle) == expected
        assert await retriever.aretrieve(bundle) == expected
        fusion = QueryFusionRetriever([retriever, retriever], llm=MockLLM(), num_queries=1, use_async=False)
        assert ids(fusion.retrieve(bundle)) == ids(expected)
        assert ids(retriever.retrieve(QUERY)) == ["orbit", "rocket"]
        assert store.query(VectorStoreQuery(query_str=QUERY)).ids == [retriever.retrieve(QUERY)[0].node_id]

    def test_a_failed_retrieval_leaves_nothing_of_its_query_behind(self, index, store):
        bundle = QueryBundle(QUERY, custom_embedding_strs=["벼 논"])
        with pytest.raises(InvalidParameterError):
            index.as_retriever(vector_store_query_mode="mmr").retrieve(bundle)
        assert store.query(VectorStoreQuery(query_str=QUERY)).ids == [index.as_retriever().retrieve(QUERY)[0].node_id]

    async def test_show_progress_reaches_what_encodes(self, encoder, documents, monkeypatch):
        shown = []

        with PixieVectorStore(encoder=encoder) as store:
            add = store.sparse_retriever.add
            monkeypatch.setattr(
                store.sparse_retriever,
                "add",
                lambda documents, *, show_progress: (shown.append(show_progress), add(documents))[1],
            )
            options = {"storage_context": context(store), "embed_model": SparseOnly()}
            index = VectorStoreIndex(documents, show_progress=True, **options)
            VectorStoreIndex(documents, show_progress=True, use_async=False, **options)
            index.insert_nodes(documents[:1])
            store.add(documents)
            quiet = VectorStoreIndex(documents, **options)
            quiet.insert_nodes(documents, show_progress=True)
            await index.ainsert_nodes(documents)
            index._show_progress = True
            await index._async_add_nodes_to_index(index.index_struct, documents, show_progress=True)
        assert shown == [True, True, False, False, False, True, False, True]

    async def test_a_model_that_writes_a_filter_and_no_query_gets_what_passes(self, index):
        class Writing(MockLLM):
            def complete(self, *_, **__):
                return CompletionResponse(
                    text=json.dumps(
                        {"query": "", "filters": [{"key": "길이", "operator": "<", "value": 22}], "top_k": None}
                    )
                )

            async def acomplete(self, *_, **__):
                return self.complete()

        about = VectorStoreInfo(
            content_info="글", metadata_info=[MetadataInfo(name="길이", type="int", description="글자 수")]
        )
        auto = VectorIndexAutoRetriever(index, vector_store_info=about, llm=Writing())
        for found in (auto.retrieve("짧은 글을 모두"), await auto.aretrieve("짧은 글을 모두")):
            assert [(hit.node.ref_doc_id, hit.score) for hit in found] == [("rocket", 0.0), ("rice", 0.0)]
            assert found[0].metadata["token_explanations"] == []

    def test_a_setting_for_one_query_reaches_the_store(self, index):
        bare = index.as_retriever(vector_store_kwargs={"top_k_tokens": 0})
        assert all("token_explanations" not in hit.metadata for hit in bare.retrieve(QUERY))
        with pytest.raises(TypeError, match="'fast'"):
            index.as_retriever(vector_store_kwargs={"fast": True}).retrieve(QUERY)

    def test_nodes_that_the_index_keeps_itself_are_all_found(self, store, documents):
        index = VectorStoreIndex(
            documents, storage_context=context(store), embed_model=SparseOnly(), store_nodes_override=True
        )
        store.add([TextNode(id_="elsewhere", text=TEXTS["orbit"])])  # no node of this index
        assert ids(index.as_retriever().retrieve(QUERY)) == ["orbit", "rocket"]

    def test_index_nodes_give_way_to_their_objects(self, store):
        page = TextNode(id_="page", text="위성에 관한 긴 글 전체")
        nodes = [
            IndexNode(id_="to page", text="지구 위성 요약", index_id="page", obj=page),
            TextNode(id_="orbit", text=TEXTS["orbit"]),
        ]
        index = VectorStoreIndex(nodes, storage_context=context(store), embed_model=SparseOnly())
        # Not index.as_retriever(): it asks for those nodes alone that its docstore has, which are the IndexNodes.
        found = VectorIndexRetriever(index, similarity_top_k=5).retrieve(QUERY)
        assert set(ids(found)) == {"page", "orbit"}


class TestIngestion:
    def test_what_a_pipeline_stored_may_go_on_into_a_dense_index(self, store, documents):
        nodes = IngestionPipeline(transformations=[SentenceSplitter(), SparseOnly()], vector_store=store).run(
            documents=documents
        )
        assert [node.embedding for node in nodes] == [None] * 3
        dense = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=4))
        assert {hit.node.ref_doc_id for hit in dense.as_retriever(similarity_top_k=3).retrieve(QUERY)} == set(TEXTS)

    def test_a_whole_document_that_is_gone_goes_too(self, store, documents):
        pipeline = IngestionPipeline(
            transformations=[SparseOnly()],
            vector_store=store,
            docstore=SimpleDocumentStore(),
            docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
        )
        pipeline.run(documents=documents)
        pipeline.run(documents=documents[:1])
        assert [node.node_id for node in store.get_nodes()] == ["orbit"]

    def test_one_pipeline_serves_a_dense_index_and_the_store(self, store, documents):
        pipeline = IngestionPipeline(
            transformations=[SentenceSplitter(), MockEmbedding(embed_dim=4)], vector_store=store
        )
        nodes = pipeline.run(documents=documents)
        assert all(len(node.embedding) == 4 for node in nodes)
        assert {node.node_id for node in store.get_nodes()} == {node.node_id for node in nodes}

    @pytest.mark.new_process
    @pytest.mark.parametrize("strategy", DocstoreStrategy)
    def test_processes_may_cut_the_documents_where_the_splitter_has_a_tokenizer_of_its_own(
        self, store, documents, strategy
    ):
        pipeline = IngestionPipeline(
            transformations=[SentenceSplitter(chunk_size=64, chunk_overlap=0, tokenizer=str.split), SparseOnly()],
            vector_store=store,
            docstore=SimpleDocumentStore(),
            docstore_strategy=strategy,
        )
        assert len(pipeline.run(documents=documents, num_workers=2)) == 3
        assert pipeline.run(documents=documents, num_workers=2) == []
        assert {node.ref_doc_id for node in store.get_nodes()} == set(TEXTS)

    def pipeline(self, store, strategy=DocstoreStrategy.UPSERTS, docstore=None):
        return IngestionPipeline(
            transformations=[SentenceSplitter(), SparseOnly()],
            vector_store=store,
            docstore=docstore or SimpleDocumentStore(),
            docstore_strategy=strategy,
        )

    @pytest.fixture
    def counting(self, encoder):
        return Counting(encoder)

    @pytest.fixture
    def store(self, counting, tmp_path):
        with PixieVectorStore(tmp_path / "corpus.db", encoder=counting) as store:
            yield store

    def stored(self, store):
        return sorted((node.ref_doc_id, node.text) for node in store.get_nodes())

    def test_unchanged_documents_are_not_encoded_again(self, store, counting, documents):
        pipeline = self.pipeline(store)
        pipeline.run(documents=documents)
        assert len(counting.texts) == 3
        assert pipeline.run(documents=documents) == []
        assert len(counting.texts) == 3

        changed = Document(text="로켓은 다시 내려온다.", id_="rocket", metadata=documents[1].metadata)
        pipeline.run(documents=[documents[0], changed, documents[2]])
        assert len(counting.texts) == 4
        assert "로켓은 다시 내려온다." in counting.texts[-1]
        assert self.stored(store) == sorted((TEXTS | {"rocket": changed.text}).items())

    async def test_they_are_not_asynchronously_either(self, store, counting, documents):
        pipeline = self.pipeline(store)
        await pipeline.arun(documents=documents)
        await pipeline.arun(documents=documents)
        changed = Document(text="로켓은 다시 내려온다.", id_="rocket", metadata=documents[1].metadata)
        await pipeline.arun(documents=[documents[0], changed, documents[2]])
        assert len(counting.texts) == 4
        assert self.stored(store) == sorted((TEXTS | {"rocket": changed.text}).items())

    def test_nor_by_a_pipeline_that_was_persisted_and_loaded(self, store, counting, documents, tmp_path):
        first = self.pipeline(store)
        first.run(documents=documents)
        first.persist(str(tmp_path / "pipeline"))
        second = self.pipeline(store)
        second.load(str(tmp_path / "pipeline"))
        second.run(documents=[*documents, Document(text="새 글이다.", id_="new")])
        assert len(counting.texts) == 4

    def test_documents_that_are_gone_are_deleted(self, store, counting, documents):
        pipeline = self.pipeline(store, DocstoreStrategy.UPSERTS_AND_DELETE)
        pipeline.run(documents=documents)
        pipeline.run(documents=documents[1:])
        assert [id for id, _ in self.stored(store)] == ["rice", "rocket"]
        assert len(counting.texts) == 3

    def test_a_found_node_has_its_document_and_its_explanation(self, store, documents):
        self.pipeline(store).run(documents=documents)
        index = VectorStoreIndex.from_vector_store(store, embed_model=SparseOnly())
        (found,) = index.as_retriever(similarity_top_k=1).retrieve(QUERY)
        assert found.node.ref_doc_id == "orbit"
        assert found.node.source_node.hash == documents[0].hash
        assert found.metadata["token_explanations"]

    def test_two_documents_of_the_same_text_both_stay(self, store, documents):
        twin = Document(text=TEXTS["orbit"], id_="twin", metadata=documents[0].metadata)
        self.pipeline(store).run(documents=[*documents, twin])
        found = store.query(VectorStoreQuery(query_str=QUERY, similarity_top_k=5)).nodes
        assert {node.ref_doc_id for node in found} == {"orbit", "twin", "rocket"}
