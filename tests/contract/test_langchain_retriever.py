"""LangChain's own retriever suite, and what users rely on, with the bundled model over a real index file."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_tests.integration_tests import RetrieversIntegrationTests

from pixie_retrievers.langchain import PixieRetriever
from pixie_retrievers.retriever import SparseRetriever

PASSAGES = [
    ("space", 2022, "누리호는 2022년 6월 21일 두 번째 발사에서 위성을 궤도에 올리는 데 성공했다."),
    ("space", 2022, "다누리는 한국의 첫 달 탐사선으로 달 궤도에서 표면을 촬영한다."),
    ("space", 2020, "천리안 2B호는 해양과 환경을 살피는 정지궤도 위성이다."),
    ("farm", 2021, "농업 위성은 작물의 생육과 가뭄을 우주에서 관측한다."),
    ("farm", 2020, "벼농사에서는 모내기 뒤 물을 얕게 대는 것이 좋다."),
    ("food", 2019, "김치는 배추를 소금에 절여 양념과 함께 발효시킨 음식이다."),
    ("food", 2021, "된장은 삶은 콩으로 만든 메주를 소금물에 띄워 만든다."),
    ("city", 2022, "서울 지하철 2호선은 도심을 한 바퀴 도는 순환선이다."),
]
QUERY = "위성을 궤도에 올린 발사"


def documents():
    return [
        Document(text, id=f"passage-{number}", metadata={"field": field, "year": year})
        for number, (field, year, text) in enumerate(PASSAGES)
    ]


def ids(found):
    return [document.id for document in found]


@pytest.fixture(scope="module")
def path(encoder, tmp_path_factory):
    path = tmp_path_factory.mktemp("langchain") / "corpus.db"
    PixieRetriever.from_documents(documents(), encoder=encoder, path=path).close()
    return path


@pytest.fixture(scope="module")
def facade(encoder, path):
    with SparseRetriever.open(path, encoder=encoder) as facade:
        yield facade


@pytest.fixture
def retriever(facade):
    return PixieRetriever.from_index(facade)


class TestStandardSuite(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _over_a_file(self, facade):
        self._params = {"sparse_retriever": facade}

    @property
    def retriever_constructor(self):
        return PixieRetriever

    @property
    def retriever_constructor_params(self):
        return self._params

    @property
    def retriever_query_example(self):
        return QUERY


def test_the_best_passage_comes_first_and_scores_fall(retriever):
    found = retriever.invoke(QUERY, k=100)
    assert found[0].id == "passage-0"
    scores = [document.metadata["score"] for document in found]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0


def test_contributions_sum_to_the_score(retriever):
    for document in retriever.invoke(QUERY, k=100, top_k_tokens=None):
        explanations = document.metadata["token_explanations"]
        contributions = [one["contribution"] for one in explanations]
        assert sum(contributions) == pytest.approx(document.metadata["score"], abs=1e-5)
        assert contributions == sorted(contributions, reverse=True)
        for one in explanations:
            assert one["query_weight"] * one["document_weight"] == pytest.approx(one["contribution"])


def test_the_token_that_both_texts_hold_says_so(retriever):
    explanations = retriever.invoke(QUERY, k=1, top_k_tokens=None)[0].metadata["token_explanations"]
    both = [one["surface"] for one in explanations if one["in_query"] and one["in_document"]]
    assert both
    assert all(surface in PASSAGES[0][2] for surface in both)


def test_ten_tokens_at_most_explain_a_document_unless_told_otherwise(retriever):
    assert all(len(document.metadata["token_explanations"]) <= 10 for document in retriever.invoke(QUERY))
    assert "token_explanations" not in retriever.invoke(QUERY, top_k_tokens=0)[0].metadata


def test_a_filter_counts_before_the_best_are_taken(retriever):
    everything = [d for d in retriever.invoke(QUERY, k=100) if d.metadata["year"] == 2020]
    assert everything
    assert retriever.invoke(QUERY, k=len(everything), filter={"year": 2020}) == everything
    assert retriever.invoke(QUERY, k=1, filter=lambda metadata: metadata["year"] == 2020) == everything[:1]


def test_a_threshold_keeps_those_that_reach_it(retriever):
    found = retriever.invoke(QUERY, k=100)
    threshold = found[1].metadata["score"]
    assert retriever.invoke(QUERY, k=100, score_threshold=threshold) == found[:2]


def test_more_than_there_is_can_be_asked_for(retriever):
    assert 0 < len(retriever.invoke(QUERY, k=10_000)) <= len(PASSAGES)


def test_ids_texts_and_metadata_come_back_as_they_went_in(retriever):
    originals = {document.id: document for document in documents()}
    for found in retriever.invoke(QUERY, k=100):
        original = originals[found.id]
        assert found.page_content == original.page_content
        assert {key: found.metadata[key] for key in original.metadata} == original.metadata
        assert found.metadata.keys() - original.metadata.keys() == {
            "score",
            "token_explanations",
            "token_explanations_residual",
            "token_explanations_n_tokens",
        }


@pytest.mark.new_process
def test_another_process_finds_the_same_in_the_file(retriever, path):
    code = """
import json, sys
from pixie_retrievers import PixieEncoder
from pixie_retrievers.langchain import PixieRetriever
with PixieRetriever.from_index(sys.argv[1], encoder=PixieEncoder.bundled()) as retriever:
    print(json.dumps([[d.id, d.page_content, d.metadata] for d in retriever.invoke(sys.argv[2])]))
"""
    finished = subprocess.run(
        [sys.executable, "-c", code, str(path), QUERY], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    here = [[d.id, d.page_content, d.metadata] for d in retriever.invoke(QUERY)]
    there = json.loads(finished.stdout)
    assert [row[:2] for row in there] == [row[:2] for row in here]
    for one, other in zip(there, here, strict=True):
        assert one[2]["score"] == pytest.approx(other[2]["score"], rel=1e-5)
        assert [e["token"] for e in one[2]["token_explanations"]] == [
            e["token"] for e in other[2]["token_explanations"]
        ]


def assert_alike(found, expected):
    """The same documents; scores may differ by rounding, as padding in a batch changes the order of sums."""
    assert ids(found) == ids(expected)
    assert [d.metadata["score"] for d in found] == pytest.approx([d.metadata["score"] for d in expected], rel=1e-5)


async def test_sync_async_and_batches_agree(retriever):
    queries = [QUERY, "발효 음식", "서울 지하철", "달 탐사선"]
    expected = [retriever.invoke(query) for query in queries]
    for found in (
        retriever.batch(queries),
        await retriever.abatch(queries),
        [await retriever.ainvoke(query) for query in queries],
    ):
        for one, other in zip(found, expected, strict=True):
            assert_alike(one, other)


def test_threads_may_share_a_retriever_while_it_is_written_to(encoder):
    queries = [QUERY, "발효 음식", "서울 지하철", "달 탐사선"] * 4
    with PixieRetriever.from_documents(documents(), encoder=encoder, k=1) as retriever:
        expected = {query: ids(retriever.invoke(query)) for query in queries}
        with ThreadPoolExecutor(6) as pool:
            searching = [pool.submit(retriever.invoke, query) for query in queries]
            writing = pool.submit(
                lambda: [
                    retriever.add_documents([Document("바둑은 흑과 백이 번갈아 둔다.", id=str(n))]) for n in range(4)
                ]
            )
            assert [ids(future.result()) for future in searching] == [expected[query] for query in queries]
            assert writing.result() == [[str(n)] for n in range(4)]
        assert len(retriever.sparse_retriever) == len(PASSAGES) + 4


def test_it_feeds_a_chain(retriever):
    prompt = ChatPromptTemplate.from_template("자료: {context}\n질문: {question}")
    chain = (
        {
            "context": retriever | (lambda found: found[0].page_content),
            "question": RunnablePassthrough(),
        }
        | prompt
        | RunnableLambda(lambda value: value.to_string())
        | StrOutputParser()
    )
    assert chain.invoke(QUERY) == f"Human: 자료: {PASSAGES[0][2]}\n질문: {QUERY}"
