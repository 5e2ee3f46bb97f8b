"""What the adapter translates, over a toy encoder whose scores can be counted by hand."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import json
import subprocess
import sys
import tempfile
import warnings
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.load import dumps
from langchain_core.runnables import ConfigurableField

from pixie_retrievers.errors import (
    DuplicateIdError,
    FilterError,
    IncompatibleIndexError,
    IndexClosedError,
    IndexNotFoundError,
    InvalidDocumentError,
    InvalidParameterError,
    InvalidTextError,
    PixieError,
)
from pixie_retrievers.index.opening import open_index
from pixie_retrievers.langchain import PixieRetriever
from pixie_retrievers.retriever import SparseRetriever

TEXTS = ["위성 위성 위성", "위성 위성 발사", "위성 농업", "농업 농업"]
METADATAS = [{"year": 2019}, {"year": 2020}, {"year": 2021}, {"year": 2022}]
IDS = ["a", "b", "c", "d"]


@pytest.fixture
def retriever(words):
    with PixieRetriever.from_texts(TEXTS, METADATAS, IDS, encoder=words) as retriever:
        yield retriever


def ids(documents):
    return [document.id for document in documents]


class TestResults:
    def test_are_new_documents_with_id_text_and_metadata_by_score_descending(self, retriever):
        found = retriever.invoke("위성")
        assert [(d.id, d.page_content, d.metadata["year"], d.metadata["score"]) for d in found] == [
            ("a", "위성 위성 위성", 2019, 3.0),
            ("b", "위성 위성 발사", 2020, 2.0),
            ("c", "위성 농업", 2021, 1.0),
        ]
        assert all(type(d) is Document and type(d.metadata["score"]) is float for d in found)

    def test_explain_tokens_largest_contribution_first_in_the_documented_shape(self, retriever):
        explanations = retriever.invoke("위성 발사")[1].metadata["token_explanations"]
        assert explanations == [
            {
                "token": "위성",
                "surface": "위성",
                "token_id": explanations[0]["token_id"],
                "query_weight": 1.0,
                "document_weight": 2.0,
                "contribution": 2.0,
                "in_query": True,
                "in_document": True,
            },
            {
                "token": "발사",
                "surface": "발사",
                "token_id": explanations[1]["token_id"],
                "query_weight": 1.0,
                "document_weight": 1.0,
                "contribution": 1.0,
                "in_query": True,
                "in_document": True,
            },
        ]
        assert list(explanations[0]) == [
            *("token", "surface", "token_id", "query_weight", "document_weight", "contribution"),
            *("in_query", "in_document"),
        ]

    def test_are_plain_json(self, retriever):
        metadata = retriever.invoke("위성 발사")[0].metadata
        assert json.loads(json.dumps(metadata)) == metadata

    def test_can_be_changed_without_changing_the_next(self, words):
        with PixieRetriever.from_texts(["위성"], [{"tags": ["우주"]}], ["a"], encoder=words) as retriever:
            first = retriever.invoke("위성")[0]
            first.metadata["tags"].append("바다")
            first.metadata["token_explanations"].clear()
            assert retriever.invoke("위성")[0].metadata["tags"] == ["우주"]
            assert retriever.invoke("위성")[0].metadata["token_explanations"]

    @pytest.mark.parametrize("query", ["", "   ", "바다"])
    def test_are_none_when_no_token_is_shared(self, retriever, query):
        assert retriever.invoke(query) == []

    def test_of_an_empty_query_with_a_filter_are_what_passes_as_it_was_stored(self, retriever):
        found = retriever.invoke(" ", filter={"year": {"$lt": 2021}})
        assert [(d.id, d.metadata["score"], d.metadata["token_explanations"]) for d in found] == [
            ("a", 0.0, []),
            ("b", 0.0, []),
        ]
        assert retriever.invoke("", filter={}) == []

    def test_are_none_from_an_empty_index(self, words):
        with PixieRetriever.from_texts([], encoder=words) as retriever:
            assert retriever.invoke("위성") == []


class TestOptions:
    def test_default_to_four_documents_and_ten_tokens(self, words):
        texts = [f"위성 {' '.join(f'낱말{i}' for i in range(12))}"] * 6
        with PixieRetriever.from_texts(texts, encoder=words) as retriever:
            found = retriever.invoke(texts[0])
        assert len(found) == 4
        assert all(len(d.metadata["token_explanations"]) == 10 for d in found)

    def test_are_taken_at_construction(self, words):
        with PixieRetriever.from_texts(
            TEXTS,
            METADATAS,
            IDS,
            encoder=words,
            k=2,
            filter={"year": {"$gte": 2020}},
            score_threshold=1.5,
            top_k_tokens=0,
            tags=["시험"],
            metadata={"run": 1},
            name="뉴스",
        ) as retriever:
            assert ids(retriever.invoke("위성")) == ["b"]
            assert (retriever.tags, retriever.metadata, retriever.get_name()) == (["시험"], {"run": 1}, "뉴스")

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"k": 1}, ["a"]),
            ({"k": 1_000}, ["a", "b", "c"]),
            ({"filter": {"year": {"$gt": 2019}}}, ["b", "c"]),
            ({"filter": {"year": {"$gt": 2019}}, "k": 1}, ["b"]),
            ({"filter": lambda metadata: metadata["year"] == 2021}, ["c"]),
            ({"filter": {"year": 1900}}, []),
            ({"score_threshold": 2}, ["a", "b"]),
            ({"score_threshold": 99.0}, []),
        ],
    )
    def test_mean_the_same_at_construction_and_at_invoke(self, retriever, options, expected):
        constructed = PixieRetriever(sparse_retriever=retriever.sparse_retriever, **options)
        assert ids(retriever.invoke("위성", **options)) == ids(constructed.invoke("위성")) == expected

    def test_at_invoke_take_the_place_of_those_at_construction_for_that_call_alone(self, retriever):
        strict = PixieRetriever(
            sparse_retriever=retriever.sparse_retriever, k=1, filter={"year": 2021}, score_threshold=50.0
        )
        assert strict.invoke("위성") == []
        assert ids(strict.invoke("위성", k=9, filter={}, score_threshold=0.0)) == ["a", "b", "c"]
        assert ids(strict.invoke("위성", score_threshold=1.0)) == ["c"]
        assert strict.invoke("위성") == []
        assert ids(strict.invoke("위성", k=None, filter=None, score_threshold=1.0)) == ["c"]

    def test_top_k_tokens_limits_lifts_and_switches_off_the_explanation(self, retriever):
        def shown(**options):
            return len(retriever.invoke("위성 발사", **options)[1].metadata["token_explanations"])

        assert shown() == shown(top_k_tokens=None) == 2
        assert shown(top_k_tokens=1) == 1
        off = retriever.invoke("위성", top_k_tokens=0)[0].metadata
        assert off == {"year": 2019, "score": 3.0}

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *(("k", value) for value in (0, -1, 2.5, "many", True)),
            *(("top_k_tokens", value) for value in (-1, 2.5, "many", True)),
            *(("score_threshold", value) for value in (float("nan"), "much", True)),
        ],
    )
    def test_numbers_out_of_range_and_other_things_are_refused(self, retriever, words, name, value):
        with pytest.raises(InvalidParameterError, match=f"{name} is "):
            retriever.invoke("위성", **{name: value})
        with pytest.raises(InvalidParameterError, match=f"{name} is "):
            PixieRetriever.from_texts(TEXTS, encoder=words, **{name: value})
        with pytest.raises(InvalidParameterError, match=f"{name} is "):
            setattr(retriever, name, value)

    def test_a_filter_that_means_nothing_is_refused_before_it_is_used(self, retriever):
        with pytest.raises(FilterError, match="near"):
            retriever.invoke("위성", filter={"year": {"$near": 2020}})
        with pytest.raises(FilterError, match="near"):
            PixieRetriever(sparse_retriever=retriever.sparse_retriever, filter={"year": {"$near": 2020}})

    def test_what_is_not_of_its_type_is_refused_in_the_packages_words(self, retriever):
        with pytest.raises(FilterError, match="not int"):
            retriever.filter = 3
        with pytest.raises(InvalidParameterError, match="sparse_retriever is of type int"):
            PixieRetriever(sparse_retriever=3)
        with pytest.raises(TypeError, match="sparse_retriever is missing"):
            PixieRetriever(k=3)

    def test_unknown_ones_are_refused_by_name(self, retriever, words):
        with pytest.raises(TypeError, match="'fetch_k', 'search_type'"):
            retriever.invoke("위성", fetch_k=3, search_type="mmr")
        with pytest.raises(TypeError, match="does not take 'fetch_k'; it takes filter, k,"):
            PixieRetriever.from_texts(TEXTS, encoder=words, fetch_k=3)

    def test_langchains_own_are_let_through(self, retriever):
        assert len(retriever.invoke("위성", verbose=True)) == 3

    def test_can_be_assigned_and_are_checked_then_too(self, retriever):
        retriever.k = 1
        assert ids(retriever.invoke("위성")) == ["a"]
        with pytest.raises(InvalidParameterError, match="k"):
            retriever.k = 0
        with pytest.raises(FilterError, match="near"):
            retriever.filter = {"year": {"$near": 2020}}
        assert ids(retriever.invoke("위성")) == ["a"]


class TestDocumentsGoingIn:
    def test_keep_their_ids_and_get_one_from_their_content_otherwise(self, words):
        documents = [Document("위성", id="나", metadata={"year": 1}), Document("위성 농업")]
        with PixieRetriever.from_documents(documents, encoder=words) as retriever:
            found = retriever.invoke("위성")
            assert found[0].id == "나"
            assert found[1].id == PixieRetriever.from_documents(documents[1:], encoder=words).invoke("위성")[0].id
            assert [d.page_content for d in found] == ["위성", "위성 농업"]

    def test_are_not_changed(self, words):
        documents = [Document("위성", metadata={"tags": ["우주"]}), Document("위성", id="b", metadata={"score": 1.0})]
        before = deepcopy(documents)
        metadatas = [{"tags": ["우주"]}]
        with PixieRetriever.from_documents(documents, encoder=words) as retriever:
            retriever.invoke("위성")[0].metadata["tags"].append("바다")
            retriever.add_documents(documents)
        with PixieRetriever.from_texts(["위성"], metadatas, encoder=words) as retriever:
            retriever.invoke("위성")[0].metadata["tags"].append("바다")
        assert documents == before
        assert metadatas == [{"tags": ["우주"]}]

    def test_may_come_from_a_generator(self, words):
        with PixieRetriever.from_documents((Document(text) for text in TEXTS), encoder=words) as retriever:
            assert len(retriever.invoke("위성")) == 3

    def test_are_added_replaced_and_deleted(self, retriever):
        assert retriever.add_documents([Document("발사 발사", id="e"), Document("발사", id="a")]) == ["e", "a"]
        assert ids(retriever.invoke("발사")) == ["e", "b", "a"]
        assert retriever.delete(["e", "nobody"])["num_deleted"] == 1
        assert ids(retriever.invoke("발사")) == ["b", "a"]
        assert ids(retriever.invoke("위성")) == ["b", "c"]

    async def test_are_added_and_deleted_without_blocking(self, retriever, words):
        words.gate.clear()
        words.waiting.clear()
        adding = asyncio.create_task(retriever.aadd_documents([Document("발사 발사", id="e")]))
        assert await asyncio.to_thread(words.waiting.wait, 20)
        words.gate.set()
        assert await adding == ["e"]
        assert (await retriever.adelete(["e"]))["num_deleted"] == 1

    @pytest.mark.parametrize(
        ("metadata", "id", "error"),
        [
            ({"when": object()}, "x", InvalidDocumentError),
            ({"x": float("nan")}, "x", InvalidDocumentError),
            ({1: "key", "b": 2}, "x", InvalidDocumentError),
            ({1: "key", "b": 2}, None, InvalidDocumentError),
            ({}, "", InvalidDocumentError),
            ({}, "a", DuplicateIdError),
        ],
    )
    def test_that_cannot_be_stored_raise_and_nothing_is_stored(self, words, tmp_path, metadata, id, error):
        path = tmp_path / "corpus.db"
        with pytest.raises(error):
            PixieRetriever.from_texts(["위성", "위성"], [{}, metadata], ["a", id], encoder=words, path=path)
        with PixieRetriever.from_texts(["농업"], encoder=words, path=path) as retriever:
            with pytest.raises(error):
                retriever.sparse_retriever.add_texts(["위성", "위성"], [{}, metadata], ["a", id])
            assert len(retriever.sparse_retriever) == 1
            assert retriever.invoke("위성") == []

    def test_that_came_from_a_retrieval_lose_what_it_added(self, retriever):
        retriever.add_documents(retriever.invoke("위성", k=1))
        stored = retriever.sparse_retriever.get(["a"])[0]
        assert stored.metadata == {"year": 2019}

    def test_keep_a_score_of_their_own_which_filters_see_and_results_hide(self, words):
        documents = [Document("위성", id="a", metadata={"score": 9.5}), Document("위성", id="b")]
        with PixieRetriever.from_documents(documents, encoder=words) as retriever:
            assert retriever.sparse_retriever.get(["a"])[0].metadata == {"score": 9.5}
            found = retriever.invoke("위성", filter={"score": {"$gt": 9}})
            assert [(d.id, d.metadata["score"]) for d in found] == [("a", 1.0)]

    def test_explanations_stored_as_texts_metadata_never_pose_as_this_querys(self, words):
        with PixieRetriever.from_texts(["위성"], [{"token_explanations": "옛것"}], encoder=words) as retriever:
            assert retriever.invoke("위성", top_k_tokens=0)[0].metadata == {"score": 1.0}
            assert retriever.invoke("위성")[0].metadata["token_explanations"][0]["token"] == "위성"


class TestFromIndex:
    def test_takes_a_path_an_index_and_a_facade(self, words, tmp_path):
        path = tmp_path / "corpus.db"
        PixieRetriever.from_texts(TEXTS, METADATAS, IDS, encoder=words, path=path).close()
        with open_index(path) as index, SparseRetriever.open(path, encoder=words) as facade:
            for source, encoder in [(path, words), (str(path), words), (index, words), (facade, None)]:
                with PixieRetriever.from_index(source, encoder=encoder, k=2) as retriever:
                    assert ids(retriever.invoke("위성")) == ["a", "b"]

    def test_closes_what_it_opened_and_leaves_open_what_it_was_given(self, words, tmp_path):
        path = tmp_path / "corpus.db"
        PixieRetriever.from_texts(TEXTS, METADATAS, IDS, encoder=words, path=path).close()
        opened = PixieRetriever.from_index(path, encoder=words)
        opened.close()
        with pytest.raises(IndexClosedError):
            opened.invoke("위성")
        with open_index(path) as index, SparseRetriever.open(path, encoder=words) as facade:
            PixieRetriever.from_index(index, encoder=words).close()
            PixieRetriever.from_index(facade).close()
            PixieRetriever(sparse_retriever=facade).close()
            assert len(index) == len(facade) == len(facade.search("농업")) + 2 == 4

    def test_retrieves_while_another_writes_and_locks_nothing_before_its_first_write(self, words, tmp_path):
        path = tmp_path / "corpus.db"
        PixieRetriever.from_texts(TEXTS, METADATAS, IDS, encoder=words, path=path).close()
        with (
            PixieRetriever.from_index(path, encoder=words) as reader,
            PixieRetriever.from_index(path, encoder=words) as writer,
        ):
            assert ids(reader.invoke("위성")) == ["a", "b", "c"]
            writer.add_documents([Document("위성 위성 위성 위성", id="e")])
            assert ids(reader.invoke("위성")) == ["e", "a", "b", "c"]

    def test_of_a_path_where_nothing_is_raises_and_makes_nothing(self, words, tmp_path):
        with pytest.raises(IndexNotFoundError):
            PixieRetriever.from_index(tmp_path / "nothing.db", encoder=words)
        assert list(tmp_path.iterdir()) == []

    def test_refuses_a_second_encoder_beside_a_facade(self, retriever, words):
        assert PixieRetriever.from_index(retriever.sparse_retriever, encoder=words).k == 4
        with pytest.raises(InvalidParameterError, match="encoder"):
            PixieRetriever.from_index(retriever.sparse_retriever, encoder=type(words)())

    def test_closes_the_file_again_when_an_option_is_refused(self, words, tmp_path):
        path = tmp_path / "corpus.db"
        PixieRetriever.from_texts(TEXTS, encoder=words, path=path).close()
        with pytest.raises(InvalidParameterError):
            PixieRetriever.from_index(path, encoder=words, k=0)


class TestLifetime:
    def test_of_a_temporary_index_ends_with_close(self, words, tmp_path, monkeypatch):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        retriever = PixieRetriever.from_texts(TEXTS, encoder=words)
        assert list(tmp_path.iterdir())
        retriever.close()
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(IndexClosedError):
            retriever.invoke("위성")

    def test_of_a_temporary_index_ends_silently_when_nobody_holds_the_retriever(self, words, tmp_path, monkeypatch):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            retriever = PixieRetriever.from_texts(TEXTS, encoder=words)
            assert len(retriever.invoke("위성")) == 3
            del retriever
            gc.collect()
        assert list(tmp_path.iterdir()) == []
        assert [str(warning.message) for warning in caught] == []

    @pytest.mark.parametrize(
        "bad", [{"metadatas": [{"x": {1, 2}}]}, {"metadatas": []}, {"k": 0}, {"ids": [""]}, {"nonsense": 1}]
    )
    def test_of_a_temporary_index_ends_when_filling_it_fails(self, words, tmp_path, monkeypatch, bad):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        with pytest.raises((PixieError, TypeError)):
            PixieRetriever.from_texts(["위성"], encoder=words, **bad)
        assert list(tmp_path.iterdir()) == []

    def test_of_a_temporary_index_ends_silently_with_the_interpreter_and_not_with_a_forked_worker(self, tmp_path):
        code = """
import os, sys, tempfile
from pathlib import Path
sys.path.insert(0, sys.argv[1])
tempfile.tempdir = sys.argv[2]
from conftest import WordEncoder
from pixie_retrievers.langchain import PixieRetriever
retriever = PixieRetriever.from_texts(["위성"], encoder=WordEncoder())
if hasattr(os, "fork"):
    child = os.fork()
    if child == 0:
        sys.exit(0)
    os.waitpid(child, 0)
(directory,) = Path(sys.argv[2]).iterdir()
assert (directory / "index.db").exists()
retriever.add_documents(retriever.invoke("위성"))
"""
        finished = subprocess.run(
            [
                *(sys.executable, "-W", "default::ResourceWarning", "-W", "ignore::DeprecationWarning", "-c", code),
                *(str(Path(__file__).parent), str(tmp_path)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (finished.returncode, finished.stderr) == (0, "")
        assert list(tmp_path.iterdir()) == []

    def test_of_an_index_at_a_path_outlasts_the_retriever(self, words, tmp_path):
        path = tmp_path / "corpus.db"
        PixieRetriever.from_texts(TEXTS[:2], None, IDS[:2], encoder=words, path=path).close()
        with PixieRetriever.from_texts(TEXTS[2:], None, IDS[2:], encoder=words, path=path) as retriever:
            assert ids(retriever.invoke("위성")) == ["a", "b", "c"]

    def test_of_a_new_index_chooses_how_weights_are_stored(self, words, tmp_path):
        for make, source in ((PixieRetriever.from_texts, TEXTS), (PixieRetriever.from_documents, [Document("위성")])):
            path = tmp_path / f"{make.__name__}.db"
            with make(source, encoder=words, path=path, weights="uint8") as retriever:
                assert retriever.sparse_retriever.index.stats().weights == "uint8"
            with pytest.raises(IncompatibleIndexError, match="uint8"):
                make(source, encoder=words, path=path, weights="float16")
            with pytest.raises(InvalidParameterError, match="weights"):
                make(source, encoder=words, weights="float8")


class TestAsync:
    async def test_the_event_loop_keeps_running_while_a_query_is_encoded(self, retriever, words):
        words.gate.clear()
        words.waiting.clear()
        retrieving = asyncio.create_task(retriever.ainvoke("위성", k=2, filter={"year": {"$gte": 2020}}))
        assert await asyncio.to_thread(words.waiting.wait, 20)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not retrieving.done()
        words.gate.set()
        assert ids(await retrieving) == ["b", "c"]

    async def test_says_the_same_as_sync_alone_and_in_a_batch(self, retriever):
        queries = ["위성", "농업", "위성 발사", "바다"]
        expected = [retriever.invoke(query, k=2) for query in queries]
        assert [await retriever.ainvoke(query, k=2) for query in queries] == expected
        assert await retriever.abatch(queries, k=2) == expected
        assert [piece async for piece in retriever.astream("위성", k=2)] == [expected[0]]

    async def test_refuses_what_sync_refuses(self, retriever):
        with pytest.raises(TypeError, match="'fetch_k'"):
            await retriever.ainvoke("위성", fetch_k=3)
        with pytest.raises(InvalidParameterError):
            await retriever.ainvoke("위성", k=0)


class TestAsRunnable:
    def test_batch_keeps_the_order_of_its_queries(self, retriever):
        queries = ["위성", "농업", "발사", "바다"] * 20
        found = retriever.batch(queries, {"max_concurrency": 4}, k=1)
        assert [ids(documents) for documents in found] == [["a"], ["d"], ["b"], []] * 20

    def test_batch_can_return_exceptions(self, retriever):
        found = retriever.batch(["위성", None], return_exceptions=True)
        assert ids(found[0]) == ["a", "b", "c"]
        assert isinstance(found[1], InvalidTextError)

    @pytest.mark.parametrize("query", [{"question": "위성"}, ["위성"], None, 7])
    def test_a_query_that_is_not_a_string_is_refused_with_a_hint(self, retriever, query):
        with pytest.raises(InvalidTextError, match=r"not a string.*itemgetter"):
            retriever.invoke(query)

    def test_pipes_into_a_chain_which_hands_options_on(self, retriever):
        chain = retriever | (lambda documents: " / ".join(d.page_content for d in documents))
        assert chain.invoke("위성", k=2) == "위성 위성 위성 / 위성 위성 발사"
        assert (retriever.bind(k=1) | ids).invoke("위성") == ["a"]

    def test_k_can_be_made_configurable(self, retriever):
        configurable = retriever.configurable_fields(k=ConfigurableField(id="k"))
        assert ids(configurable.invoke("위성", {"configurable": {"k": 1}})) == ["a"]
        assert len(configurable.invoke("위성")) == 3

    def test_callbacks_see_every_query_its_documents_and_its_error(self, retriever):
        recorder = Recorder()
        config = {"callbacks": [recorder], "max_concurrency": 1}
        retriever.batch(["농업", "발사"], config)
        with pytest.raises(InvalidParameterError):
            retriever.invoke("위성", config, k=0)
        assert recorder.seen == [
            *(("start", "농업"), ("end", ["d", "c"])),
            *(("start", "발사"), ("end", ["b"])),
            *(("start", "위성"), ("error", InvalidParameterError)),
        ]

    def test_tracing_names_index_and_model(self, retriever):
        assert retriever._get_ls_params(k=3) == {
            "ls_retriever_name": "pixie",
            "ls_vector_store_provider": "SqliteIndex",
            "ls_embedding_provider": "WordEncoder",
            "ls_embedding_model": "words",
        }

    def test_shows_and_serialises_its_options_but_not_its_index(self, retriever):
        retriever.k = 7
        assert repr(retriever) == "PixieRetriever(k=7)"
        assert retriever.model_dump(exclude_defaults=True) == {"k": 7}
        assert json.loads(dumps(retriever))["type"] == "not_implemented"

    def test_can_be_copied_with_other_options_over_the_same_index(self, retriever):
        copy = retriever.model_copy(update={"k": 1})
        retriever.add_documents([Document("위성 위성 위성 위성", id="e")])
        assert ids(copy.invoke("위성")) == ["e"]
        assert ids(retriever.with_config(tags=["x"]).invoke("위성", k=2)) == ["e", "a"]

    def test_describes_itself(self, retriever):
        assert retriever.get_input_schema().model_validate("위성")
        assert retriever.get_output_jsonschema()
        assert retriever.get_graph().nodes


class TestAsDocumentIndex:
    def test_upsert_reports_what_it_stored(self, retriever):
        assert retriever.upsert([Document("발사", id="e"), Document("발사", id="a")]) == {
            "succeeded": ["e", "a"],
            "failed": [],
        }
        assert ids(retriever.get(["a", "nobody", "e"])) == ["a", "e"]

    def test_upsert_raises_instead_of_reporting_failures_that_nobody_reads(self, retriever):
        with pytest.raises(InvalidDocumentError):
            retriever.upsert([Document("발사", id="e"), Document("발사", id="f", metadata={"x": object()})])
        assert retriever.get(["e", "f"]) == []

    def test_get_returns_documents_as_they_were_stored(self, retriever):
        assert retriever.get(["a"]) == [Document("위성 위성 위성", id="a", metadata={"year": 2019})]

    def test_delete_needs_ids_and_forgives_unknown_ones(self, retriever):
        with pytest.raises(ValueError, match="ids"):
            retriever.delete()
        assert retriever.delete(["nobody"]) == {"num_deleted": 0, "num_failed": 0}
        assert retriever.delete([]) == {"num_deleted": 0, "num_failed": 0}

    async def test_has_async_twins(self, retriever):
        assert (await retriever.aupsert([Document("발사", id="e")]))["succeeded"] == ["e"]
        assert ids(await retriever.aget(["e"])) == ["e"]
        assert (await retriever.adelete(["e"]))["num_deleted"] == 1
        with pytest.raises(ValueError, match="ids"):
            await retriever.adelete()

    @pytest.mark.parametrize("method", ["upsert", "delete", "get"])
    def test_refuses_what_it_does_not_know(self, retriever, method):
        with pytest.raises(TypeError, match="'nonsense'"):
            getattr(retriever, method)([], nonsense=1)


class Recorder(BaseCallbackHandler):
    """Notes what a tracer would see."""

    def __init__(self):
        self.seen = []

    def on_retriever_start(self, serialized, query, **kwargs):
        self.seen.append(("start", query))

    def on_retriever_end(self, documents, **kwargs):
        self.seen.append(("end", ids(documents)))

    def on_retriever_error(self, error, **kwargs):
        self.seen.append(("error", type(error)))


class TestABatch:
    QUERIES = ("위성", "농업", "위성", "바다")

    @pytest.fixture
    def passes(self, words, monkeypatch):
        """Which queries went through the encoder together."""
        passes = []
        encode = words.encode_queries
        monkeypatch.setattr(words, "encode_queries", lambda texts: passes.append(list(texts)) or encode(texts))
        return passes

    def test_is_encoded_in_one_pass_and_traced_query_by_query(self, retriever, passes):
        recorder = Recorder()
        found = retriever.batch(list(self.QUERIES), {"callbacks": [recorder]}, k=1)
        assert [ids(documents) for documents in found] == [["a"], ["d"], ["a"], []]
        assert passes == [["위성", "농업", "바다"]]
        expected = [
            [("start", query), ("end", ids(documents))] for query, documents in zip(self.QUERIES, found, strict=True)
        ]
        assert recorder.seen == [event for pair in expected for event in pair]

    async def test_is_encoded_in_one_pass_without_blocking(self, retriever, words, passes):
        recorder = Recorder()
        words.gate.clear()
        words.waiting.clear()
        retrieving = asyncio.create_task(retriever.abatch(list(self.QUERIES), {"callbacks": [recorder]}, k=1))
        assert await asyncio.to_thread(words.waiting.wait, 20)
        assert not retrieving.done()
        words.gate.set()
        assert [ids(documents) for documents in await retrieving] == [["a"], ["d"], ["a"], []]
        assert passes == [["위성", "농업", "바다"]]
        assert [query for event, query in recorder.seen if event == "start"] == list(self.QUERIES)

    def test_in_a_chain_is_encoded_in_one_pass(self, retriever, passes):
        assert (retriever | len).batch(["위성", "농업"]) == [3, 2]
        assert len(passes) == 1

    def test_may_have_a_config_a_query(self, retriever):
        one, other = Recorder(), Recorder()
        retriever.batch(["위성", "농업"], [{"callbacks": [one]}, {"callbacks": [other]}])
        assert (one.seen[0], other.seen[0]) == (("start", "위성"), ("start", "농업"))

    def test_documents_of_equal_queries_can_be_changed_apart(self, retriever):
        first, second = retriever.batch(["위성", "위성"], k=1)
        first[0].metadata.clear()
        assert second[0].metadata["score"] == 3.0

    async def test_an_error_meets_the_queries_at_fault_alone(self, retriever):
        recorder = Recorder()
        config = {"callbacks": [recorder]}
        queries = ["위성", None, "농업"]
        for found in (
            retriever.batch(queries, config, return_exceptions=True),
            await retriever.abatch(queries, config, return_exceptions=True),
        ):
            assert (ids(found[0]), ids(found[2])) == (["a", "b", "c"], ["d", "c"])
            assert isinstance(found[1], InvalidTextError)
        assert recorder.seen.count(("error", InvalidTextError)) == 2
        with pytest.raises(InvalidTextError):
            retriever.batch(queries)
        with pytest.raises(InvalidTextError):
            await retriever.abatch(queries)

    async def test_an_option_that_means_nothing_fails_each_query(self, retriever):
        for found in (
            retriever.batch(["위성", "농업"], return_exceptions=True, k=0),
            await retriever.abatch(["위성", "농업"], return_exceptions=True, k=0),
        ):
            assert [type(error) for error in found] == [InvalidParameterError] * 2

    async def test_of_nothing_is_nothing(self, retriever):
        assert retriever.batch([]) == []
        assert await retriever.abatch([]) == []


class TestForeignMetadata:
    def test_is_stored_in_its_json_form(self, words):
        document = Document(
            "위성", id="a", metadata={"when": dt.date(2024, 5, 1), "n": np.int64(3), "seen": np.bool_(True)}
        )
        with PixieRetriever.from_documents([document], encoder=words, path=":memory:") as store:
            found = store.get(["a"])[0]
            assert found.metadata == {"when": "2024-05-01", "n": 3, "seen": True}
            assert [type(value) for value in found.metadata.values()] == [str, int, bool]
        assert not Path(":memory:").exists()

    def test_that_cannot_be_stored_is_named_by_place_and_key(self, words):
        chunks = [Document("위성", metadata={"source": "a.md", "page": n}) for n in range(40)]
        chunks[16].metadata["raw"] = {"bytes": b""}
        with pytest.raises(
            InvalidDocumentError, match=r"document 17, .*'source': 'a.md', 'page': 16.*metadata\['raw'\]\['bytes'\]"
        ):
            PixieRetriever.from_documents(chunks, encoder=words)


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
            ({"k": 0}, InvalidParameterError, "k is 0"),
            ({"filter": {"field": {"$in": "우주"}}}, FilterError, "takes a list of values, not str"),
            ({"tags": 3}, InvalidParameterError, "tags is of type int"),
            ({"top_k": 3}, TypeError, "PixieRetriever does not take 'top_k'; it takes"),
        ],
    )
    def test_a_setting(self, options, error, message):
        for make, source in ((PixieRetriever.from_texts, TEXTS), (PixieRetriever.from_index, "corpus.db")):
            with pytest.raises(error, match=message):
                make(source, **options)

    def test_documents(self):
        with pytest.raises(InvalidDocumentError, match="type str is not a LangChain Document: pass Document"):
            PixieRetriever.from_documents(TEXTS)
        with pytest.raises(InvalidTextError, match="one string; pass a list"):
            PixieRetriever.from_texts("위성")
        with pytest.raises(InvalidParameterError, match="4 texts but 1 ids"):
            PixieRetriever.from_texts(TEXTS, ids=["a"])


def test_rules_hold_and_are_switched_off_at_a_call_or_for_good(encoder):
    from pixie_retrievers import SparseRetriever, rules_of
    from pixie_retrievers.langchain import PixieVectorStore

    with SparseRetriever.open(encoder=encoder) as facade:
        facade.add_texts(["스레드 풀", "수수께끼는 풀립니다"], ids=["pool", "riddle"])
        facade.set_rules(rules_of(encoder, {"풀": 0}))
        retriever = PixieRetriever(sparse_retriever=facade)
        assert [document.id for document in retriever.invoke("스레드 풀")] == ["pool"]
        assert [document.id for document in retriever.invoke("스레드 풀", rules=False)] == ["pool", "riddle"]
        without = PixieRetriever(sparse_retriever=facade, rules=False)
        assert [document.id for document in without.batch(["스레드 풀"])[0]] == ["pool", "riddle"]
        assert [document.id for document in without.invoke("스레드 풀", rules=True)] == ["pool"]
        half = retriever.invoke("스레드 풀", rules=rules_of(encoder, {"풀": 0.5}))[0].metadata["token_explanations"]
        assert {row["surface"]: row["rule"]["factor"] for row in half if "rule" in row} == {"풀": 0.5}
        with pytest.raises(InvalidParameterError, match="rules"):
            PixieRetriever(sparse_retriever=facade, rules=3)
        store = PixieVectorStore(facade, rules=False)
        assert len(store.similarity_search("스레드 풀")) == 2
        assert len(store.similarity_search("스레드 풀", rules=True)) == 1
        assert len(store.max_marginal_relevance_search("스레드 풀", rules=True)) == 1
