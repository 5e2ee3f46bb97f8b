"""The hybrid retriever: parts joined by id, what each said kept, over parts that can be counted by hand."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from copy import deepcopy

import numpy as np
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore

from pixie_retrievers.errors import FilterError, InvalidParameterError, PixieWarning
from pixie_retrievers.filters import parse_filter
from pixie_retrievers.langchain import HybridRetriever, PixieRetriever, PixieVectorStore

TEXTS = ["위성 위성 위성", "위성 위성 발사", "위성 농업"]
IDS = ["a", "b", "c"]


class Dense(BaseRetriever):
    """Returns what it was given, as a retriever over another store would."""

    documents: list[Document]

    def _get_relevant_documents(self, query, *, run_manager):
        return self.documents


DENSE = [
    Document("위성 농업", id="c", metadata={"score": 0.9, "lang": "ko"}),
    Document("위성 위성 위성", id="a", metadata={"score": 0.5}),
    Document("바다", id="d", metadata={"score": 0.1}),
]


@pytest.fixture
def sparse(words):
    with PixieRetriever.from_texts(TEXTS, [{"n": 0}, {"n": 1}, {"n": 2}], IDS, encoder=words) as sparse:
        yield sparse


@pytest.fixture
def hybrid(sparse):
    return HybridRetriever(retrievers={"sparse": sparse, "dense": Dense(documents=DENSE)})


def ids(documents):
    return [document.id for document in documents]


def test_documents_are_joined_by_rank(hybrid):
    found = hybrid.invoke("위성")
    assert ids(found) == ["a", "c", "b", "d"]
    assert [document.metadata["score"] for document in found] == pytest.approx(
        [1 / 61 + 1 / 62, 1 / 63 + 1 / 61, 1 / 62, 1 / 63]
    )


def test_every_parts_rank_score_and_contribution_is_kept(hybrid):
    metadata = hybrid.invoke("위성")[0].metadata
    parts = metadata["fusion_parts"]
    assert {key: parts["dense"][key] for key in ("rank", "score", "contribution")} == {
        "rank": 2,
        "score": 0.5,
        "contribution": pytest.approx(1 / 62),
    }
    assert (parts["sparse"]["rank"], parts["sparse"]["score"]) == (1, 3.0)
    assert sum(part["contribution"] for part in parts.values()) == pytest.approx(metadata["score"])
    assert json.loads(json.dumps(metadata)) == metadata


def test_tokens_explain_the_score_that_they_stand_beside(hybrid):
    found = {document.id: document.metadata for document in hybrid.invoke("위성")}
    for metadata in found.values():
        assert "token_explanations" not in metadata
        assert "token_explanations" not in metadata["fusion_parts"]["dense"]
    sparse = found["b"]["fusion_parts"]["sparse"]
    assert sum(one["contribution"] for one in sparse["token_explanations"]) == sparse["score"]
    assert found["d"]["fusion_parts"]["sparse"]["rank"] is None


def test_text_and_metadata_are_those_of_the_first_part_that_has_the_document(hybrid):
    found = {document.id: document for document in hybrid.invoke("위성")}
    assert (found["c"].metadata["n"], "lang" in found["c"].metadata) == (2, False)
    assert found["d"].page_content == "바다"


def test_what_the_parts_returned_is_left_as_it_was(sparse):
    documents = deepcopy(DENSE)
    for document in HybridRetriever(retrievers=[Dense(documents=documents), sparse]).invoke("위성"):
        document.metadata.clear()
    assert documents == DENSE


def test_equal_texts_of_different_ids_stay_apart_and_unequal_texts_of_one_id_are_one(words):
    with PixieRetriever.from_texts(["위성", "위성"], ids=["a", "b"], encoder=words) as sparse:
        dense = Dense(documents=[Document("위성!", id="b")])
        found = HybridRetriever(retrievers={"sparse": sparse, "dense": dense}).invoke("위성")
    assert [(document.id, document.page_content) for document in found] == [("b", "위성"), ("a", "위성")]


def test_documents_without_ids_meet_by_text_and_metadata(words):
    with PixieRetriever.from_texts(["위성", "위성 발사"], [{"n": 1}, {"n": 2}], encoder=words) as sparse:
        dense = Dense(documents=[Document("위성", metadata={"n": 1}), Document("위성", metadata={"n": 3})])
        found = HybridRetriever(retrievers={"sparse": sparse, "dense": dense}).invoke("위성")
    assert len(found) == 3
    assert {name: part["rank"] for name, part in found[0].metadata["fusion_parts"].items()} == {"sparse": 1, "dense": 1}


def test_documents_may_be_told_apart_by_a_key_of_their_metadata(sparse):
    dense = Dense(documents=[Document("다른 글", metadata={"n": 2})])
    found = HybridRetriever(retrievers={"sparse": sparse, "dense": dense}, id_key="n").invoke("위성")
    assert ids(found) == ["c", "a", "b"]


def test_scores_can_be_weighed(sparse):
    hybrid = HybridRetriever(
        retrievers={"sparse": sparse, "dense": Dense(documents=DENSE)},
        method="weighted",
        weights={"sparse": 1, "dense": 3},
    )
    found = hybrid.invoke("위성")
    assert [(document.id, document.metadata["score"]) for document in found] == [
        ("c", pytest.approx(3.0)),
        ("a", pytest.approx(1 + 3 * 0.5)),
        ("b", pytest.approx(0.5)),
        ("d", pytest.approx(0.0)),
    ]


def test_weighing_a_part_without_scores_says_which(sparse):
    bare = Dense(documents=[Document("위성", id="a")])
    hybrid = HybridRetriever(retrievers={"sparse": sparse, "bare": bare}, method="weighted")
    with pytest.raises(InvalidParameterError, match=r"'bare' has no score.*rrf"):
        hybrid.invoke("위성")


def test_relevance_scores_of_other_retrievers_count_as_scores(sparse):
    other = Dense(documents=[Document("위성", id="a", metadata={"relevance_score": np.float32(0.5)})])
    found = HybridRetriever(retrievers={"sparse": sparse, "other": other}).invoke("위성")
    assert found[0].metadata["fusion_parts"]["other"]["score"] == 0.5


def test_k_is_taken_at_construction_and_at_invoke(sparse):
    parts = {"sparse": sparse, "dense": Dense(documents=DENSE)}
    assert len(HybridRetriever(retrievers=parts, k=1).invoke("위성")) == 1
    assert len(HybridRetriever(retrievers=parts).invoke("위성", k=3)) == 3
    for k in (0, True, 1.5):
        with pytest.raises(InvalidParameterError, match="k is "):
            HybridRetriever(retrievers=parts).invoke("위성", k=k)
        with pytest.raises(InvalidParameterError, match="k is "):
            HybridRetriever(retrievers=parts, k=k)


def test_what_belongs_to_a_part_is_refused_by_name(hybrid):
    with pytest.raises(TypeError, match=r"'fetch_k'.*at the part"):
        hybrid.invoke("위성", fetch_k=1)


def test_parts_of_a_list_are_named_after_their_classes(sparse):
    hybrid = HybridRetriever(retrievers=[sparse, sparse, Dense(documents=[])])
    assert list(hybrid.retrievers) == ["PixieRetriever", "PixieRetriever 2", "Dense"]
    assert HybridRetriever(retrievers=[sparse, sparse], weights=[1, 0]).invoke("위성", k=1)[0].id == "a"


def test_any_runnable_may_be_a_part(sparse):
    found = HybridRetriever(retrievers=[sparse, RunnableLambda(lambda _: DENSE)]).invoke("위성")
    assert ids(found) == ["a", "c", "b", "d"]


@pytest.mark.parametrize(
    ("options", "words_"),
    [
        ({"retrievers": {}}, "at least one"),
        ({"weights": [1]}, "one weight a list, not 1 for 2"),
        ({"weights": [1, -1]}, "0 or more"),
        ({"weights": [1, float("nan")]}, "'dense' is nan"),
        ({"weights": {"sparse": 1}}, "one weight a list"),
        ({"method": "borda"}, "method"),
        ({"normalization": "softmax"}, "normalization"),
        ({"rank_constant": -1}, "rank_constant"),
        ({"rank_constant": True}, "rank_constant is True"),
        ({"rank_constant": "60"}, "rank_constant is '60'"),
        ({"weights": [True, 1]}, "'sparse' is True"),
        ({"weights": {"sparse": "1", "dense": 1}}, "'sparse' is '1'"),
        ({"weights": 3}, "weights is of type int"),
        ({"retrievers": 3}, "retrievers is of type int"),
        ({"retrievers": [3]}, "retrievers is of type int"),
        ({"k": 0}, "k"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_what_means_nothing_is_refused_before_anything_is_retrieved(sparse, options, words_):
    parts = {"sparse": sparse, "dense": Dense(documents=DENSE)}
    with pytest.raises(TypeError if "nonsense" in options else InvalidParameterError, match=words_):
        HybridRetriever(**{"retrievers": parts, **options})


async def test_async_asks_the_parts_at_the_same_time(words, sparse):
    """Each part waits until the other has been asked: one after the other, they would wait for ever."""
    asked = [asyncio.Event(), asyncio.Event()]

    def part(own, others):
        async def retrieve(query):
            own.set()
            await asyncio.wait_for(others.wait(), 20)
            return DENSE

        return RunnableLambda(lambda _: DENSE, retrieve)

    hybrid = HybridRetriever(retrievers={"one": part(*asked), "other": part(*reversed(asked)), "sparse": sparse})
    assert await hybrid.ainvoke("위성", k=3) == hybrid.invoke("위성", k=3)


async def test_async_refuses_what_sync_refuses(hybrid):
    with pytest.raises(TypeError, match="'fetch_k'"):
        await hybrid.ainvoke("위성", fetch_k=1)


def test_an_error_of_a_part_is_raised(sparse):
    def fail(_):
        raise ConnectionError("no store there")

    with pytest.raises(ConnectionError, match="no store there"):
        HybridRetriever(retrievers=[sparse, RunnableLambda(fail)]).invoke("위성")


def test_callbacks_see_the_parts_as_its_children(hybrid):
    class Recorder(BaseCallbackHandler):
        def __init__(self):
            self.started = []

        def on_retriever_start(self, serialized, query, *, run_id, parent_run_id=None, tags=None, **kwargs):
            self.started.append((kwargs["name"], parent_run_id is not None, tags))

    recorder = Recorder()
    hybrid.invoke("위성", {"callbacks": [recorder]})
    assert recorder.started == [
        ("HybridRetriever", False, []),
        ("PixieRetriever", True, ["retriever:sparse"]),
        ("Dense", True, ["retriever:dense"]),
    ]


def test_documents_that_it_returned_can_be_stored_again_without_what_it_added(hybrid, sparse):
    sparse.add_documents(hybrid.invoke("위성", k=1))
    assert sparse.get(["a"])[0].metadata == {"n": 0}


def test_shows_and_serialises_its_options_but_not_its_parts(hybrid):
    assert "PixieRetriever" not in repr(hybrid)
    assert hybrid.model_dump(exclude_defaults=True) == {}


def test_stores_that_make_their_own_ids_are_warned_of_once(words):
    with PixieRetriever.from_texts(["위성", "위성 발사"], encoder=words) as sparse:
        other = Dense(documents=[Document("위성", id="uuid-1", metadata={"n": 1})])
        hybrid = HybridRetriever(retrievers={"sparse": sparse, "dense": other})
        with pytest.warns(PixieWarning, match=r"'sparse' and 'dense'.*ids=.*id_key="):
            assert len(hybrid.invoke("위성")) == 3
        assert len(hybrid.invoke("위성")) == 3


def test_documents_meet_by_content_when_their_metadata_is_not_json(words):
    when = dt.date(2024, 5, 1)
    with PixieRetriever.from_texts(["위성"], [{"when": when}], encoder=words) as sparse:
        other = Dense(documents=[Document("위성", metadata={"when": when})])
        assert len(HybridRetriever(retrievers=[sparse, other]).invoke("위성")) == 1


# What is said at a call


async def test_a_filter_reaches_every_part_and_holds_for_those_that_do_not_know_it(hybrid, sparse):
    assert ids(hybrid.invoke("위성", filter={"n": {"$gte": 1}})) == ["b", "c"]
    assert ids(await hybrid.ainvoke("위성", filter={"lang": "ko"})) == ["c"]
    assert ids(hybrid.invoke("위성", filter=lambda metadata: "n" not in metadata)) == ["c", "a", "d"]
    asking = HybridRetriever(retrievers=hybrid.retrievers, filter={"n": 0})
    assert ids(asking.invoke("위성")) == ["a"]
    assert ids(asking.invoke("위성", filter={})) == ids(hybrid.invoke("위성"))
    with pytest.raises(FilterError):
        hybrid.invoke("위성", filter={"n": {"$near": 1}})
    with pytest.raises(FilterError):
        HybridRetriever(retrievers=[sparse], filter={"n": {"$near": 1}})


def test_a_filter_of_a_part_stays_beside_that_of_a_call(words, sparse):
    store = PixieVectorStore(sparse.sparse_retriever)
    for part in (
        PixieRetriever(sparse_retriever=sparse.sparse_retriever, filter={"n": {"$lt": 2}}),
        sparse.bind(filter={"n": {"$lt": 2}}),
        store.as_retriever(search_kwargs={"filter": {"n": {"$lt": 2}}}),
        HybridRetriever(retrievers=[sparse], filter={"n": {"$lt": 2}}),
    ):
        assert ids(HybridRetriever(retrievers=[part]).invoke("위성", filter={"n": {"$gte": 1}})) == ["b"]


def test_k_at_a_call_asks_no_part_for_less_than_it_is_set_to(sparse):
    store = PixieVectorStore(sparse.sparse_retriever)
    few = PixieRetriever(sparse_retriever=sparse.sparse_retriever, k=1)
    for part in (few, store.as_retriever(search_kwargs={"k": 1}), few.with_config(tags=["x"]), sparse.bind(k=1)):
        hybrid = HybridRetriever(retrievers={"one": part})
        assert ids(hybrid.invoke("위성")) == ["a"]
        assert ids(hybrid.invoke("위성", k=2)) == ["a", "b"]
    assert len(HybridRetriever(retrievers={"all": sparse}).invoke("위성", k=1)[0].metadata["fusion_parts"]) == 1


def test_a_threshold_reaches_the_parts_and_what_another_part_has_survives(hybrid):
    found = hybrid.invoke("위성", score_threshold=2)
    assert ids(found) == ["a", "c", "b", "d"]
    by_id = {document.id: document.metadata["fusion_parts"] for document in found}
    assert by_id["c"]["sparse"]["rank"] is None
    assert by_id["c"]["dense"]["rank"] == 1
    assert ids(hybrid.invoke("위성", score_threshold={"sparse": 3})) == ["a", "c", "d"]
    for threshold, error in ((True, "score_threshold"), ("2", "score_threshold"), ({"other": 1}, "'other'")):
        with pytest.raises(InvalidParameterError, match=error):
            hybrid.invoke("위성", score_threshold=threshold)
        with pytest.raises(InvalidParameterError, match=error):
            HybridRetriever(retrievers=hybrid.retrievers, score_threshold=threshold)


def test_a_store_with_a_filter_language_of_its_own_is_told_in_it(sparse):
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    store.add_documents([Document(f"위성 {n}", id=f"m{n}", metadata={"n": n}) for n in range(20)])

    def translated(filter):
        return lambda document: parse_filter(filter).matches(document.metadata)

    parts = {"sparse": sparse, "dense": store.as_retriever(search_kwargs={"k": 2})}
    hybrid = HybridRetriever(retrievers=parts, filter_translators={"dense": translated})
    found = hybrid.invoke("위성", filter={"n": {"$gte": 17}}, k=3)
    assert sorted(ids(found)) == ["m17", "m18", "m19"]
    with pytest.raises(TypeError, match="'other'"):
        HybridRetriever(retrievers=parts, filter_translators={"other": translated})


def test_an_id_that_one_part_alone_has_survives(sparse):
    without = Dense(documents=[Document("위성 농업", metadata={"n": 2}), Document("바다")])
    for parts in ({"other": without, "sparse": sparse}, {"sparse": sparse, "other": without}):
        found = HybridRetriever(retrievers=parts).invoke("위성")
        assert sorted(ids(found), key=str) == [None, "a", "b", "c"]
        assert found[[document.id for document in found].index("c")].metadata["fusion_parts"]["other"]["rank"] == 1
    named = Dense(documents=[Document("다른 글", metadata={"n": 1})])
    (best, *_) = HybridRetriever(retrievers=[named, sparse], id_key="n").invoke("위성")
    assert (best.page_content, best.id) == ("다른 글", "b")
