"""TokenExplainer: documents that others found, explained by the index, or by their texts where it lacks them."""

from __future__ import annotations

from copy import deepcopy

import pytest
from langchain_core.documents import Document

from pixie_retrievers.errors import InvalidParameterError, InvalidTextError
from pixie_retrievers.langchain import PixieRetriever, TokenExplainer

STORED = [Document("위성 위성 발사", id="a", metadata={"year": 2019}), Document("농업", id="b")]


@pytest.fixture
def retriever(words):
    with PixieRetriever.from_documents(STORED, encoder=words) as retriever:
        yield retriever


def test_documents_of_another_retriever_get_the_explanation_that_ours_gives(retriever):
    dense = [
        STORED[1].model_copy(update={"metadata": {"score": 0.75}}),
        STORED[0].model_copy(update={"metadata": {"year": 2019, "relevance_score": 0.5}}),
        Document("위성 지구", metadata={"from": "elsewhere"}),
    ]
    before = deepcopy(dense)
    explained = TokenExplainer(retriever).compress_documents(dense, "위성 발사")
    assert [document.id for document in explained] == ["b", "a", None]
    assert [document.metadata["token_explanations_score"] for document in explained] == [0.0, 3.0, 1.0]
    (ours,) = retriever.invoke("위성 발사")
    assert explained[1].metadata["token_explanations"] == ours.metadata["token_explanations"]
    assert explained[0].metadata == {
        "score": 0.75,
        "token_explanations": [],
        "token_explanations_residual": 0.0,
        "token_explanations_n_tokens": 0,
        "token_explanations_score": 0.0,
    }
    assert [one["token"] for one in explained[2].metadata["token_explanations"]] == ["위성"]
    assert dense == before


def test_a_document_without_an_id_is_found_by_the_one_that_its_content_gives_it(retriever, words, monkeypatch):
    nameless = Document("발사 위성", metadata={"year": 2020})
    retriever.add_documents([nameless])
    monkeypatch.setattr(words, "encode_documents", lambda *_, **__: pytest.fail("it is in the index"))
    (explained,) = TokenExplainer(retriever).compress_documents([nameless], "위성")
    (again,) = TokenExplainer(retriever).compress_documents([explained], "발사")
    assert [one["token"] for one in again.metadata["token_explanations"]] == ["발사"]


def test_what_was_explained_is_stored_without_its_explanation(retriever):
    (explained,) = TokenExplainer(retriever).compress_documents(STORED[:1], "위성")
    retriever.add_documents([explained])
    assert retriever.get(["a"]) == STORED[:1]


def test_what_an_index_of_fields_lacks_is_encoded_with_them(words):
    with PixieRetriever.from_documents(STORED, encoder=words, text_fields=("title", "text")) as retriever:
        titled = Document("지구", metadata={"title": "위성"})
        (explained,) = TokenExplainer(retriever).compress_documents([titled], "위성 발사")
    assert explained.page_content == "지구"
    assert [one["token"] for one in explained.metadata["token_explanations"]] == ["위성"]


async def test_asynchronously_it_says_the_same_and_the_number_of_tokens_is_set(retriever):
    explainer = TokenExplainer(retriever, top_k_tokens=1)
    explained = await explainer.acompress_documents(STORED, "위성 발사")
    assert explained == explainer.compress_documents(STORED, "위성 발사")
    assert len(explained[0].metadata["token_explanations"]) == 1
    assert explained[0].metadata["token_explanations_score"] == 3.0
    assert explainer.compress_documents([], "위성") == []


def test_it_takes_a_path_and_closes_what_it_opened(words, tmp_path):
    PixieRetriever.from_documents(STORED, encoder=words, path=tmp_path / "x.db").close()
    with TokenExplainer(tmp_path / "x.db", encoder=words) as explainer:
        assert explainer.compress_documents(STORED, "위성")[0].metadata["token_explanations_score"] == 2.0
    with pytest.raises(InvalidParameterError, match="top_k_tokens"):
        TokenExplainer(tmp_path / "x.db", encoder=words, top_k_tokens="viel")
    with pytest.raises(InvalidParameterError, match="pass a path"):
        TokenExplainer(3)


def test_a_query_that_is_not_a_string_is_refused(retriever, encoder):
    with (
        PixieRetriever.from_documents(STORED, encoder=encoder) as real,
        pytest.raises(InvalidTextError),
    ):
        TokenExplainer(real).compress_documents(STORED, 3)
