"""PixieRetriever over the real engine and the bundled model."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from llama_index.core import MockEmbedding, Settings, VectorStoreIndex
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import Document as LlamaDocument
from llama_index.core.schema import IndexNode, NodeRelationship, NodeWithScore, QueryBundle, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

import pixie_retrievers.llama_index
from pixie_retrievers import PixieEncoder, SparseRetriever, SqliteIndex
from pixie_retrievers.errors import (
    DuplicateIdError,
    FilterError,
    IncompatibleIndexError,
    IndexClosedError,
    IndexNotFoundError,
    InvalidDocumentError,
    InvalidParameterError,
)
from pixie_retrievers.llama_index import PixieRetriever, PixieVectorStore, SparseOnly

QUERY = "지구 궤도를 도는 위성"


@pytest.fixture
def retriever(nodes, encoder):
    with PixieRetriever.from_nodes(nodes, encoder=encoder) as retriever:
        yield retriever


def ids(found):
    return [hit.node_id for hit in found]


class TestImporting:
    def test_the_package_loads_llama_index_only_when_a_name_is_used(self):
        code = "import sys, pixie_retrievers.llama_index as p; print(dir(p) == p.__all__, 'llama_index' in sys.modules)"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert run.stdout.split() == ["True", "False"]
        names = pixie_retrievers.llama_index.__all__
        assert names == sorted(names)
        assert all(getattr(pixie_retrievers.llama_index, name).__name__ == name for name in names)

    def test_no_name_loads_torch_numba_or_the_other_framework(self):
        code = """
import sys, pixie_retrievers.llama_index as p
for name in p.__all__:
    getattr(p, name)
print([name for name in ("torch", "transformers", "numba", "langchain_core") if name in sys.modules])
"""
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert run.stdout.strip() == "[]"

    def test_without_llama_index_the_error_says_what_to_install(self):
        code = """
import sys
import threading
sys.modules["llama_index.core"] = None
from pixie_retrievers.errors import OptionalDependencyError
try:
    from pixie_retrievers.llama_index import PixieRetriever
except OptionalDependencyError as error:
    print(error)
"""
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert run.stdout.strip() == (
            'PixieRetriever needs llama-index-core, which is not installed: pip install "pixie-retrievers[llama-index]"'
        )

    def test_a_name_that_is_not_there_is_an_attribute_error(self):
        with pytest.raises(AttributeError, match="Pixy"):
            _ = pixie_retrievers.llama_index.Pixy


class TestRetrieving:
    def test_the_best_nodes_come_first_with_their_score_and_explanation(self, retriever):
        found = retriever.retrieve(QUERY)
        assert ids(found) == ["orbit", "rocket"]
        assert found[0].score > found[1].score > 0
        for hit in found:
            explanations = hit.node.metadata["token_explanations"]
            contributions = [one["contribution"] for one in explanations]
            assert list(explanations[0]) == [
                "token",
                "surface",
                "token_id",
                "query_weight",
                "document_weight",
                "contribution",
                "in_query",
                "in_document",
            ]
            assert contributions == sorted(contributions, reverse=True)
            assert 0 < len(explanations) <= 10
            assert json.loads(json.dumps(explanations)) == explanations

    def test_all_contributions_sum_to_the_score(self, nodes, encoder):
        with PixieRetriever.from_nodes(nodes, encoder=encoder, top_k_tokens=None) as retriever:
            for hit in retriever.retrieve(QUERY):
                parts = [one["contribution"] for one in hit.metadata["token_explanations"]]
                assert sum(parts) == pytest.approx(hit.score, rel=1e-9)

    def test_without_explanations_the_very_node_comes_back(self, nodes, encoder):
        with PixieRetriever.from_nodes(nodes, encoder=encoder, top_k_tokens=0, similarity_top_k=4) as retriever:
            by_id = {node.node_id: node for node in nodes}
            found = retriever.retrieve(QUERY)
            assert found
            for hit in found:
                assert type(hit.node) is TextNode
                assert hit.node == by_id[hit.node_id]

    def test_inputs_and_results_are_apart(self, nodes, retriever, encoder):
        before = copy.deepcopy(nodes)
        first = retriever.retrieve(QUERY)
        first[0].node.metadata["tags"].append("새것")
        first[0].node.relationships[NodeRelationship.SOURCE] = nodes[1].as_related_node_info()
        assert nodes == before
        assert retriever.retrieve(QUERY)[0].metadata["tags"] == ["위성", "지구"]

    def test_metadata_is_searched_as_far_as_the_embedding_text_shows_it(self, encoder):
        shown = TextNode(id_="shown", text="본문", metadata={"제목": "인공위성"})
        hidden = TextNode(
            id_="hidden", text="본문", metadata={"제목": "인공위성"}, excluded_embed_metadata_keys=["제목"]
        )
        with PixieRetriever.from_nodes([hidden, shown], encoder=encoder, top_k_tokens=None) as retriever:
            found = {hit.node_id: hit for hit in retriever.retrieve("인공위성")}
            literal = {
                id: any(one["in_query"] and one["in_document"] for one in hit.metadata["token_explanations"])
                for id, hit in found.items()
            }
            assert literal["shown"]
            assert not literal.get("hidden", False)

    def test_a_query_transforms_strings_are_searched_in_place_of_the_query(self, retriever):
        bundle = QueryBundle("빵 굽기", custom_embedding_strs=["지구 궤도", "인공위성"])
        hyde, joined = retriever.retrieve(bundle), retriever.retrieve("지구 궤도\n인공위성")
        assert [(hit.node_id, hit.score) for hit in hyde] == [(hit.node_id, hit.score) for hit in joined]
        assert ids(hyde)[0] == "orbit"
        assert ids(retriever.retrieve(QueryBundle("빵 굽기", custom_embedding_strs=[])))[0] == "bread"

    def test_an_empty_query_finds_nothing(self, retriever):
        assert retriever.retrieve("") == []
        assert retriever.retrieve(QueryBundle("")) == []

    @pytest.mark.parametrize("query", ["☃", "zzqqxx", "\u0000", "...", "🛰️🛰️"])
    def test_a_query_of_unknown_words_finds_nothing_or_little_and_never_fails(self, retriever, query):
        for hit in retriever.retrieve(query):
            assert sum(one["contribution"] for one in hit.metadata["token_explanations"]) == pytest.approx(hit.score)

    def test_texts_in_other_scripts_are_indexed_and_found(self, encoder):
        texts = ["卫星绕着地球运行。", "衛星は地球を回る。", "The satellite orbits the earth."]
        with PixieRetriever.from_nodes([TextNode(text=text) for text in texts], encoder=encoder) as retriever:
            assert retriever.retrieve("satellite")[0].text == texts[2]
            for text in texts[:2]:
                assert len(retriever.retrieve(text)) <= 2

    def test_an_empty_retriever_finds_nothing_and_still_counts_as_one(self, encoder):
        with PixieRetriever.from_nodes([], encoder=encoder) as retriever:
            assert retriever.retrieve(QUERY) == []
            assert bool(retriever)  # LlamaIndex writes `retriever or default`


class TestSettings:
    def test_two_nodes_come_back_unless_told_otherwise(self, nodes, encoder):
        more = [TextNode(text=f"위성 {number}호") for number in range(5)]
        with PixieRetriever.from_nodes([*nodes, *more], encoder=encoder) as retriever:
            assert len(retriever.retrieve("위성")) == 2
            retriever.similarity_top_k = 4
            assert len(retriever.retrieve("위성")) == 4

    def test_more_nodes_than_there_are_is_not_an_error(self, retriever):
        assert 2 <= len(retriever.with_options(similarity_top_k=1000).retrieve(QUERY)) <= 4

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *(("similarity_top_k", value) for value in (0, -1, 2.5, True, "3", None)),
            *(("top_k_tokens", value) for value in (-1, 2.5, True, "3")),
            *(("score_threshold", value) for value in (float("nan"), True, "3")),
        ],
    )
    def test_numbers_out_of_range_and_other_things_are_refused(self, retriever, name, value):
        with pytest.raises(InvalidParameterError, match=f"{name} is "):
            setattr(retriever, name, value)
        with pytest.raises(InvalidParameterError, match=f"{name} is "):
            PixieRetriever(retriever.sparse_retriever, **{name: value})
        with pytest.raises(InvalidParameterError, match=f"{name} is "):
            retriever.with_options(**{name: value})

    def test_a_threshold_drops_what_scores_less(self, retriever):
        best, second = retriever.retrieve(QUERY)
        between = (best.score + second.score) / 2
        assert ids(retriever.with_options(score_threshold=between).retrieve(QUERY)) == ["orbit"]

    def test_fewer_tokens_explain_when_fewer_are_asked_for(self, retriever):
        hit = retriever.with_options(top_k_tokens=1).retrieve(QUERY)[0]
        assert hit.metadata["token_explanations"] == retriever.retrieve(QUERY)[0].metadata["token_explanations"][:1]
        assert "token_explanations" not in retriever.with_options(top_k_tokens=0).retrieve(QUERY)[0].metadata

    def test_a_copy_with_options_leaves_the_original_alone(self, retriever):
        filters = {"field": "농업"}
        twin = retriever.with_options(filters=filters, similarity_top_k=9, score_threshold=0.5, top_k_tokens=3)
        assert (twin.filters, twin.similarity_top_k, twin.score_threshold, twin.top_k_tokens) == (filters, 9, 0.5, 3)
        again = twin.with_options(similarity_top_k=1)
        assert (again.filters, again.similarity_top_k, again.score_threshold, again.top_k_tokens) == (
            filters,
            1,
            0.5,
            3,
        )
        assert (retriever.filters, retriever.similarity_top_k) == (None, 2)
        assert twin.sparse_retriever is retriever.sparse_retriever
        assert twin.callback_manager is retriever.callback_manager

    def test_an_option_that_is_not_one_is_refused(self, retriever):
        with pytest.raises(TypeError, match="similarity_topk"):
            retriever.with_options(similarity_topk=3)


class TestFilters:
    def test_filters_hold_before_the_best_are_taken(self, nodes, encoder):
        filters = MetadataFilters(filters=[MetadataFilter(key="year", operator=">", value=2020)])
        with PixieRetriever.from_nodes(nodes, encoder=encoder, similarity_top_k=1, filters=filters) as retriever:
            assert ids(retriever.retrieve(QUERY)) == ["rocket"]

    def test_filters_change_from_query_to_query(self, retriever):
        mine = MetadataFilters(filters=[MetadataFilter(key="tags", operator="contains", value="발사")])
        assert ids(retriever.with_filters(mine).retrieve(QUERY)) == ["rocket"]
        assert ids(retriever.retrieve(QUERY)) == ["orbit", "rocket"]
        retriever.filters = mine
        assert retriever.filters is mine
        assert ids(retriever.retrieve(QUERY)) == ["rocket"]
        assert ids(retriever.with_filters(None).retrieve(QUERY)) == ["orbit", "rocket"]

    def test_nested_filters_reach_the_index(self, retriever):
        food = MetadataFilter(key="title", operator="text_match_insensitive", value="SOURDOUGH")
        old_space = MetadataFilters(
            filters=[MetadataFilter(key="field", value="우주"), MetadataFilter(key="year", operator="<=", value=2020)]
        )
        either = MetadataFilters(filters=[food, old_space], condition="or")
        neither = MetadataFilters(filters=[either], condition="not")
        query = f"{QUERY} 빵 벼 로켓"
        everything = retriever.with_options(similarity_top_k=10)
        assert set(ids(everything.with_filters(either).retrieve(query))) == {"orbit", "bread"}
        assert set(ids(everything.with_filters(neither).retrieve(query))) == {"rocket", "rice"}

    def test_a_dict_or_a_callable_filters_too(self, retriever):
        assert ids(retriever.with_filters({"year": {"$lt": 2023}, "field": "우주"}).retrieve(QUERY)) == ["orbit"]
        seen = []
        found = retriever.with_filters(lambda metadata: not seen.append(set(metadata))).retrieve(QUERY)
        assert ids(found) == ["orbit", "rocket"]
        assert set().union(*seen) == {"field", "year", "tags", "title"}

    def test_what_a_filter_drops_does_not_come_back_however_large_k_is(self, retriever):
        food = retriever.with_options(filters={"field": "음식"}, similarity_top_k=4)
        assert ids(food.retrieve(f"{QUERY} 빵")) == ["bread"]
        assert all(hit.score > 0 for hit in food.retrieve(f"{QUERY} 빵"))

    def test_filtering_out_everything_is_not_an_error(self, retriever):
        assert retriever.with_filters({"field": "법률"}).retrieve(QUERY) == []

    def test_a_filter_that_means_nothing_is_refused_when_it_is_set(self, retriever, nodes, encoder, tmp_path):
        with pytest.raises(FilterError):
            retriever.filters = {"year": {"$about": 1}}
        assert retriever.filters is None
        with pytest.raises(FilterError):
            PixieRetriever.from_nodes(nodes, encoder=encoder, path=tmp_path / "x.db", filters={"$what": 1})
        assert list(tmp_path.iterdir()) == []


class TestChanging:
    def test_nodes_are_added_replaced_read_and_deleted(self, retriever, nodes):
        moon = TextNode(id_="moon", text="달은 지구를 도는 위성이다.")
        assert retriever.add_nodes([moon]) == ["moon"]
        assert "moon" in ids(retriever.retrieve("달"))
        assert retriever.get_nodes(["moon", "none", "rice"]) == [moon, None, nodes[2]]
        retriever.add_nodes([TextNode(id_="moon", text="보름달이 뜬다.")])
        assert retriever.get_nodes(["moon"])[0].text == "보름달이 뜬다."
        assert retriever.delete_nodes(["moon", "none"]) == 1
        assert retriever.get_nodes(["moon"]) == [None]

    def test_a_found_node_can_be_stored_again(self, retriever, nodes):
        found = retriever.retrieve(QUERY)[0].node
        retriever.add_nodes([found])
        assert retriever.get_nodes(["orbit"]) == [nodes[0]]

    @pytest.mark.parametrize("bad", [object(), {1, 2}, float("nan"), {1: "a"}])
    def test_bad_metadata_is_refused_and_nothing_is_stored(self, retriever, encoder, tmp_path, bad):
        batch = [TextNode(id_="good", text="좋은 글"), TextNode(id_="bad", text="나쁜 글", metadata={"x": bad})]
        with pytest.raises(InvalidDocumentError, match="bad"):
            retriever.add_nodes(batch)
        assert retriever.get_nodes(["good", "bad"]) == [None, None]
        with pytest.raises(InvalidDocumentError, match="bad"):
            PixieRetriever.from_nodes(batch, encoder=encoder, path=tmp_path / "corpus.db")
        assert list(tmp_path.iterdir()) == []

    def test_one_id_twice_is_refused(self, retriever):
        with pytest.raises(DuplicateIdError, match="same"):
            retriever.add_nodes([TextNode(id_="same", text="가"), TextNode(id_="same", text="나")])


class TestDocuments:
    def test_documents_are_cut_by_the_default_transformations(self, encoder, monkeypatch):
        monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)  # core ships what its splitter needs
        monkeypatch.setattr(Settings, "_node_parser", None)
        monkeypatch.setattr(Settings, "_transformations", None)
        document = LlamaDocument(text="인공위성은 지구를 돈다. " * 200, metadata={"field": "우주"}, id_="doc")
        before = copy.deepcopy(document)
        with PixieRetriever.from_documents([document], encoder=encoder, similarity_top_k=100) as retriever:
            found = retriever.retrieve("인공위성")
        assert document == before
        assert len(found) > 1
        for hit in found:
            assert hit.node.ref_doc_id == "doc"
            assert hit.node.source_node.hash == document.hash
            assert hit.node.metadata["field"] == "우주"
            assert hit.node.get_content() == document.text[hit.node.start_char_idx : hit.node.end_char_idx]

    def test_transformations_can_be_given(self, encoder):
        splitter = SentenceSplitter(
            chunk_size=30, chunk_overlap=0, include_metadata=False, id_func=lambda number, _: f"조각 {number}"
        )
        document = LlamaDocument(text="벼는 논에서 자란다. " * 10, metadata={"field": "농업"})
        with PixieRetriever.from_documents([document], transformations=[splitter], encoder=encoder) as retriever:
            hit = retriever.retrieve("논")[0]
        assert hit.node_id.startswith("조각 ")
        assert "field" not in hit.metadata

    def test_no_transformations_keep_the_documents_whole(self, encoder):
        document = LlamaDocument(text="벼는 논에서 자란다. " * 10, metadata={"field": "농업"})
        with PixieRetriever.from_documents([document], transformations=[], encoder=encoder) as retriever:
            hit = retriever.retrieve("논")[0]
        assert isinstance(hit.node, LlamaDocument)
        assert hit.node.text == document.text
        assert hit.node.hash == document.hash


class TestDefaults:
    """What LlamaIndex has already is retrieved from."""

    def test_nodes_a_docstore_or_an_index_are_retrieved_from(self, nodes, encoder):
        docstore = SimpleDocumentStore()
        docstore.add_documents(nodes)
        index = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=2))
        for source in ({"nodes": nodes}, {"docstore": docstore}, {"index": index}):
            with PixieRetriever.from_defaults(**source, encoder=encoder, similarity_top_k=1) as retriever:
                assert ids(retriever.retrieve(QUERY)) == ["orbit"]
                assert retriever.get_nodes(["rice"]) == [nodes[2]]

    def test_an_index_over_a_pixie_store_is_searched_as_it_is(self, nodes, encoder):
        with PixieVectorStore(encoder=encoder) as store:
            store.add(nodes)
            index = VectorStoreIndex.from_vector_store(store, embed_model=SparseOnly())
            retriever = PixieRetriever.from_defaults(index)
            assert retriever.sparse_retriever is store.client
            retriever.close()
            assert ids(retriever.retrieve(QUERY)) == ["orbit", "rocket"]
            store.add([TextNode(id_="moon", text="달은 지구를 도는 위성이다.")])  # no stale copy of a docstore
            assert "moon" in ids(retriever.with_options(similarity_top_k=5).retrieve(QUERY))
            with pytest.raises(InvalidParameterError, match="its own file"):
                PixieRetriever.from_defaults(index, path="elsewhere.db")

    def test_exactly_one_source_is_taken(self, nodes):
        for sources in ({}, {"nodes": nodes, "docstore": SimpleDocumentStore()}):
            with pytest.raises(InvalidParameterError, match="exactly one"):
                PixieRetriever.from_defaults(**sources)
        empty = VectorStoreIndex([], embed_model=MockEmbedding(embed_dim=2))
        with pytest.raises(InvalidParameterError, match="pass nodes"):
            PixieRetriever.from_defaults(empty)


class TestPersistence:
    @pytest.mark.new_process
    def test_another_process_finds_the_same_nodes(self, nodes, encoder, tmp_path):
        path = tmp_path / "corpus.db"
        with PixieRetriever.from_nodes(nodes, encoder=encoder, path=path) as retriever:
            here = [[hit.score, hit.node.hash, hit.node.to_dict()] for hit in retriever.retrieve(QUERY)]
        code = (
            "import json, sys\n"
            "from pixie_retrievers import PixieEncoder\n"
            "from pixie_retrievers.llama_index import PixieRetriever\n"
            "with PixieRetriever.from_index(sys.argv[1], encoder=PixieEncoder.bundled()) as retriever:\n"
            "    found = [[hit.score, hit.node.hash, hit.node.to_dict()] for hit in retriever.retrieve(sys.argv[2])]\n"
            "print(json.dumps(found))\n"
        )
        run = subprocess.run(
            [sys.executable, "-W", "error::ResourceWarning", "-c", code, str(path), QUERY],
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stderr == ""
        assert json.loads(run.stdout) == here

    def test_an_index_file_is_added_to(self, nodes, encoder, tmp_path):
        path = tmp_path / "corpus.db"
        PixieRetriever.from_nodes(nodes[:1], encoder=encoder, path=path).close()
        with PixieRetriever.from_nodes(nodes[1:], encoder=encoder, path=path) as retriever:
            assert ids(retriever.retrieve(QUERY)) == ["orbit", "rocket"]

    def test_a_new_index_stores_weights_as_asked(self, nodes, encoder, tmp_path):
        with PixieRetriever.from_nodes(nodes, encoder=encoder, path=tmp_path / "a.db", weights="uint8") as retriever:
            assert retriever.sparse_retriever.index.stats().weights == "uint8"
        with pytest.raises(IncompatibleIndexError, match="uint8"):
            PixieRetriever.from_nodes(nodes, encoder=encoder, path=tmp_path / "a.db", weights="float32")
        documents = [LlamaDocument(text=nodes[0].text)]
        with PixieRetriever.from_documents(documents, encoder=encoder, weights="float16") as retriever:
            assert retriever.sparse_retriever.index.stats().weights == "float16"
        with PixieRetriever.from_defaults(nodes=nodes, encoder=encoder, weights="float16") as retriever:
            assert retriever.sparse_retriever.index.stats().weights == "float16"

    def test_an_index_brings_the_model_it_was_built_with(self, nodes, encoder, tmp_path):
        path = tmp_path / "corpus.db"
        PixieRetriever.from_nodes(nodes, encoder=PixieEncoder.bundled(), path=path).close()
        with PixieRetriever.from_index(str(path), similarity_top_k=1) as retriever:
            assert retriever.sparse_retriever.encoder.fingerprint == PixieEncoder.bundled().fingerprint
            assert ids(retriever.retrieve(QUERY)) == ["orbit"]

    def test_nothing_at_the_path_is_an_error(self, encoder, tmp_path):
        with pytest.raises(IndexNotFoundError):
            PixieRetriever.from_index(tmp_path / "none.db", encoder=encoder)

    def test_an_index_of_another_model_is_refused_and_let_go(self, encoder, tmp_path):
        path = tmp_path / "other.db"
        with SqliteIndex(path, vocabulary_size=5, fingerprint="other") as index:
            index.upsert(*Stub().one_document())
        with pytest.raises(IncompatibleIndexError, match="other"):
            PixieRetriever.from_index(path, encoder=encoder)

    def test_what_was_passed_in_stays_open(self, nodes, encoder, tmp_path):
        PixieRetriever.from_nodes(nodes, encoder=encoder, path=tmp_path / "corpus.db").close()
        with SqliteIndex(tmp_path / "corpus.db") as index:
            for source, options in ((index, {"encoder": encoder}), (SparseRetriever(encoder, index), {})):
                retriever = PixieRetriever.from_index(source, similarity_top_k=1, **options)
                assert ids(retriever.retrieve(QUERY)) == ["orbit"]
                retriever.close()
                del retriever
                assert len(index) == 4

    def test_a_second_encoder_beside_a_sparse_retriever_is_refused(self, retriever):
        with pytest.raises(InvalidParameterError, match="encoder of its own"):
            PixieRetriever.from_index(retriever.sparse_retriever, encoder=Stub())

    def test_documents_that_were_no_nodes_come_back_as_text_nodes(self, encoder):
        with SparseRetriever.open(encoder=encoder) as sparse:
            sparse.add_texts(["인공위성은 지구를 돈다."], [{"field": "우주"}], ["a"])
            hit = PixieRetriever.from_index(sparse).retrieve(QUERY)[0]
        assert hit.node.text == "인공위성은 지구를 돈다."
        assert hit.node.hash == TextNode(text="인공위성은 지구를 돈다.", metadata={"field": "우주"}).hash


class TestClosing:
    def test_a_temporary_index_goes_when_the_retriever_is_closed(self, nodes, encoder):
        retriever = PixieRetriever.from_nodes(nodes, encoder=encoder)
        folder = Path(retriever.sparse_retriever.index.path).parent
        assert folder.is_dir()
        retriever.close()
        retriever.close()
        assert not folder.exists()
        with pytest.raises(IndexClosedError):
            retriever.retrieve(QUERY)

    def test_a_temporary_index_goes_when_the_retriever_is_dropped(self, nodes, encoder):
        folder = Path(PixieRetriever.from_nodes(nodes, encoder=encoder).sparse_retriever.index.path).parent
        gc.collect()  # a ResourceWarning here would be an error
        assert not folder.exists()

    def test_a_copy_keeps_the_index_of_a_dropped_retriever_open(self, nodes, encoder):
        twin = (
            PixieRetriever.from_nodes(nodes, encoder=encoder)
            .with_filters({"field": "우주"})
            .with_options(similarity_top_k=1)
        )
        gc.collect()
        assert ids(twin.retrieve(QUERY)) == ["orbit"]
        twin.close()
        assert ids(twin.retrieve(QUERY)) == ["orbit"]
        folder = Path(twin.sparse_retriever.index.path).parent
        del twin
        gc.collect()
        assert not folder.exists()


class TestObjects:
    def test_a_node_gives_way_to_the_object_it_stands_for(self, retriever, encoder, tmp_path):
        page = TextNode(id_="page", text="위성에 관한 긴 글 전체")
        nodes = [
            IndexNode(id_="to page", text="인공위성 요약", index_id="page", obj=page),
            IndexNode(
                id_="to retriever", text="빵 요리책", index_id="cook", obj=retriever.with_options(similarity_top_k=1)
            ),
        ]
        before = [node.obj for node in nodes]
        path = tmp_path / "objects.db"
        with PixieRetriever.from_nodes(nodes, encoder=encoder, path=path, similarity_top_k=1) as outer:
            found = outer.retrieve("인공위성")[0]
            assert (found.node_id, found.node.hash) == ("page", page.hash)
            assert {part["surface"] for part in found.metadata["token_explanations"]} >= {"위성"}
            assert ids(outer.retrieve("빵")) == ["bread"]
            twin = outer.with_options(similarity_top_k=2)
            farm = IndexNode(text="논농사 안내", index_id="farm", obj=retriever.with_options(similarity_top_k=1))
            outer.add_nodes(node for node in [farm])
            assert "rice" in ids(twin.retrieve("논"))
        assert [node.obj for node in nodes] == before

        with PixieRetriever.from_index(path, encoder=encoder, similarity_top_k=1) as reopened:
            # A node is stored with what stands for it.
            assert reopened.with_options(top_k_tokens=0).retrieve("인공위성")[0].node == page
            assert reopened.retrieve("빵")[0].node.index_id == "cook"  # a retriever cannot be
        objects = {"cook": retriever.with_options(similarity_top_k=1)}
        with PixieRetriever.from_index(path, encoder=encoder, similarity_top_k=1, object_map=objects) as reopened:
            assert ids(reopened.retrieve("빵")) == ["bread"]
        assert list(objects) == ["cook"]


class TestAsync:
    async def test_results_are_the_same(self, retriever):
        there, here = await retriever.aretrieve(QUERY), retriever.retrieve(QUERY)
        assert there == here
        assert there[0].metadata["token_explanations"]

    async def test_the_event_loop_goes_on_while_a_query_is_encoded(self, nodes, encoder):
        with PixieRetriever.from_nodes(nodes, encoder=Slow(encoder)) as retriever:
            running, ticks = asyncio.create_task(retriever.aretrieve(QUERY)), 0
            while not running.done():
                await asyncio.sleep(0.01)
                ticks += 1
            assert ids(await running) == ["orbit", "rocket"]
            assert ticks >= 5

    async def test_many_queries_run_at_once(self, retriever):
        queries = [QUERY, "벼농사", "빵 반죽", "로켓 발사"] * 4
        together = await asyncio.gather(*(retriever.aretrieve(query) for query in queries))
        assert together == [retriever.retrieve(query) for query in queries]


class Slow:
    """The encoder, taking its time over queries."""

    def __init__(self, encoder):
        self._encoder = encoder

    def __getattr__(self, name):
        return getattr(self._encoder, name)

    def encode_queries(self, texts):
        time.sleep(0.3)
        return self._encoder.encode_queries(texts)


class Stub:
    """Another model: five terms, of which every text has the first."""

    vocabulary_size = 5
    fingerprint = "other"

    def encode_documents(self, texts, *, show_progress=False):
        from pixie_retrievers import SparseVectors

        return SparseVectors.from_dicts([{0: 1.0} for _ in texts], 5)

    def one_document(self):
        from pixie_retrievers import Document

        return [Document("a", "글")], self.encode_documents(["글"])


class TestFirstTries:
    """What is wrong is said before a model is loaded or a file made."""

    @pytest.fixture(autouse=True)
    def nothing_is_loaded_or_made(self, monkeypatch):
        monkeypatch.setattr(SparseRetriever, "open", lambda *_, **__: pytest.fail("opened"))
        monkeypatch.setattr(SparseRetriever, "from_source", lambda *_, **__: pytest.fail("opened"))

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"top_k_tokens": "viel"}, InvalidParameterError, "top_k_tokens is 'viel'; it must be a whole number"),
            ({"similarity_top_k": 0}, InvalidParameterError, "similarity_top_k is 0"),
            ({"score_threshold": "high"}, InvalidParameterError, "score_threshold is 'high'"),
            (
                {"filters": MetadataFilters(filters=[MetadataFilter(key="field", operator="in", value="우주")])},
                FilterError,
                "'field': .*takes a list of values, not str",
            ),
            ({"top_k": 3}, TypeError, "PixieRetriever does not take 'top_k'; it takes similarity_top_k"),
        ],
    )
    def test_a_setting(self, nodes, options, error, message):
        for make in (PixieRetriever.from_nodes, PixieRetriever.from_documents, PixieRetriever.from_index):
            with pytest.raises(error, match=message):
                make("corpus.db" if make == PixieRetriever.from_index else nodes, **options)

    def test_nodes(self, nodes):
        with pytest.raises(InvalidDocumentError, match="one node; pass a list"):
            PixieRetriever.from_nodes(nodes[0])
        with pytest.raises(InvalidDocumentError, match="type str is not a LlamaIndex node: pass TextNode"):
            PixieRetriever.from_nodes(["글"])
        with pytest.raises(InvalidDocumentError, match=r"pass its \.node"):
            PixieRetriever.from_nodes([NodeWithScore(node=nodes[0])])


class TestAsyncWriting:
    async def test_the_twins_do_the_same_and_leave_the_event_loop_free(self, nodes, encoder):
        class Waiting:
            """The encoder, waiting for the event loop before it encodes documents."""

            go = threading.Event()

            def __getattr__(self, name):
                return getattr(encoder, name)

            def encode_documents(self, texts, *, show_progress=False):
                assert self.go.wait(600)
                return encoder.encode_documents(texts, show_progress=show_progress)

        with PixieRetriever(SparseRetriever.open(encoder=Waiting())) as retriever:
            running = asyncio.create_task(retriever.aadd_nodes(nodes))
            await asyncio.sleep(0)
            Waiting.go.set()  # reached only by a loop that is free
            assert await running == [node.node_id for node in nodes]
            assert await retriever.adelete_nodes(["bread", "none"]) == 1
            assert await retriever.aget_nodes(["bread", "rice"]) == [None, nodes[2]]
            retriever.sparse_retriever.close()


class TestAddingAgain:
    @pytest.mark.parametrize("door", ["from_nodes", "add_nodes", "store"])
    def test_nodes_that_are_stored_are_not_encoded_again(self, door, nodes, encoder, tmp_path, monkeypatch):
        path = tmp_path / "index.db"
        with PixieRetriever.from_nodes(nodes, encoder=encoder, path=path) as there:
            encoded, inner = [], encoder.encode_documents
            monkeypatch.setattr(
                encoder, "encode_documents", lambda texts, **_: (encoded.extend(texts), inner(texts))[1]
            )
            nodes[0].metadata["year"] = 2021  # not a part of what is embedded
            more = [*nodes, TextNode(id_="new", text="새 글")]
            if door == "from_nodes":
                PixieRetriever.from_nodes(more, encoder=encoder, path=path).close()
            elif door == "add_nodes":
                there.add_nodes(more)
            else:
                PixieVectorStore(there.sparse_retriever).add(more)
            assert encoded == ["새 글"]
            assert there.get_nodes(["orbit"])[0].metadata["year"] == 2021


def test_it_says_what_it_is(nodes, encoder, tmp_path):
    with PixieRetriever.from_nodes(
        nodes, encoder=encoder, path=tmp_path / "corpus.db", similarity_top_k=3
    ) as retriever:
        assert repr(retriever).startswith("PixieRetriever(SqliteIndex(")
        assert "corpus.db" in repr(retriever)
        assert repr(retriever).endswith("similarity_top_k=3)")


def test_rules_hold_and_are_switched_off_for_one_query_or_for_good(encoder):
    from llama_index.core.vector_stores import VectorStoreQuery

    from pixie_retrievers import SparseRetriever, rules_of
    from pixie_retrievers.llama_index import PixieVectorStore

    with SparseRetriever.open(encoder=encoder) as facade:
        facade.add_texts(["스레드 풀", "수수께끼는 풀립니다"], ids=["pool", "riddle"])
        facade.set_rules(rules_of(encoder, {"풀": 0}))
        retriever = PixieRetriever(facade)
        assert [hit.node.node_id for hit in retriever.retrieve("스레드 풀")] == ["pool"]
        without = retriever.with_options(rules=False)
        assert [hit.node.node_id for hit in without.retrieve("스레드 풀")] == ["pool", "riddle"]
        assert without.with_options(similarity_top_k=1).rules is False
        with pytest.raises(InvalidParameterError, match="rules"):
            PixieRetriever(facade, rules=3)
        store = PixieVectorStore(facade)
        query = VectorStoreQuery(query_str="스레드 풀", similarity_top_k=5)
        assert store.query(query).ids == ["pool"]
        assert store.query(query, rules=False).ids == ["pool", "riddle"]
